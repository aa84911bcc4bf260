#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people see of real containers: events, the line that says why one does not run, logs and
# messages that are harmless on a terminal. The rest of it is in tests/bus/{events,look}.bats.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

teardown()
{
  [ -z "${follower-}" ] || kill "$follower" 2>/dev/null || true
  helper_teardown
}

# follow VERB…: in the background, to $seen.
follow()
{
  seen=$BATS_TEST_TMPDIR/seen
  "$TANK_SANDBOX_DIR/bin/tankctl" "$@" >"$seen" 3>&- &
  follower=$!
}

# saw COUNT EVENT
saw()
{
  [ "$(jq -r .event "$seen" | grep -cx "$2")" = "$1" ]
}

told()
{
  tankctl events "$1" -n "$NS" --no-follow -o json
}

@test "L4: applied, starting, running; a crash: backing-off, its end, the wait; deleted" {
  follow events web -n "$NS" --since 1h -o json
  start web '.backoff = {base: "1s", cap: "2s"}' -- \
    sh -c 'trap "exit 3" TERM; echo up; sleep 1000 & wait'
  wait_for 20 saw 1 ready
  wait_for 20 equals up tankctl logs web -n "$NS"
  kill -TERM "$(workload_of web)"
  wait_for 20 saw 2 ready
  ended=$(date -d "$(get web '.status.containers[0].results[0].at')" +%s%3N)
  started=$(event_ms web starting)
  tankctl delete pod web -n "$NS" --wait
  wait_for 20 saw 1 deleted
  [ "$(jq -r .event "$seen" | tr '\n' ' ')" = \
    'applied starting running ready backing-off starting running ready exited deleted ' ]
  # The sleep of the shell is what TERM may have met first; the end is the shell's.
  detail=$(jq -r 'select(.event == "backing-off").detail' "$seen")
  [[ $detail =~ ^exited\ with\ 3\;\ restart\ 1\ in\ [0-9.]+m?s$ ]]
  # From the end to the start: the wait, at least.
  [ $((started - ended)) -ge 990 ]
  # The log has the same, and a killed reconciler takes nothing of it.
  told web | diff - "$seen"
  kill_daemon reconcile
  told web | diff - "$seen"
}

@test "events of many pods, both daemons killed in the middle: no gap, no double" {
  follow events -A --since 1h -o json
  for i in 1 2 3 4 5 6; do
    pod "p$i" '.restart = "never"' -- sh -c "exit $((i % 2))" | apply >/dev/null
    [ "$i" != 2 ] || kill_daemon reconcile
    [ "$i" != 4 ] || kill_daemon store
  done
  for i in 1 2 3 4 5 6; do wait_for 20 told_end "p$i"; done
  last=$(tankctl events -A --no-follow -o json | jq -s 'last.sequence')
  wait_for 20 equals "$last" jq -s 'last.sequence' "$seen"
  jq -s '[.[].sequence] | . == [range(.[0]; .[0] + length)]' "$seen" | grep -x true
  for i in 1 2 3 4 5 6; do
    [ "$(jq -r --arg pod "p$i" --arg ns "$NS" 'select(.pod == $pod and .namespace == $ns) | .event' \
      "$seen" | grep -cE '^(exited|failed)$')" = 1 ]
  done
}

why()
{
  tankctl describe pod "$1" -n "$NS" | sed -n 's/^Why: *//p'
}

@test "describe says why: ended, killed, out of memory, not set up, waiting" {
  pod code '.restart = "never"' -- sh -c 'exit 7' | apply
  pod clean '.restart = "on-failure"' -- true | apply
  pod command '.restart = "never"' -- /no/such/command | apply
  pod memory '.restart = "never" | .containers[0].limits = {memory: "16MiB"}' -- \
    sh -c 'x=a; while :; do x=$x$x; done' | apply
  pod killed '.restart = "never"' -- sleep 1000 | apply
  pod loop '.backoff = {base: "1h", cap: "1h"}' -- sh -c 'exit 9' | apply
  until_state killed running
  tankctl kill -s KILL killed -n "$NS"
  for p in code clean command memory killed; do
    until_state "$p" exited
  done
  again='so that only "tankctl restart'
  [ "$(why code)" = "main: exited with 7; restart is never, $again code\" starts it again" ]
  [ "$(why clean)" = "main: exited cleanly; restart is on-failure, $again clean\" starts it again" ]
  [[ "$(why command)" = "main: setup failed in exec: "*"No such file or directory; restart is never, "* ]]
  [[ "$(why memory)" = 'main: killed for lack of memory, of which it may have 16MiB; restart is never, '* ]]
  [ "$(why killed)" = "main: killed by SIGKILL; restart is never, $again killed\" starts it again" ]
  wait_for 20 waits_long
  # the next reconciler says the same
  told=$(why code; why clean; why command; why memory; why killed)
  [[ $told == *"exec: /no/such/command: No such"* ]]
  kill_daemon reconcile
  [ "$(why code; why clean; why command; why memory; why killed)" = "$told" ]
  waits_long
  hold_daemon reconcile
  [[ "$(why code)" = "tankd-reconcile $is_away"* ]]
}

waits_long()
{
  [[ "$(why loop)" =~ ^main:\ exited\ with\ 9\;\ next\ start\ in\ (1h|59m)[0-9ms]*,\ restart\ 1$ ]]
}

@test "what a container writes, and what it is called, cannot steer a terminal" {
  start web -- sh -c 'printf "\033]52;c;cHduZWQ=\007\033[2Jred\302\233\342\200\256\n"; sleep 1000'
  pod evil '.restart = "never" | .containers[0].command = ["/\u001b[2J\u009b\u202e\nTitle:"]' -- x |
    jq -ac . | apply
  until_state evil exited
  wait_for 20 has_written
  tankctl logs web -n "$NS" | grep -q $'^\e]52;c;cHduZWQ=\a\e\\[2Jred'
  TERM=xterm script -qec "tankctl logs web -n $NS" /dev/null </dev/null >"$BATS_TEST_TMPDIR/out"
  grep -Fq '\x1b]52;c;cHduZWQ=\x07\x1b[2Jred\u009b\u202e' "$BATS_TEST_TMPDIR/out"
  TERM=xterm script -qec "tankctl describe pod evil -n $NS; tankctl get pod evil -o wide -n $NS
    tankctl events evil -n $NS --no-follow; tankctl wait evil -n $NS --for=running" /dev/null \
    </dev/null >"$BATS_TEST_TMPDIR/out" || true # the wait fails
  # Colours are ours; nothing else begins with an escape.
  sed 's/\x1b\[\(3[123]\|0\)m//g' "$BATS_TEST_TMPDIR/out" |
    LC_ALL=C grep -cP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' |
    grep -x 0
  grep -Fq '\x1b[2J\u009b\u202e\x0aTitle:' "$BATS_TEST_TMPDIR/out"
  [ "$(grep -c '^Title:' "$BATS_TEST_TMPDIR/out")" = 0 ]
}

has_written()
{
  [ -n "$(tankctl logs web -n "$NS")" ]
}
