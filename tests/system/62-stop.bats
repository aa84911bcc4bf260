#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each process stands still (SIGSTOP) while twenty pods run and clients are open: nobody else does.
# Who needs it is told so within bounded time, and when it goes on it catches up.

# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell inside

load helper
load matrix

setup()
{
  matrix_setup
}

teardown()
{
  matrix_teardown
}

# A workload dies while somebody stands still; the policy is applied all the same.
crash_p16()
{
  kill -9 "$(workload_by_record p16)"
}

p16_is_back()
{
  wait_for 20 equals "${1:-21}" lines_of "$MARK/starts"
}

@test "the store stands still: pods, clients and the reconciler go on" {
  matrix_open
  stand_still "$(daemon_pid store)"
  clients ask while
  crash_p16
  p16_is_back
  in_time <<END
5 get pods -n $NS
5 describe pod p20 -n $NS
5 apply -n $NS -f $BATS_TEST_TMPDIR/pods/p20.json
5 apply -n $NS --wait -f $BATS_TEST_TMPDIR/pods
5 delete pod nosuch -n $NS
0 exec -n $NS p20 true
0 logs -n $NS p6
0 kill -n $NS -s CONT p19
1 doctor
END
  go_on
  wait_for 20 all_answer
  clients ask after
  clients same p16
  start late -- sleep 1000
  matrix_close
}

@test "the reconciler stands still: pods, clients and the store go on; it catches up" {
  matrix_open
  stand_still "$(daemon_pid reconcile)"
  clients ask while
  crash_p16
  matrix_pod p21 sleep | apply
  in_time <<END
0 get pods -n $NS
0 describe pod p20 -n $NS
0 apply -n $NS -f $BATS_TEST_TMPDIR/pods
5 apply -n $NS --wait --timeout 3 -f $BATS_TEST_TMPDIR/pods
5 wait p21 -n $NS --for=running --timeout 3
125 exec -n $NS p20 true
5 logs -n $NS p6
5 restart p20 -n $NS
5 kill -n $NS -s CONT p19
1 doctor
END
  [ "$(lines_of "$MARK/starts")" = 20 ]
  go_on
  until_state p21 running
  # the one that died and the new one; who asked for a restart is gone, and was never known
  p16_is_back 22
  clients ask after
  clients same p16 p21
  matrix_close
}

@test "the bus stands still: pods, clients and both daemons go on" {
  matrix_open
  stand_still "$(daemon_pid bus)"
  clients ask while
  crash_p16
  p16_is_back
  in_time <<END
5 get pods -n $NS
5 apply -n $NS -f $BATS_TEST_TMPDIR/pods/p20.json
5 wait p20 -n $NS --for=running --timeout 3
5 delete pod nosuch -n $NS
125 exec -n $NS p20 true
5 logs -n $NS p6
5 restart p20 -n $NS
5 doctor
END
  go_on
  wait_for 20 all_answer
  clients ask after
  clients same p16
  for pod in p1 p16 p20; do in_pod "$pod" true; done
  matrix_close
}

@test "shims stand still: no other pod does, nor a new reconciler; they catch up" {
  matrix_open
  stand_still "$(shim_of p1)" "$(shim_of p6)" "$(shim_of p11)" "$(shim_of p20)"
  # what a session says passes no shim; what is attached and what is logged does
  clients ask while attach1 tty-logs1 logs1
  in_time <<END
0 get pods -n $NS
0 apply -n $NS --wait -f $BATS_TEST_TMPDIR/pods
0 exec -n $NS p19 true
0 logs -n $NS p6
125 exec -n $NS p20 true
0 kill -n $NS -s CONT p20
END
  kill_daemon reconcile
  wait_for 20 all_answer
  crash_p16
  p16_is_back
  clients ask whoever attach1 tty-logs1 logs1
  go_on
  clients ask after
  clients same p16
  in_pod p20 true
  matrix_close
}

@test "a workload whose shim stands still loses no byte" {
  mkfifo -m 0666 "$MARK/go"
  start web "$with_mark | .containers[0].log = {max_size: \"100MB\"}" -- \
    sh -c 'read -r go </mark/go; seq 200000; touch /mark/written; exec sleep 1000'
  stand_still "$(shim_of web)"
  timeout "$TANK_TEST_SECONDS" sh -c "echo go >$MARK/go"
  in_time <<END
0 logs -n $NS web
END
  [ ! -e "$MARK/written" ]
  go_on
  wait_for 20 test -e "$MARK/written"
  wait_for 20 equals "$(seq 200000 | sha256sum)" \
    sh -c "tankctl logs -n $NS web | sha256sum"
}

@test "clients stand still: nobody else does; they have missed nothing" {
  matrix_open
  tankctl exec -n "$NS" p18 -- seq 300000 >"$BATS_TEST_TMPDIR/seq" 3>&- &
  reader=$!
  # (its own patience goes on while it stands)
  SYSTEMD_BUS_TIMEOUT=500s tankctl apply --wait --timeout 500 -n "$NS" -f "$BATS_TEST_TMPDIR/pods" \
    >/dev/null 2>&1 3>&- &
  waiter=$!
  stand_still "$reader" "$waiter"
  still=()
  for kind in $client_kinds; do
    clients kill "${kind}1" 19
    still+=("${kind}1")
  done
  for i in $(seq 20); do clients ask "while-$i" "${still[@]}"; done
  in_time <<END
0 get pods -n $NS
0 apply -n $NS --wait -f $BATS_TEST_TMPDIR/pods
0 exec -n $NS p11 true
0 exec -n $NS p18 true
0 logs -n $NS p6
END
  go_on
  for name in "${still[@]}"; do clients kill "$name" 18; done
  clients ask after
  wait "$reader"
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/seq")" = "$(seq 300000 | sha256sum)" ]
  wait "$waiter"
  clients same
  matrix_close
}

# By default an answer is waited for for 25 seconds.
@test "nobody waits for ever for a bus that stands still" {
  stand_still "$(daemon_pid bus)"
  run -5 timeout 50 tankctl get pods -n "$NS"
  go_on
  says 'does not answer'
}
