#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Who hands the store a socket and does not keep up is given up within a minute, and holds nobody up
# until then.

load ../system/helper

setup()
{
  bats_require_minimum_version 1.5.0
  dir=$(mktemp -d)
}

teardown()
{
  for pid in ${peers-}; do kill "$pid" 2>/dev/null || true; done
  tankctl kv clear streams >/dev/null 2>&1 || true
  rm -rf "${dir:?}"
}

peer() # NAME [BYTES SECONDS]
{
  local name=$1
  shift
  "$BATS_TEST_DIRNAME/../bus/peer.py" Backup socket "$@" >"$dir/$name" 2>&1 3>&- &
  peers+=" $!"
}

# Others are served all the time.
given_up()
{
  tankctl kv set streams small x && grep -q 'TimedOut ' "$dir/never" && grep -q 'TimedOut ' "$dir/slowly"
}

@test "who never reads, and who reads a byte at a time, is given up" {
  for i in {1..12}; do
    head -c 90000 /dev/urandom >"$dir/value"
    tankctl kv set streams "large-$i" - <"$dir/value"
  done
  peer never
  peer slowly 100 0.1
  peer well 65536 1
  wait_for 100 given_up
  wait_for 60 grep -qx ok "$dir/well"
}
