# SPDX-License-Identifier: Apache-2.0
# One shim at a time, driven by shim-drive, with a busybox root. Each file has a work directory of its
# own on a tmpfs: making files on the disk of some machines is slower than starting a container.

# shellcheck disable=SC2034

helper_setup_file()
{
  TANK_BUILD_DIR=${TANK_BUILD_DIR:-$PWD}
  export TANK_BUILD_DIR
  [ "$(id -u)" = 0 ] || skip 'needs root: namespaces, cgroups, idmapped mounts'
  WORK=$(mktemp -d /dev/shm/tank-shim-XXXXXX)
  TEST_ID=$(basename "$WORK" | tr '[:upper:]' '[:lower:]' | tr -c '[:alnum:]\n' -)
  POD_UID=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  DRIVE=$TANK_BUILD_DIR/tests/shim/shim-drive
  export WORK TEST_ID DRIVE POD_UID
  make_root "$WORK/root"
}

make_root()
{
  mkdir -p "$1/bin" "$1/etc" "$1/tmp" "$1/data" "$1/usr/local/bin"
  cp /bin/busybox "$1/bin/busybox"
  local applet
  for applet in sh cat ls id grep sed awk mount ps sleep touch mkdir echo hostname ip env kill \
    test true false stat readlink dd head tail wc chmod chown setsid tr sort rm ln nc tty stty \
    mknod unshare find chroot; do
    ln -s busybox "$1/bin/$applet"
  done
  cp "$TANK_BUILD_DIR/tests/probe/probe" "$1/bin/probe"
  printf 'root:x:0:0:root:/root:/bin/sh\nredis:x:999:998::/data:/bin/sh\n' >"$1/etc/passwd"
  printf 'root:x:0:\nredis:x:998:\nextra:x:1234:redis\nlast:x:1300:\n' >"$1/etc/group"
  echo lower >"$1/data/marker"
  : >"$1/marker" # the probe does harm nowhere else
}

helper_teardown_file()
{
  [ -n "${WORK:-}" ] || return 0
  local tree tries=0
  for tree in "$WORK"/run/pods/*; do
    [ ! -d "$tree" ] || "$TANK_BUILD_DIR/tank-shim/tank-shim" --cleanup-pod "$tree"
  done
  # What a shim that crashed left, too.
  for tree in /sys/fs/cgroup /sys/fs/cgroup/*; do
    tree=$tree/tank-test-$TEST_ID
    [ -d "$tree" ] || continue
    [ ! -e "$tree/cgroup.kill" ] || echo 1 >"$tree/cgroup.kill"
    until find "$tree" -depth -type d -exec rmdir {} \; 2>/dev/null; do
      [ -e "$tree" ] || break
      [ "$((tries++))" -lt 1000 ] || break
    done
  done
  rm -rf "$WORK"
}

# drive [KEY=VALUE…] [@running COMMAND] [@end HOW] -- ARGV…
drive()
{
  rm -f "$WORK"/log/default/web/app.log*
  timeout 60 "$DRIVE" "$WORK" "$@"
}

# in_container [KEY=VALUE…] -- ARGV…: runs it to its end; prints its output.
in_container()
{
  local out
  out=$(drive @end wait "$@") || {
    echo "$out"
    return 1
  }
  [[ $out = *'result=exited 0'* ]] || {
    echo "$out"
    log
    return 1
  }
  log
}

# What the container wrote, without the records' heads.
log()
{
  cut -d' ' -f5- "$WORK"/log/default/web/app.log
}
