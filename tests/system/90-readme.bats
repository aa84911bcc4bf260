#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every command of the README's tour is run, in order, on the real redis-server of the example.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

setup()
{
  helper_setup
  "$top/tools/redis-root"
}

teardown()
{
  delete_all default
  helper_teardown
}

# The tour's commands: what stands in fences between its marks.
tour()
{
  awk '/^<!-- tour -->$/ { tour = 1; next } /^<!-- \/tour -->$/ { tour = 0 }
    tour && /^```/ { code = !code; next } tour && code' "$top/README"
}

@test "the README's tour" {
  [ "$(tour | wc -l)" -gt 10 ]
  # As quickstart leaves it: a shell that is pointed at a tank where the example runs.
  cd "$BATS_TEST_TMPDIR"
  mkdir -p build/quickstart
  ln -s "$top/examples" examples
  : >build/quickstart/env
  tankctl apply --wait -f examples/redis.yaml
  wait_for 20 tankctl exec redis -- redis-cli ping
  # diff exits with 1 when there is a difference, which is what the tour shows
  tour | sed 's/^tankctl diff .*/& || [ $? = 1 ]/' >commands
  run -0 bash -euo pipefail -x commands
  echo "$output"
  # what was written before the kill is there after it
  [ "$(grep -cx hello <<<"$output")" = 2 ]
}

@test "the example is valid, and what redis writes is in its volume" {
  tankctl validate -f "$top/examples/redis.yaml"
  tankctl apply --wait -f "$top/examples/redis.yaml"
  wait_for 20 tankctl exec redis -- redis-cli ping
  [ "$(tankctl exec redis -- redis-cli set k v)" = OK ]
  [ -n "$(find "$TANK_STATE_DIR/volumes/default/data" -name '*.aof*')" ]
  tankctl restart redis
  tankctl wait redis --for=running --timeout "$(scaled 60)"
  wait_for 20 equals v tankctl exec redis -- redis-cli get k
}

@test "the example of two containers and an init container: what one writes the other serves" {
  tankctl validate -f "$top/examples/counter.yaml"
  tankctl apply --wait -f "$top/examples/counter.yaml"
  [ "$(tankctl get pod counter -o json | jq -r '.status.init_containers[0].state')" = exited ]
  # tick may have been there before redis listened: then it is started again, alone
  wait_for 30 at_least 2 tankctl exec counter -- redis-cli get ticks
  tankctl logs counter/tick | grep -qx 1
  tankctl logs counter | grep -q 'Ready to accept connections'
  redis=$(tankctl get pod counter -o json | jq -r '.status.containers[0].pid')
  tankctl restart counter/tick
  tankctl wait counter --for=ready --timeout "$(scaled 60)"
  [ "$(tankctl get pod counter -o json | jq -r '.status.containers[0].pid')" = "$redis" ]
}
