#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Limits, on the unified tree or on the mirrors of a hybrid machine, and their change in place.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

# value POD CONTROLLER V1-FILE V2-FILE: as the kernel has it, at the node that limits act on.
value()
{
  local dir
  dir=$(cgroup_of "$(workload_of "$1")" "$2")
  if [ -d "/sys/fs/cgroup/$2" ]; then
    cat "${dir%/main}/$3"
  else
    cat "${dir%/main}/$4"
  fi
}

cpu_of()
{
  if [ -d /sys/fs/cgroup/cpu ]; then
    echo "$(value "$1" cpu cpu.cfs_quota_us -) $(value "$1" cpu cpu.cfs_period_us -)"
  else
    value "$1" cpu - cpu.max
  fi
}

unlimited_cpu=max
[ ! -d /sys/fs/cgroup/cpu ] || unlimited_cpu=-1

@test "R1: memory 64 MiB, 50 processes, half a CPU: the kernel has them, and the process is in" {
  start web '.containers[0].limits = {memory: "64MiB", pids: 50, cpu: 0.5}' -- sleep 1000
  [ "$(value web memory memory.limit_in_bytes memory.max)" = 67108864 ]
  [ "$(value web pids pids.max pids.max)" = 50 ]
  [ "$(cpu_of web)" = "50000 100000" ]
  dir=$(cgroup_of "$(pid_of web)" memory)
  grep -qx "$(pid_of web)" "$dir/cgroup.procs"
  dirs=$(for c in memory pids cpu ''; do cgroup_of "$(pid_of web)" "$c"; done)
  tankctl delete pod web -n "$NS" --wait
  for dir in $dirs; do wait_for 10 test ! -e "$dir"; done
}

@test "R1: the other spelling of cpu" {
  start web '.containers[0].limits = {cpu: {quota: "20ms", period: "50ms"}}' -- sleep 1000
  [ "$(cpu_of web)" = "20000 50000" ]
}

@test "R2: a pod without limits has a cgroup too" {
  start web -- sleep 1000
  [[ $(cgroup_of "$(workload_of web)") == *tank* ]]
  [ "$(value web pids pids.max pids.max)" = max ]
}

@test "limits change in place, up, down, away and back, with the same pid" {
  start web '.containers[0].limits = {memory: "64MiB", pids: 50, cpu: 0.5}' -- sleep 1000
  pid=$(pid_of web)
  pod web '.containers[0].limits = {memory: "96MiB", pids: 60, cpu: 1.5}' -- sleep 1000 | apply
  wait_for 10 equals 100663296 value web memory memory.limit_in_bytes memory.max
  wait_for 10 equals 60 value web pids pids.max pids.max
  wait_for 10 equals "150000 100000" cpu_of web
  pod web '.containers[0].limits = {memory: "32MiB", pids: 20}' -- sleep 1000 | apply
  wait_for 10 equals 33554432 value web memory memory.limit_in_bytes memory.max
  wait_for 10 equals 20 value web pids pids.max pids.max
  wait_for 10 equals "$unlimited_cpu 100000" cpu_of web
  pod web -- sleep 1000 | apply
  wait_for 10 equals max value web pids pids.max pids.max
  [ "$(value web memory memory.limit_in_bytes memory.max)" != 33554432 ]
  pod web '.containers[0].limits = {pids: 30}' -- sleep 1000 | apply
  wait_for 10 equals 30 value web pids pids.max pids.max
  [ "$(pid_of web)" = "$pid" ]
  [ "$(restarts_of web)" = 0 ]
  [ "$(get web .meta.generation)" = 5 ]
}

@test "limits changed in place are those of the next start as well" {
  start web '.containers[0].limits = {pids: 50}' -- sleep 1000
  pod web '.containers[0].limits = {pids: 60}' -- sleep 1000 | apply
  wait_for 10 equals 60 value web pids pids.max pids.max
  kill -9 "$(workload_of web)"
  wait_for 10 equals 1 restarts_of web
  until_state web running
  [ "$(value web pids pids.max pids.max)" = 60 ]
}

@test "a limit that cannot be set now is told, and the pod goes on" {
  start web '.containers[0].limits = {memory: "128MiB"}' -- sh -c 'head -c 60M /dev/zero | tail >/dev/null; sleep 1000'
  pid=$(pid_of web)
  pod web '.containers[0].limits = {memory: "127MiB"}' -- \
    sh -c 'head -c 60M /dev/zero | tail >/dev/null; sleep 1000' | apply
  wait_for 10 equals 133169152 value web memory memory.limit_in_bytes memory.max
  [ "$(pid_of web)" = "$pid" ]
}

@test "the number of processes is held, sessions included" {
  start web '.containers[0].limits = {pids: 20}' -- sleep 1000
  forked=$(in_pod web probe fork 100)
  echo "forked $forked"
  [ "$forked" -lt 20 ]
  [ "$forked" -ge 10 ]
}

@test "memory is held: who takes more is oom-killed, the neighbours are not" {
  start other -- sleep 1000
  other=$(pid_of other)
  pod web '.restart = "never" | .containers[0].limits = {memory: "32MiB"}' -- probe alloc 200 | apply
  until_state web exited
  [ "$(get web '.status.containers[0].results | last | .kind')" = oom-killed ]
  [ "$(get web .status.reason)" = OOMKilled ]
  [ "$(pid_of other)" = "$other" ]
  run ! grep -q allocated <(tankctl logs web -n "$NS")
}

@test "a killed workload under limits leaves no cgroup behind, with processes of any depth" {
  start web '.containers[0].limits = {pids: 200}' -- \
    sh -c 'for i in 1 2 3 4 5; do sh -c "(sleep 1000 & sleep 1000) & setsid sleep 1000" & done; sleep 1000'
  wait_for 10 at_least 16 sh -c "tankctl exec -n $NS web sh -c 'echo /proc/[0-9]*' | wc -w"
  shims=$(shims)
  kill -9 "$(workload_of web)"
  wait_for 10 at_least 1 restarts_of web
  until_state web running
  for shim in $shims; do wait_for 10 gone "$shim"; done
}
