#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The scenarios that a container supervisor of this kind has to show, whole, and where each stands.
# The first words of a test's name are the numbers of the scenarios that it shows:
#
#   V1  a full document is valid; the defaults          L1  runs, stops, new pid, same pid, five at once
#   V2  every error of validation                       L2  killed, crashed, ended: the policies
#   V3  apply, get, list, create, delete; restarts      L3  restart counts, delays, restart by hand
#   V4  seed never overwrites; bad entries skipped      L4  events in order, with result and delay
#   G1  lines, streams, rotation, long lines, tail      L5  states are merged; unknown ones are Pending
#   R1  memory and pids in the cgroup                   R6  exec: a port taken, only lo, namespaces
#   R3  results of signals and codes                    R7  exec's cgroup; second writer; who vanishes
#   R4  volumes, read-only and not                      R8  a real shell of Debian as the main program
#   R5  attach, detach, killed while attached           R11 runs, deleted, gone within five seconds
#   R13 the life of a pod as a person at a terminal has it

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

terminal()
{
  "$BATS_TEST_DIRNAME/terminal.py" "$@"
}

@test "each scenario has a test that is named after it" {
  for scenario in V1 V2 V3 V4 L1 L2 L3 L4 L5 G1 R1 R3 R4 R5 R6 R7 R8 R11 R13; do
    grep -Eq "^@test \"([A-Z0-9]+, )*$scenario(, [A-Z0-9]+)*: " "$BATS_TEST_DIRNAME"/*.bats || {
      echo "no test is named $scenario"
      return 1
    }
  done
}

@test "L5: what is declared and what is seen are one row; without the reconciler it is Pending" {
  start web -- sleep 1000
  [ "$(get web '.status | "\(.state) \(.reason) \(.ready)"')" = "running  true" ]
  started=$(get web '.status.containers[0].started_at')
  pid=$(pid_of web)
  hold_daemon reconcile
  # told, and no error: what is declared is known all the same
  run -0 --separate-stderr tankctl get pods -n "$NS" -o json
  [ "$(jq -r '.[0] | "\(.name) \(.status.state) \(.status.reason) \(.status.ready)"' <<<"$output")" = \
    "web waiting Pending false" ]
  # shellcheck disable=SC2154
  grep -q "tankd-reconcile $is_away" <<<"$stderr"
  pod other -- sleep 1000 | apply
  let_daemons_go
  until_state other running
  until_state web running
  [ "$(pid_of web)" = "$pid" ]
  [ "$(get web '.status.containers[0].started_at')" = "$started" ]
}

# A root of this machine's own bash: a Debian wherever these tests run.
bash_root()
{
  local root=$1 program library
  make_root "$root"
  rm -f "$root/bin/sh" "$root/bin/cat" "$root/bin/ls"
  for program in /bin/bash /bin/cat /bin/ls; do
    cp -L "$program" "$root$program"
    ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
      mkdir -p "$root$(dirname "$library")"
      cp -nL "$library" "$root$library"
    done
  done
  cp -L /etc/os-release "$root/etc/os-release"
}

@test "R8: Debian's bash as the main program: attached to, asked who it is, left running" {
  bash_root "$BATS_TEST_TMPDIR/debian"
  start shell ".containers[0].image.rootfs = \"$BATS_TEST_TMPDIR/debian\" | .containers[0].tty = true" \
    -- bash
  pid=$(workload_of shell)
  run -0 terminal 24x100 'send \n
    expect [$#]
    send cat /etc/os-release\n
    expect Debian GNU/Linux [0-9]+
    send echo $BASH_VERSION, $((6*7))\n
    expect [0-9]+\.[0-9.]+.*, 42
    send \x1b[A\x01\x0b echo ed$((4+3))ed\n
    expect ed7ed
    send \x10\x11' tankctl attach -n "$NS" shell
  [ "$(get shell .status.state)" = running ]
  [ "$(workload_of shell)" = "$pid" ]
  # and again: what was there is shown, and it still answers
  run -0 terminal 24x100 'expect Debian GNU/Linux
    send echo back-$((1+1))\n
    expect back-2
    send \x10\x11' tankctl attach -n "$NS" shell
  run -9 terminal 24x100 'send exit 9\n' tankctl attach -n "$NS" shell
}

@test "R13: declared, listed, its log, a shell in it, what it showed, restarted, deleted" {
  pod web '.containers[0].tty = true | .containers[0].env = {GREETING: "hello"}' -- \
    sh -c 'echo banner; echo $GREETING; while read -r line; do echo "got $line"; done' | apply
  until_state web running
  run -0 tankctl get pods -n "$NS"
  says '^NAME'
  says '^web +1/1 +running'
  wait_for 10 equals $'banner\nhello' tankctl logs -n "$NS" web
  run -0 terminal 24x100 'expect / #
    send env\n
    expect GREETING=hello
    send echo $PATH\n
    expect /bin
    send exit\n' tankctl exec -it -n "$NS" web sh
  # from the first line on, and then what comes
  run -0 terminal 24x100 'expect banner\s+hello
    send one more\n
    expect got one more
    send \x10\x11' tankctl attach -n "$NS" web
  wait_for 10 sh -c "tankctl logs -n $NS web | grep -qx 'got one more'"
  pid=$(pid_of web)
  tankctl restart web -n "$NS"
  wait_for 10 gone "$pid"
  until_state web running
  [ "$(restarts_of web)" = 0 ]
  run -0 terminal 24x100 'expect banner
    send \x10\x11' tankctl attach -n "$NS" web
  pid=$(pid_of web)
  tankctl delete pod web -n "$NS" --wait
  gone "$pid"
  [ -z "$(tankctl get pods -n "$NS" -o name)" ]
  refused 125 tankctl attach -n "$NS" web
}
