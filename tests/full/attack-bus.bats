#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What tests/system/36-attack-bus.bats does, for longer.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # quoted for the shell inside; racers is each test's

load ../system/helper

setup()
{
  helper_setup
  racers=()
  start web -- sleep 1000
  shim_name=$(busctl --system list --acquired --no-legend | grep -o '^org.tankd.Shim1.u[0-9a-f]*')
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
  python3 "$top/tests/system/bus-attack.py" "$@"
}

nobody()
{
  setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# Memory of a daemon at its most, in KiB.
peak_of()
{
  awk '/^VmHWM/ { print $2 }' "/proc/$1/status"
}

@test "a million calls are all answered; descriptors stay" {
  before=$(find "/proc/$(daemon_pid store)/fd" "/proc/$(daemon_pid reconcile)/fd" | wc -l)
  [ "$(attack call 1000000 org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod "$NS" web)" = "1000000 ok" ]
  [ "$(attack call 100000 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web)" = "100000 ok" ]
  [ "$(attack call 100000 "$shim_name" /org/tankd/Shim1 org.freedesktop.DBus.Properties GetAll org.tankd.Shim1)" = "100000 ok" ]
  # each returns descriptors
  [ "$(attack call 10000 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs "$NS" web '')" = "10000 ok" ]
  same_daemons
  wait_for 10 equals "$before" sh -c "find /proc/$(daemon_pid store)/fd /proc/$(daemon_pid reconcile)/fd | wc -l"
}

@test "CVE-2021-3560: thousands of callers that are gone before they were identified" {
  pid=$(workload_of web)
  attack gone 2000 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web
  nobody env PATH="$PATH" python3 "$top/tests/system/bus-attack.py" gone 2000 org.tankd.Reconcile1 \
    /org/tankd/Reconcile1 org.tankd.Reconcile1 Restart "$NS" web main
  nobody env PATH="$PATH" python3 "$top/tests/system/bus-attack.py" gone 2000 "$shim_name" \
    /org/tankd/Shim1 org.tankd.Shim1 Kill
  same_daemons
  [ "$(workload_of web)" = "$pid" ]
  [ "$(get web '.status.containers[0].restarts')" = 0 ]
}

@test "eight clients that never read: bounded memory, and everybody is served" {
  for n in 1 2 3 4; do
    for target in "org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod $NS web" \
      "org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs $NS web main"; do
      # shellcheck disable=SC2086 # words
      python3 "$top/tests/system/bus-attack.py" deaf 50000 $target \
        >"$BATS_TEST_TMPDIR/deaf.$n.${#racers[@]}" < <(exec sleep 300 3>&-) 3>&- &
      racers+=($!)
    done
  done
  wait_for 120 sh -c "cat '$BATS_TEST_TMPDIR'/deaf.* | grep -c sent | grep -qx 8"
  tankctl get pod web -n "$NS" -o name
  in_pod web true
  same_daemons
  [ "$(peak_of "$(daemon_pid store)")" -lt 262144 ]
  [ "$(peak_of "$(daemon_pid reconcile)")" -lt 131072 ]
  kill "${racers[@]}"
  wait "${racers[@]}" || true
  racers=()
  tankctl get pod web -n "$NS" -o name
}
