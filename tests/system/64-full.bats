#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who dies, what survives: the disk is full (full.bash). Twenty times over: tests/full/full.bats.

load helper
load matrix
load disk
load full

setup()
{
  full_setup
}

teardown()
{
  full_teardown
}

@test "the disks of state and logs are full: what runs goes on, one can delete and stop; with room all is as before" {
  state_and_logs_full 2
}

@test "the run directory is full: what runs goes on, one can delete and stop; what starts later says why; gaps are told" {
  run_directory_full 2
}

@test "daemons that die on full disks come back on them, and carry on" {
  daemons_die_on_full_disks bytes
}
