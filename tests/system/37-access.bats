#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who may call what: every method and property of every interface, called by every kind of caller,
# against the one table of rights, access.table. With a real polkitd.

# shellcheck disable=SC2154 # top and build are the helper's

load helper
load ../bus/polkit

setup()
{
  helper_setup
  dir=$BATS_TEST_TMPDIR
  polkit_pid=
}

teardown()
{
  if [ -n "$polkit_pid" ]; then
    kill "$polkit_pid"
    wait "$polkit_pid" || true
  fi
  [ -z "${TANK_INSTALLED-}" ] || rm -f /etc/polkit-1/rules.d/50-tank.rules
  helper_teardown
}

has_owner()
{
  busctl --system call org.freedesktop.DBus / org.freedesktop.DBus NameHasOwner s "$1" 2>/dev/null |
    grep -qx 'b true'
}

# Where tank is installed the machine has a polkit of its own.
start_polkit()
{
  if [ -n "${TANK_INSTALLED-}" ]; then
    mkdir -p "$dir/polkit"
    ln -s /etc/polkit-1/rules.d "$dir/polkit/rules"
    return
  fi
  chmod 0711 "$TANK_SANDBOX_DIR" # the bus has to be in reach
  polkit_config
  until_readable "$dir"
  spawn_polkit
  wait_for 20 has_owner org.freedesktop.PolicyKit1
}

# A directory of bats' is root's alone.
until_readable()
{
  local d=$1
  while [ "$d" != / ]; do
    chmod a+x "$d"
    d=${d%/*}
    [ "$d" != /tmp ] || break
  done
}

member()
{
  local name
  name=$(getent group tank | cut -d : -f 4 | cut -d , -f 1)
  setpriv --reuid "$name" --regid "$(id -g "$name")" --init-groups "$@"
}

as_root()
{
  "$@"
}

attack=$BATS_TEST_DIRNAME/bus-attack.py access=$BATS_TEST_DIRNAME/access.py
table=$BATS_TEST_DIRNAME/access.table

# judged WHO COMMAND [RIGHT…]: COMMAND makes someone else of us, of the kind WHO, whom polkit grants
# these rights.
judged()
{
  local who=$1 as=$2
  shift 2
  "$as" env PATH="$PATH" timeout "$(scaled 100)" python3 "$attack" knock <"$dir/survey" >"$dir/answers"
  run python3 "$access" judge "$table" "$who" "$@" <"$dir/answers"
  [ "$status" = 0 ] || {
    echo "$who with ${*:-nothing}: $output"
    return 1
  }
}

survey()
{
  local shim
  shim=$(busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetRun sss "$NS" web '' | jq -r '.data[1]')
  python3 "$attack" survey "$shim" org.tankd.Store1 org.tankd.Reconcile1 >"$dir/survey"
}

@test "every method and property has a rule, and every rule a member" {
  run -0 python3 "$access" members "$table" "$build"/tankd-store/tankd-store \
    "$build"/tankd-reconcile/tankd-reconcile "$build"/tank-shim/tank-shim
}

@test "each kind of caller is answered as the rules say, with and without polkit's grants" {
  start web -- sleep 1000
  survey
  judged root as_root
  judged member member
  judged other as_nobody
  start_polkit
  grant nobody
  judged other as_nobody
  for right in inspect manage attach secrets admin privileged; do
    grant nobody "$right"
    granted=$right
    wait_for 20 is_granted
    judged other as_nobody "$right"
  done
  grant "$(getent group tank | cut -d : -f 4 | cut -d , -f 1)" admin secrets privileged
  wait_for 20 judged member member admin secrets privileged
}

# The newest rules are in force.
is_granted()
{
  pkcheck_as_nobody "org.tankd.$granted"
}

pkcheck_as_nobody()
{
  local pid start
  as_nobody sleep 100 3>&- &
  pid=$!
  start=$(awk '{ print $22 }' "/proc/$pid/stat")
  run busctl --system call org.freedesktop.PolicyKit1 /org/freedesktop/PolicyKit1/Authority \
    org.freedesktop.PolicyKit1.Authority CheckAuthorization '(sa{sv})sa{ss}us' unix-process 3 \
    pid u "$pid" start-time t "$start" uid i 65534 "$1" 0 0 ''
  kill "$pid"
  wait "$pid" || true
  [[ $output == '(bba{ss}) true '* ]]
}
