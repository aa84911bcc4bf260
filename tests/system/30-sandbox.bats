#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a workload sees and may do: its files, its ids, its network, its confinement; and what a
# hostile root file system can not make us do.

# shellcheck disable=SC2016,SC2153 # what stands in single quotes is for the shell inside

load helper

setup()
{
  helper_setup
  CANARY=$BATS_TEST_TMPDIR/canary
  mkdir -p "$CANARY"
  echo canary >"$CANARY/file"
  ROOT2=$BATS_TEST_TMPDIR/root2 # a root that a test makes hostile
  racer=
}

teardown()
{
  [ -z "$racer" ] || kill "$racer" 2>/dev/null || true
  helper_teardown
}

# Nothing of ours may have been made or changed behind a link.
canary_is_untouched()
{
  [ "$(find "$CANARY" | sort | tr '\n' ' ')" = "$CANARY $CANARY/file " ]
  [ "$(cat "$CANARY/file")" = canary ]
}

# one CONTAINER-FILTER -- COMMAND…: its output, of a pod that is run to its end.
one()
{
  local filter=$1 name=one-$RANDOM$RANDOM # a name's log outlives its pod
  shift
  pod "$name" "$filter | .restart = \"never\"" "$@" | apply >/dev/null
  until_state "$name" exited
  tankctl logs "$name" -n "$NS"
  tankctl delete pod "$name" -n "$NS" --wait >/dev/null
}

# fails_setup DOCUMENT-FILTER PATTERN -- COMMAND…: the run ends as setup-failed, and says why.
fails_setup()
{
  local filter=$1 pattern=$2
  shift 2
  pod one "$filter | .restart = \"never\"" "$@" | apply >/dev/null
  until_state one exited
  equals setup-failed get one '.status.containers[0].results | last | .kind' || {
    get one .status
    tankctl logs one -n "$NS"
    return 1
  }
  get one '.status | .message, .containers[0].message?' | grep -Eiq -- "$pattern" || {
    get one .status
    return 1
  }
  tankctl delete pod one -n "$NS" --wait >/dev/null
}

# ---- files ------------------------------------------------------------------------------------

@test "two pods of one root do not see each other's writes, and the root stays as it was" {
  start a -- sh -c 'rm /marker; echo a >/written; exec sleep 1000'
  start b -- sh -c 'echo b >/etc/written; exec sleep 1000'
  wait_for 5 in_pod a test -e /written
  wait_for 5 in_pod b test -e /etc/written
  run -1 in_pod b test -e /written
  run -1 in_pod a test -e /etc/written
  [ "$(in_pod b cat /marker)" = fixture ]
  run -1 in_pod a test -e /marker
  [ "$(cat "$ROOT/marker")" = fixture ]
  [ ! -e "$ROOT/written" ]
  [ ! -e "$ROOT/etc/written" ]
}

@test "a restart has a fresh writable layer" {
  start web -- sh -c '[ ! -e /once ] && echo fresh; touch /once; exec sleep 1000'
  wait_for 5 in_pod web test -e /once
  tankctl restart web -n "$NS"
  wait_for 10 equals $'fresh\nfresh' tankctl logs web -n "$NS"
}

@test "R4: volumes: managed is written and found on the host, host is read-only where declared" {
  echo probe >"$MARK/probe"
  start web '.volumes = [{name: "data"}, {name: "conf", source: {host: $mark}}] |
      .containers[0].mounts = [{volume: "data", path: "/data"},
        {volume: "conf", path: "/new/conf", read_only: true}]' -- sleep 1000
  in_pod web sh -c 'echo inside >/data/f'
  [ "$(cat "$TANK_STATE_DIR/volumes/$NS/data/f")" = inside ]
  [ "$(in_pod web cat /new/conf/probe)" = probe ]
  run ! in_pod web sh -c 'echo x >/new/conf/probe'
  says 'Read-only'
  in_pod web grep -Eq '^[^ ]+ /new/conf [^ ]+ ro,' /proc/mounts
  in_pod web grep -Eq '^[^ ]+ /data [^ ]+ rw,' /proc/mounts
  # files written by the container's root belong to the host's root
  [ "$(stat -c %u:%g "$TANK_STATE_DIR/volumes/$NS/data/f")" = 0:0 ]
  [ "$(in_pod web stat -c %u:%g /data/f)" = 0:0 ]
}

@test "R4: managed volumes are shared by name within a namespace and outlive the pod" {
  filter='.volumes = [{name: "data"}] | .containers[0].mounts = [{volume: "data", path: "/data"}]'
  start a "$filter" -- sleep 1000
  start b "$filter" -- sleep 1000
  in_pod a sh -c 'echo shared >/data/f'
  [ "$(in_pod b cat /data/f)" = shared ]
  tankctl delete pod a -n "$NS" --wait
  tankctl delete pod b -n "$NS" --wait
  start c "$filter" -- sleep 1000
  [ "$(in_pod c cat /data/f)" = shared ]
}

@test "R4: a host directory that is not there, or is a file, is no volume and is not made" {
  for path in "$MARK/nosuch" "$CANARY/file"; do
    fails_setup ".volumes = [{name: \"v\", source: {host: \"$path\"}}] |
      .containers[0].mounts = [{volume: \"v\", path: \"/v\"}]" "$path" -- sleep 1
  done
  [ ! -e "$MARK/nosuch" ]
  canary_is_untouched
}

@test "the sandbox's own files: /etc/hosts, hostname, resolv.conf, /dev, /proc, /sys" {
  start web -- sleep 1000
  [ "$(in_pod web hostname)" = web ]
  [ "$(in_pod web cat /etc/hostname)" = web ]
  in_pod web grep -Eq '^127\.0\.0\.1\s+localhost( |$).*web' /etc/hosts
  in_pod web grep -Eq '^::1\s+localhost' /etc/hosts
  in_pod web test -f /etc/resolv.conf
  for node in null zero full random urandom tty; do in_pod web test -c "/dev/$node"; done
  [ "$(in_pod web readlink /dev/fd)" = /proc/self/fd ]
  [ "$(in_pod web readlink /dev/stdout)" = /proc/self/fd/1 ]
  in_pod web sh -c 'echo x >/dev/null && echo x >/dev/shm/f && [ -c /dev/ptmx ] && ls /dev/mqueue'
  in_pod web grep -Eq '^[^ ]+ /dev/pts devpts ' /proc/mounts
  in_pod web grep -Eq '^[^ ]+ /sys sysfs ro,' /proc/mounts
  in_pod web grep -Eq '^[^ ]+ /proc proc rw,nosuid,nodev,noexec' /proc/mounts
  run ! in_pod web sh -c 'echo x >/sys/kernel/profiling'
  [ "$(in_pod web sh -c 'echo /proc/[0-9]* | wc -w')" -le 5 ]
}

@test "no trace of the host's file system is left: mounts, old root, working directory" {
  start web -- sleep 1000
  # mount points and the overlay's options; what a bind mount is of, the kernel tells everybody
  run -0 in_pod web awk '{ print $5, $NF }' /proc/self/mountinfo
  run -1 grep -F -e "$TANK_STATE_DIR" -e "$ROOT" <<<"$output"
  run -0 in_pod web ls -A /
  run -1 grep -E 'old|pivot|\.tank' <<<"$output"
  [ "$(in_pod web pwd)" = / ]
}

@test "working_dir is honoured; one that is not in the root is refused" {
  [ "$(one '.containers[0].working_dir = "/home/worker"' -- pwd)" = /home/worker ]
  for fd in $(seq 0 20); do
    fails_setup ".containers[0].working_dir = \"/proc/self/fd/$fd\"" 'working|cwd|directory' -- pwd
  done
  start web -- sleep 1000
  for fd in 3 4 5 6 7 8 9 10 11 12; do
    run in_pod -w "/proc/self/fd/$fd" web pwd
    [ "$status" != 0 ]
  done
}

# ---- who ----------------------------------------------------------------------------------------

@test "user is honoured: names from the root's own files, numbers, groups" {
  root=$'uid 0 0 0\ngid 0 0 0\ngroups\nno_new_privs 1'
  worker=$'uid 1234 1234 1234\ngid 2345 2345 2345'
  [ "$(one . -- probe ids | sed 's/^groups 0$/groups/')" = "$root" ]
  [ "$(one '.containers[0].user = "worker"' -- probe ids | head -n 2)" = "$worker" ]
  [ "$(one '.containers[0].user = "worker"' -- probe ids | grep groups)" = "groups 6 29 2345" ] ||
    [ "$(one '.containers[0].user = "worker"' -- probe ids | grep groups)" = "groups 6 29" ]
  [ "$(one '.containers[0].user = "1234:777"' -- probe ids | head -n 2)" = $'uid 1234 1234 1234\ngid 777 777 777' ]
  [ "$(one '.containers[0].user = "4000"' -- probe ids | head -n 2)" = $'uid 4000 4000 4000\ngid 0 0 0' ]
  run -0 one '.containers[0].user = "5:6" | .containers[0].groups = ["audio", "888"]' -- probe ids
  says '^groups.* 29( |$)'
  says '^groups.* 888( |$)'
  [ "$(one '.containers[0].user = "worker"' -- sh -c 'echo $HOME')" = /home/worker ]
  fails_setup '.containers[0].user = "nosuch"' 'nosuch' -- sleep 1
  fails_setup '.containers[0].groups = ["nosuch"]' 'nosuch' -- sleep 1
}

@test "a user namespace of its own by default: root inside is nobody to the host, no two pods' ids meet" {
  start a -- sleep 1000
  start b -- sleep 1000
  a=$(awk '/^Uid/ { print $2 }' "/proc/$(workload_of a)/status")
  b=$(awk '/^Uid/ { print $2 }' "/proc/$(workload_of b)/status")
  [ "$a" -ge 100000 ]
  [ "$b" -ge 100000 ]
  [ "$a" -ge $((b + 65536)) ] || [ "$b" -ge $((a + 65536)) ]
  [ "$(readlink "/proc/$(workload_of a)/ns/user")" != "$(readlink /proc/self/ns/user)" ]
}

@test "userns host: root inside is root outside, with nothing but its capabilities" {
  start web '.security = {userns: "host"}' -- sleep 1000
  [ "$(readlink "/proc/$(workload_of web)/ns/user")" = "$(readlink /proc/self/ns/user)" ]
  [ "$(awk '/^Uid/ { print $2 }' "/proc/$(workload_of web)/status")" = 0 ]
  run -0 in_pod web probe syscalls
  says '^unshare (EPERM|ENOSYS)$'
  says '^mount (EPERM|ENOSYS)$'
  says '^mknod-block EPERM$'
  in_pod web sh -c 'echo x >/written'
  [ ! -e "$ROOT/written" ]
  run -0 in_pod web probe open-write /proc/sys/kernel/core_pattern /proc/sysrq-trigger
  run -1 grep ' OK$' <<<"$output"
  # where the kernel has it, it is /dev/null
  [ "$(in_pod web sh -c 'head -c 1 /proc/kcore 2>/dev/null | wc -c')" = 0 ]
}

# ---- network ----------------------------------------------------------------------------------

@test "R6: network none has loopback, up, and nothing else" {
  start web -- sleep 1000
  [ "$(in_pod web ls /sys/class/net)" = lo ]
  in_pod web ip link show lo | grep -q 'LOOPBACK,UP'
  in_pod web sh -c 'nc -l -p 80 </marker & until nc 127.0.0.1 80 </dev/null; do sleep 0.1; done' |
    grep -q fixture
  [ "$(readlink "/proc/$(pid_of web)/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

@test "network host: the host's links and the host's DNS" {
  start web '.network = "host"' -- sleep 1000
  [ "$(readlink "/proc/$(pid_of web)/ns/net")" = "$(readlink /proc/self/ns/net)" ]
  diff <(in_pod web cat /etc/resolv.conf) /etc/resolv.conf
}

# ---- confinement --------------------------------------------------------------------------------

# Podman's eleven: chown dac_override fowner fsetid kill net_bind_service setfcap setgid setpcap
# setuid sys_chroot.
default_caps=00000000800405fb

@test "capabilities: at most the eleven, none inheritable or ambient, at start and in exec" {
  start web -- sleep 1000
  for where in "/proc/$(workload_of web)/status" exec; do
    if [ "$where" = exec ]; then
      status_file=$(in_pod web cat /proc/self/status)
    else
      status_file=$(cat "$where")
    fi
    for set in CapInh CapAmb; do
      [ "$(awk -v s="$set:" '$1 == s { print $2 }' <<<"$status_file")" = 0000000000000000 ]
    done
    for set in CapPrm CapEff CapBnd; do
      value=$((16#$(awk -v s="$set:" '$1 == s { print $2 }' <<<"$status_file")))
      echo "$where $set $(printf %x "$value")"
      [ $((value & ~16#$default_caps)) = 0 ]
      [ "$value" != 0 ]
    done
    [ "$(awk '$1 == "NoNewPrivs:" { print $2 }' <<<"$status_file")" = 1 ]
    [ "$(awk '$1 == "Seccomp:" { print $2 }' <<<"$status_file")" = 2 ]
  done
  # PID 1 has no more than the workload
  status_file=$(cat "/proc/$(pid_of web)/status")
  value=$((16#$(awk '$1 == "CapEff:" { print $2 }' <<<"$status_file")))
  [ $((value & ~16#$default_caps)) = 0 ]
  [ "$(awk '$1 == "Seccomp:" { print $2 }' <<<"$status_file")" = 2 ]
}

@test "capabilities: another user has none; drop and add are honoured" {
  [ "$(one '.containers[0].user = "worker"' -- grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status |
    awk '{ print $2 }' | sort -u)" = 0000000000000000 ]
  [ "$(one '.containers[0].security = {capabilities: {drop: ["ALL"]}}' -- \
    grep -E '^Cap' /proc/self/status | awk '{ print $2 }' | sort -u)" = 0000000000000000 ]
  run -0 one '.containers[0].security = {capabilities: {drop: ["ALL"], add: ["CAP_NET_ADMIN"]}}' -- \
    grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | sort -u)" = 0000000000001000 ]
}

@test "descriptors, signals: 0, 1 and 2 are all; nothing blocked or ignored, at start and in exec" {
  [ "$(one . -- probe fds | awk '{ print $1 }' | tr '\n' ' ')" = "0 1 2 " ]
  [ "$(one . -- probe signals)" = "" ]
  start web -- sleep 1000
  [ "$(in_pod web probe fds | awk '{ print $1 }' | tr '\n' ' ')" = "0 1 2 " ]
  [ "$(in_pod -t web probe fds </dev/null | awk '{ print $1 }' | tr '\n' ' ')" = "0 1 2 " ]
  [ "$(in_pod web probe signals)" = "" ]
  # PID 1 holds what tells the shim about the workload's end, and nothing of the host
  run -0 in_pod web sh -c 'ls -l /proc/1/fd'
  run -1 grep -E -- '-> ' <(grep -Ev -- '-> (/dev/null|pipe:.*)$' <<<"$output")
}

@test "system calls that reach beyond the sandbox are refused" {
  start web -- sleep 1000
  run -0 in_pod web probe syscalls
  for call in unshare mount fsopen open_tree move_mount bpf keyctl add_key userfaultfd \
    io_uring_setup perf_event_open open_by_handle_at kexec_load init_module reboot swapon \
    pivot_root setns mknod-block mknod-mem settimeofday iopl umount2 clone-newuser; do
    says "^$call (EPERM|ENOSYS)$"
  done
  says '^clone3 ENOSYS$'
  says '^x32 (ENOSYS|EPERM|SIGSYS)$'
  says '^negative (ENOSYS|EPERM|SIGSYS)$'
  run -0 in_pod -t web probe syscalls </dev/null
  says '^TIOCSTI EPERM'
  says '^TIOCLINUX EPERM'
}

@test "seccomp unconfined is what it says, and capabilities still hold" {
  start web '.containers[0].security = {seccomp: "unconfined"}' -- sleep 1000
  [ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$(workload_of web)/status")" = 0 ]
  run -0 in_pod web probe syscalls
  says '^mount EPERM$'
  says '^mknod-block EPERM$'
}

@test "masked and read-only paths" {
  start web -- sleep 1000
  run -0 in_pod web probe open-read /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug \
    /proc/latency_stats /proc/acpi /proc/scsi /sys/firmware /proc/interrupts
  echo "$output"
  run -1 grep -E '^(/proc/kcore|/proc/keys|/proc/timer_list|/proc/sched_debug|/proc/interrupts) OK$' <<<"$output"
  run -0 in_pod web probe open-write /proc/sysrq-trigger /proc/sys/kernel/core_pattern \
    /proc/sys/kernel/hostname /proc/irq /proc/bus /proc/fs /proc/asound /sys/kernel/uevent_helper
  echo "$output"
  run -1 grep ' OK$' <<<"$output"
  [ -z "$(in_pod web ls /sys/firmware)" ]
}

@test "cgroups are the container's own and cannot be left" {
  start web -- sleep 1000
  # a session is beside the container's first process, whose cgroup is the root of what they see
  [ "$(in_pod web sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u' | sed 's,^/\.\./exec-.*,/,' | sort -u)" = / ]
  [ "$(in_pod web sh -c 'cut -d: -f3 /proc/1/cgroup | sort -u')" = / ]
  run in_pod web sh -c 'for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name release_agent 2>/dev/null); do
    if echo $$ >$f; then echo "written $f"; fi; done 2>/dev/null'
  run -1 grep written <<<"$output"
}

@test "/proc/1/exe and the host's programs cannot be written from inside" {
  start web -- sleep 1000
  sums=$(sha256sum "$TANK_SANDBOX_DIR"/bin/*)
  run -0 in_pod web probe reopen-write /proc/1/exe
  echo "$output"
  says '^write (EROFS|ETXTBSY|EACCES|EPERM)$'
  says '^chmod (EROFS|EPERM|EACCES)$'
  says '^truncate (EROFS|ETXTBSY|EACCES|EPERM)$'
  start bad '.security = {userns: "host"} | .containers[0].security = {seccomp: "unconfined"}' -- sleep 1000
  run -0 in_pod bad probe reopen-write /proc/1/exe
  says '^write (EROFS|ETXTBSY)$'
  # while sessions come and go
  tankctl exec -n "$NS" web \
    sh -c 'while :; do for p in /proc/[0-9]*; do probe reopen-write $p/exe; done; done >/tmp/tried 2>&1' \
    3>&- &
  racer=$!
  for _ in $(seq 40); do in_pod web true; done
  in_pod web cat /proc/self/status >/dev/null
  kill "$racer"
  racer=
  [ "$(sha256sum "$TANK_SANDBOX_DIR"/bin/*)" = "$sums" ]
}

@test "the shim stays out of reach: not seen, not signalled, no socket of ours" {
  start web '.network = "host"' -- sleep 1000
  run in_pod web sh -c 'cat /proc/net/unix'
  run -1 grep -E '@.*tank' <<<"$output"
  [ "$(stat -c %a "$TANK_RUN_DIR/pods")" = 700 ]
  find "$TANK_RUN_DIR/pods" -type s -printf '%m\n' | sort -u >"$BATS_TEST_TMPDIR/modes"
  [ "$(cat "$BATS_TEST_TMPDIR/modes")" = 600 ]
  [ "$(stat -c %a "$TANK_STATE_DIR/containers")" = 700 ]
}

# ---- starting -----------------------------------------------------------------------------------

@test "a bare name is looked up in PATH, in the container's own if declared" {
  [ "$(one . -- echo found)" = found ]
  mkdir -p "$MARK/bin"
  printf '#!/bin/sh\necho mine\n' >"$MARK/bin/mytool"
  chmod 0755 "$MARK/bin/mytool"
  [ "$(one "$with_mark | .containers[0].env = {PATH: \"/mark/bin:/bin\"}" -- mytool)" = mine ]
  fails_setup . 'nosuchtool' -- nosuchtool
  fails_setup . '[Pp]ermission|executable' -- /etc/passwd
}

@test "a user who is not there, or may not enter the root, is told as such" {
  fails_setup '.containers[0].user = "ghost"' "user 'ghost' is not in the container's /etc/passwd; add it there, or give the uid\$" -- true
  run -0 tankctl events one -n "$NS" --no-follow
  says "failed +setup failed in user: user 'ghost' is not in the container's /etc/passwd; add it there, or give the uid\$"
  fails_setup '.containers[0].groups = ["ghosts"]' "group 'ghosts' is not in the container's /etc/group; add it there, or give the gid\$" -- true
  # a uid needs no entry, but the root must let it in
  [ "$(one '.containers[0].user = "4242"' -- id -u)" = 4242 ]
  make_root "$ROOT2"
  chmod 0700 "$ROOT2"
  fails_setup ".containers[0].image.rootfs = \"$ROOT2\" | .containers[0].user = \"4242\"" \
    "setup failed in user: uid 4242, gid 0 may not enter the container's root directory, which has mode 0700 and belongs to 0:0; allow it on the host .chmod o.x., or run as another user\$" -- true
  start web ".containers[0].image.rootfs = \"$ROOT2\"" -- sleep 1000
  refused 125 in_pod -u 4242 web true
  says 'may not enter the container.s root directory'
}

@test "environment: PATH, HOME and what is declared; nothing of the daemon's" {
  run -0 one '.containers[0].env = {B: "x y", A: ""}' -- env
  says '^A=$'
  says '^B=x y$'
  says '^PATH='
  run -1 grep -E '^(TANK_|DBUS_|NOTIFY_SOCKET|BATS|LISTEN_|OLDPWD)' <<<"$output"
}

@test "init tank reaps what is orphaned" {
  start web -- sh -c 'i=0; while [ $i -lt 20 ]; do (sleep 0.05 &); i=$((i + 1)); done; echo up; exec sleep 1000'
  wait_for 5 equals up tankctl logs web -n "$NS"
  no_zombies()
  {
    [ "$(in_pod web sh -c 'cat /proc/[0-9]*/stat 2>/dev/null' | awk '$3 == "Z"' | wc -l)" = 0 ] &&
      [ "$(in_pod web sh -c 'cat /proc/[0-9]*/comm 2>/dev/null' | grep -c sleep)" = 1 ]
  }
  wait_for 5 no_zombies
}

@test "tty: the workload has a terminal of its own devpts, and TERM" {
  run -0 one '.containers[0].tty = true' -- sh -c 'tty; echo $TERM; stty -a | head -n 1'
  says '^/dev/(pts/[0-9]+|console)'
  says 'xterm'
}

# ---- hostile roots ------------------------------------------------------------------------------

@test "/dev, /proc, /sys, /etc and the mount targets as links to the host: nothing is made there" {
  for target in dev proc sys etc tmp run; do
    rm -rf "$ROOT2"
    cp -a "$ROOT" "$ROOT2"
    rm -rf "${ROOT2:?}/$target"
    ln -s "../../../../../../../..$CANARY" "$ROOT2/$target"
    pod one ".restart = \"never\" | .containers[0].image.rootfs = \"$ROOT2\"" -- sleep 0.1 | apply
    until_state one exited
    echo "$target: $(result_of one)"
    tankctl delete pod one -n "$NS" --wait
    canary_is_untouched
  done
  for target in etc/hosts etc/resolv.conf etc/hostname dev/shm dev/pts dev/mqueue mark; do
    rm -rf "$ROOT2"
    cp -a "$ROOT" "$ROOT2"
    rm -rf "${ROOT2:?}/$target"
    ln -s "$CANARY/made" "$ROOT2/$target"
    pod one "$with_mark | .restart = \"never\" | .containers[0].image.rootfs = \"$ROOT2\"" -- \
      sleep 0.1 | apply
    until_state one exited
    echo "$target: $(result_of one)"
    tankctl delete pod one -n "$NS" --wait
    canary_is_untouched
  done
}

@test "mount targets that are exchanged with links while pods start: nothing is made on the host" {
  cp -a "$ROOT" "$ROOT2"
  mkdir -p "$ROOT2/mark"
  ln -s "../../../../../../../..$CANARY" "$ROOT2/link"
  "$ROOT2/bin/probe" swap "$ROOT2/mark" "$ROOT2/link" 3>&- &
  racer=$!
  for _ in $(seq 20); do
    pod one "$with_mark | .restart = \"never\" | .containers[0].image.rootfs = \"$ROOT2\" |
      .containers[0].mounts[0].path = \"/mark/sub\"" -- sleep 0.02 | apply
    until_state one exited
    tankctl delete pod one -n "$NS" --wait
  done
  kill "$racer"
  wait "$racer" || true
  racer=
  canary_is_untouched
}

@test "/etc/passwd as FIFO, device, directory, link to the host's, or 100 MB: bounded, and not followed" {
  cp -a "$ROOT" "$ROOT2"
  file=$ROOT2/etc/passwd
  filter=".containers[0].image.rootfs = \"$ROOT2\" | .containers[0].user = \"worker\""
  rm "$file" && mkfifo "$file"
  fails_setup "$filter" 'passwd|worker' -- sleep 1
  rm "$file" && mknod "$file" c 1 5
  fails_setup "$filter" 'passwd|worker' -- sleep 1
  rm "$file" && mkdir "$file"
  fails_setup "$filter" 'passwd|worker' -- sleep 1
  rmdir "$file"
  echo "worker:x:0:0::/:/bin/sh" >"$CANARY/passwd"
  ln -s "../../../../../../../..$CANARY/passwd" "$file"
  fails_setup "$filter" 'passwd|worker' -- sleep 1
  rm "$file" "$CANARY/passwd"
  head -c 100M /dev/zero | tr '\0' 'x' >"$file"
  fails_setup "$filter" 'passwd|worker|large' -- sleep 1
  # none of it matters to who needs no names
  pod one ".restart = \"never\" | .containers[0].image.rootfs = \"$ROOT2\"" -- true | apply
  until_state one exited
}

@test "an interpreter of /proc/self/exe does not reach a program of ours" {
  cp -a "$ROOT" "$ROOT2"
  printf '#!/proc/self/exe\n' >"$ROOT2/bin/evil"
  chmod 0755 "$ROOT2/bin/evil"
  sums=$(sha256sum "$TANK_SANDBOX_DIR"/bin/*)
  pod one ".restart = \"never\" | .containers[0].image.rootfs = \"$ROOT2\"" -- evil | apply
  until_state one exited
  [ "$(get one '.status.containers[0].results | last | .code')" != 0 ]
  start web ".containers[0].image.rootfs = \"$ROOT2\"" -- sleep 1000
  run ! in_pod web evil
  [ "$(sha256sum "$TANK_SANDBOX_DIR"/bin/*)" = "$sums" ]
}

@test "a root with setuid programs and device nodes gives nobody more than they had" {
  cp -a "$ROOT" "$ROOT2"
  cp "$ROOT2/bin/probe" "$ROOT2/bin/suid"
  chmod 4755 "$ROOT2/bin/suid"
  mknod "$ROOT2/sda" b 8 0
  mknod "$ROOT2/mem" c 1 1
  chmod 0666 "$ROOT2/sda" "$ROOT2/mem"
  run -0 one ".containers[0].image.rootfs = \"$ROOT2\" | .containers[0].user = \"worker\"" -- suid ids
  says '^uid 1234 1234 1234$'
  run -0 one ".containers[0].image.rootfs = \"$ROOT2\"" -- probe open-read /sda /mem
  echo "$output"
  run -1 grep ' OK$' <<<"$output"
}
