#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tools/sandbox, which every other test stands on: what it gives, and that it leaves nothing.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

# A sandbox beside the one that these tests run in, of the same build.
sandbox()
{
  TANK_BUILD_DIR=$build "$top/tools/sandbox" "$@"
}

# The same, of which $supervisor is the process.
sandbox_behind()
{
  TANK_BUILD_DIR=$build "$top/tools/sandbox" "$@" 3>&- &
  supervisor=$!
}

# Processes, mounts and cgroups of the sandbox in a directory whose instance is $2.
left_behind()
{
  local exe
  for exe in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$exe/environ" | grep -qxF "TANK_SANDBOX_DIR=$1"; then
      echo "process ${exe#/proc/}: $(tr '\0' ' ' <"$exe/cmdline")"
    fi
  done
  grep -F " $1/" /proc/self/mountinfo || true
  find /sys/fs/cgroup -type d -name "tank-$2*" || true
}

@test "the command's exit status is the sandbox's; a signal's number comes on top of 128" {
  run -3 sandbox -- sh -c 'exit 3'
  run -137 sandbox -- sh -c 'kill -9 $$'
  run -127 sandbox -- /does/not/exist
}

@test "options: no command, an unknown one, a directory of someone else" {
  run -2 sandbox
  run -2 sandbox --frobnicate -- true
  mkdir "$BATS_TEST_TMPDIR/theirs"
  touch "$BATS_TEST_TMPDIR/theirs/file"
  run -125 sandbox --dir "$BATS_TEST_TMPDIR/theirs" -- true
  says 'neither empty nor'
  [ -e "$BATS_TEST_TMPDIR/theirs/file" ]
}

@test "a store in memory runs pods, and leaves no database" {
  make_root "$BATS_TEST_TMPDIR/root"
  run -0 sandbox --memory -- sh -c '
    printf "name: web\nrestart: never\ncontainers: [{name: c, image: {rootfs: %s}, command: [/bin/true]}]\n" "$1" |
      tankctl apply -f - && tankctl wait web --for=exited --timeout 60 &&
      busctl --system get-property org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Backend &&
      [ ! -e "$TANK_STATE_DIR/store" ] && [ ! -e "$TANK_RUN_DIR/store" ]' sh "$BATS_TEST_TMPDIR/root"
  says '"memory"'
}

@test "programs, bus and directories are the sandbox's own; all of it is gone at the end" {
  run -0 sandbox -- sh -c '
    busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" status org.tankd.Store1 >/dev/null
    busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" status org.tankd.Reconcile1 >/dev/null
    [ "$(command -v tankctl)" = "$TANK_SANDBOX_DIR/bin/tankctl" ]
    tankctl get pods -A >/dev/null
    echo "$TANK_SANDBOX_DIR $TANK_INSTANCE"'
  read -r dir instance <<<"${lines[-1]}"
  [ "$dir" != "$TANK_SANDBOX_DIR" ]
  [ "$instance" != "$TANK_INSTANCE" ]
  [ ! -e "$dir" ]
  [ -z "$(left_behind "$dir" "$instance")" ]
}

@test "containers that run at the end go with it" {
  pod web -- sleep 1000 >"$BATS_TEST_TMPDIR/web.json"
  run -0 sandbox -- sh -c '
    tankctl apply --wait -f "$1" >&2
    pid=$(tankctl get pod web -o json | jq .status.containers[0].pid)
    echo "$TANK_SANDBOX_DIR $TANK_INSTANCE $pid"' - "$BATS_TEST_TMPDIR/web.json"
  read -r dir instance pid <<<"${lines[-1]}"
  [ "$pid" -gt 1 ]
  gone "$pid"
  [ ! -e "$dir" ]
  [ -z "$(left_behind "$dir" "$instance")" ]
}

@test "a signal ends the command and takes everything down" {
  sandbox_behind -- sh -c 'echo "$TANK_SANDBOX_DIR $TANK_INSTANCE" >"$1"; exec sleep 1000' - \
    "$BATS_TEST_TMPDIR/up"
  wait_for 30 test -s "$BATS_TEST_TMPDIR/up"
  kill -TERM "$supervisor"
  status=0
  wait "$supervisor" || status=$?
  [ "$status" -eq 143 ]
  read -r dir instance <"$BATS_TEST_TMPDIR/up"
  [ ! -e "$dir" ]
  [ -z "$(left_behind "$dir" "$instance")" ]
}

@test "what a killed sandbox left is taken down by the next one in its directory, the state stays" {
  mkdir "$BATS_TEST_TMPDIR/dir"
  pod web -- sleep 1000 >"$BATS_TEST_TMPDIR/web.json"
  sandbox_behind --dir "$BATS_TEST_TMPDIR/dir" -- sh -c '
    tankctl apply --wait -f "$1/web.json" >&2
    tankctl get pod web -o json | jq .status.containers[0].pid >"$1/pid.new"
    mv "$1/pid.new" "$1/pid"
    exec sleep 1000' - "$BATS_TEST_TMPDIR"
  wait_for 30 test -s "$BATS_TEST_TMPDIR/pid"
  old=$(cat "$BATS_TEST_TMPDIR/pid")
  run -125 sandbox --dir "$BATS_TEST_TMPDIR/dir" -- true
  says 'running in'
  kill -KILL "$supervisor"
  wait "$supervisor" || true
  run -0 sandbox --dir "$BATS_TEST_TMPDIR/dir" -- sh -c '
    tankctl wait web --for=running --timeout 60 >&2
    tankctl get pod web -o json | jq .status.containers[0].pid'
  [ "${lines[-1]}" -gt 1 ]
  gone "$old"
  [ -d "$BATS_TEST_TMPDIR/dir/state/store" ]
  [ ! -e "$BATS_TEST_TMPDIR/dir/run" ]
}
