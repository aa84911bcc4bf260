#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks from within containers, and on a pod's life from outside: each one has worked against tank
# or against others once. What a hostile root file system tries is in 30-sandbox.bats.

# shellcheck disable=SC2016,SC2153 # what stands in single quotes is for the shell inside

load helper

setup()
{
  helper_setup
  ROOT2=$BATS_TEST_TMPDIR/root2
  racer=
}

teardown()
{
  [ -z "$racer" ] || kill "$racer" 2>/dev/null || true
  ! mountpoint -q "$TANK_LOG_DIR/$NS" || umount -l "$TANK_LOG_DIR/$NS"
  helper_teardown
}

host_userns='.security = {userns: "host"}'

as_nobody()
{
  setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$1"
}

# The host's programs, with rights and owners.
programs()
{
  stat -Lc '%n %a %u %g %s' "$TANK_SANDBOX_DIR"/bin/*
  sha256sum "$TANK_SANDBOX_DIR"/bin/*
}

# ---- the host's programs ------------------------------------------------------------------------

@test "CVE-2019-5736: the shim executed within a container can be changed by nobody, not by the host's root" {
  make_root "$ROOT2"
  ldd "$TANK_SANDBOX_DIR/bin/tank-shim" | grep -o '/[^ ]*' | while read -r lib; do
    mkdir -p "$ROOT2$(dirname "$lib")"
    cp -L "$lib" "$ROOT2$lib"
  done
  before=$(programs)
  for filter in . "$host_userns"; do
    start web "$filter | .containers[0].image.rootfs = \"$ROOT2\"" -- sleep 1000
    # /proc/self/exe is the shim until execve(); here it goes on running as itself, held by a FIFO
    in_pod web sh -c 'mkdir /hold; mkfifo /hold/record'
    in_pod web /proc/self/exe --cleanup /hold 3>&- &
    racer=$!
    found='for p in /proc/[0-9]*; do case $(readlink $p/exe) in */tank-shim*) echo $p;; esac; done'
    wait_for 10 at_least 1 sh -c "tankctl exec -n $NS web sh -c '$found' | wc -l"
    run -0 in_pod web sh -c "for p in \$($found); do probe reopen-write \$p/exe; done"
    echo "$output"
    says '^write (EROFS|ETXTBSY|EACCES)$'
    says '^chmod (EROFS|EPERM)$'
    says '^truncate (EROFS|ETXTBSY|EACCES)$'
    tankctl delete pod web -n "$NS" --wait
    wait "$racer" || true
  done
  [ "$(programs)" = "$before" ]
}

@test "CVE-2016-9962: processes that join a container cannot be looked into before they are its own" {
  for filter in . "$host_userns" "$host_userns"' | .containers[0].security = {seccomp: "unconfined"}'; do
    start web "$filter" -- sleep 1000
    in_pod web probe hunt 4 >"$BATS_TEST_TMPDIR/hunted" 3>&- &
    racer=$!
    while [ -e "/proc/$racer" ]; do
      in_pod web true
      in_pod -t web true </dev/null
    done
    cat "$BATS_TEST_TMPDIR/hunted"
    [ "$(cat "$BATS_TEST_TMPDIR/hunted")" = 0 ]
    tankctl delete pod web -n "$NS" --wait
  done
}

# ---- the kernel ---------------------------------------------------------------------------------

@test "the 32-bit system calls are filtered like the others, socketcall included" {
  start web -- sleep 1000
  run -0 in_pod web probe compat
  [ "$output" != none ] || skip "no 32-bit calls on this architecture"
  echo "$output"
  says '^getpid OK$' || skip "this kernel has no 32-bit calls"
  for call in clone-newuser unshare mount keyctl syslog bpf io_uring_setup ioctl-TIOCSTI \
    socket-AF_ALG socket-AF_VSOCK socketcall-AF_ALG socketcall-AF_VSOCK; do
    says "^$call (EPERM|ENOSYS)$"
  done
}

@test "mounts: none can be made, taken off or changed, whatever the words" {
  start web -- sleep 1000
  run -0 in_pod web sh -c 'for m in "-o remount,rw /sys" "-o remount,rw /proc/sys" "-o remount,bind,rw /sys" \
    "-t proc proc /mnt" "-t cgroup -o memory cgroup /tmp" "-t tmpfs tmpfs /tmp" "--bind / /tmp" \
    "--move /proc /tmp"; do mount $m && echo "went through: $m"; done
    for m in /proc/keys /proc/sys /sys/firmware /etc/hosts /dev/null /sys/fs/cgroup; do
      umount $m && echo "went through: $m"; umount -l $m && echo "went through: -l $m"; done; echo end'
  [ "$(grep -v -e '^mount:' -e '^umount:' <<<"$output")" = end ]
}

@test "a host network gives no right over the host's network" {
  start web '.network = "host"' -- sleep 1000
  before=$(ip addr show dev lo)
  run in_pod web sh -c 'ip link set lo mtu 1400; ip addr add 203.0.113.1/32 dev lo; ip link set lo down'
  [ "$(ip addr show dev lo)" = "$before" ]
  run -0 in_pod web probe open-write /proc/sys/net/ipv4/ip_forward /sys/class/net/lo/mtu
  run -1 grep ' OK$' <<<"$output"
}

# ---- neighbours ---------------------------------------------------------------------------------

@test "two pods meet nowhere: queues, shared memory, abstract sockets, processes, keys" {
  start a -- sleep 1000
  start b -- sleep 1000
  in_pod a sh -c 'echo secret >/dev/shm/s; : >/dev/mqueue/q'
  run -0 in_pod b ls -A /dev/shm /dev/mqueue
  run -1 grep -vE '^(/dev/.*:|)$' <<<"$output"
  in_pod a probe abstract listen tank-test-meet >/dev/null 3>&- &
  racer=$!
  wait_for 5 equals OK in_pod a probe abstract try tank-test-meet
  [ "$(in_pod b probe abstract try tank-test-meet)" = ECONNREFUSED ]
  "$build/tests/probe/probe" abstract try tank-test-meet | grep -qx ECONNREFUSED
  run -0 in_pod b sh -c 'cat /proc/[0-9]*/comm'
  run -1 grep -x probe <<<"$output"
  in_pod b sh -c 'kill -9 -1' || true
  [ "$(get a '.status.containers[0].restarts')" = 0 ]
  [ -z "$(in_pod a cat /proc/keys)" ]
}

@test "PID 1 cannot be killed, stopped or traced to death from inside" {
  start web -- sleep 1000
  pid=$(pid_of web)
  in_pod web sh -c 'for s in KILL STOP SEGV ABRT ILL TRAP BUS FPE SYS CHLD; do kill -$s 1; done'
  in_pod web probe hunt 1
  # it may be busy just now, but is not stopped
  wait_for 10 equals S awk '/^State/ { print $2 }' "/proc/$pid/status"
  in_pod web true
}

@test "a setuid program left in a volume is in no other user's reach" {
  start web '.volumes = [{name: "data"}] | .containers[0].mounts = [{volume: "data", path: "/data"}]' \
    -- sleep 1000
  in_pod web sh -c 'cp /bin/probe /data/suid && chmod 6755 /data/suid && mkfifo /data/fifo'
  run in_pod web mknod /data/sda b 8 0
  [ "$(in_pod -u worker web /data/suid ids | head -n 1)" = "uid 1234 1234 1234" ]
  path=$TANK_STATE_DIR/volumes/$NS/data/suid
  [ "$(stat -c '%u %a' "$path")" = "0 6755" ]
  [ "$(stat -c '%u %a' "$TANK_STATE_DIR/volumes")" = "0 700" ]
  # all above it may be open: this is not the test's directory being closed
  chmod 0755 "$TANK_SANDBOX_DIR" "$TANK_STATE_DIR" 2>/dev/null || true
  as_nobody "test -x '$TANK_STATE_DIR'"
  run as_nobody "'$path' ids"
  [ "$status" = 126 ]
}

# ---- ends -----------------------------------------------------------------------------------------

@test "children that a session makes for the shim hold up neither a stop nor the workload's end" {
  start web -- sh -c 'trap "exit 7" USR1; echo up; while :; do sleep 0.1; done'
  wait_for 10 equals up tankctl logs web -n "$NS"
  given_up=$(times_given_up)
  [ "$(in_pod web probe clone-parent 200)" = made ]
  shim=$(shims)
  zombies()
  {
    tr ' ' '\n' <"/proc/$shim/task/$shim/children" | while read -r pid; do
      awk '/^State:.Z/' "/proc/$pid/status"
    done | wc -l
  }
  wait_for 5 equals 0 zombies
  tankctl kill -s USR1 web -n "$NS"
  wait_for 10 equals "exited 7" result_of web
  until_state web running
  in_pod web probe clone-parent 20
  start=$(now_ms)
  tankctl delete pod web -n "$NS" --wait
  at_most_ms 8000 "$start"
  [ "$(times_given_up)" = "$given_up" ]
}

# How often a shim had to be killed so far.
times_given_up()
{
  grep -c 'did not stop its container' "$TANK_SANDBOX_DIR/logs/reconcile" || true
}

@test "stopped processes: the workload, PID 1, a session's client; each ends in time" {
  start web -- sleep 1000
  in_pod web sh -c 'kill -STOP -1' || true
  tankctl exec -n "$NS" web sh -c 'yes | head -c 10000000' >/dev/null 3>&- &
  racer=$!
  kill -STOP "$racer" "$(pid_of web)"
  start=$(now_ms)
  tankctl delete pod web -n "$NS" --wait
  at_most_ms 8000 "$start"
  kill -CONT "$racer"
  wait "$racer" || true
}

@test "a stopped shim is given up, and its container with it" {
  start web '.grace = "500ms"' -- sleep 1000
  pid=$(workload_of web)
  kill -STOP "$(shims)"
  tankctl delete pod web -n "$NS" --wait --timeout "$(scaled 80)"
  gone "$pid"
  wait_for 10 equals 0 shim_count
}

@test "a bomb of processes harms its own limit only, and is stopped" {
  start other -- sleep 1000
  start web '.containers[0].limits = {pids: 300}' -- \
    sh -c '(bomb() { while :; do bomb & done; }; bomb) 2>/dev/null & wait; sleep 1000'
  dir=$(cgroup_of "$(pid_of web)" pids)
  [ -d /sys/fs/cgroup/pids ] || dir=${dir%/main}
  wait_for 20 at_least 250 cat "$dir/pids.current"
  in_pod other true
  tankctl delete pod web -n "$NS" --wait --timeout "$(scaled 60)"
}

# ---- output ---------------------------------------------------------------------------------------

@test "a full log directory holds nobody up; what was lost is told; space that comes back is used" {
  mkdir -p "$TANK_LOG_DIR/$NS"
  mount -t tmpfs -o size=64k,mode=0750 tank-test "$TANK_LOG_DIR/$NS"
  start web "$with_mark" -- sh -c 'seq 100000; touch /mark/through; while sleep 0.05; do echo later; done'
  wait_for 20 test -e "$MARK/through"
  in_pod web true
  mount -o remount,size=8m "$TANK_LOG_DIR/$NS"
  wait_for 10 sh -c "tankctl logs web -n $NS --tail 1 | grep -qx later"
  wait_for 10 grep -Eq 'log .* can be written again, [0-9]+ records are missing' \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  tankctl delete pod web -n "$NS" --wait
}

@test "a writer that never stops and hears no signal: bounded memory, stopped in time" {
  start web '.grace = "500ms" | .containers[0].log = {max_size: "64KiB"}' -- \
    sh -c 'trap "" TERM HUP INT; while :; do yes 0123456789; done'
  # 11 MB have gone through, in a log of which 64 KiB are kept
  wait_for 30 at_least 1000000 records
  [ "$(awk '/^VmHWM/ { print $2 }' "/proc/$(shims)/status")" -lt "$(most_of_a_shim)" ]
  start=$(now_ms)
  tankctl delete pod web -n "$NS" --wait
  at_most_ms 8000 "$start"
}

# The number of the newest record in the log of "web".
records()
{
  tail -n 1 "$TANK_LOG_DIR/$NS/web/main.log" | cut -d ' ' -f 4
}

# In KiB. Sanitizers keep what was freed, and a shadow of everything.
most_of_a_shim()
{
  if grep -q libasan "/proc/$(shims)/maps"; then echo 100000; else echo 16000; fi
}

@test "names and messages: cut within a character or full of escapes, they are shown and do no harm" {
  start other -- sleep 1000
  for n in 147 148 149 150; do
    name=/$(head -c "$n" /dev/zero | tr '\0' a)éé
    pod "cut$n" '.restart = "never"' -- "$name" | apply
    until_state "cut$n" exited
    [ "$(get "cut$n" .status.reason)" = SetupFailed ]
    [[ $(get "cut$n" .status.message) == *aaaa* ]]
    run -127 in_pod other "$name"
  done
  pod escape '.restart = "never"' -- $'\e]0;owned\a\e[31mred\u202e' | apply
  until_state escape exited
  run -0 "$BATS_TEST_DIRNAME/terminal.py" 24x100 '' tankctl describe pod escape -n "$NS"
  run ! grep -q $'\e]0' <<<"$output"
  run ! grep -q $'\u202e' <<<"$output"
  pod forge '.restart = "never"' -- $'x\ntankd-store: all is well\e[31m' | apply
  until_state forge exited
  run ! grep -q '^tankd-store: all is well' "$TANK_SANDBOX_DIR/logs/reconcile"
  run ! grep -q $'\e' "$TANK_SANDBOX_DIR/logs/reconcile"
}

# ---- races ----------------------------------------------------------------------------------------

@test "a hundred sessions at once; a stop in the midst of them" {
  start web -- sleep 1000
  # A bare `wait` would wait for the clock of the test's own time limit, too.
  local clients=()
  for i in $(seq 100); do
    in_pod web echo "$i" >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- &
    clients+=($!)
  done
  wait "${clients[@]}" || true
  [ "$(cat "$BATS_TEST_TMPDIR"/out.* | grep -c '^[0-9]*$')" -ge 64 ]
  run ! grep -vhE '^[0-9]+$|sessions are open' "$BATS_TEST_TMPDIR"/out.*
  clients=()
  for i in $(seq 40); do
    in_pod web sleep 500 >/dev/null 2>&1 3>&- &
    clients+=($!)
  done
  start=$(now_ms)
  tankctl delete pod web -n "$NS" --wait
  wait "${clients[@]}" || true
  at_most_ms 20000 "$start"
}

descriptors()
{
  find "/proc/$(daemon_pid store)/fd" "/proc/$(daemon_pid reconcile)/fd" -type l | wc -l
}

@test "applied and deleted a hundred times, at any moment of the start: nothing is left, no descriptor either" {
  start web -- sleep 1000
  tankctl delete pod web -n "$NS" --wait
  before=$(descriptors)
  for i in $(seq 100); do
    pod web -- sleep 1000 | apply >/dev/null
    read -rt "0.0$((i % 10))" <> <(:) || true
    tankctl delete pod web -n "$NS" >/dev/null
  done
  until_state web deleted
  wait_for 20 at_most $((before + 20)) descriptors # a leak would be one of each round
}

@test "shims killed and stopped at random while they start: never two runs" {
  (
    exec 3>&-
    set +eET
    while :; do
      for shim in $(shims); do
        if [ $((RANDOM % 4)) = 0 ]; then
          kill -9 "$shim"
        else
          kill -STOP "$shim"
          read -rt "0.0$((RANDOM % 9))" <> <(:)
          kill -CONT "$shim"
        fi
      done 2>/dev/null
    done
  ) &
  racer=$!
  runs()
  {
    grep -lE "$in_tank" /proc/[0-9]*/cgroup 2>/dev/null | while read -r file; do
      tr '\0' ' ' <"${file%/cgroup}/cmdline" 2>/dev/null | grep -x 'sleep 76543 '
    done | wc -l
  }
  for i in $(seq 30); do
    pod web -- sleep 76543 | apply >/dev/null
    for _ in 1 2 3; do
      read -rt "0.$((RANDOM % 2))$((RANDOM % 10))" <> <(:) || true
      [ "$(runs)" -le 1 ]
    done
    tankctl delete pod web -n "$NS" >/dev/null
  done
  kill "$racer"
  wait "$racer" || true
  racer=
  for shim in $(shims); do kill -CONT "$shim" 2>/dev/null || true; done
  until_state web deleted
  [ "$(runs)" = 0 ]
}

@test "a session is not spared by the OOM killer where its container is not" {
  start web -- sleep 1000
  in_pod web true # the shim has settled
  [ "$(in_pod web cat /proc/self/oom_score_adj)" = "$(cat "/proc/$(workload_of web)/oom_score_adj")" ]
}
