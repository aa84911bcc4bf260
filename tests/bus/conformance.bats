#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What every store of desired state has to do, over a real bus, on disk and in memory alike:
# conformance.py has the scenarios, by their numbers.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
}

@test "A, B, C, X: the scenarios of the store, on disk" {
  start_store
  "$BATS_TEST_DIRNAME/conformance.py" # with the python of the system, which has its modules
}

@test "A, B, C, X: the scenarios of the store, in memory" {
  start_store --memory
  "$BATS_TEST_DIRNAME/conformance.py"
}
