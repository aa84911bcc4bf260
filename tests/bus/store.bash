# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A private bus and a tankd-store on it. Loaded by tests/bus/store*.bats.

build=${TANK_BUILD_DIR:?}
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

# start_bus [CONFIG]: the sandbox's policy unless told otherwise.
start_bus()
{
  exec {bus_out}< <(exec dbus-daemon --config-file="${1-$build/dbus/sandbox-bus.conf}" --nofork \
    --nosyslog --address="unix:path=$dir/bus" --print-address=1 --print-pid=1 2>>"$dir/bus.log" 3>&-)
  read -r _ <&"$bus_out"
  read -r bus_pid <&"$bus_out"
}

# A bus that lets everyone do everything: what is refused there, the daemon refused.
open_config()
{
  cat >"$dir/open.conf" <<'END'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
  </policy>
</busconfig>
END
  echo "$dir/open.conf"
}

has_owner()
{
  busctl --system call org.freedesktop.DBus / org.freedesktop.DBus NameHasOwner s "$1" 2>/dev/null |
    grep -qx 'b true'
}

spawn_store()
{
  "$build/tankd-store/tankd-store" "$@" >>"$dir/store.log" 2>&1 3>&- &
  store_pid=$!
}

start_store()
{
  spawn_store "$@"
  wait_for has_owner org.tankd.Store1
}

# end PID [SIGNAL]: and its exit status.
end()
{
  kill -"${2:-TERM}" "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null
}

setup_dir()
{
  dir=$(mktemp -d /tmp/tank-bus-store.XXXXXX) # short, and open to other users up to the socket
  chmod 755 "$dir"
  mkdir -m 700 "$dir/state" "$dir/run"
  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus TANK_STATE_DIR=$dir/state \
    TANK_RUN_DIR=$dir/run TANK_LOG_DIR=$dir/log
}

teardown()
{
  [ -z "${monitor_pid-}" ] || end "$monitor_pid" || true
  [ -z "${client_pid-}" ] || end "$client_pid" || true
  [ -z "${store_pid-}" ] || end "$store_pid" KILL || true
  [ -z "${polkit_pid-}" ] || end "$polkit_pid" || true
  # Not a child of this shell, but of the substitution that it was read through.
  [ -z "${bus_pid-}" ] || kill -KILL "$bus_pid" 2>/dev/null || true
  [ "${BATS_TEST_COMPLETED-}" = 1 ] || cat "$dir/store.log" >&2 || true
  ! mountpoint -q "$TANK_STATE_DIR" || umount -l "$TANK_STATE_DIR"
  rm -rf "${dir:?}"
}

# call METHOD SIGNATURE ARGUMENT…: the reply's data as JSON; on failure the error's text.
call()
{
  busctl --system --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 "$@" |
    jq -c .data
}

property()
{
  busctl --system --json=short get-property org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
    "$1" | jq -r .data
}

# refused PART METHOD SIGNATURE ARGUMENT…: the call fails, and its error says PART.
refused()
{
  local part=$1 text
  shift
  if text=$(busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 "$@" 2>&1); then
    echo "not refused: $*: $text" >&2
    return 1
  fi
  [[ $text == *"$part"* ]] || {
    echo "refused with: $text" >&2
    return 1
  }
}

# apply NAME [FIELD…]: a document that nobody runs.
apply()
{
  call Apply 'sa{sv}' "$(widget "$@")" 0
}

widget() # NAME [FIELD…]
{
  local name=$1
  shift
  printf '{"kind":"widget","name":"%s"%s}' "$name" "${*:+,$*}"
}
