#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a workload is, sees and may do.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

setup_file()
{
  helper_setup_file
}

teardown_file()
{
  helper_teardown_file
}

@test "root inside is nobody outside, and owns the root's files inside" {
  run drive @running 'until grep -q ready "$LOG"; do :; done
    awk "/^Uid:/ { print \"uid\", \$2 }" "/proc/$PID/status"' \
    -- sh -c 'stat -c "%u:%g" /etc/passwd /bin; echo ready; exec sleep 1000'
  [[ $output = *'uid 536870912'* ]]
  [ "$(log)" = $'0:0\n0:0\nready' ]
}

@test "writes go to the run's own layer: neither the root nor another run sees them" {
  in_container -- sh -c 'echo new >/data/marker; rm /etc/group; echo x >/created; cat /data/marker'
  [ "$(cat "$WORK/root/data/marker")" = lower ]
  [ -e "$WORK/root/etc/group" ]
  [ ! -e "$WORK/root/created" ]
  run in_container -- sh -c 'cat /data/marker; ls /created 2>&1 || true'
  [ "${lines[0]}" = lower ]
  [[ ${lines[1]} = *'No such file'* ]]
}

@test "the user, by name and by number, with the groups of the container's own files" {
  run in_container user=redis -- id
  [ "$output" = 'uid=999(redis) gid=998(redis) groups=998(redis),1234(extra)' ]
  run in_container user=999 -- sh -c 'id -u; id -g; echo $HOME'
  [ "$output" = $'999\n998\n/data' ]
  run in_container user=999:5 group=last group=77 -- id -G
  [ "$output" = '5 77 1300' ] || [ "$output" = '5 1300 77' ]
}

@test "users that are no users are refused and never become root" {
  local user
  for user in 4294967296 4294967295 -1 0x0 ' 0' 1000: :0 1000foo '' 70000; do
    run drive "user=$user" @end wait -- id
    [[ $output = *'result=setup-failed'*user* ]] || {
      echo "'$user': $output"
      false
    }
  done
}

@test "hostile passwd files are refused or bounded: a FIFO, a symlink out, a huge one" {
  make_root "$WORK/root2"
  rm "$WORK/root2/etc/passwd"
  mknod "$WORK/root2/etc/passwd" p
  run drive "rootfs=$WORK/root2" @end wait -- true
  [[ $output = *'result=setup-failed'*user* ]]
  rm "$WORK/root2/etc/passwd"
  echo 'outsider:x:12:12::/:/bin/sh' >"$WORK/outside"
  ln -s "../../../../../../../../$WORK/outside" "$WORK/root2/etc/passwd"
  run drive "rootfs=$WORK/root2" user=outsider @end wait -- true
  [[ $output = *'result=setup-failed'*user* ]]
  rm "$WORK/root2/etc/passwd"
  head -c 3000000 /dev/zero >"$WORK/root2/etc/passwd"
  run drive "rootfs=$WORK/root2" @end wait -- true
  [[ $output = *'result=setup-failed 27 user'* ]]
}

@test "eleven capabilities for root, none for others; none inheritable or ambient, for both" {
  local eleven=00000000800405fb none=0000000000000000
  run in_container -- grep '^Cap' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = "$none $eleven $eleven $eleven $none" ]
  run in_container user=999 -- grep '^Cap' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = "$none $none $none $eleven $none" ]
  run in_container -- grep '^Cap' /proc/1/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = "$none $eleven $eleven $eleven $none" ]
  run in_container cap_drop=ALL cap_add=CAP_NET_BIND_SERVICE -- grep '^CapBnd' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output")" = 0000000000000400 ]
  run in_container cap_add=CAP_SYS_PTRACE cap_drop=CAP_CHOWN -- grep '^CapEff' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output")" = 00000000800c05fa ]
}

@test "no_new_privs and a filter, for the workload and for PID 1; the launch can say otherwise" {
  run in_container -- grep -hE '^(NoNewPrivs|Seccomp):' /proc/self/status /proc/1/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = '1 2 1 2' ]
  run in_container seccomp=unconfined no_new_privileges=0 \
    -- grep -hE '^(NoNewPrivs|Seccomp):' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = '0 0' ]
  run in_container no_new_privileges=0 -- grep -hE '^(NoNewPrivs|Seccomp):' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | xargs)" = '0 2' ]
}

@test "a filter of the operator's: loaded as it is, and refused when it is none" {
  # One instruction: allow everything.
  printf '\x06\x00\x00\x00\x00\x00\xff\x7f' >"$WORK/allow.bpf"
  run in_container "seccomp=file:$WORK/allow.bpf" -- grep '^Seccomp:' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output")" = 2 ]
  run in_container "seccomp=file:$WORK/allow.bpf" -- unshare -U true
  printf 'junk' >"$WORK/junk.bpf"
  run drive "seccomp=file:$WORK/junk.bpf" @end wait -- true
  [[ $output = *'result=setup-failed 74 seccomp'* ]]
}

@test "the default filter: namespaces, mounts, keys, bpf refused; calls unknown to it are ENOSYS" {
  run in_container -- sh -c 'unshare -U true 2>&1; unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; true'
  [ "$(grep -Ec 'not permitted|permission denied' <<<"$output")" = 3 ]
  run in_container -- probe syscalls
  [ "${#lines[@]}" -ge 20 ]
  [ "$(grep -Evc ' (EPERM|ENOSYS|ENOENT)$' <<<"$output")" = 0 ]
  grep -qx 'clone3 ENOSYS' <<<"$output"
  grep -qx 'TIOCSTI EPERM' <<<"$output"
  grep -qx 'x32 ENOSYS' <<<"$output"
}

@test "only 0, 1 and 2 are open, and they are /dev/null and two pipes" {
  run in_container -- probe fds
  [ "${#lines[@]}" = 3 ]
  [ "${lines[0]}" = '0 /dev/null' ]
  [[ ${lines[1]} = '1 pipe:'* && ${lines[2]} = '2 pipe:'* ]]
  run in_container init=none -- probe fds
  [ "${#lines[@]}" = 3 ]
}

@test "no signal is ignored or blocked at the first instruction" {
  run in_container -- grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
  [ "$(awk '{ print $2 }' <<<"$output" | sort -u)" = 0000000000000000 ]
}

@test "standard output can be opened anew, as root and as another user" {
  run in_container -- sh -c 'echo again >/dev/stdout; echo err >/proc/self/fd/2'
  [ "$(sort <<<"$output")" = $'again\nerr' ]
  run in_container user=999 -- sh -c 'echo again >/dev/stdout'
  [ "$output" = again ]
}

@test "the root is the container's and nothing of the host is above, beside or below it" {
  run in_container -- sh -c 'cat /proc/self/mountinfo; echo; ls /..; ls -di / /.. | awk "{ print \$1 }"'
  [ "$(sed -n '/^$/,$p' <<<"$output" | tail -2 | sort -u | wc -l)" = 1 ]
  [[ $output != *"$WORK"* ]]
  [[ $output != *sandbox.bats* ]]
  [ "$(grep -c ' / / ' <<<"$output")" = 1 ]
}

@test "a terminal: stdio is a PTY of the container's own devpts, controlling, with TERM and /dev/console" {
  run in_container tty=1 -- sh -c 'tty; echo $TERM; echo x >/dev/tty && echo ok; stty size; ls /dev/pts'
  output=$(tr -d '\r' <<<"$output")
  [[ $output = /dev/pts/0* ]]
  [[ $output = *xterm* && $output = *ok* && $output = *'24 80'* ]]
  run in_container tty=1 -- sh -c 'echo by-console >/dev/console'
  [[ $output = *by-console* ]]
  run in_container tty=1 user=999 -- sh -c 'echo x >/dev/tty && echo mine; stat -c %u $(tty)'
  [[ $output = *mine* && $output = *999* ]]
}

@test "/dev has the nodes and links that programs expect, and null is null" {
  run in_container -- sh -c '
    for n in null zero full random urandom tty; do test -c /dev/$n || echo no $n; done
    for l in fd stdin stdout stderr ptmx; do test -L /dev/$l || echo no $l; done
    for d in pts shm mqueue; do test -d /dev/$d || echo no $d; done
    test ! -e /dev/console || echo console
    echo gone >/dev/null; head -c 2 /dev/zero | wc -c
    mknod /dev/sda b 8 0 2>&1; echo x >/dev/shm/x && echo shm
    stat -c %t:%T /dev/pts/ptmx'
  [ "${lines[0]}" = 2 ]
  [[ ${lines[1]} = *'not permitted'* ]]
  [ "${lines[2]}" = shm ]
  [ "${lines[3]}" = 5:2 ]
}

@test "/proc and /sys tell of the container only, and cannot be written" {
  run in_container -- sh -c '
    echo x >/proc/sys/kernel/hostname; echo x >/proc/sysrq-trigger; echo x >/sys/kernel/uevent_helper
    cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts | wc -c
    ls /proc/acpi /sys/firmware | grep -v : | tr -d "\n" | wc -c
    mkdir /sys/fs/cgroup/x 2>&1; cat /proc/self/cgroup | cut -d: -f3 | sort -u' 2>&1
  grep -q '^0$' <<<"$output"
  [ "$(grep -c 'Read-only file system' <<<"$output")" -ge 3 ]
  [ "${lines[-1]}" = / ]
}

@test "/proc/1/exe cannot be opened for writing, not even through a descriptor kept after its end" {
  local write='(echo x >>/proc/1/exe) 2>&1; exec 9</proc/1/exe; (echo x >>/proc/self/fd/9) 2>&1; true'
  # Nobody inside owns the file, ...
  run in_container -- sh -c "until grep -qx tank-init /proc/1/comm; do :; done; $write"
  [ "$(grep -c 'Permission denied' <<<"$output")" = 2 ]
  # ... and whoever does is stopped by its mount, when it is not busy any more. It is as long as any
  # container of this machine runs it, so this one has a file of its own; and as long as somebody
  # looks into the memory of the process that was.
  cp "$TANK_BUILD_DIR/tank-shim/init/tank-init" "$BATS_TEST_TMPDIR/tank-init"
  ln -sf "$BATS_TEST_TMPDIR/tank-init" "$WORK/libexec/tank-init"
  run drive userns=host @running '
    until grep -qx tank-init "/proc/$PID/comm"; do :; done
    exec 9<"/proc/$PID/exe"
    kill -KILL "$PID"
    for i in $(seq 5000); do
      if (echo x >>/proc/self/fd/9) 2>"$WORK/refusal"; then exit 1; fi
      grep -q "Text file busy" "$WORK/refusal" || break
    done' @end wait -- sleep 1000
  rm "$WORK/libexec/tank-init" # the next one makes it as usual
  echo "$output"
  cat "$WORK/refusal"
  grep -q 'Read-only file system' "$WORK/refusal"
}

@test "hostname, /etc/hosts, /etc/hostname, and a resolv.conf that asks nobody" {
  rm -f "$WORK/root/etc/resolv.conf"
  ln -s ../run/somewhere/resolv.conf "$WORK/root/etc/resolv.conf"
  run in_container hostname=redis-0 -- sh -c 'hostname; cat /etc/hostname /etc/hosts; wc -c </etc/resolv.conf'
  [ "${lines[0]}" = redis-0 ]
  [ "${lines[1]}" = redis-0 ]
  [ "${lines[2]}" = '127.0.0.1 localhost redis-0' ]
  [ "${lines[4]}" = 0 ]
  [ -L "$WORK/root/etc/resolv.conf" ]
}

@test "network none: lo, up, and nothing else" {
  run in_container -- sh -c 'ls /sys/class/net; cat /proc/net/dev | grep -c :; ip addr show lo'
  [ "${lines[0]}" = lo ]
  [ "${lines[1]}" = 1 ]
  [[ $output = *'LOOPBACK,UP'* && $output = *127.0.0.1/8* ]]
}

@test "network host: the host's interfaces and names, a hostname of its own, /sys still read-only" {
  run in_container network=host hostname=inner -- sh -c \
    'readlink /proc/self/ns/net; cat /etc/resolv.conf; hostname; cat /etc/hosts; (echo x >/sys/kernel/uevent_helper) 2>&1; true'
  [ "${lines[0]}" = "$(readlink /proc/self/ns/net)" ]
  [[ $output = *"$(grep -m1 . /etc/resolv.conf)"* ]]
  [[ $output = *inner* && $output = *'Read-only file system'* ]]
}

@test "userns host: real ids, the same capability set, the same marks on disk" {
  run drive userns=host @running 'until grep -q ready "$LOG"; do :; done
    awk "/^Uid:/ { print \"uid\", \$2 }" "/proc/$PID/status"' \
    -- sh -c 'id -u; grep ^CapEff /proc/self/status; rm /etc/group; mkdir /bin2; echo ready; exec sleep 1000'
  [ "$status" = 0 ]
  echo "$output"
  [[ $output = *'uid 0'* ]]
  [ "$(log | head -1)" = 0 ]
  [[ $(log) = *00000000800405fb* ]]
}

@test "volumes: written through with the ids of the disk, read-only ones are, nosuid and nodev both" {
  mkdir -p "$WORK/v1" "$WORK/v2/sub"
  echo host >"$WORK/v2/file"
  run in_container "mount.source=$WORK/v1" mount.target=/data mount.options=rw,idmap=auto \
    "mount.source=$WORK/v2" mount.target=/etc/app/conf mount.options=ro \
    -- sh -c 'echo in >/data/new; cat /etc/app/conf/file; (echo x >/etc/app/conf/file) 2>&1
      grep -E " /data | /etc/app/conf " /proc/mounts; stat -c %u /etc/app/conf/file'
  [ "$(stat -c %u:%g "$WORK/v1/new")" = 0:0 ]
  [ "$(cat "$WORK/v1/new")" = in ]
  [[ $output = *'Read-only file system'* ]]
  grep -Eq ' /data [a-z0-9]+ rw,nosuid,nodev' <<<"$output"
  grep -Eq ' /etc/app/conf [a-z0-9]+ ro,nosuid,nodev' <<<"$output"
  [ "${lines[-1]}" = 0 ]
}

@test "a volume inside another's directory is seen, in whatever order they are declared" {
  mkdir -p "$WORK/v3/inner" "$WORK/v4"
  echo deep >"$WORK/v4/file"
  run in_container "mount.source=$WORK/v4" mount.target=/vol/inner mount.options=rw \
    "mount.source=$WORK/v3" mount.target=/vol mount.options=rw -- cat /vol/inner/file
  [ "$output" = deep ]
}

@test "a volume that cannot be idmapped names the mount and what to do; idmap=off takes it" {
  mkdir -p "$WORK/v5/lower" "$WORK/v5/upper" "$WORK/v5/work" "$WORK/v5/at/sub"
  # shellcheck disable=SC2030,SC2031
  run unshare -m sh -c '
    mount -t overlay -o "lowerdir=$WORK/v5/lower,upperdir=$WORK/v5/upper,workdir=$WORK/v5/work" \
      overlay "$WORK/v5/at/sub" || exit 77
    "$DRIVE" "$WORK" "mount.source=$WORK/v5/at" mount.target=/data mount.options=rw @end wait -- true
    "$DRIVE" "$WORK" "mount.source=$WORK/v5/at" mount.target=/data mount.options=rw,idmap=off \
      @end wait -- true'
  [ "$status" != 77 ] || skip 'no overlay on this directory'
  [[ $output = *"result=setup-failed 22 volume the file system at $WORK/v5/at/sub (overlay) cannot be idmapped; set idmap: off"* ]]
  [[ $output = *'result=exited 0'* ]]
}

@test "nothing is mounted over /proc or /sys" {
  mkdir -p "$WORK/v6"
  run drive "mount.source=$WORK/v6" mount.target=/proc/sys mount.options=rw @end wait -- true
  [[ $output = *'result=setup-failed 1 volume'* ]]
  ln -sfn /proc "$WORK/root/data/link"
  run drive "mount.source=$WORK/v6" mount.target=/data/link/fs mount.options=rw @end wait -- true
  [[ $output = *'result=setup-failed 1 volume'* ]]
  rm "$WORK/root/data/link"
}

@test "a root whose /proc, /dev, /sys or mount points are symlinks reaches nothing of the host" {
  local canary=$WORK/canary
  mkdir -p "$canary"
  echo canary >"$canary/file"
  for name in proc dev sys; do
    rm -rf "$WORK/root3"
    make_root "$WORK/root3"
    ln -s "../../../../../../../../$canary" "$WORK/root3/$name"
    run drive "rootfs=$WORK/root3" @end wait -- true
    [[ $output = *'result=setup-failed'*rootfs*'must be a directory'* ]]
  done
  rm -rf "$WORK/root3"
  make_root "$WORK/root3"
  rm -rf "$WORK/root3/etc" "$WORK/root3/data"
  ln -s "../../../../../../../../$canary" "$WORK/root3/etc"
  ln -s "$canary" "$WORK/root3/data"
  mkdir -p "$WORK/v7"
  run drive "rootfs=$WORK/root3" "mount.source=$WORK/v7" mount.target=/data/x mount.options=rw \
    @end wait -- true
  [ "$(find "$canary" | wc -l)" = 2 ]
  [ "$(cat "$canary/file")" = canary ]
}

@test "a working directory by way of a descriptor is refused" {
  local n
  for n in 3 4 5 6 7 8 9; do
    run drive "cwd=/proc/self/fd/$n" @end wait -- ls
    [[ $output = *'result=setup-failed'*cwd* ]]
  done
}

@test "memory, pids and cpu limits are in force" {
  run drive limit.memory=67108864 limit.pids=20 limit.cpu_quota=50000 limit.cpu_period=100000 \
    @running '
      at() { for d in /sys/fs/cgroup/$1/$CGROUP /sys/fs/cgroup/$CGROUP/ctr; do
        [ ! -e "$d/$2" ] || echo "$2=$(cat "$d/$2")"; done; }
      at memory memory.limit_in_bytes; at pids pids.max; at cpu cpu.cfs_quota_us
      at x memory.max; at x cpu.max; grep -c . /proc/$PID/cgroup >/dev/null' -- sleep 1000
  [ "$status" = 0 ]
  [[ $output = *=67108864* && $output = *pids.max=20* ]]
  [[ $output = *cpu.cfs_quota_us=50000* || $output = *'cpu.max=50000 100000'* ]]
  run drive limit.pids=8 @end wait -- sh -c \
    'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; kill %1 2>/dev/null; exit 0'
  [[ $(log) = *"can't fork"* || $(log) = *'Resource temporarily unavailable'* ]]
}

@test "a workload that is killed for lack of memory ends as oom-killed" {
  run drive limit.memory=16777216 @end wait -- \
    sh -c 'exec dd if=/dev/zero of=/dev/null bs=200M count=1'
  [ "$status" = 0 ]
  [[ $output = *'result=oom-killed 9'* ]]
}

@test "limits and scores of those who started it are not the container's" {
  ulimit -Sn 4096
  run in_container -- sh -c 'ulimit -Sn; cat /proc/self/oom_score_adj /proc/1/oom_score_adj; umask'
  [ "$output" = $'1024\n0\n0\n0022' ]
}
