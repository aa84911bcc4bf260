#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A shim dies between any two steps of a run: of its set-up, while it runs, in a session, while it is
# stopped, while it tears down. What became of the run is told as it is, the policy is applied,
# nothing is left, and there are never two runs at a time.

# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell inside

load helper
load matrix

setup()
{
  grep -Eq '^#define ENABLE_FAILPOINTS 1' "$build/config.h" ||
    skip "this build has no failpoints: configure with --enable-failpoints"
  matrix_setup
  once_file=$BATS_TEST_TMPDIR/once
}

teardown()
{
  matrix_teardown
}

# The shims that are started from now on die at $1, the first of them that comes there.
arm()
{
  printf 'TANK_FAILPOINT=%s\nTANK_FAILPOINT_ONCE=%s\n' "$1" "$once_file" \
    >"$TANK_SANDBOX_DIR/env/reconcile"
  : >"$MARK/starts"
  chmod 0666 "$MARK/starts"
  rm -f "$once_file"
  kill_daemon reconcile
}

hit()
{
  [ -e "$once_file" ]
}

# Each place in the source, so that a new one is a new case.
places()
{
  grep -rhoE 'FAILPOINT\("[^"]+"\)' "$top/tank-shim" | sed 's/.*("\(.*\)").*/\1/' | sort -u
}

results_of()
{
  get "$1" '.status.containers[0].results | map("\(.kind) \(.code)") | join(",")'
}

# right_result PLACE KIND: before the run began it is the set-up that failed; once it has ended the
# record knows how; anything between is lost with the shim.
right_result()
{
  case $1 in
  shim.locked | shim.record | shim.hello) [[ $2 == "setup-failed "* || -z $2 || $2 == "shim-lost 0" ]] ;;
  shim.exited | shim.empty | shim.told | shim.finished | shim.cgroup-removed | shim.removed)
    [[ $2 == *"$3"* ]]
    ;;
  *) [[ $2 == *"shim-lost 0"* ]] ;;
  esac
}

# A pod is started, entered, restarted and deleted, and its shim dies at $1 of it.
life()
{
  local before
  arm "$1"
  matrix_pod web sleep | apply >/dev/null
  until_state web running
  hit || in_pod web true || true
  if ! hit; then
    before=$(workload_of web)
    tankctl restart web -n "$NS" >/dev/null
    wait_for 20 hit
    wait_for 20 gone "$before"
  fi
  until_state web running
  wait_for 20 equals 1 shim_count
  wait_for 20 in_pod web true
  results=$(results_of web)
  right_result "$1" "$results" "signaled 15" || {
    echo "results: $results"
    return 1
  }
  # by hand or by policy, it was once more; before it ran for the first time it was once
  echo "$1: $results, $(lines_of "$MARK/starts") starts"
  [ "$(lines_of "$MARK/starts")" -le 2 ]
  never_two
  tankctl delete pod web -n "$NS" --wait --timeout "$TANK_TEST_SECONDS"
  wait_for 20 nothing_left
}

# A pod that is never run again: told what became of it, and left so.
last_life()
{
  rm -f "$once_file"
  : >"$MARK/starts"
  matrix_pod last sleep '.restart = "never" | .containers[0].command[5] |= sub("exec sleep 54321"; "exit 3")' |
    apply >/dev/null
  wait_for 20 is_over last
  results=$(results_of last)
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync >/dev/null
  [ "$(results_of last)" = "$results" ]
  echo "$1: $results, $(lines_of "$MARK/starts") starts of one that is never run again"
  [ "$(lines_of "$MARK/starts")" -le 1 ]
  ! hit || right_result "$1" "$results" "exited 3"
  hit || [ "$results" = "exited 3" ]
  tankctl delete pod last -n "$NS" --wait --timeout "$TANK_TEST_SECONDS"
  wait_for 20 nothing_left
}

is_over()
{
  [[ $(get "$1" .status.state) == @(exited|failed) ]]
}

@test "a shim that died before it had a layer: what it made goes, also when nobody saw its end" {
  local pid
  start web "$with_mark | .restart = \"never\"" -- sleep 1000
  pid=$(pid_of web)
  hold_daemon reconcile
  kill -9 "$(shim_of web)" "$pid"
  wait_for 20 gone "$pid"
  wait_for 20 equals 0 shim_count
  rm -rf "${TANK_STATE_DIR:?}"/containers/*
  let_daemons_go
  wait_for 20 is_over web
  [ "$(results_of web)" = "shim-lost 0" ]
  tankctl delete pod web -n "$NS" --wait
  wait_for 20 nothing_left
}

@test "a shim dies at any step of a start" {
  for place in $(places | grep -E '^shim\.(locked|record|hello|started|cgroup|scratch|cloned|trees|shm|pins|ready|workload|running|settled)$'); do
    life "$place"
    last_life "$place"
  done
}

@test "a shim dies at any step of a session" {
  names=$(places | grep -E '^shim\.session-')
  [ -n "$names" ]
  for place in $names; do life "$place"; done
}

@test "a shim dies at any step of a stop or an end" {
  for place in $(places | grep -vE '^shim\.(session-.*|locked|record|hello|started|cgroup|scratch|cloned|trees|shm|pins|ready|workload|running|settled)$'); do
    life "$place"
    last_life "$place"
  done
}
