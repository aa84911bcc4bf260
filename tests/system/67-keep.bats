#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The change log is given up in front of those who follow it: they list anew, and miss nothing.

load helper

teardown()
{
  [ -z "${watch_pid-}" ] || kill -KILL "$watch_pid" 2>/dev/null || true
  [ -z "${stopped-}" ] || kill -CONT "$stopped" 2>/dev/null || true
  helper_teardown
}

setup()
{
  helper_setup
}

state()
{
  busctl --system get-property org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 \
    State | cut -d'"' -f2
}

@test "a reconciler that slept through a compaction lists anew: it starts and stops what changed, and does not hold" {
  start web -- sleep 1000
  start old -- sleep 1000
  web=$(pid_of web) old=$(pid_of old)
  stopped=$(cat "$TANK_SANDBOX_DIR/pids/reconcile")
  kill -STOP "$stopped"
  pod new -- sleep 1000 | apply
  tankctl delete pod old -n "$NS"
  tankctl store compact
  kill -CONT "$stopped"
  stopped=
  until_state new running
  wait_for 15 gone "$old"
  [ "$(pid_of web)" = "$web" ]
  [ "$(state)" = ok ]
}

widget()
{
  printf '{"kind":"widget","name":"%s","namespace":"%s","x":%s}\n' "$1" "$NS" "$2" | tankctl apply -f - >/dev/null
}

shown()
{
  grep -q -- "$1" "$BATS_TEST_TMPDIR/watched"
}

@test "a watch that slept through a compaction says resync, shows what stands, and goes on" {
  widget a 1
  tankctl watch widget -n "$NS" -o json >"$BATS_TEST_TMPDIR/watched" 2>&1 3>&- &
  watch_pid=$!
  widget b 1
  wait_for 15 shown '"name":"b"'
  stopped=$watch_pid
  kill -STOP "$watch_pid"
  widget a 2
  widget c 1
  tankctl store compact
  kill -CONT "$watch_pid"
  stopped=
  wait_for 15 shown resync
  wait_for 15 shown '"name":"c"'
  widget d 1
  wait_for 15 shown '"name":"d"'
}
