# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Disks of this tank that can be filled: tmpfs that are shrunk to what is on them, and grown again.
# Not a byte is left then, and with `inodes` not one more file. Loaded beside the helper.

# shellcheck disable=SC2154 # of the helper

# small_disks: state and logs get file systems of their own. No pod may be there.
small_disks()
{
  [ -n "$TANK_INSTANCE" ] || skip "the daemons' directories are the machine's: not to be filled"
  hold_daemon reconcile
  hold_daemon store
  mkdir "$BATS_TEST_TMPDIR/state"
  cp -a "$TANK_STATE_DIR/." "$BATS_TEST_TMPDIR/state"
  mount -t tmpfs -o mode=0755 state "$TANK_STATE_DIR"
  cp -a "$BATS_TEST_TMPDIR/state/." "$TANK_STATE_DIR"
  # Shrunk it is still no small disk, where the store would set less aside than it had.
  fallocate -l 256M "$TANK_STATE_DIR/filler"
  mount -t tmpfs -o mode=0755 logs "$TANK_LOG_DIR"
  let_daemons_go
  wait_for 30 all_ready
}

# What small_disks did is undone; the database stays the one that it is.
large_disks()
{
  mountpoint -q "$TANK_STATE_DIR" || return 0
  hold_daemon reconcile
  hold_daemon store
  if mountpoint -q "$TANK_LOG_DIR"; then umount "$TANK_LOG_DIR"; fi
  rm -rf "$BATS_TEST_TMPDIR/state" "$TANK_STATE_DIR/filler"
  cp -a "$TANK_STATE_DIR" "$BATS_TEST_TMPDIR/state"
  umount "$TANK_STATE_DIR"
  rm -rf "${TANK_STATE_DIR:?}/store"
  cp -a "$BATS_TEST_TMPDIR/state/." "$TANK_STATE_DIR"
  let_daemons_go
  wait_for 30 all_ready
}

# shrink_once DIR WHAT: fails when it was written to meanwhile.
shrink_once()
{
  local blocks free size inodes free_inodes
  read -r blocks free size inodes free_inodes <<<"$(stat -f -c '%b %f %S %c %d' "$1")"
  [ "$2" = inodes ] || free_inodes=$((inodes - 1000000))
  mount -o "remount,size=$(((blocks - free) * size)),nr_inodes=$((inodes - free_inodes))" "$1" \
    2>/dev/null
}

# shrink WHAT DIR…: WHAT is bytes, or inodes for both.
shrink()
{
  local what=$1 dir
  shift
  for dir; do wait_for 10 shrink_once "$dir" "$what"; done
}

grow()
{
  local dir
  for dir; do mount -o remount,size=50%,nr_inodes=1000000 "$dir"; done
}
