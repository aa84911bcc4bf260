# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What only an installed tank shows: the units, the users, the bus policy, activation, systemd's
# cgroups. Runs in the machine of tests/vm/run.

bats_require_minimum_version 1.5.0
load ../system/helper

# systemd 1|0: it stands still, it goes on.
systemd_stands()
{
  echo "$1" >/sys/fs/cgroup/init.scope/cgroup.freeze
  wait_for 20 grep -qx "frozen $1" /sys/fs/cgroup/init.scope/cgroup.events
}

scope_asked_for()
{
  grep -qsz '^cgroup.scope=' /run/tank/pods/*/main/*/record
}

# What nothing_left sees, and units of scopes whose cgroup is gone.
no_scope_left()
{
  nothing_left && [ -z "$(systemctl list-units --all --plain --no-legend 'tank-*.scope')" ]
}

teardown()
{
  systemd_stands 0
  rm -f /etc/polkit-1/rules.d/50-tank.rules
  helper_teardown
}

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

@test "installed: keys that are open to others: no store, no loop, and the next call finds them put right" {
  key=/var/lib/tank/store/secrets.key
  chmod 644 "$key"
  run systemctl restart tankd-store.service
  chmod 600 "$key"
  [ "$status" -ne 0 ]
  [ "$(systemctl is-failed tankd-store.service)" = failed ] # and not about to be started again
  [ "$(systemctl show -P ExecMainStatus tankd-store.service)" = 78 ]
  busctl call org.tankd.Store1 /org/tankd/Store1 org.freedesktop.DBus.Peer Ping
  # It answers a moment before systemd has heard that it is ready.
  wait_for 20 systemctl is-active --quiet tankd-store.service
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
  runuser -u tank-member -- tankctl get pods -n "$NS" -o name | grep -q web
  wait_for 20 equals told runuser -u tank-member -- tankctl logs -n "$NS" web
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
  run runuser -u tank-member -- sh -c "echo '$(pod host '.network = "host"' -- sleep 1000)' |
    tankctl apply -n $NS -f -"
  [ "$status" -eq 1 ]
  [[ $output = *privileged* ]] || [[ $output = *denied* ]]
}

# polkit_grants ACTION…: to the stranger, from now on.
polkit_grants()
{
  printf 'polkit.addRule(function(action, subject) {
    if (subject.user == "stranger" && %s.indexOf(action.id) >= 0)
        return polkit.Result.YES;
  });\n' "$(printf '%s\n' "$@" | jq -Rcn '[inputs | "org.tankd." + .]')" >/etc/polkit-1/rules.d/50-tank.rules
}

stranger()
{
  runuser -u stranger -- "$@"
}

@test "installed: what polkit grants, the store grants, which asks it as its own user; and no more" {
  [ "$(ps -o user= -p "$(systemctl show -P MainPID tankd-store.service)")" = tank-store ]
  start web -- sleep 1000
  run stranger busctl call --allow-interactive-authorization=no org.tankd.Store1 /org/tankd/Store1 \
    org.tankd.Store1 Get sss pod "$NS" web
  [ "$status" -ne 0 ]
  says "needs the right 'inspect'"
  run -1 grep 'cannot be asked' <<<"$output"
  polkit_grants inspect
  wait_for 60 stranger tankctl get pods -n "$NS" -o name
  [ "$(stranger tankctl get pods -n "$NS" -o name)" = pod/web ]
  run stranger tankctl delete pod web -n "$NS"
  [ "$status" -eq 1 ]
  says "'manage'"
  polkit_grants inspect attach
  run stranger tankctl exec -n "$NS" web -- true
  says "'privileged'" # a root directory is
  polkit_grants inspect attach privileged
  wait_for 60 stranger tankctl exec -n "$NS" web -- true
  rm /etc/polkit-1/rules.d/50-tank.rules
  gone_again()
  {
    run stranger tankctl get pods -n "$NS" -o name
    [ "$status" -eq 1 ]
  }
  wait_for 60 gone_again
}

# The administrator is root, who has no password in this machine and so need not say one.
@test "installed: at a terminal polkit asks an administrator, and the call goes on" {
  start web -- sleep 1000
  run stranger tankctl delete pod web -n "$NS"
  [ "$status" -eq 1 ]
  run timeout 100 runuser -u stranger -- script -qec "tankctl delete pod web -n $NS" /dev/null
  echo "$output"
  says 'deleted'
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

@test "installed: a systemd that is busy is waited for" {
  systemd_stands 1
  pod web -- sleep 1000 | apply
  wait_for 20 scope_asked_for
  systemd_stands 0
  until_state web running
  [ "$(restarts_of web)" = 0 ]
  scope=$(cgroup_of "$(pid_of web)")
  [[ $scope == /sys/fs/cgroup/tank.slice/tank-t*-web-main-*.scope/ctr/main ]]
}

@test "installed: after a systemd that answered too late it runs again, and no scope stays" {
  systemd_stands 1
  pod late -- sleep 1000 | apply
  wait_for 60 equals 'setup-failed 110' result_of late
  output=$(tankctl describe pod late -n "$NS")
  says 'systemd does not answer'
  systemd_stands 0
  until_state late running
  tankctl delete pod late -n "$NS"
  wait_for 60 no_scope_left
}

@test "installed: a shim that is killed while systemd is busy leaves no scope" {
  systemd_stands 1
  pod web -- sleep 1000 | apply
  wait_for 20 scope_asked_for
  shim=$(shims)
  kill -9 "$shim"
  wait_for 20 gone "$shim"
  systemd_stands 0
  until_state web running
  tankctl delete pod web -n "$NS"
  wait_for 60 no_scope_left
}

@test "installed: systemd executes itself anew while pods are started" {
  for name in a b c d; do
    pod "$name" -- sleep 1000 | apply
    [ "$name" != b ] || systemctl daemon-reexec
  done
  for name in a b c d; do
    until_state "$name" running
    [ "$(restarts_of "$name")" = 0 ]
  done
}
