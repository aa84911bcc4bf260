#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# As tests/system/64-full.bats, twenty times over each.

load ../system/helper
load ../system/matrix
load ../system/disk
load ../system/full

setup()
{
  full_setup
}

teardown()
{
  full_teardown
}

@test "the disks of state and logs are full, twenty times" {
  state_and_logs_full 20
}

@test "the run directory is full, twenty times" {
  run_directory_full 20
}

@test "daemons that die where there is not a file free come back, and carry on" {
  daemons_die_on_full_disks inodes
}
