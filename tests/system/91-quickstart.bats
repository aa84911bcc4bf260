#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tools/quickstart: what the README promises of it, with the build that is there.

load helper

# shellcheck disable=SC2154 # set by helper
quickstart()
{
  TANK_BUILD_DIR=$build "$top/tools/quickstart" "$@" 3>&-
}

# in_tank COMMAND…: in the tank that quickstart runs.
in_tank()
{
  # shellcheck source=/dev/null
  (. "$build/quickstart/env" && "$@")
}

setup()
{
  helper_setup
  [ ! -e "$build/quickstart" ] || skip "$build/quickstart is in use: tools/quickstart --stop"
  ours=1
}

teardown()
{
  [ -z "${ours-}" ] || quickstart --stop
  helper_teardown
}

@test "quickstart shows redis, its end and its return, leaves it running, and takes all of it down" {
  run -0 quickstart
  says 'pod/default/redis running'
  [ "$(grep -cx PONG <<<"$output")" = 2 ]
  # it outlives the command, and a second one finds it
  pid=$(in_tank tankctl get pod redis -o json | jq -e '.status.containers[0].pid')
  [ "$(in_tank tankctl get pod redis -o json | jq '.status.containers[0].restarts')" = 1 ]
  run -0 quickstart
  says 'pod/default/redis unchanged'
  [ "$(in_tank tankctl get pod redis -o json | jq '.status.containers[0].restarts')" = 2 ]
  dir=$(in_tank printenv TANK_SANDBOX_DIR)
  instance=$(in_tank printenv TANK_INSTANCE)
  quickstart --stop
  gone "$pid"
  [ ! -e "$build/quickstart" ]
  run ! grep -F " $dir/" /proc/self/mountinfo
  [ -z "$(find /sys/fs/cgroup -type d -name "tank-$instance*")" ]
  run -1 quickstart --frobnicate
  says 'usage'
}
