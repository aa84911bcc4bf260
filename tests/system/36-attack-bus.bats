#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks on the control plane: by users without rights, by members of group tank beyond theirs, and
# by clients that keep to no rule. What is attacked is found by introspection, so that a new member
# of an interface is attacked from its first day on.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # quoted for the shell inside; racers is each test's

load helper

setup()
{
  helper_setup
  racers=()
  start web -- sh -c 'echo told; exec sleep 1000'
  find_services
}

teardown()
{
  [ ${#racers[@]} = 0 ] || kill "${racers[@]}" 2>/dev/null || true
  racers=()
  helper_teardown
}

find_services()
{
  shim_name=$(busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetRun sss "$NS" web '' | jq -r '.data[1]')
  daemons=$(daemon_pid store)/$(daemon_pid reconcile)/$(daemon_pid bus)/$(shims)
  # The shim comes first: what is called of the reconciler may end its run.
  survey=$BATS_TEST_TMPDIR/survey
  attack survey "$shim_name" org.tankd.Store1 org.tankd.Reconcile1 >"$survey"
}

same_daemons()
{
  [ "$(daemon_pid store)/$(daemon_pid reconcile)/$(daemon_pid bus)/$(shims)" = "$daemons" ]
}

attack()
{
  timeout "$(scaled 100)" python3 "$BATS_TEST_DIRNAME/bus-attack.py" "$@"
}

nobody()
{
  setpriv --reuid 65534 --regid 65534 --clear-groups env PATH="$PATH" "$@"
}

# As a member of group tank: the first that there is.
member()
{
  local name
  name=$(getent group tank | cut -d : -f 4 | cut -d , -f 1)
  setpriv --reuid "$name" --regid "$(id -g "$name")" --init-groups env PATH="$PATH" "$@"
}

as()
{
  local who=$1
  shift
  "$who" timeout "$(scaled 100)" python3 "$BATS_TEST_DIRNAME/bus-attack.py" "$@"
}

# Memory of a process in KiB: KIND is VmRSS or VmHWM.
memory_of()
{
  awk -v kind="$2:" '$1 == kind { print $2 }' "/proc/$1/status"
}

# Sanitizers keep what was freed.
sanitized()
{
  grep -q libasan "/proc/$(daemon_pid store)/maps"
}

# grows_less KIB PID COMMAND…
grows_less()
{
  local most=$1 pid=$2 before after
  shift 2
  before=$(memory_of "$pid" VmRSS)
  "$@"
  after=$(memory_of "$pid" VmRSS)
  ! sanitized || most=$((most + 524288))
  echo "memory of $pid: $before KiB, then $after KiB"
  [ $((after - before)) -lt "$most" ]
}

# answers FILE WHAT: how often it was answered so.
answers()
{
  cut -f 1 "$1" | grep -cx "$2" || true
}

@test "a user without rights is refused every member of every object, by any name" {
  as nobody knock "$NS" web <"$survey" >"$BATS_TEST_TMPDIR/answers"
  # each service was found, with its own members
  for member in 'Shim1 Exec' 'Shim1 Kill' 'Store1 Apply' 'Store1 List' 'Reconcile1 Restart'; do
    grep -q "org.tankd.$member" "$BATS_TEST_TMPDIR/answers"
  done
  grep -q "/web/main" "$BATS_TEST_TMPDIR/answers"
  # by the bus, or by the daemon itself where polkit might have granted it
  run -1 grep -Ev '^org.(freedesktop.DBus|tankd).Error.AccessDenied	' "$BATS_TEST_TMPDIR/answers"
  # the bus names nothing but what it was asked with
  run -1 grep -E "told|$ROOT" "$BATS_TEST_TMPDIR/answers"
  run -1 nobody tankctl get pods -A
  run -1 grep web <<<"$output"
  run -1 nobody tankctl logs -n "$NS" web
  run -125 nobody tankctl exec -n "$NS" web -- true
  same_daemons
}

@test "a user without rights hears no signal and reads no file of ours" {
  # its address has to be in reach: the directory of the sandbox is root's
  [ -n "${TANK_INSTALLED-}" ] || chmod 0711 "$TANK_SANDBOX_DIR"
  local heard=$BATS_TEST_TMPDIR/heard monitor
  nobody dbus-monitor --system "type='signal'" >"$heard" 2>/dev/null 3>&- &
  monitor=$!
  racers+=("$monitor")
  wait_for 10 test -s "$heard"
  start heard -- sleep 1000
  tankctl delete pod heard -n "$NS" --wait
  # the bus has brought it everything before this
  nobody busctl --system call org.freedesktop.DBus / org.freedesktop.DBus GetId
  kill "$monitor"
  wait "$monitor" || true
  racers=()
  run -1 grep -E 'path=/org/tankd|interface=org.tankd|heard' "$heard"
  run ! nobody sh -c "cat '$TANK_LOG_DIR/$NS/web/'* || ls '$TANK_RUN_DIR/pods' ||
    ls '$TANK_STATE_DIR/containers' || ls '$TANK_STATE_DIR/store' || ls '$TANK_RUN_DIR/seccomp'"
}

@test "nobody but the bus tells the reconciler that the store is gone" {
  local owner
  owner=$(busctl --system --json=short call org.freedesktop.DBus / org.freedesktop.DBus \
    GetNameOwner s org.tankd.Reconcile1 | jq -r '.data[0]')
  for who in nobody member ''; do
    for signal in 'NameOwnerChanged sss org.tankd.Store1 :1.0 ' 'NameLost s org.tankd.Store1'; do
      read -ra words <<<"$signal"
      [ ${#words[@]} = 3 ] || words+=('')
      $who busctl --system emit --destination="$owner" /org/freedesktop/DBus \
        org.freedesktop.DBus "${words[@]}"
    done
    # answered after what came before it
    tankctl get pod web -n "$NS" -o name
    [ "$(busctl --system --json=short get-property org.tankd.Reconcile1 /org/tankd/Reconcile1 \
      org.tankd.Reconcile1 State | jq -r .data)" = ok ]
  done
}

@test "members: what steers a privileged pod is refused and says which right it takes" {
  as member knock "$NS" web main <"$survey" >"$BATS_TEST_TMPDIR/answers"
  # What a member is refused of well-typed calls, and no more. A new method of a shim is refused here
  # until somebody decides otherwise in this list.
  local allowed='ListSessions'
  grep -P '\torg.tankd.Shim1 ' "$BATS_TEST_TMPDIR/answers" |
    grep -vP "\torg.tankd.Shim1 ($allowed)\t" >"$BATS_TEST_TMPDIR/shim"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/shim")" -ge 4 ]
  run -1 grep -vP "^org.tankd.Error.AccessDenied\t.*the right 'privileged'" "$BATS_TEST_TMPDIR/shim"
  run -0 grep -P "^org.tankd.Error.AccessDenied\t.*the right 'admin'" "$BATS_TEST_TMPDIR/answers"
  says 'AcceptStore'
  # by the reconciler, too; with signal 0 it is refused before that is looked at
  run -1 member tankctl kill -n "$NS" -s USR1 web
  says "web uses privileged fields: this needs the right 'privileged': be root"
  run -125 member tankctl exec -n "$NS" web -- true
  says "web uses privileged fields: this needs the right 'privileged': be root"
  # what root runs in there is not told them either
  local session
  session=$(tankctl exec -d -n "$NS" web -- sleep 4321)
  run -0 tankctl sessions -n "$NS" -o json
  jq -e 'any(.command == ["sleep", "4321"])' <<<"$output"
  run -0 member tankctl sessions -n "$NS" -o json
  jq -e --argjson n "$session" 'any(.session == $n) and all(has("command") | not)' <<<"$output"
  [[ $output != *4321* ]]
  run -0 member tankctl sessions -n "$NS"
  [[ $output != *4321* ]]
  tankctl sessions kill -n "$NS" web "$session"
}

@test "members: privileged fields are neither declared, changed, taken out nor deleted by them" {
  run -1 member sh -c 'printf %s "$1" | tankctl apply -n "$2" -f -' - "$(pod other -- true)" "$NS"
  says "image.rootfs: needs the right 'privileged': be root"
  # the previous document counts, too
  run -1 member sh -c 'printf %s "$1" | tankctl apply -n "$2" -f -' - \
    "$(pod web '.containers[0].image = "docker.io/library/redis:7"' -- true)" "$NS"
  says "the right 'privileged'|not supported yet"
  run -1 member tankctl delete pod web -n "$NS"
  says "the right 'privileged': be root"
  # neither by way of a version of it, nor of a transaction; what comes before in it is not done
  tankctl apply -n "$NS" --wait -f - <<<"$(pod web '.labels = {a: "b"}' -- sleep 1000)"
  wait_for 10 equals 1 shim_count
  run -1 member tankctl rollback pod web -n "$NS" --to "$(get web .meta.revision)"
  says "the right 'privileged': be root"
  run -1 member busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
    Transaction 'a(sa{sv})a{sv}' 2 apply 1 document s \
    "{\"kind\":\"thing\",\"name\":\"first\",\"namespace\":\"$NS\"}" \
    delete 3 type s pod namespace s "$NS" name s web 0
  says "the right 'privileged': be root"
  run -3 tankctl get thing first -n "$NS"
  find_services
  # what is nobody's privilege is theirs
  member sh -c 'echo "{\"kind\":\"thing\",\"name\":\"theirs\"}" | tankctl apply -n "$1" -f -' - "$NS"
  member tankctl delete thing theirs -n "$NS"
  same_daemons
}

@test "members: they look, read logs and restart, also what is privileged" {
  member tankctl get pods -n "$NS" -o name | grep web
  wait_for 20 equals told member tankctl logs -n "$NS" web
  [ "$(stat -c '%G %a' "$TANK_LOG_DIR/$NS/web")" = 'tank 2750' ]
  [ "$(stat -c '%G %a' "$TANK_LOG_DIR/$NS/web/main.log")" = 'tank 640' ]
  pid=$(pid_of web)
  member tankctl restart -n "$NS" web
  wait_for 20 sh -c "[ '$pid' != \"\$(tankctl get pod web -n $NS -o json | jq .status.containers[0].pid)\" ]"
  until_state web running
  # the new run's directory and files as well
  wait_for 20 equals 2 sh -c "setpriv --reuid $(getent group tank | cut -d : -f 4 | cut -d , -f 1) \
    --regid nogroup --init-groups '$TANK_SANDBOX_DIR/bin/tankctl' logs -n $NS web | grep -c told"
}

@test "junk: every method answers every wrong argument, with an error that says so" {
  bound=131072
  attack junk <"$survey" >"$BATS_TEST_TMPDIR/answers"
  run -1 grep 'NO ANSWER' "$BATS_TEST_TMPDIR/answers"
  # what is no message at all is between the client and the bus
  run -1 grep 'disconnected' <(grep -vE 'not UTF-8|beyond the end|253 descriptors' "$BATS_TEST_TMPDIR/answers")
  run -1 grep -E 'NoReply|Internal|NoMemory|error.System' "$BATS_TEST_TMPDIR/answers"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/answers")" -gt 500 ]
  [ "$(daemon_pid store)/$(daemon_pid reconcile)/$(daemon_pid bus)" = "${daemons%/*}" ]
  ! sanitized || bound=1048576
  for pid in "$(daemon_pid store)" "$(daemon_pid reconcile)" "$(shims)"; do
    [ "$(memory_of "$pid" VmHWM)" -lt "$bound" ]
  done
  [ "$(get web .status.state)" = running ]
}

@test "a hundred thousand calls in a loop are all answered; descriptors and memory stay" {
  descriptors()
  {
    find "/proc/$(daemon_pid store)/fd" "/proc/$(daemon_pid reconcile)/fd" | wc -l
  }
  before=$(descriptors)
  # once, for what is loaded at the first call
  attack call 100 org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod "$NS" web
  attack call 100 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web
  attack call 100 "$shim_name" /org/tankd/Shim1 org.freedesktop.DBus.Properties GetAll org.tankd.Shim1
  grows_less 8192 "$(daemon_pid store)" attack call 100000 \
    org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod "$NS" web | tee "$BATS_TEST_TMPDIR/calls"
  grows_less 4096 "$(daemon_pid reconcile)" attack call 20000 \
    org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 GetStatus "$NS" web |
    tee -a "$BATS_TEST_TMPDIR/calls"
  grows_less 2048 "$(shims)" attack call 20000 \
    "$shim_name" /org/tankd/Shim1 org.freedesktop.DBus.Properties GetAll org.tankd.Shim1 |
    tee -a "$BATS_TEST_TMPDIR/calls"
  # each returns a descriptor
  grows_less 4096 "$(daemon_pid reconcile)" attack call 1000 \
    org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs "$NS" web '' |
    tee -a "$BATS_TEST_TMPDIR/calls"
  [ "$(grep ' ok$' "$BATS_TEST_TMPDIR/calls" | tr '\n' ,)" = '100000 ok,20000 ok,20000 ok,1000 ok,' ]
  same_daemons
  wait_for 10 at_most $((before + 20)) descriptors # a leak would be one of each call
}

@test "CVE-2021-3560: callers that are gone before they were identified get nothing done" {
  pid=$(workload_of web)
  for who in nobody member; do
    as "$who" gone 50 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 AcceptStore
    as "$who" gone 50 "$shim_name" /org/tankd/Shim1 org.tankd.Shim1 Kill
  done
  as nobody gone 50 org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Restart "$NS" web main
  same_daemons
  [ "$(workload_of web)" = "$pid" ]
  [ "$(get web '.status.containers[0].restarts')" = 0 ]
}

@test "clients that never read: bounded memory, others are served meanwhile and afterwards" {
  local n=0
  mkfifo "$BATS_TEST_TMPDIR/never"
  for target in "org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Get pod $NS web" \
    "org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 OpenLogs $NS web main"; do
    n=$((n + 1))
    # shellcheck disable=SC2086 # words
    python3 "$BATS_TEST_DIRNAME/bus-attack.py" deaf 20000 $target \
      >"$BATS_TEST_TMPDIR/deaf.$n" <>"$BATS_TEST_TMPDIR/never" 3>&- &
    racers+=($!)
  done
  wait_for 60 sh -c "cat '$BATS_TEST_TMPDIR'/deaf.* | grep -c sent | grep -qx 2"
  tankctl get pod web -n "$NS" -o name
  in_pod web true
  same_daemons
  sanitized || [ "$(memory_of "$(daemon_pid store)" VmHWM)" -lt 262144 ]
  sanitized || [ "$(memory_of "$(daemon_pid reconcile)" VmHWM)" -lt 131072 ]
  kill "${racers[@]}"
  wait "${racers[@]}" || true
  racers=()
  tankctl get pod web -n "$NS" -o name
}

@test "names that others hold at the start: no user gets them, and what root holds is waited for" {
  [ -z "${TANK_INSTALLED-}" ] || skip 'systemd would activate the daemons that are stopped here'
  pid=$(workload_of web)
  hold_daemon reconcile
  hold_daemon store
  for who in nobody member; do
    as "$who" squat org.tankd.Store1 org.tankd.Reconcile1 org.tankd.Shim1.u0123456789abcdef \
      org.tankd.Other </dev/null >"$BATS_TEST_TMPDIR/squat"
    [ "$(grep -c AccessDenied "$BATS_TEST_TMPDIR/squat")" = 4 ]
  done
  squat org.tankd.Store1 org.tankd.Reconcile1
  let_daemons_go
  # typed, at once, and no one is hurt
  wait_for 20 grep -q 'another process holds org.tankd.Store1: waiting' "$TANK_SANDBOX_DIR/logs/store"
  wait_for 20 grep -q 'another process holds org.tankd.Reconcile1: waiting' \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  [ "$(workload_of_pid)" = "$pid" ]
  end_squat
  wait_for 40 all_ready
  until_state web running
  [ "$(workload_of web)" = "$pid" ]
}

# Of the one shim there is, without asking a daemon.
workload_of_pid()
{
  local init
  init=$(pgrep -P "$(shims)")
  pgrep -P "$init"
}

# squat NAME…: root holds them, until end_squat.
squat()
{
  mkfifo "$BATS_TEST_TMPDIR/squatter"
  python3 "$BATS_TEST_DIRNAME/bus-attack.py" squat "$@" <>"$BATS_TEST_TMPDIR/squatter" \
    >"$BATS_TEST_TMPDIR/held" 3>&- &
  squatter=$!
  racers+=("$squatter")
  wait_for 20 equals $# grep -c ': ok' "$BATS_TEST_TMPDIR/held"
}

end_squat()
{
  kill "$squatter"
  wait "$squatter" || true
  racers=()
}

@test "a shim whose name is taken waits for it, and its container runs on" {
  [ -z "${TANK_INSTALLED-}" ] || skip 'the bus of the machine is not ours to kill'
  pid=$(workload_of web)
  shim=$(shims)
  kill -STOP "$shim"
  kill_daemon bus
  wait_for 20 all_ready
  squat "$shim_name"
  kill -CONT "$shim"
  wait_for 20 grep -q "another process holds the name $shim_name" "$TANK_SANDBOX_DIR/logs/reconcile"
  end_squat
  wait_for 20 equals 0 sh -c "tankctl exec -n $NS web -- true; echo \$?"
  [ "$(workload_of web)" = "$pid" ]
}
