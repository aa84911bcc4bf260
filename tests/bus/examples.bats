#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What examples/ has that is a program: it does what it says. tank_store.py is run by tests/conformance.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
}

# It starts a bus and a store of its own; whoever writes tests may be anybody.
@test "examples/test_store.py: a store for the tests of others, by root and by whoever" {
  chmod 755 "$dir"
  cp "$build/tankd-store/tankd-store" "$BATS_TEST_DIRNAME/../../examples/test_store.py" "$dir/"
  chmod 755 "$dir/tankd-store" "$dir/test_store.py"
  TANKD_STORE=$dir/tankd-store /usr/bin/python3 "$dir/test_store.py"
  TANKD_STORE=$dir/tankd-store setpriv --reuid 65534 --regid 65534 --clear-groups \
    /usr/bin/python3 "$dir/test_store.py"
}
