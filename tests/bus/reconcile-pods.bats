#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Pods of several containers and init containers, with tankd-reconcile as in reconcile.bats: what is
# started when, by what the shims are told. That real containers do the same is tests/system/25-pods.

# shellcheck disable=SC2154 # from there
load reconcile

setup()
{
  setup_tank
}
teardown()
{
  teardown_tank
}

# with LIST NAME COMMAND…: a filter that adds a container to that list.
with()
{
  jq -cn '$ARGS.positional' --args -- "${@:3}" |
    sed "s/.*/.$1 += [{name: \"$2\", image: {rootfs: \"\/\"}, command: &}]/"
}

# of POD CONTAINER FILTER
of()
{
  status "$1" ".init_containers + .containers | .[] | select(.name == \"$2\") | $3"
}

starts()
{
  grep -c "^start $1 " "$dir/notes"
}

@test "init containers: in order, the first makes the sandbox; those that are done are not run again" {
  start_monitor "interface='org.tankd.Reconcile1'"
  duo=$(pod duo "$(with init_containers one true) | $(with init_containers two true) |
    $(with containers side sleep 2000)" -- sleep 1000)
  apply <<<"$duo"
  wait_for is duo '.ready'
  [ "$(head -n 2 "$dir/notes")" = $'start one sandbox=create\nstart two sandbox=join' ]
  [ "$(sed -n 3,4p "$dir/notes" | sort)" = $'start main sandbox=join\nstart side sandbox=join' ]
  is duo '[.init_containers[] | .state, .reason] == ["exited", "Completed", "exited", "Completed"]'
  wait_for grep -q '"ready"' "$dir/events"
  end "$monitor"
  run jq -r 'select(.member == "PodEvent") | .payload.data | "\(.[3]) \(.[4])"' "$dir/events"
  # that it ran may be seen together with its end
  [ "$(grep -v running <<<"$output" | head -n 5 | tr '\n' ',')" = \
    " applied,one starting,one exited,two starting,two exited," ]
  # Killed, and changed in what is not theirs: the same processes.
  main=$(of duo main .pid) side=$(of duo side .pid)
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for is duo '.ready'
  jq -c '.labels = {a: "b"} | .init_containers[0].stop = {signal: "SIGINT"}' <<<"$duo" | apply
  sync
  [ "$(of duo main .pid) $(of duo side .pid)" = "$main $side" ]
  kill -KILL "$side"
  wait_for is duo '.containers[1].restarts == 1 and .ready'
  [ "$(starts one) $(starts two) $(starts main)" = "1 1 1" ]
}

@test "a record of before there were init containers, and a damaged one: what runs is taken over" {
  pod plain -- sleep 1000 | apply
  pod duo "$(with init_containers one true) | $(with containers side sleep 2000)" -- sleep 1000 | apply
  wait_for is plain '.ready'
  wait_for is duo '.ready'
  plain=$(pid_of plain) duo=$(pid_of duo) side=$(of duo side .pid)
  end "$reconcile_pid" KILL
  record=$(grep -lz '^pod=plain$' "$dir"/run/pods/*/pod.record)
  grep -zv '^init=\|^hosts_hash=' "$record" >"$record.old"
  mv "$record.old" "$record"
  record=$(grep -lz '^pod=duo$' "$dir"/run/pods/*/pod.record)
  head -c 100 "$record" >"$record.cut"
  mv "$record.cut" "$record"
  start_reconcile
  wait_for is plain '.ready'
  wait_for is duo '.ready'
  sync
  [ "$(pid_of plain) $(pid_of duo)" = "$plain $duo" ]
  # A main container that runs says that its init container is done.
  [ "$(starts one)" = 1 ]
  is duo '.state == "running" and .reason == ""'
  # And what was made before it is joined by one that starts again.
  kill -KILL "$side"
  wait_for is duo '.ready and (.containers[1].results | length) == 1'
  [ "$(pid_of duo) $(starts one)" = "$duo 1" ]
  [ "$(tail -n 1 "$dir/notes")" = "start side sandbox=join" ]
}

@test "the one that makes the sandbox is taken out before it has: the next one makes it" {
  pod duo "$(with containers side sleep 2000) | .containers[0].env = {FAULT: \"mute\"}" -- sleep 1000 | apply
  wait_for is duo '.containers[0].state == "creating" and .containers[1].state == "waiting"'
  pod duo "$(with containers side sleep 2000) | del(.containers[0])" -- sleep 1000 | apply
  wait_for is duo '.ready and (.containers | length == 1)'
  [ "$(cat "$dir/notes")" = "start side sandbox=create" ]
}

@test "an init container whose shim dies, or that is not let start, is run again; the others wait" {
  pod a "$(with init_containers one sleep 1000) | .init_containers[0].env = {FAULT: \"die-running\"}" -- sleep 1000 | apply
  pod b "$(with init_containers one true) | .init_containers[0].env = {FAULT: \"fail-setup\"}" -- sleep 1000 | apply
  pod c "$(with init_containers one true) | .init_containers[0].env = {FAULT: \"die-early\"} | .restart = \"never\"" -- \
    sleep 1000 | apply
  wait_for is a '.init_containers[0].restarts >= 2 and .init_containers[0].results[0].kind == "shim-lost"'
  wait_for is b '.init_containers[0].restarts >= 2 and .init_containers[0].results[0].stage == "rootfs"'
  wait_for is c '.state == "failed" and .reason == "SetupFailed"'
  is a '.containers[0].state == "waiting" and (.state == "waiting" or .state == "creating")'
  [ "$(starts main)" = 0 ]
  # what could not make the sandbox tries again to make it
  [ "$(grep -c 'sandbox=join' "$dir/notes")" -lt "$(starts one)" ]
  for p in a b c; do
    tankctl delete pod "$p"
    wait_for gone "$p"
  done
}

@test "restart of a pod, of a container, of an init container" {
  pod duo "$(with init_containers one true) | $(with init_containers two true) | $(with containers side sleep 2000)" -- \
    sleep 1000 | apply
  wait_for is duo '.ready'
  side=$(of duo side .pid)
  : >"$dir/notes"
  tankctl restart duo/main
  wait_for grep -q '^start main' "$dir/notes"
  wait_for is duo '.ready'
  [ "$(of duo side .pid)" = "$side" ]
  [ "$(starts one) $(starts two)" = "0 0" ]
  tankctl restart duo/two
  wait_for grep -q '^start side' "$dir/notes"
  wait_for is duo '.ready'
  [ "$(starts one) $(starts two) $(starts main)" = "0 1 2" ]
  tankctl restart duo
  wait_for grep -q '^start one' "$dir/notes"
  wait_for is duo '.ready'
  [ "$(starts one) $(starts two) $(starts main)" = "1 2 3" ]
}

@test "extra hosts reach those that run; another host name is another sandbox" {
  duo=$(pod duo "$(with containers side sleep 2000) | .extra_hosts = {db: \"10.0.0.1\"}" -- sleep 1000)
  apply <<<"$duo"
  wait_for is duo '.ready'
  main=$(of duo main .pid)
  jq -c '.extra_hosts = {db: "10.0.0.2", other: "::1"}' <<<"$duo" | apply
  for c in main side; do
    wait_for grep -qx "host $c ::1 other" "$dir/notes"
    wait_for grep -qx "host $c 10.0.0.2 db" "$dir/notes"
  done
  [ "$(of duo main .pid)" = "$main" ]
  # known to a later reconciler as well
  end "$reconcile_pid" KILL
  : >"$dir/notes"
  start_reconcile
  wait_for is duo '.ready'
  sync
  [ ! -s "$dir/notes" ]
  jq -c '.hostname = "other" | .extra_hosts = {db: "10.0.0.2", other: "::1"}' <<<"$duo" | apply
  wait_for grep -qx 'start main sandbox=create' "$dir/notes"
  wait_for is duo '.ready'
  [ "$(starts main) $(starts side)" = "1 1" ]
  [ "$(tail -n 1 "$dir/notes")" = "start side sandbox=join" ]
  grep -q '^stop main' "$dir/notes"
  grep -q '^stop side' "$dir/notes"
}

@test "results of a pod of several: all of them survive a reboot, and the next one" {
  pod duo "$(with init_containers one true) | $(with containers side false) | .restart = \"never\"" -- \
    sh -c 'exit 3' | apply
  wait_for has_told duo failed 2
  is duo '.state == "failed" and all(.containers[]; .state == "failed")'
  end "$reconcile_pid" KILL
  for _ in 1 2; do
    rm -rf "${dir:?}/run"
    mkdir "$dir/run"
    : >"$dir/notes"
    start_reconcile
    wait_for is duo '[.containers[].results[0].code] == [3, 1]'
    sync
    is duo '.init_containers[0].state == "exited" and .state == "failed"'
    [ ! -s "$dir/notes" ]
    end "$reconcile_pid" KILL
  done
  start_reconcile
  wait_for has_owner org.tankd.Reconcile1
}
