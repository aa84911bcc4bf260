# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What only an installed tank shows: the units, the users, the bus policy, activation, systemd's
# cgroups. Runs in the machine of tests/vm/run.

bats_require_minimum_version 1.5.0
load ../system/helper

@test "installed: both daemons are units that are ready" {
  # It answers a moment before systemd has heard that it is ready.
  wait_for 20 systemctl is-active --quiet tankd-store.service
  [ "$(systemctl is-active tankd-reconcile.service)" = active ]
}

@test "installed: the store runs as its own user, and nobody else reads the database" {
  pid=$(systemctl show -P MainPID tankd-store.service)
  [ "$(ps -o user= -p "$pid")" = tank-store ]
  [ "$(stat -c '%U %a' /var/lib/tank/store)" = 'tank-store 700' ]
}

@test "installed: cgroups are unified, with the controllers that limits need" {
  [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]
  for controller in memory pids cpu; do
    grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers
  done
}

@test "installed: limits are in the unified tree" {
  start limited '.containers[0].limits = {memory: "64MiB", pids: 50, cpu: 0.5}' -- sleep 1000
  node=$(cgroup_of "$(pid_of limited)")
  while [ ! -e "$node/memory.max" ] || [ "$(cat "$node/memory.max")" = max ]; do
    node=${node%/*}
    [ "$node" != /sys/fs ]
  done
  [ "$(cat "$node/memory.max")" = 67108864 ]
  [ "$(cat "$node/pids.max")" = 50 ]
  [ "$(cat "$node/cpu.max")" = '50000 100000' ]
}

@test "installed: a stopped store is activated by the first call" {
  systemctl stop tankd-store.service
  busctl call org.tankd.Store1 /org/tankd/Store1 org.freedesktop.DBus.Peer Ping
  # It answers a moment before systemd has heard that it is ready.
  wait_for 20 systemctl is-active --quiet tankd-store.service
}

@test "installed: members of group tank manage pods, strangers learn nothing" {
  start web -- sh -c 'echo told; exec sleep 1000'
  runuser -u member -- tankctl get pods -n "$NS" -o name | grep -q web
  wait_for 20 equals told runuser -u member -- tankctl logs -n "$NS" web
  run runuser -u stranger -- tankctl get pods -n "$NS" -o name
  [ "$status" -eq 1 ]
  [[ $output != *web* ]]
  run runuser -u stranger -- busctl introspect org.tankd.Reconcile1 /org/tankd/Reconcile1
  [ "$status" -ne 0 ]
  run runuser -u stranger -- busctl call org.tankd.Store1 /org/tankd/Store1 \
    org.freedesktop.DBus.Properties Get ss org.tankd.Store1 Revision
  [ "$status" -ne 0 ]
}

@test "installed: a member may not declare what is privileged" {
  run runuser -u member -- sh -c "echo '$(pod host '.network = "host"' -- sleep 1000)' |
    tankctl apply -n $NS -f -"
  [ "$status" -eq 1 ]
  [[ $output = *privileged* ]] || [[ $output = *denied* ]]
}

@test "installed: kill -9 and restart of both daemons: systemd brings them back, same process" {
  start web -- sleep 1000
  pid=$(pid_of web)
  kill_daemon reconcile
  kill_daemon store
  until_state web running
  [ "$(pid_of web)" = "$pid" ]
  systemctl restart tankd-store.service tankd-reconcile.service
  until_state web running
  [ "$(pid_of web)" = "$pid" ]
  [ "$(restarts_of web)" = 0 ]
  in_pod web -- true
}

@test "installed: stopping the reconciler leaves containers alone" {
  start web -- sleep 1000
  pid=$(pid_of web)
  systemctl stop tankd-reconcile.service
  kill -0 "$pid"
  systemctl start tankd-reconcile.service
  until_state web running
  [ "$(pid_of web)" = "$pid" ]
}
