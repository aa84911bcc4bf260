#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# tankd-reconcile with a real store on a real bus, and a shim that makes no sandbox.

# shellcheck disable=SC2154 # from there
load reconcile

bats_require_minimum_version 1.5.0

setup()
{
  setup_tank
}
teardown()
{
  teardown_tank
}

pid_is_not()
{
  local now
  now=$(pid_of "$1")
  [ -n "$now" ] && [ "$now" -gt 0 ] && [ "$now" != "$2" ]
}

restarts_at_least()
{
  is "$1" ".containers[0].restarts >= $2"
}

@test "an applied pod runs; what changes nothing of the launch keeps the process" {
  pod web -- sleep 1000 | apply
  wait_for running web
  pid=$(pid_of web)
  [ -d "/proc/$pid" ]
  start_monitor "interface='org.tankd.Reconcile1'"
  pod web -- sleep 1000 | apply
  pod web '.labels = {a: "b"} | .restart = "on-failure" | .grace = "3s"
    | .containers[0].tty = false | .containers[0].stop = {signal: "SIGINT"}' -- sleep 1000 | apply
  wait_for grep -q '"ready",2' "$dir/events"
  end "$monitor"
  [ "$(pid_of web)" = "$pid" ]
  # The stop parameters that are declared now are used, although the run began with others.
  tankctl delete pod web
  wait_for gone web
  grep -x 'stop main signal=2 grace=3000' "$dir/notes"
  dead "$pid"
  [ -z "$(ls "$dir/run/pods")" ]
}

@test "a changed command is a new process with counts at zero" {
  pod web -- sleep 1000 | apply
  wait_for running web
  pid=$(pid_of web)
  kill_main web
  wait_for restarts_at_least web 1
  wait_for running web
  pid=$(pid_of web)
  pod web -- sleep 1001 | apply
  wait_for pid_is_not web "$pid"
  is web '.containers[0].restarts == 0'
  grep -zx 'sleep' "/proc/$(pid_of web)/cmdline"
  grep -zx '1001' "/proc/$(pid_of web)/cmdline"
}

@test "crashes: results, counts, back-off that grows to its cap" {
  pod loop -- sh -c 'exit 3' | apply
  wait_for restarts_at_least loop 4
  is loop '.containers[0].results | length >= 4 and all(.kind == "exited" and .code == 3)'
  wait_for is loop '.containers[0].results | length == 5'
  # From end to start at most 400 ms: the fifth comes that much after the fourth at least.
  status loop '[.containers[0].results[].at[20:26]]'
  wait_for is loop '.reason == "BackingOff" and .state == "waiting" and .restart_at != null'
  tankctl delete pod loop
  wait_for gone loop
}

@test "on-failure and never: what is over stays over, also after a reboot" {
  pod job '.restart = "never"' -- sh -c 'exit 3' | apply
  pod clean '.restart = "on-failure"' -- true | apply
  wait_for is job '.state == "failed" and .reason == "Error"'
  wait_for is clean '.state == "exited" and .reason == "Completed"'
  wait_for has_told job failed
  wait_for has_told clean exited
  sync
  is job '.state == "failed" and .containers[0].restarts == 0'
  # A reboot: nothing is left of the run directory.
  end "$reconcile_pid"
  rm -rf "${dir:?}/run"
  mkdir "$dir/run"
  : >"$dir/notes"
  start_reconcile
  wait_for is job '.state == "failed" and .reason == "Error" and
    (.containers[0].results | length) == 1'
  wait_for is clean '.state == "exited"'
  sync
  [ ! -s "$dir/notes" ]
  # Another command is another job.
  pod job '.restart = "never"' -- sh -c 'exit 4' | apply
  wait_for is job '.containers[0].results[-1].code == 4'
  wait_for has_told job failed
  # And a person may ask.
  tankctl restart clean
  wait_for is clean '(.containers[0].results | length) == 2 and .state == "exited"'
  # Results go with the pod.
  tankctl delete pod job
  tankctl delete pod clean
  wait_for gone job
  wait_for gone clean
  [ -z "$(ls "$dir/state/results")" ]
}

@test "results noted by an earlier life go with the pod, and are taken back at a start" {
  pod job '.restart = "never"' -- true | apply
  pod again '.restart = "never"' -- sleep 0.1 | apply
  wait_for has_told job exited
  wait_for has_told again exited
  [ "$(find "$dir/state/results" -type f | wc -l)" = 2 ]
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for is job '.state == "exited"'
  pod again '.restart = "never"' -- sleep 1000 | apply
  wait_for running again
  tankctl delete pod job
  wait_for gone job
  [ -z "$(ls "$dir/state/results")" ]
}

@test "a changed policy counts for what is over already" {
  pod job '.restart = "never"' -- sh -c 'sleep 0.1; exit 1' | apply
  wait_for is job '.state == "failed"'
  pod job '.restart = "always"' -- sh -c 'sleep 0.1; exit 1' | apply
  wait_for restarts_at_least job 2
  pod job '.restart = "never"' -- sh -c 'sleep 0.1; exit 1' | apply
  wait_for is job '.state == "failed"'
}

@test "restart: a new process, counts at zero; a back-off ends at once" {
  pod web '.backoff = {base: "1h", cap: "1h"}' -- sleep 1000 | apply
  wait_for running web
  kill_main web
  wait_for is web '.reason == "BackingOff" and .containers[0].restarts == 1'
  tankctl restart web
  wait_for running web
  is web '.containers[0].restarts == 0'
  pid=$(pid_of web)
  tankctl restart web
  wait_for pid_is_not web "$pid"
  run tankctl restart nothing
  [ "$status" = 3 ]
  # Deleting does not wait for a back-off either.
  kill_main web
  wait_for is web '.reason == "BackingOff"'
  tankctl delete pod web
  wait_for gone web
}

@test "events in order, with the generation they belong to" {
  start_monitor "interface='org.tankd.Reconcile1'"
  pod web '.backoff.base = "100ms"' -- sh -c "until [ -e '$dir/go' ]; do sleep 0.05; done; exit 3" | apply
  wait_for has_told web ready
  touch "$dir/go"
  wait_for restarts_at_least web 1
  tankctl delete pod web
  wait_for gone web
  wait_for grep -q '"deleted"' "$dir/events"
  end "$monitor"
  run jq -r 'select(.member == "PodEvent") | .payload.data[4]' "$dir/events"
  [ "$(head -n 5 <<<"$output" | tr '\n' ' ')" = "applied starting running ready backing-off " ]
  [ "$(tail -n 1 <<<"$output")" = deleted ]
  run jq -r 'select(.payload.data[4] == "backing-off") | .payload.data[5, 6]' "$dir/events"
  [ "${lines[0]}" = 1 ]
  [[ "${lines[1]}" == "exited with 3; restart 1 in "* ]]
}

@test "the reconciler is killed: same processes, same counts, and what happened meanwhile" {
  pod a -- sleep 1000 | apply
  pod b -- sleep 1000 | apply
  pod c -- sleep 1000 | apply
  wait_for running a
  kill_main a
  wait_for restarts_at_least a 1
  for p in a b c; do wait_for running "$p"; done
  a=$(pid_of a) b=$(pid_of b) c=$(pid_of c)
  c_shim=$(tr '\0' '\n' <"$(grep -l "pod=c" "$dir"/run/pods/*/main/*/record)" | sed -n 's/^shim_pid=//p')
  end "$reconcile_pid" KILL
  kill -KILL "$b"
  kill -KILL "$c_shim"
  pod d -- sleep 1000 | apply
  : >"$dir/notes"
  start_reconcile
  wait_for running d
  wait_for running a
  [ "$(pid_of a)" = "$a" ]
  is a '.containers[0].restarts == 1 and (.containers[0].results | length) == 1'
  wait_for is b '.containers[0].results[0] | .kind == "signaled" and .code == 9'
  wait_for running b
  is b '.containers[0].restarts == 1'
  wait_for is c '.containers[0].results[0].kind == "shim-lost"'
  wait_for running c
  grep -x cleanup "$dir/notes" # it waits for the end of what it kills
  dead "$c"
  # SIGTERM leaves everything running as well.
  c=$(pid_of c)
  end "$reconcile_pid"
  [ -d "/proc/$a" ] && [ -d "/proc/$c" ]
  start_reconcile
  wait_for running c
  [ "$(pid_of c)" = "$c" ]
  [ "$(pid_of a)" = "$a" ]
}

@test "a damaged pod record: what runs is taken over; a newer one is refused" {
  pod a -- sleep 1000 | apply
  pod b -- sleep 1000 | apply
  wait_for running a
  wait_for running b
  a=$(pid_of a) b=$(pid_of b)
  end "$reconcile_pid" KILL
  for record in "$dir"/run/pods/*/pod.record; do
    head -c 100 "$record" >"$record.cut"
    mv "$record.cut" "$record"
  done
  start_reconcile
  wait_for running a
  wait_for running b
  [ "$(pid_of a)" = "$a" ] && [ "$(pid_of b)" = "$b" ]
  end "$reconcile_pid"
  printf 'v=2\0pod_uid=x\0' >"$record"
  run "$build/tankd-reconcile/tankd-reconcile"
  [ "$status" = 1 ]
  [[ "$output" == *"newer tankd-reconcile"* ]]
  [ -d "/proc/$a" ] && [ -d "/proc/$b" ]
}

@test "deleted and changed while the reconciler was away" {
  pod a -- sleep 1000 | apply
  pod b -- sleep 1000 | apply
  wait_for running a
  wait_for running b
  a=$(pid_of a) b=$(pid_of b)
  end "$reconcile_pid" KILL
  tankctl delete pod a
  pod b -- sleep 1001 | apply
  start_reconcile
  wait_for gone a
  dead "$a"
  wait_for pid_is_not b "$b"
  dead "$b"
  is b '.containers[0].restarts == 0'
}

@test "the store is killed: what is known is kept, crashes are answered" {
  pod a -- sleep 1000 | apply
  wait_for running a
  end "$store_pid" KILL
  wait_for reconciler_is no-store
  kill_main a
  wait_for restarts_at_least a 1
  wait_for running a
  a=$(pid_of a)
  # A reconciler that starts without a store leaves everything as it is.
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for running a
  reconciler_is no-store
  run sync
  [ "$status" != 0 ]
  start_store
  wait_for reconciler_is ok
  [ "$(pid_of a)" = "$a" ]
  pod b -- sleep 1000 | apply
  wait_for running b
}

@test "the bus is killed: everybody comes back, no process is another" {
  pod a -- sleep 1000 | apply
  wait_for running a
  a=$(pid_of a)
  end "$bus_pid" KILL
  rm -f "$dir/bus"
  start_bus
  wait_for has_owner org.tankd.Reconcile1
  wait_for has_owner org.tankd.Store1
  wait_for reconciler_is ok
  [ "$(pid_of a)" = "$a" ]
  pod b -- sleep 1000 | apply
  wait_for running b
}

@test "another database: held; nothing is stopped; crashes are answered; accepted by a person" {
  pod a -- sleep 1000 | apply
  wait_for running a
  a=$(pid_of a)
  end "$store_pid"
  start_store --data-dir "$dir/other"
  wait_for reconciler_is held
  pod b -- sleep 1000 | apply
  wait_for is b '.state == "waiting" and .reason == "Held"'
  is a '.state == "running" and .reason == "Held" and (.message | test("accept-store"))'
  [ "$(pid_of a)" = "$a" ]
  run tankctl restart a
  [ "$status" = 1 ]
  kill -KILL "$a"
  wait_for pid_is_not a "$a"
  a=$(pid_of a)
  # Also when the reconciler is restarted: what it knows is on disk.
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for has_owner org.tankd.Reconcile1
  wait_for reconciler_is held
  wait_for is b '.reason == "Held"'
  [ "$(pid_of a)" = "$a" ]
  kill -KILL "$a"
  wait_for pid_is_not a "$a"
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 AcceptStore
  wait_for gone a
  wait_for running b
  reconciler_is ok
  run busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 AcceptStore
  [ "$status" != 0 ]
}

@test "the known database comes back: no longer held, what was shown of the other one is gone" {
  pod a -- sleep 1000 | apply
  wait_for running a
  a=$(pid_of a)
  end "$store_pid"
  start_store --data-dir "$dir/other"
  wait_for reconciler_is held
  pod b -- sleep 1000 | apply
  wait_for is b '.reason == "Held"'
  end "$store_pid"
  start_store
  wait_for reconciler_is ok
  wait_for gone b
  [ "$(pid_of a)" = "$a" ]
  is a '.reason == ""'
}

@test "an older copy of the database: held" {
  pod a -- sleep 1000 | apply
  wait_for running a
  end "$store_pid"
  cp -a "$dir/state/store" "$dir/old"
  start_store
  wait_for reconciler_is ok
  pod b -- sleep 1000 | apply
  wait_for running b
  b=$(pid_of b)
  end "$store_pid"
  start_store --data-dir "$dir/old"
  wait_for reconciler_is held
  [ -d "/proc/$b" ]
  is b '.state == "running"'
}

# lists_no_pods: the store answers, and knows no pod.
lists_no_pods()
{
  [ "$(busctl --system --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 List 'ssa{sv}' \
    pod '' 0 2>/dev/null | jq -c '.data[0]')" = '[]' ]
}

# Part of the log is damaged and a table is gone: what the store lists is not all that is declared, and its
# revision says nothing of it.
@test "a damaged store does not list a pod: it runs on; one that was deleted goes when the store is well" {
  local a b log at table text
  end "$store_pid"
  start_store
  wait_for reconciler_is ok
  pod b -- sleep 1000 | apply
  pod a -- sleep 1000 | apply
  wait_for running a
  wait_for running b
  a=$(pid_of a) b=$(pid_of b)
  text=$(head -c 4000 /dev/zero | tr '\0' x)
  for i in $(seq 30); do
    printf '{"kind":"widget","name":"w%s","text":"%s"}' "$i" "$text" | apply
  done
  end "$reconcile_pid" KILL
  busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Delete 'sssa{sv}' pod default b 0
  end "$store_pid" KILL
  cp -a "$dir/state/store" "$dir/good"
  for table in "$dir"/good/db/*.sst; do
    rm -r "$dir/state/store"
    cp -a "$dir/good" "$dir/state/store"
    rm "$dir/state/store/db/${table##*/}"
    log=$(printf '%s\n' "$dir"/state/store/db/*.log | tail -n 1)
    at=$(grep -abo '"name":"a"' "$log" | head -n 1 | cut -d: -f1)
    printf '\377' | dd of="$log" bs=1 seek="$at" conv=notrunc status=none
    start_store
    if lists_no_pods; then break; fi
    end "$store_pid" KILL
  done
  lists_no_pods
  start_reconcile
  wait_for grep -q 'does not list 2 pods' "$dir/reconcile.log"
  wait_for reconciler_is ok
  running a && running b
  [ "$(pid_of a) $(pid_of b)" = "$a $b" ]
  end "$store_pid"
  rm -r "$dir/state/store"
  cp -a "$dir/good" "$dir/state/store"
  start_store
  wait_for gone b
  [ "$(pid_of a)" = "$a" ]
}

last_note()
{
  [ "$(tail -n 1 "$dir/notes")" = "$1" ]
}

@test "several containers: the first makes the sandbox, the others join, restarts join" {
  pod duo '.containers += [{name: "side", image: {rootfs: "/"}, command: ["sleep", "2000"]}]' \
    -- sleep 1000 | apply
  wait_for is duo '.ready'
  [ "$(cat "$dir/notes")" = $'start main sandbox=create\nstart side sandbox=join' ]
  main=$(pid_of duo)
  side=$(status duo '.containers[1].pid')
  kill -KILL "$main"
  wait_for pid_is_not duo "$main"
  [ "$(tail -n 1 "$dir/notes")" = 'start main sandbox=join' ]
  [ "$(status duo '.containers[1].pid')" = "$side" ]
  is duo '.containers[0].restarts == 1 and .containers[1].restarts == 0'
  # One of them is taken out.
  pod duo -- sleep 1000 | apply
  wait_for is duo '.containers | length == 1'
  wait_for dead "$side"
  # Another network is another sandbox: all stop before it is made anew.
  pod duo '.network = "host"' -- sleep 1000 | apply
  wait_for last_note 'start main sandbox=create'
}

@test "deleted and declared anew: the new one waits until the old one is gone" {
  pod web '.grace = "1h"' -- sh -c "trap '' TERM; touch '$dir/trapped'; sleep 1000 & wait; sleep 1000" | apply
  wait_for running web
  wait_for test -e "$dir/trapped"
  old=$(pid_of web)
  tankctl delete pod web
  pod web -- sleep 1002 | apply
  wait_for is web '.state == "waiting" and (.message | test("gone"))'
  [ -d "/proc/$old" ]
  kill -KILL "$old"
  wait_for running web
  dead "$old"
  [ "$(find "$dir/run/pods" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
}

@test "limits change in place" {
  pod web '.containers[0].limits = {memory: "64MiB"}' -- sleep 1000 | apply
  wait_for running web
  pid=$(pid_of web)
  pod web '.containers[0].limits = {memory: "128MiB", pids: 50}' -- sleep 1000 | apply
  wait_for grep -qx 'update main memory=134217728 pids=50' "$dir/notes"
  [ "$(pid_of web)" = "$pid" ]
}

# in_record KEY=VALUE: whether the only pod's record says so.
in_record()
{
  tr '\0' '\n' <"$(echo "$dir"/run/pods/*/pod.record)" | grep -qx "$1"
}

refused_at_least()
{
  [ "$(grep -cx 'refused main update' "$dir/notes")" -ge "$1" ]
}

@test "limits that are refused: apply --wait fails, they are not in force, and are tried again" {
  hard='.containers[0] += {env: {FAULT: "refuse-update"}, limits: {pids: 90}}'
  pod web "$hard" -- sleep 1000 | apply
  wait_for running web
  pid=$(pid_of web)
  start_monitor "interface='org.tankd.Reconcile1'"
  run --separate-stderr tankctl apply --wait -f <(pod web "$hard | .containers[0].limits.pids = 50" -- sleep 1000)
  [ "$status" = 1 ]
  sentence='main: runs, but not as declared: asked for by the test: Device or resource busy; what was in force stays, and it is tried again'
  [ "$stderr" = "tankctl: pod/default/web: $sentence" ]
  is web ".message == \"$sentence\" and .state == \"running\""
  is web '.containers[0].update == "refused"'
  in_record limit.pids=90
  # Also said by one that did not see it; and tried again, but not all the time.
  end "$reconcile_pid" KILL
  n=$(grep -cx 'refused main update' "$dir/notes")
  began=$SECONDS
  start_reconcile
  wait_for is web ".message == \"$sentence\" and .state == \"running\""
  in_record limit.pids=90
  wait_for refused_at_least $((n + 2))
  is web ".message == \"$sentence\""
  # Its first attempt, and one a second.
  tries=$(($(grep -cx 'refused main update' "$dir/notes") - n))
  [ "$tries" -le $((SECONDS - began + 2)) ]
  # Told once, whoever tells it.
  [ "$(grep -c '"refused",2' "$dir/events")" = 1 ]
  touch "$dir/notes.accept"
  wait_for grep -qx 'update main memory= pids=50' "$dir/notes"
  wait_for is web '.message == "" and (.containers[0] | has("update") | not)'
  wait_for in_record limit.pids=50
  wait_for grep -q '"ready",2' "$dir/events"
  end "$monitor"
  [ "$(pid_of web)" = "$pid" ]
}

@test "a refusal is of what was declared: another declaration is tried at once, or needs nothing" {
  hard='.containers[0] += {env: {FAULT: "refuse-update"}, limits: {pids: 90}} |
    .backoff = {base: "5m", cap: "5m"}'
  pod web "$hard" -- sleep 1000 | apply
  wait_for running web
  start_monitor "interface='org.tankd.Reconcile1'"
  run -1 tankctl apply --wait -f <(pod web "$hard | .containers[0].limits.pids = 50" -- sleep 1000)
  pod web "$hard" -- sleep 1000 | tankctl apply --wait -f -
  is web '.message == "" and (.containers[0] | has("update") | not)'
  run -1 tankctl apply --wait -f <(pod web "$hard | .containers[0].limits.pids = 51" -- sleep 1000)
  wait_for grep -q '"refused",4' "$dir/events" # told anew
  end "$monitor"
  touch "$dir/notes.accept"
  pod web "$hard | .containers[0].limits.pids = 52" -- sleep 1000 | tankctl apply --wait -f -
  grep -qx 'update main memory= pids=52' "$dir/notes"
  wait_for in_record limit.pids=52
}

@test "hosts that are refused leave the new limits in force" {
  hard='.containers[0].env = {FAULT: "refuse-hosts"}'
  pod web "$hard" -- sleep 1000 | apply
  wait_for running web
  run -1 tankctl apply --wait -f <(pod web "$hard | .containers[0].limits = {pids: 50} |
    .extra_hosts = {db: \"10.0.0.1\"}" -- sleep 1000)
  wait_for in_record limit.pids=50
  in_record hosts_hash=
  is web '.containers[0].update == "refused"'
}

@test "an update whose answer was lost with the channel is asked for again" {
  hard='.containers[0].env = {FAULT: "drop-update"}'
  pod web "$hard" -- sleep 1000 | apply
  wait_for running web
  pod web "$hard | .containers[0].limits = {pids: 50}" -- sleep 1000 | tankctl apply --wait -f -
  grep -qx 'update main memory= pids=50' "$dir/notes"
  wait_for in_record limit.pids=50
}

@test "an update that was not answered is asked for again by the next reconciler" {
  hard='.containers[0].env = {FAULT: "mute-update"}'
  pod web "$hard" -- sleep 1000 | apply
  wait_for running web
  pod web "$hard | .containers[0].limits = {pids: 50}" -- sleep 1000 | apply
  wait_for grep -qx 'unanswered main' "$dir/notes"
  is web '.containers[0].update == "pending"'
  run ! in_record limit.pids=50
  touch "$dir/notes.accept"
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for in_record limit.pids=50
  is web '.containers[0] | has("update") | not'
}

@test "shims that fail: each is a result, and the policy goes on" {
  pod early '.containers[0].env = {FAULT: "die-early"}' -- sleep 1 | apply
  pod started '.containers[0].env = {FAULT: "die-started"}' -- sleep 1 | apply
  pod died '.containers[0].env = {FAULT: "die-running"}' -- sleep 1000 | apply
  pod setup '.containers[0].env = {FAULT: "fail-setup"}' -- sleep 1 | apply
  wait_for is early '.containers[0].results[0].kind == "setup-failed" and .containers[0].restarts > 1'
  wait_for is started '.containers[0].results[0].kind == "setup-failed"'
  wait_for is died '.containers[0].results[0].kind == "shim-lost" and .containers[0].restarts > 1'
  wait_for is setup '.containers[0].results[0] | .stage == "rootfs" and .code == 2'
  for p in early started died setup; do
    tankctl delete pod "$p"
    wait_for gone "$p"
  done
  # What a lost shim left behind was killed; a process may be seen a moment longer.
  none_left()
  {
    local pid
    for pid in $(pgrep -f 'sleep 1000'); do
      ! grep -qsz "FAKE_SHIM_NOTES=$dir" "/proc/$pid/environ" || return 1
    done
  }
  wait_for none_left
}

@test "a scope that a shim asked for and did not see is cleaned up before the next start" {
  pod web '.containers[0].env = {FAULT: "unseen-scope"}' -- sleep 1000 | apply
  wait_for is web '.containers[0] | .restarts > 1 and .results[0].stage == "cgroup"'
  [ "$(sed -E 's/ .*//' "$dir/notes" | head -n 4 | paste -sd ' ')" = 'start cleanup start cleanup' ]
}

@test "fifty pods at once" {
  for i in $(seq 50); do
    pod "p$i" -- sleep 1000
    echo ---
  done | apply
  all_run()
  {
    [ "$(busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
      org.tankd.Reconcile1 ListStatus 'sa{sv}' '' 0 |
      jq '[.data[0][] | .[4] | fromjson | select(.ready)] | length')" = 50 ]
  }
  wait_for all_run
  # Pages: 20 + 20 + 10, each pod once.
  token=
  names=
  for want in 20 20 10; do
    run busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
      org.tankd.Reconcile1 ListStatus 'sa{sv}' default 2 limit u 20 continue s "$token"
    [ "$(jq '.data[0] | length' <<<"$output")" = "$want" ]
    token=$(jq -r '.data[1]' <<<"$output")
    names+=$(jq -r '.data[0][][1]' <<<"$output")$'\n'
  done
  [ -z "$token" ]
  [ "$(sort -u <<<"$names" | grep -c .)" = 50 ]
}

@test "pods and containers are objects, and tell what changes" {
  object=/org/tankd/Reconcile1/pod/default/web_2d1
  start_monitor "path_namespace='$object'"
  pod web-1 -- sleep 1000 | apply
  wait_for running web-1
  told()
  {
    [ "$(jq -rs --arg path "$1" "[.[] | select(.member == \"PropertiesChanged\" and .path == \$path)
      | .payload.data[1].$2.data] | map(select(. != null)) | last" "$dir/events")" = "$3" ]
  }
  wait_for told "$object" State running
  wait_for told "$object/main" State running
  wait_for told "$object/main" Pid "$(pid_of web-1)"
  end "$monitor"
  run busctl --system get-property org.tankd.Reconcile1 "$object" org.tankd.Reconcile1.Pod State
  [ "$output" = 's "running"' ]
  run busctl --system get-property org.tankd.Reconcile1 "$object/main" \
    org.tankd.Reconcile1.Container Pid
  [ "$output" = "u $(pid_of web-1)" ]
  busctl --system tree --list org.tankd.Reconcile1 | grep -x "$object/main"
  run busctl --system introspect org.tankd.Reconcile1 /org/tankd/Reconcile1/pod/default/nothing \
    org.tankd.Reconcile1.Pod
  [ "$status" != 0 ] || ! grep -q property <<<"$output"
}

@test "logs are found by name, also of what is gone" {
  pod web -- sleep 1000 | apply
  wait_for running web
  mkdir -p "$dir/log/default/web"
  echo '2026-01-01T00:00:00.000000Z out F 1 hello' >"$dir/log/default/web/main.log"
  [ "$(tankctl logs web)" = hello ]
  tankctl delete pod web
  wait_for gone web
  run tankctl logs web
  [ "$output" = hello ]
  run tankctl logs nothing
  [ "$status" = 3 ]
}

@test "one reconciler for a run directory" {
  run "$build/tankd-reconcile/tankd-reconcile"
  [ "$status" = 1 ]
  [[ "$output" == *"another tankd-reconcile"* ]]
}
