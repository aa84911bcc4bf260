# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tankd-store and tankd-reconcile on a private bus, with the shim of tests/fake: everything of the
# reconciler is real, nothing needs a namespace. Loaded by tests/bus/reconcile*.bats.

build=${TANK_BUILD_DIR:?}
fake=$build/tests/fake
: "${TANK_TEST_SECONDS:=60}" # how long an event may take before a test gives up

# wait_for COMMAND…: until it succeeds.
wait_for()
{
  local end=$((SECONDS + TANK_TEST_SECONDS))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || {
      echo "waited in vain for: $*" >&2
      return 1
    }
    read -rt 0.02 <> <(:) || true
  done
}

start_bus()
{
  exec {bus_out}< <(exec dbus-daemon --config-file="$build/dbus/sandbox-bus.conf" --nofork --nosyslog \
    --address="unix:path=$dir/bus" --print-address=1 --print-pid=1 2>>"$dir/bus.log" 3>&-)
  read -r _ <&"$bus_out"
  read -r bus_pid <&"$bus_out"
}

# start_store [OPTION…]
# shellcheck disable=SC2120 # tests give some
start_store()
{
  "$build/tankd-store/tankd-store" "$@" >>"$dir/store.log" 2>&1 3>&- &
  store_pid=$!
  wait_for has_owner org.tankd.Store1
}

start_reconcile()
{
  "$build/tankd-reconcile/tankd-reconcile" >>"$dir/reconcile.log" 2>&1 3>&- &
  reconcile_pid=$!
}

has_owner()
{
  busctl --system call org.freedesktop.DBus / org.freedesktop.DBus NameHasOwner s "$1" 2>/dev/null |
    grep -qx 'b true'
}

# start_monitor MATCH: what matches goes to $dir/events, a JSON object a line.
start_monitor()
{
  busctl --system monitor --json=short --match="$1" >"$dir/events" 2>"$dir/monitor.log" 3>&- &
  # shellcheck disable=SC2034 # the test ends it
  monitor=$!
  wait_for grep -q Monitoring "$dir/monitor.log"
}

# end PID [SIGNAL]: and see it gone.
end()
{
  kill -"${2:-TERM}" "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

setup_tank()
{
  dir=$(mktemp -d "${BATS_TEST_TMPDIR:-/tmp}/t.XXXX")
  mkdir "$dir/state" "$dir/run" "$dir/log"
  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus TANK_STATE_DIR=$dir/state \
    TANK_RUN_DIR=$dir/run TANK_LOG_DIR=$dir/log TANK_LIBEXEC_DIR=$fake TANK_INSTANCE=r$$ \
    TANK_LOG_LEVEL=debug FAKE_SHIM_NOTES=$dir/notes
  touch "$dir/notes"
  start_bus
  # shellcheck disable=SC2119
  start_store
  start_reconcile
  wait_for has_owner org.tankd.Reconcile1
}

# Shims of this test: their run directories are beneath its own directory.
shim_pids()
{
  local record
  for record in "$dir"/run/pods/*/*/*/record; do
    [ ! -e "$record" ] || tr '\0' '\n' <"$record" | sed -n 's/^shim_pid=//p; s/^pid=\([1-9]\)/\1/p'
  done
}

teardown_tank()
{
  local pid clean=0
  # It ends as it should, also for a sanitizer.
  kill -TERM "$reconcile_pid" 2>/dev/null && { wait "$reconcile_pid" || clean=$?; }
  if [ -z "${BATS_TEST_COMPLETED-}" ] || [ "$clean" != 0 ]; then
    tail -n 60 "$dir"/reconcile.log "$dir"/store.log >&2
  fi
  end "$store_pid" KILL
  for pid in $(shim_pids); do
    kill -KILL "$pid" 2>/dev/null || true
  done
  end "$bus_pid" KILL
  rm -rf "$dir"
  [ "$clean" = 0 ]
}

# ---- what tests say --------------------------------------------------------------------------

tankctl()
{
  "$build/tankctl/tankctl" "$@"
}

# pod NAME [FILTER] -- COMMAND…: a document, changed by FILTER (jq).
pod()
{
  local name=$1 filter=.
  shift
  [ "$1" = -- ] || {
    filter=$1
    shift
  }
  shift
  jq -cn --arg name "$name" '{kind: "pod", $name, grace: "1s",
      backoff: {base: "50ms", cap: "400ms", reset: "10m"},
      containers: [{name: "main", image: {rootfs: "/"}, command: $ARGS.positional}]}' \
    --args -- "$@" | jq -c "$filter"
}

apply()
{
  tankctl apply -f - >/dev/null
}

# status NAME FILTER: of one pod, as the reconciler tells it.
status()
{
  busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetStatus ss default "$1" 2>/dev/null | jq -r '.data[2]' | jq -r "$2"
}

# is NAME FILTER: whether that is true of it.
is()
{
  [ "$(status "$1" "$2")" = true ]
}

# gone NAME: the reconciler says that there is no such pod; not that it cannot be asked.
gone()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus \
    ss default "$1" 2>&1 >/dev/null | grep -q 'there is no pod'
}

running()
{
  is "$1" '.state == "running"'
}

pid_of()
{
  status "$1" '.containers[0].pid'
}

# kill_main NAME: the process of a pod that runs. Its pid is 0 when there is none, and that would be
# our own group.
kill_main()
{
  local pid
  pid=$(pid_of "$1")
  [ "$pid" -gt 1 ]
  kill -KILL "$pid"
}

# list OPTIONS…: a page of the log of events, as JSON: [events, next, sequence].
list()
{
  busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 ListEvents 'sa{sv}' '' "$@" | jq -c .data
}

# told POD: its events of the log, in words, "applied starting running …".
told()
{
  list 1 pod s "$1" | jq -r '.[0][][4]' | tr '\n' ' '
}

# has_told POD EVENT [COUNT]: so often at least. The end of a run that is not started again is told
# when it is noted for a later life, which is later than it is shown.
has_told()
{
  [ "$(told "$1" | tr ' ' '\n' | grep -cx "$2")" -ge "${3-1}" ]
}

# dead PID: gone, or waiting to be reaped by somebody else.
dead()
{
  [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

state_of_reconciler()
{
  busctl --system get-property org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 \
    State | sed 's/^s "\(.*\)"$/\1/'
}

reconciler_is()
{
  [ "$(state_of_reconciler)" = "$1" ]
}

sync()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync >/dev/null
}
