# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Loaded by every file of tests/system. Each test gets a namespace of its own, $NS, and what stands
# in it is deleted at the test's end; each file ends with a look at the machine: no mount, cgroup,
# process, record or writable layer may be left. All is seen from the outside, through tankctl, the
# bus, and the machine itself.
#
#   tools/sandbox -- bats tests/system/20-lifecycle.bats

bats_require_minimum_version 1.5.0
[ -n "${TANK_SANDBOX_DIR-}" ] || {
  echo "run me within the sandbox: tools/sandbox -- bats $BATS_TEST_FILENAME" >&2
  exit 1
}

# shellcheck disable=SC2034 # used by the files that load this
top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
build=$(dirname "$(dirname "$(readlink -f "$TANK_SANDBOX_DIR/bin/tankctl")")")
: "${TANK_TEST_SECONDS:=20}" # what is strange for an event to take; more is slower
export ROOT TANK_TEST_SECONDS

# Where this tank's containers are, as /proc/PID/cgroup and as find have it: directories of our own
# where systemd does not run, scopes of tank.slice where it does.
if [ -n "$TANK_INSTANCE" ]; then
  # shellcheck disable=SC2034
  in_tank="^0::/tank-$TANK_INSTANCE/" tank_cgroups="*/tank-$TANK_INSTANCE/*"
else
  # shellcheck disable=SC2034
  in_tank='^0::/tank\.slice/tank-' tank_cgroups='*/tank.slice/tank-*'
fi
export in_tank

# What is said of a daemon that is held: where systemd activates it, it is being waited for.
is_away='is not on the bus'
# shellcheck disable=SC2034
[ -z "${TANK_INSTALLED-}" ] || is_away='does not answer'

# ---- fixtures --------------------------------------------------------------------------------

# make_root DIR: a root file system of busybox and the probe.
make_root()
{
  local root=$1
  mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,mnt,root,run,var/tmp,usr/bin,home/worker}
  cp /usr/bin/busybox "$root/bin/busybox"
  chroot "$root" /bin/busybox --install -s /bin
  [ -x "$build/tests/probe/probe" ] || make -C "$build" -s tests/probe/probe >&2
  cp "$build/tests/probe/probe" "$root/bin/probe"
  cat >"$root/etc/passwd" <<-END
	root:x:0:0:root:/root:/bin/sh
	worker:x:1234:2345:Worker:/home/worker:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/false
	END
  cat >"$root/etc/group" <<-END
	root:x:0:
	worker:x:2345:
	disk:x:6:worker
	audio:x:29:worker,other
	other:x:777:someone
	END
  echo fixture >"$root/marker"
  chmod 1777 "$root/tmp" "$root/var/tmp"
}

helper_setup_file()
{
  ROOT=$BATS_FILE_TMPDIR/root
  make_root "$ROOT"
  chmod 0755 "$BATS_FILE_TMPDIR"
}

helper_teardown_file()
{
  wait_for 10 nothing_left || {
    what_is_left >&3
    return 1
  }
}

helper_setup()
{
  NS=$(basename "$BATS_TEST_FILENAME" .bats)
  NS=t${NS%%-*}-$BATS_TEST_NUMBER # logs outlive their pods: no other test's name
  export NS
  MARK=$BATS_TEST_TMPDIR/mark
  mkdir -p "$MARK"
  chmod 0777 "$BATS_TEST_TMPDIR" "$MARK"
  echo '{"kind":"namespace","name":"'"$NS"'"}' | tankctl apply -f - >/dev/null
}

helper_teardown()
{
  [ -n "${BATS_TEST_COMPLETED-}" ] || report
  let_daemons_go
  wait_for 30 all_ready
  delete_all "$NS"
  tankctl delete namespace "$NS" --cascade >/dev/null
}

# A file that needs nothing else has these as they are.
setup_file()
{
  helper_setup_file
}
teardown_file()
{
  helper_teardown_file
}
setup()
{
  helper_setup
}
teardown()
{
  helper_teardown
}

# What a failed test leaves for whoever reads its output.
report()
{
  local name
  echo "--- pods"
  tankctl get pods -n "$NS" -o json | jq -c '.[] | {name, status}' || true
  for name in store reconcile; do
    echo "--- the last lines of $name"
    tail -n 15 "$TANK_SANDBOX_DIR/logs/$name" || true
  done
}

delete_all()
{
  local pods pod
  pods=$(tankctl get pods -n "$1" -o json | jq -r '.[].name')
  for pod in $pods; do
    tankctl delete pod "$pod" -n "$1" >/dev/null
  done
  for pod in $pods; do
    tankctl wait "$pod" -n "$1" --for=deleted --timeout "$(scaled 60)" >/dev/null
  done
}

# ---- pods --------------------------------------------------------------------------------------

# pod NAME [FILTER] -- COMMAND…: a document with one container, "main", on the fixture's root;
# FILTER (jq) changes it. The first restart comes after 100 ms instead of ten seconds.
pod()
{
  local name=$1 filter=.
  shift
  [ "$1" = -- ] || {
    filter=$1
    shift
  }
  shift
  jq -cn --arg name "$name" --arg root "$ROOT" '{kind: "pod", $name, grace: "2s",
      backoff: {base: "100ms", cap: "1s", reset: "10m"},
      containers: [{name: "main", image: {rootfs: $root}, command: $ARGS.positional}]}' \
    --args -- "$@" | jq -c --arg mark "$MARK" "$filter"
}

# apply [OPTION…]: standard input, into this test's namespace.
# shellcheck disable=SC2120
apply()
{
  tankctl apply -n "$NS" -f - "$@"
}

# start NAME [FILTER] -- COMMAND…: and wait until it runs.
start()
{
  # shellcheck disable=SC2119
  pod "$@" | apply >/dev/null
  until_state "$1" running
}

# A pod's mark directory, mounted at /mark: what its workload writes is seen in $MARK.
# shellcheck disable=SC2016,SC2034 # a filter of jq
with_mark='.volumes += [{name: "mark", source: {host: $mark}}] |
  .containers[].mounts += [{volume: "mark", path: "/mark"}]'

# scaled SECONDS: so many, on a machine where it is $TANK_TEST_SECONDS instead of 20.
scaled()
{
  echo $(($1 * TANK_TEST_SECONDS / 20))
}

# slower FACTOR: what this test waits for takes so much longer than an event.
slower()
{
  export TANK_TEST_SECONDS=$((TANK_TEST_SECONDS * $1))
}

# until_state POD STATE
until_state()
{
  tankctl wait "$1" -n "$NS" --for="$2" --timeout "$(scaled 60)" >/dev/null
}

# told_end POD [CONTAINER]: its end was told, so what there is to note of it is noted. The state says
# that it has ended a moment before.
told_end()
{
  tankctl events "$1" -n "$NS" --no-follow -o json | jq -e -s --arg container "${2:-main}" \
    'any(.container == $container and (.event == "exited" or .event == "failed"))' >/dev/null
}

# get POD [FILTER]: from its JSON, raw.
get()
{
  tankctl get pod "$1" -n "$NS" -o json | jq -r "${2:-.}"
}

pid_of()
{
  get "$1" ".status.containers[${2:-0}].pid"
}

restarts_of()
{
  get "$1" ".status.containers[${2:-0}].restarts"
}

# result_of POD [CONTAINER-INDEX]: the newest result, "exited 3".
result_of()
{
  get "$1" ".status.containers[${2:-0}].results | last | \"\\(.kind) \\(.code)\""
}

# The host's pid of the workload itself: the child of tank-init.
workload_of()
{
  local pid
  pid=$(pid_of "$1" "${2:-0}")
  tr -d ' \n' <"/proc/$pid/task/$pid/children"
}

in_pod()
{
  tankctl exec -n "$NS" "$@"
}

# The path of a process in a hierarchy: cgroup_of PID [CONTROLLER]; without one the unified one.
cgroup_of()
{
  if [ -n "${2-}" ] && [ -d "/sys/fs/cgroup/$2" ]; then
    awk -F: -v c="$2" '$2 == c { print "/sys/fs/cgroup/" c $3 }' "/proc/$1/cgroup"
  elif [ -d /sys/fs/cgroup/unified ]; then
    awk -F: '$1 == 0 { print "/sys/fs/cgroup/unified" $3 }' "/proc/$1/cgroup"
  else
    awk -F: '$1 == 0 { print "/sys/fs/cgroup" $3 }' "/proc/$1/cgroup"
  fi
}

# ---- waiting -----------------------------------------------------------------------------------

# wait_for SECONDS COMMAND…: for what tells nobody that it happened. SECONDS is when it is strange
# that it did not; the limit is a minute at least, for machines that have other work too, and scaled.
wait_for()
{
  local deadline=$((${EPOCHREALTIME/./} + ($1 > 60 ? $1 : 60) * TANK_TEST_SECONDS * 50000))
  shift
  until "$@"; do
    if [ "${EPOCHREALTIME/./}" -ge "$deadline" ]; then
      echo "gave up waiting for: $*"
      return 1
    fi
    sleep 0.05
  done
}

# at_most_ms LIMIT BEGIN: so many milliseconds since BEGIN (now_ms) are what was promised.
at_most_ms()
{
  local took=$(($(now_ms) - $2))
  echo "took $took ms"
  [ "$took" -le "$(scaled "$1")" ]
}

# event_ms POD EVENT: when it was last told so.
event_ms()
{
  local at
  at=$(tankctl events "$1" -n "$NS" --no-follow -o json |
    jq -r -s --arg event "$2" 'map(select(.event == $event)) | last.at')
  date -d "$at" +%s%3N
}

now_ms()
{
  echo $((${EPOCHREALTIME/./} / 1000))
}

gone()
{
  [ ! -e "/proc/$1" ] || [ "$(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null)" = Z ]
}

# equals EXPECTED COMMAND…
equals()
{
  local expected=$1
  shift
  [ "$("$@" 2>/dev/null)" = "$expected" ]
}

at_least()
{
  local least=$1 is
  shift
  is=$("$@" 2>/dev/null) || return 1
  [ "${is:-0}" -ge "$least" ]
}

at_most()
{
  local most=$1 is
  shift
  is=$("$@" 2>/dev/null) || return 1
  [ "${is:-0}" -le "$most" ]
}

# ---- daemons -----------------------------------------------------------------------------------

# NAME: bus, store or reconcile.
daemon_pid()
{
  cat "$TANK_SANDBOX_DIR/ready/$1" 2>/dev/null
}

all_ready()
{
  [ -s "$TANK_SANDBOX_DIR/ready/bus" ] && [ -s "$TANK_SANDBOX_DIR/ready/store" ] &&
    [ -s "$TANK_SANDBOX_DIR/ready/reconcile" ]
}

daemon_is_new()
{
  local pid
  pid=$(daemon_pid "$1") && [ -n "$pid" ] && [ "$pid" != "$2" ]
}

# kill -9, and wait until the next one is ready. One that died by itself just now was followed by one
# that may have started before what was written for the next one (env/NAME): then that one goes too.
kill_daemon()
{
  local old
  wait_for 20 test -s "$TANK_SANDBOX_DIR/ready/$1"
  old=$(daemon_pid "$1")
  until kill -9 "$old" 2>/dev/null; do
    wait_for 20 daemon_is_new "$1" "$old"
    old=$(daemon_pid "$1")
  done
  wait_for 20 daemon_is_new "$1" "$old"
}

# kill -9, and keep it down until let_daemons_go. That it is down is known to all when it returns.
hold_daemon()
{
  local old
  old=$(daemon_pid "$1")
  : >"$TANK_SANDBOX_DIR/hold/$1"
  kill -9 "$old"
  wait_for 10 gone "$old"
  wait_for 10 test ! -s "$TANK_SANDBOX_DIR/ready/$1"
}

let_daemons_go()
{
  rm -f "$TANK_SANDBOX_DIR"/hold/* "$TANK_SANDBOX_DIR"/env/*
}

# ---- the machine -------------------------------------------------------------------------------

# Shims of this sandbox that are alive, and what cleans up behind one: their pids.
shims()
{
  local exe
  find /proc/[0-9]*/exe -maxdepth 0 -lname '*/tank-shim*' 2>/dev/null | while read -r exe; do
    tr '\0' '\n' 2>/dev/null <"${exe%/exe}/environ" |
      grep -qx "TANK_INSTANCE=$TANK_INSTANCE" && basename "${exe%/exe}"
  done 2>/dev/null || true
}

shim_count()
{
  shims | wc -l
}

what_is_left()
{
  local dir
  grep -F -e "$TANK_RUN_DIR/" -e "$TANK_STATE_DIR/" /proc/self/mountinfo | sed 's/^/mount: /'
  find /sys/fs/cgroup -mindepth 2 -type d -path "$tank_cgroups" -prune |
    sed 's/^/cgroup: /'
  shims | sed 's/^/shim: /'
  for dir in "$TANK_RUN_DIR/pods" "$TANK_STATE_DIR/containers" "$TANK_STATE_DIR/results"; do
    [ ! -d "$dir" ] || find "$dir" -mindepth 1 -maxdepth 1 | sed 's/^/kept: /'
  done
}

nothing_left()
{
  [ -z "$(what_is_left)" ]
}

# refused EXIT-CODE COMMAND…: it exits so, and its one line is in $output.
refused()
{
  local code=$1
  shift
  run -"$code" "$@"
  [ -n "$output" ]
}

# says PATTERN: $output matches the extended regular expression.
says()
{
  grep -Eq -- "$1" <<<"$output" || {
    echo "no '$1' in: $output"
    return 1
  }
}
