#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who dies, what survives (docs/architecture.md): each row, twenty times over, with twenty pods and
# with sessions, attached terminals and followers of logs open. What survives is the same processes,
# and clients that missed nothing.

# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell inside

load helper
load matrix

rounds=${TANK_TEST_ROUNDS:-20} # fewer with sanitizers (tools/check)

setup()
{
  matrix_setup
}

teardown()
{
  matrix_teardown
}

# crash NAME…: all of them at once.
crash()
{
  local name
  victims=()
  for name; do victims+=("$(daemon_pid "$name")"); done
  kill -9 "${victims[@]}"
}

# back NAME…: each is another one, and answers.
back()
{
  local i=0 name
  for name; do wait_for 20 daemon_is_new "$name" "${victims[i++]}"; done
  wait_for 20 all_answer
}

# Everybody heard it once, and not a process is another one.
nobody_noticed()
{
  clients ask "$1"
  clients same
  [ "$(lines_of "$MARK/starts")" = 20 ]
}

@test "tankd-reconcile dies: containers, sessions, terminals and logs go on; it carries on" {
  matrix_open
  for round in $(seq "$rounds"); do
    crash reconcile
    clients ask "while-$round"
    back reconcile
    nobody_noticed "after-$round"
  done
  matrix_close
}

@test "tankd-store dies: everything goes on, and each acknowledged write is there" {
  matrix_open
  for round in $(seq "$rounds"); do
    jq -c ".labels.round = \"$round\"" "$BATS_TEST_TMPDIR/pods/p20.json" | apply >/dev/null
    crash store
    clients ask "while-$round"
    back store
    [ "$(get p20 .labels.round)" = "$round" ]
    nobody_noticed "after-$round"
  done
  matrix_close
}

@test "the bus dies: everything goes on without it, and everybody is on the next one" {
  matrix_open
  store=$(daemon_pid store)
  reconcile=$(daemon_pid reconcile)
  for round in $(seq "$rounds"); do
    crash bus
    clients ask "while-$round"
    back bus
    nobody_noticed "after-$round"
    # a shim that is not back on the bus could not be entered
    in_pod "p$round" true
  done
  [ "$(daemon_pid store)" = "$store" ]
  [ "$(daemon_pid reconcile)" = "$reconcile" ]
  matrix_close
}

@test "both daemons and the bus die at once: everything goes on" {
  matrix_open
  for round in $(seq "$rounds"); do
    crash bus store reconcile
    clients ask "while-$round"
    back bus store reconcile
    nobody_noticed "after-$round"
  done
  matrix_close
}

# The client of a pod in its shim ends with it; those of all others do not hear of it.
@test "a shim dies: its container is lost and started again; nobody else notices" {
  matrix_open
  for round in $(seq "$rounds"); do
    name=p$round
    read -r kind i <<<"$(shim_client "$round")" || true
    clients kill-shim "$name"
    [ -z "$kind" ] || clients ended "$kind$i" 125
    clients lost "$name"
    [ -z "$kind" ] || open_client "$kind" "$i"
    clients ask "after-$round"
    clients same "$name"
    clients again "$name"
  done
  [ "$(lines_of "$MARK/starts")" = $((20 + rounds)) ]
  matrix_close
}

@test "tankctl dies in whatever it does: its sessions end, nothing else" {
  twenty_pods
  start_clients
  clients remember
  for round in $(seq "$rounds"); do
    open_clients
    jq -c ".labels.round = \"$round\"" "$BATS_TEST_TMPDIR/pods/p20.json" >"$BATS_TEST_TMPDIR/p20.json"
    tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/p20.json" >/dev/null 2>&1 3>&- &
    writer=$!
    tankctl apply --wait -n "$NS" -f "$BATS_TEST_TMPDIR/pods" >/dev/null 2>&1 3>&- &
    waiter=$!
    clients ask "open-$round"
    for kind in $client_kinds; do
      for i in 1 2 3 4 5; do
        clients kill "$kind$i" 9
        clients ended "$kind$i" 137
      done
    done
    kill -9 "$writer" "$waiter" 2>/dev/null || true
    wait "$writer" "$waiter" || true
    # what they had asked for is done or is not; no process of theirs stays
    clients same
  done
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/p20.json" >/dev/null
  [ "$(get p20 .labels.round)" = "$rounds" ]
  [ "$(lines_of "$MARK/starts")" = 20 ]
  matrix_close
}
