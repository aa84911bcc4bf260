#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each manager is killed while twenty pods run and a session is open: no container may notice, and
# nothing may be there twice. And the reconciler dies between any two steps of a start.

# shellcheck disable=SC2016,SC2153 # what stands in single quotes is for the shell inside

load helper

# Twenty pods, each of which writes a line when it starts.
twenty_pods()
{
  mkdir "$BATS_TEST_TMPDIR/pods"
  for i in $(seq 20); do
    pod "p$i" "$with_mark" -- sh -c "echo p$i >>/mark/starts; exec sleep 54321" \
      >"$BATS_TEST_TMPDIR/pods/$i.json"
  done
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/pods" --wait --timeout "$(scaled 60)"
  wait_for 20 equals 20 sh -c "wc -l <$MARK/starts"
  before=$(states)
}

states()
{
  tankctl get pods -n "$NS" -o json |
    jq -c '[.[] | {name, state: .status.state, pid: .status.containers[0].pid,
      restarts: .status.containers[0].restarts}]'
}

sync_now()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync \
    >/dev/null
}

# The workloads of this sandbox: what a shim has beneath it.
count_workloads()
{
  grep -lE "$in_tank" /proc/[0-9]*/cgroup 2>/dev/null |
    while read -r file; do
      tr '\0' ' ' <"${file%/cgroup}/cmdline" 2>/dev/null | grep -x 'sleep 54321 ' || true
    done | wc -l
}

nothing_changed()
{
  wait_for 20 equals "$before" states
  sync_now
  [ "$(states)" = "$before" ]
  [ "$(wc -l <"$MARK/starts")" = 20 ]
  wait_for 20 equals 20 shim_count
  wait_for 20 equals 20 count_workloads
}

open_session()
{
  coproc SESSION { exec tankctl exec -i -n "$NS" p7 -- \
    sh -c 'while read -r line; do echo "got $line"; done; exit 21' 3>&-; }
  session_pid=$SESSION_PID
  session_in=${SESSION[1]} session_out=${SESSION[0]}
  session_answers hello
}

session_answers()
{
  local answer
  echo "$1" >&"$session_in"
  read -r -t "$(scaled 60)" answer <&"$session_out"
  [ "$answer" = "got $1" ]
}

close_session()
{
  local code=0
  eval "exec $session_in>&-"
  wait "$session_pid" || code=$?
  [ "$code" = 21 ]
}

@test "kill -9 of tankd-reconcile: same pids, the session goes on, nothing is doubled" {
  twenty_pods
  open_session
  hold_daemon reconcile
  session_answers "while it is down"
  # the shims' own log goes on as well, and one that ends meanwhile is noticed afterwards
  let_daemons_go
  wait_for 20 all_ready
  session_answers "when it is back"
  nothing_changed
  close_session
  for _ in 1 2 3; do kill_daemon reconcile; done
  nothing_changed
}

@test "kill -9 of tankd-store: same pids, the session goes on, nothing is doubled" {
  twenty_pods
  open_session
  hold_daemon store
  session_answers "while it is down"
  run tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/pods/1.json"
  [ "$status" = 1 ]
  # the last known desired state is kept: who dies is started again
  kill -9 "$(workload_of_ps p3)"
  wait_for 10 equals 21 sh -c "wc -l <$MARK/starts"
  let_daemons_go
  wait_for 20 all_ready
  session_answers "when it is back"
  [ "$(states | jq length)" = 20 ]
  sync_now
  [ "$(states | jq -c 'map(select(.name != "p3"))')" = "$(jq -c 'map(select(.name != "p3"))' <<<"$before")" ]
  [ "$(wc -l <"$MARK/starts")" = 21 ]
  wait_for 20 equals 20 shim_count
  close_session
}

# The workload's pid by the states that were seen before the store went.
workload_of_ps()
{
  local pid
  pid=$(jq -r --arg n "$1" '.[] | select(.name == $n).pid' <<<"$before")
  tr -d ' \n' <"/proc/$pid/task/$pid/children"
}

@test "kill -9 of the bus: same pids, both daemons stay, the session goes on, nothing is doubled" {
  twenty_pods
  open_session
  store=$(daemon_pid store)
  reconcile=$(daemon_pid reconcile)
  hold_daemon bus
  session_answers "while it is down"
  kill -9 "$(workload_of_ps p3)" # the loop needs no bus
  wait_for 10 equals 21 sh -c "wc -l <$MARK/starts"
  let_daemons_go
  wait_for 20 bus_is_back
  session_answers "when it is back"
  [ "$(daemon_pid store)" = "$store" ]
  [ "$(daemon_pid reconcile)" = "$reconcile" ]
  [ "$(states | jq -c 'map(select(.name != "p3"))')" = "$(jq -c 'map(select(.name != "p3"))' <<<"$before")" ]
  [ "$(wc -l <"$MARK/starts")" = 21 ]
  wait_for 20 equals 20 shim_count
  close_session
  # a shim that lived through it can be entered, and what is applied now runs
  wait_for 20 in_pod p9 true
  start after -- sleep 1000
}

bus_is_back()
{
  states >/dev/null 2>&1 && sync_now 2>/dev/null && equals 20 sh -c "tankctl get pods -n $NS -o json | jq 'map(select(.status.state == \"running\")) | length'"
}

@test "all three at once" {
  twenty_pods
  open_session
  kill -9 "$(daemon_pid bus)" "$(daemon_pid store)" "$(daemon_pid reconcile)"
  session_answers "while they are down"
  wait_for 30 bus_is_back
  nothing_changed
  session_answers "when they are back"
  close_session
}

@test "a pod that was applied while the reconciler was dead runs within two seconds of its return" {
  start old -- sleep 1000
  old=$(pid_of old)
  hold_daemon reconcile
  pod new -- sleep 1000 | apply
  tankctl delete pod old -n "$NS"
  let_daemons_go
  wait_for 20 test -s "$TANK_SANDBOX_DIR/ready/reconcile"
  begin=$(now_ms)
  until_state new running
  at_most_ms 2000 "$begin"
  until_state old deleted
  gone "$old"
}

@test "what ended while the reconciler was dead has its result, and its policy" {
  start always "$with_mark" -- sh -c 'echo x >>/mark/always; exec sleep 1000'
  start never '.restart = "never"' -- sleep 1000
  always=$(workload_of always)
  never=$(workload_of never)
  hold_daemon reconcile
  kill -9 "$always" "$never"
  wait_for 10 gone "$always"
  wait_for 10 gone "$never"
  let_daemons_go
  wait_for 20 all_ready
  wait_for 10 equals failed get never .status.state
  [ "$(result_of never)" = "signaled 9" ]
  wait_for 10 equals 1 restarts_of always
  until_state always running
  [ "$(result_of always)" = "signaled 9" ]
  [ "$(wc -l <"$MARK/always")" = 2 ]
}

@test "a changed document and a restart's count outlive the reconciler" {
  pod web -- sh -c 'exit 1' | apply
  wait_for 20 at_least 3 restarts_of web
  count=$(restarts_of web)
  kill_daemon reconcile
  at_least "$count" restarts_of web
  [ "$(get web '.status.containers[0].results | length')" -ge 3 ]
  start limits '.containers[0].limits = {pids: 50}' -- sleep 1000
  pid=$(pid_of limits)
  hold_daemon reconcile
  pod limits '.containers[0].limits = {pids: 50}' -- sleep 1001 | apply
  let_daemons_go
  wait_for 20 all_ready
  wait_for 10 gone "$pid"
  until_state limits running
}

@test "a backoff that began before the reconciler died ends when it was to end" {
  pod web '.backoff = {base: "1h", cap: "1h"}' -- false | apply
  wait_for 10 equals BackingOff get web .status.reason
  at=$(get web .status.restart_at)
  kill_daemon reconcile
  wait_for 10 equals BackingOff get web .status.reason
  now=$(get web .status.restart_at)
  [ $(($(date -d "$now" +%s) - $(date -d "$at" +%s))) -le 1 ]
  [ "$(restarts_of web)" = 0 ] || [ "$(restarts_of web)" = 1 ]
}

# The names of the places where a program can be made to die.
failpoints()
{
  grep -rhoE 'FAILPOINT\("[^"]+"\)' "$top/$1" | sed 's/.*("\(.*\)").*/\1/' | sort -u
}

has_failpoints()
{
  grep -Eq '^#define ENABLE_FAILPOINTS 1' "$build/config.h"
}

# with_failpoint NAME: the next reconciler dies there, once.
with_failpoint()
{
  printf 'TANK_FAILPOINT=%s\nTANK_FAILPOINT_ONCE=%s\n' "$1" "$BATS_TEST_TMPDIR/once" \
    >"$TANK_SANDBOX_DIR/env/reconcile"
  rm -f "$BATS_TEST_TMPDIR/once"
  kill_daemon reconcile
}

one_runs()
{
  until_state web running
  wait_for 20 all_ready
  until_state web running
  wait_for 20 equals "$2" sh -c "wc -l <$MARK/starts"
  wait_for 20 sync_now # the one that dies may do so just now
  echo "$1: $(wc -l <"$MARK/starts") starts, $(shims | wc -l) shims, $(count_workloads) workloads"
  [ "$(wc -l <"$MARK/starts")" = "$2" ]
  wait_for 20 equals 1 shim_count
  wait_for 20 equals 1 count_workloads
}

# A pod's whole life with a reconciler that dies at one place of it. The pod uses a config, so that
# each of its starts begins with a reading of that.
life_with_death_at()
{
  local document
  : >"$MARK/starts"
  with_failpoint "$1"
  apply <<<'{"kind": "config", "name": "web", "data": {"a": "x"}}'
  document=$(pod web "$with_mark | .containers[0] += {limits: {pids: 50}, env: {A: {config: \"web/a\"}}} |
    .volumes += [{name: \"v\", source: {config: \"web\"}}] |
    .containers[].mounts += [{volume: \"v\", path: \"/v\"}]" -- \
    sh -c 'test "$(cat /v/a)" = x && echo "$A" >>/mark/starts; exec sleep 54321')
  apply <<<"$document"
  one_runs "$1: start" 1
  kill -9 "$(workload_of web)"
  wait_for 20 equals 2 sh -c "wc -l <$MARK/starts"
  one_runs "$1: restart" 2
  apply <<<"$(jq -c '.containers[0].limits.pids = 60' <<<"$document")"
  kill_daemon reconcile
  one_runs "$1: adoption" 2
  rm -f "$MARK/once"
  pod once "$with_mark | .restart = \"never\"" -- sh -c 'echo x >>/mark/once; exit 3' | apply
  until_state once exited
  wait_for 20 all_ready
  until_state once exited
  [ "$(result_of once)" = "exited 3" ]
  tankctl delete pod once -n "$NS"
  tankctl delete pod web -n "$NS"
  until_state once deleted
  until_state web deleted
  wait_for 20 all_ready
  [ "$(wc -l <"$MARK/once")" = 1 ]
  wait_for 10 equals 0 sh -c "grep -lE '$in_tank' /proc/[0-9]*/cgroup 2>/dev/null | wc -l"
  [ -e "$BATS_TEST_TMPDIR/once" ] || {
    echo "$1: no life of a pod passes there"
    return 1
  }
}

@test "kill -9 of the reconciler between any two steps of a pod's life: never two runs, never none" {
  has_failpoints || skip "this build has no failpoints: configure with --enable-failpoints"
  names=$(failpoints tankd-reconcile)
  [ -n "$names" ]
  for name in $names; do
    life_with_death_at "$name"
  done
}
