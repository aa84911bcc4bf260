#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks on the control plane: by users without rights, and by clients that have them and keep to no
# rule.

# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell inside

load ../system/helper

setup()
{
  helper_setup
  racers=()
  start web -- sleep 1000
  shim_name=$(busctl --system list --acquired --no-legend | grep -o '^org.tankd.Shim1.u[0-9a-f]*')
  services=("org.tankd.Store1 /org/tankd/Store1" "org.tankd.Reconcile1 /org/tankd/Reconcile1"
    "org.tankd.Reconcile1 /org/tankd/Reconcile1/pod/${NS//-/_2d}/web" "$shim_name /org/tankd/Shim1")
  daemons=$(daemon_pid store)/$(daemon_pid reconcile)/$(daemon_pid bus)/$(shims)
}

teardown()
{
  [ ${#racers[@]} = 0 ] || kill "${racers[@]}" 2>/dev/null || true
  helper_teardown
}

same_daemons()
{
  [ "$(daemon_pid store)/$(daemon_pid reconcile)/$(daemon_pid bus)/$(shims)" = "$daemons" ]
}

attack()
{
  python3 "$BATS_TEST_DIRNAME/bus-attack.py" "$@"
}

nobody()
{
  setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# members NAME PATH KIND: "INTERFACE MEMBER" of tank's own.
members()
{
  busctl --system introspect --no-legend "$1" "$2" | awk -v kind="$3" '
    $2 == "interface" { interface = $1 }
    $2 == kind && interface ~ /^org.tankd/ { print interface, substr($1, 2) }'
}

# Memory of a daemon at its most, in KiB.
peak_of()
{
  awk '/^VmHWM/ { print $2 }' "/proc/$1/status"
}

@test "a user without rights is refused everything: methods, properties, introspection, by any name" {
  for service in "${services[@]}"; do
    read -r name path <<<"$service"
    methods=$(members "$name" "$path" method)
    [ -n "$methods" ] || [[ $path == */pod/* ]] # a pod has properties only
    owner=$(busctl --system --json=short call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s "$name" |
      jq -r '.data[0]')
    for target in "$name" "$owner"; do
      while read -r interface member; do
        [ -n "$interface" ] || continue
        run ! nobody busctl --system call "$target" "$path" "$interface" "$member"
        says 'Access denied|Rejected'
      done <<<"$methods"
      run ! nobody busctl --system call "$target" "$path" org.freedesktop.DBus.Properties GetAll s ''
      says 'Access denied|Rejected'
      run ! nobody busctl --system introspect "$target" "$path"
      run ! nobody busctl --system call "$target" "$path" org.freedesktop.DBus.Peer Ping
    done
  done
  run -1 nobody tankctl get pods
  run -1 grep web <<<"$output"
  same_daemons
}

@test "a user without rights takes no name of ours, before or while it is ours" {
  hold_daemon reconcile
  for name in org.tankd.Store1 org.tankd.Reconcile1 org.tankd.Shim1.u0123456789abcdef org.tankd.Other; do
    run ! nobody busctl --system call org.freedesktop.DBus / org.freedesktop.DBus RequestName su "$name" 6
    says 'denied|not allowed'
  done
  let_daemons_go
  wait_for 20 all_ready
}

@test "a user without rights hears no signal and reads no file of ours" {
  # its address has to be in reach: the directory of the sandbox is root's
  chmod 0711 "$TANK_SANDBOX_DIR"
  local heard=$BATS_TEST_TMPDIR/heard monitor
  setpriv --reuid 65534 --regid 65534 --clear-groups dbus-monitor \
    --address "$DBUS_SYSTEM_BUS_ADDRESS" "type='signal'" >"$heard" 2>/dev/null 3>&- &
  monitor=$!
  racers+=("$monitor")
  wait_for 10 test -s "$heard"
  start heard -- sleep 1000
  tankctl delete pod heard -n "$NS" --wait
  nobody busctl --system call org.freedesktop.DBus / org.freedesktop.DBus GetId
  kill "$monitor"
  wait "$monitor" || true
  run ! grep -E 'path=/org/tankd|interface=org.tankd|heard' "$heard"
  run ! nobody sh -c "cat '$TANK_LOG_DIR/$NS/web/'* || ls '$TANK_RUN_DIR/pods' ||
    ls '$TANK_STATE_DIR/containers' || ls '$TANK_STATE_DIR/store' || ls '$TANK_RUN_DIR/seccomp'"
}

@test "junk: every method answers every wrong argument, with an error that says so" {
  for service in "${services[@]}"; do
    read -r name path <<<"$service"
    while read -r interface names; do
      # shellcheck disable=SC2086 # words
      attack junk "$name" "$path" "$interface" $names
    done < <(members "$name" "$path" method | awk '{ m[$1] = m[$1] " " $2 } END { for (i in m) print i m[i] }')
    attack junk "$name" "$path" org.freedesktop.DBus.Properties Get GetAll Set
  done >"$BATS_TEST_TMPDIR/answers"
  run -1 grep 'NO ANSWER' "$BATS_TEST_TMPDIR/answers"
  # what is no message at all is between the client and the bus
  run -1 grep 'disconnected' <(grep -vE 'not UTF-8|beyond the end|200 descriptors' "$BATS_TEST_TMPDIR/answers")
  run -1 grep -E 'NoReply|Internal|NoMemory' "$BATS_TEST_TMPDIR/answers"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/answers")" -gt 200 ]
  same_daemons
  [ "$(peak_of "$(daemon_pid store)")" -lt 131072 ]
  [ "$(peak_of "$(daemon_pid reconcile)")" -lt 65536 ]
  [ "$(peak_of "$(shims)")" -lt 65536 ]
  [ "$(get web .status.state)" = running ]
}

@test "ten thousand calls at a time are all answered; descriptors and memory stay" {
  before=$(find "/proc/$(daemon_pid store)/fd" "/proc/$(daemon_pid reconcile)/fd" | wc -l)
  [ "$(attack call 10000 org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod "$NS" web)" = "10000 ok" ]
  [ "$(attack call 10000 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web)" = "10000 ok" ]
  [ "$(attack call 10000 "$shim_name" /org/tankd/Shim1 org.freedesktop.DBus.Properties GetAll org.tankd.Shim1)" = "10000 ok" ]
  # each returns descriptors
  [ "$(attack call 1000 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs "$NS" web '')" = "1000 ok" ]
  same_daemons
  [ "$(peak_of "$(shims)")" -lt 65536 ]
  wait_for 10 equals "$before" sh -c "find /proc/$(daemon_pid store)/fd /proc/$(daemon_pid reconcile)/fd | wc -l"
}

@test "CVE-2021-3560: callers that are gone before they were identified get nothing done" {
  pid=$(workload_of web)
  attack gone 200 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web
  nobody env PATH="$PATH" python3 "$BATS_TEST_DIRNAME/bus-attack.py" gone 200 org.tankd.Reconcile1 \
    /org/tankd/Reconcile1 org.tankd.Reconcile1 Restart "$NS" web main
  nobody env PATH="$PATH" python3 "$BATS_TEST_DIRNAME/bus-attack.py" gone 200 "$shim_name" \
    /org/tankd/Shim1 org.tankd.Shim1 Kill
  same_daemons
  [ "$(workload_of web)" = "$pid" ]
  [ "$(get web '.status.containers[0].restarts')" = 0 ]
}

@test "clients that never read: bounded memory, and everybody is served when they are gone" {
  for target in "org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod $NS web" \
    "org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs $NS web main"; do
    # shellcheck disable=SC2086 # words
    python3 "$BATS_TEST_DIRNAME/bus-attack.py" deaf 20000 $target \
      >"$BATS_TEST_TMPDIR/deaf.${#racers[@]}" < <(exec sleep 60 3>&-) 3>&- &
    racers+=($!)
  done
  wait_for 30 sh -c "cat '$BATS_TEST_TMPDIR'/deaf.* | grep -c sent | grep -qx 2"
  tankctl get pod web -n "$NS" -o name
  in_pod web true
  same_daemons
  [ "$(peak_of "$(daemon_pid store)")" -lt 262144 ]
  [ "$(peak_of "$(daemon_pid reconcile)")" -lt 131072 ]
  kill "${racers[@]}"
  racers=()
  tankctl get pod web -n "$NS" -o name
}
