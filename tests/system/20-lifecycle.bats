#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the loop does: start, restart, back off, finish, stop, delete.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

signals_of()
{
  tankctl kill "$@" -n "$NS"
}

@test "L1, R11: apply runs it, delete ends it within five seconds and nothing of it is left" {
  start web -- sleep 1000
  pid=$(pid_of web)
  [ -d "/proc/$pid" ]
  [ "$(tr '\0' ' ' <"/proc/$(workload_of web)/cmdline")" = "sleep 1000 " ]
  begin=$(now_ms)
  tankctl delete pod web -n "$NS"
  until_state web deleted
  at_most_ms 5000 "$begin"
  gone "$pid"
  refused 3 tankctl get pod web -n "$NS"
}

@test "L1: a changed document gives a new pid, an unchanged one keeps it" {
  start web -- sleep 1000
  pid=$(pid_of web)
  pod web -- sleep 1000 | apply --wait
  [ "$(pid_of web)" = "$pid" ]
  [ "$(get web .meta.generation)" = 1 ]
  pod web -- sleep 1001 | apply --wait
  wait_for 10 gone "$pid"
  until_state web running
  [ "$(pid_of web)" != "$pid" ]
  [ "$(tr '\0' ' ' <"/proc/$(workload_of web)/cmdline")" = "sleep 1001 " ]
  [ "$(get web .meta.generation)" = 2 ]
  [ "$(restarts_of web)" = 0 ]
}

@test "labels and annotations change without a restart" {
  start web -- sleep 1000
  pid=$(pid_of web)
  pod web '.labels = {a: "b"}' -- sleep 1000 | apply --wait
  at_most_ms 4000 "$(event_ms web ready)" # sooner than a client looks by itself: it was told
  [ "$(get web .labels.a)" = b ]
  tankctl get pods -n "$NS" >/dev/null
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync
  [ "$(pid_of web)" = "$pid" ]
}

@test "L1: five pods at once, each a process of its own" {
  mkdir "$BATS_TEST_TMPDIR/five.d"
  for i in 1 2 3 4 5; do
    pod "p$i" -- sleep 1000 >"$BATS_TEST_TMPDIR/five.d/p$i.json"
  done
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/five.d" --wait
  end=$(now_ms) last=0
  for i in 1 2 3 4 5; do
    ready=$(event_ms "p$i" ready)
    [ "$ready" -le "$last" ] || last=$ready
  done
  # sooner than a client looks by itself: it was told
  [ $((end - last)) -lt "$(scaled 4000)" ]
  run -0 tankctl get pods -n "$NS" -o json
  jq -e 'length == 5 and all(.status.state == "running")' <<<"$output"
  jq -e '[.[].status.containers[0].pid] | unique | length == 5' <<<"$output"
}

@test "L2: a killed workload is started again by backoff, long before a resync" {
  start web -- sleep 1000
  pid=$(pid_of web)
  kill -9 "$(workload_of web)"
  wait_for 4 at_least 1 restarts_of web
  until_state web running
  [ "$(pid_of web)" != "$pid" ]
  [ "$(result_of web)" = "signaled 9" ]
  [ "$(restarts_of web)" = 1 ]
  ended=$(date -d "$(get web '.status.containers[0].results[0].at')" +%s%3N)
  [ $(($(event_ms web starting) - ended)) -lt "$(scaled 4000)" ]
}

@test "L2: killing the container's PID 1 itself ends everything in it, and it comes back" {
  start web -- sh -c 'sleep 1000 & sleep 1000'
  pid=$(pid_of web)
  workload=$(workload_of web)
  kill -9 "$pid"
  wait_for 4 at_least 1 restarts_of web
  gone "$workload"
  until_state web running
  [ "$(result_of web)" = "signaled 9" ]
}

@test "L2: always restarts after a clean exit" {
  pod web "$with_mark" -- sh -c 'echo x >>/mark/starts; [ $(wc -l </mark/starts) -lt 3 ] || exec sleep 1000' |
    apply
  wait_for 10 equals 2 restarts_of web
  until_state web running
  wait_for 10 equals 3 sh -c "wc -l <$MARK/starts"
  [ "$(result_of web)" = "exited 0" ]
}

@test "L2: on-failure restarts after a crash, not after a clean exit" {
  pod web "$with_mark | .restart = \"on-failure\"" -- \
    sh -c 'echo x >>/mark/starts; [ $(wc -l </mark/starts) -ge 3 ] || exit 1' | apply
  until_state web exited
  wait_for 10 equals exited get web .status.state
  [ "$(get web .status.reason)" = Completed ]
  [ "$(wc -l <"$MARK/starts")" = 3 ]
  [ "$(get web '[.status.containers[0].results[].code] | join(" ")')" = "1 1 0" ]
}

@test "L2: never is terminal; no resync, restarted daemon or unchanged apply runs it again" {
  pod web "$with_mark | .restart = \"never\"" -- sh -c 'echo x >>/mark/starts; exit 3' | apply
  until_state web exited
  wait_for 10 equals failed get web .status.state
  [ "$(result_of web)" = "exited 3" ]
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync
  kill_daemon reconcile
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync
  pod web "$with_mark | .restart = \"never\"" -- sh -c 'echo x >>/mark/starts; exit 3' | apply
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync
  [ "$(wc -l <"$MARK/starts")" = 1 ]
  [ "$(get web .status.state)" = failed ]
  [ "$(result_of web)" = "exited 3" ]
}

@test "finished pods are not run again when the machine's run directory is gone, as after a boot" {
  pod ended "$with_mark | .restart = \"never\"" -- sh -c 'echo x >>/mark/ended' | apply
  pod once "$with_mark | .restart = \"on-failure\"" -- sh -c 'echo x >>/mark/once' | apply
  wait_for 10 told_end ended
  wait_for 10 told_end once
  wait_for 10 equals 0 shim_count
  hold_daemon reconcile
  awk -v d="$TANK_RUN_DIR/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo |
    xargs -r -n 1 umount
  rm -rf "${TANK_RUN_DIR:?}/pods"
  # as left by who died while it was written
  unfinished=$TANK_STATE_DIR/results/.#$(get ended .meta.uid).0123abcd
  : >"$unfinished"
  rm "$TANK_SANDBOX_DIR/hold/reconcile"
  wait_for 20 all_ready
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync
  [ "$(wc -l <"$MARK/ended")" = 1 ]
  [ "$(wc -l <"$MARK/once")" = 1 ]
  [ "$(get ended .status.state)" = exited ]
  [ "$(result_of ended)" = "exited 0" ]
  [ ! -e "$unfinished" ]
}

@test "R3: results: signaled 9, exited 3, a handled SIGTERM exited 0" {
  start nine '.restart = "never"' -- sleep 1000
  pod three '.restart = "never"' -- sh -c 'exit 3' | apply
  start term '.restart = "never"' -- sh -c 'trap "exit 0" TERM; echo up; sleep 1000 & wait'
  wait_for 10 equals up tankctl logs term -n "$NS"
  signals_of -s KILL nine
  signals_of -s SIGTERM term
  until_state nine exited
  until_state three exited
  until_state term exited
  [ "$(result_of nine)" = "signaled 9" ]
  [ "$(result_of three)" = "exited 3" ]
  [ "$(result_of term)" = "exited 0" ]
  [ "$(get nine .status.reason)" = Signaled ]
  [ "$(get three .status.reason)" = Error ]
  [ "$(get term .status.reason)" = Completed ]
  refused 1 signals_of -s TERM nine
  refused 2 signals_of -s NOPE nine
}

@test "R3: init none: the workload is PID 1 and its exit code is the result" {
  pod web '.restart = "never" | .containers[0].init = "none"' -- sh -c 'exit $((40 + $$))' | apply
  until_state web exited
  [ "$(result_of web)" = "exited 41" ]
}

@test "results: setup-failed when the command is not there, with backoff" {
  pod web -- nosuchcommand | apply
  wait_for 10 at_least 2 restarts_of web
  [ "$(get web '.status.containers[0].results | last | .kind')" = setup-failed ]
  says_why()
  {
    get web .status.message | grep -q 'nosuchcommand: No such file'
  }
  wait_for 10 says_why # not while it is being tried once more
  pod web2 '.containers[0].image.rootfs = "/nonexistent"' -- sleep 1 | apply
  wait_for 10 equals setup-failed get web2 '.status.containers[0].results | last | .kind'
}

@test "L3: restarts count up under a crash loop, delays double up to the cap, restart zeroes them" {
  pod web "$with_mark | .backoff = {base: \"200ms\", cap: \"800ms\"}" -- \
    sh -c 'cut -d" " -f1 /proc/uptime >>/mark/at; [ ! -e /mark/stay ] || exec sleep 1000; exit 1' | apply
  wait_for 20 at_least 5 restarts_of web
  [[ $(get web '.status | "\(.state) \(.reason)"') == @(waiting BackingOff|creating *|running *) ]]
  mapfile -t at <"$MARK/at"
  for i in 0 1 2 3; do
    delay=$(((${at[i + 1]/./} - ${at[i]/./}) * 10)) # of a clock of 10 ms
    least=$((200 << i))
    [ "$least" -le 800 ] || least=800
    least=$((least - 10))
    echo "delay $i: $delay ms, at least $least"
    [ "$delay" -ge "$least" ]
  done
  [ "$(get web '.status.containers[0].results | length')" = 5 ]
  touch "$MARK/stay"
  tankctl restart web -n "$NS"
  until_state web running
  [ "$(restarts_of web)" = 0 ]
  refused 3 tankctl restart nosuch -n "$NS"
}

@test "restart gives a new pid, and revives what is finished" {
  start web -- sleep 1000
  pid=$(pid_of web)
  tankctl restart web -n "$NS"
  wait_for 10 gone "$pid"
  until_state web running
  [ "$(restarts_of web)" = 0 ]
  [ "$(get web .meta.generation)" = 1 ]
  pod once "$with_mark | .restart = \"never\"" -- sh -c 'echo x >>/mark/once' | apply
  until_state once exited
  tankctl restart once -n "$NS"
  wait_for 10 equals 2 sh -c "wc -l <$MARK/once"
}

@test "backing off: waiting, the reason, restart_at; delete then is immediate" {
  pod web '.backoff = {base: "1h", cap: "1h"}' -- false | apply
  wait_for 10 equals BackingOff get web .status.reason
  [ "$(get web .status.state)" = waiting ]
  [ "$(get web .status.containers[0].pid)" = 0 ]
  due=$(date -d "$(get web .status.restart_at)" +%s)
  now=$(date +%s)
  [ $((due - now)) -gt 3500 ] && [ $((due - now)) -le 3600 ]
  tankctl delete pod web -n "$NS"
  until_state web deleted
}

@test "backing off: a changed document starts at once" {
  pod web '.backoff = {base: "1h", cap: "1h"}' -- false | apply
  wait_for 10 equals BackingOff get web .status.reason
  pod web '.backoff = {base: "1h", cap: "1h"}' -- sleep 1000 | apply
  until_state web running
  [ "$(restarts_of web)" = 0 ]
}

@test "stop is graceful: the signal first, its handler's time, and the result stays" {
  start web "$with_mark" -- sh -c 'trap "echo bye >/mark/bye; exit 0" TERM; echo up; sleep 1000 & wait'
  wait_for 10 equals up tankctl logs web -n "$NS"
  tankctl delete pod web -n "$NS" --wait
  [ "$(cat "$MARK/bye")" = bye ]
}

@test "stop escalates: who ignores the signal is killed after the grace, with all children" {
  start web '.grace = "1s"' -- sh -c 'trap "" TERM; sleep 2000 & echo up; sleep 2000'
  wait_for 10 equals up tankctl logs web -n "$NS"
  pid=$(pid_of web)
  group=$(cat "$(cgroup_of "$(workload_of web)")/cgroup.procs")
  begin=$(now_ms)
  tankctl delete pod web -n "$NS"
  until_state web deleted
  [ $(($(now_ms) - begin)) -ge 900 ]
  at_most_ms 8000 "$begin" # the default is ten seconds
  for pid in $group; do gone "$pid"; done
}

@test "stop uses the declared signal and the container's own grace" {
  start web "$with_mark | .grace = \"500s\" | .containers[0].stop = {signal: \"SIGUSR1\", grace: \"500ms\"}" -- \
    sh -c 'trap "echo usr1 >/mark/got" USR1; trap "echo term >/mark/got" TERM; echo up; sleep 1000 & wait'
  wait_for 10 equals up tankctl logs web -n "$NS"
  tankctl delete pod web -n "$NS"
  until_state web deleted
  [ "$(cat "$MARK/got")" = usr1 ]
}

@test "stop with init none: a PID 1 without handlers is killed after the grace" {
  start web '.grace = "500ms" | .containers[0].init = "none"' -- sleep 1000
  begin=$(now_ms)
  tankctl delete pod web -n "$NS"
  until_state web deleted
  at_most_ms 8000 "$begin" # the default is ten seconds
}

@test "one pod that is slow to stop delays no other" {
  start slow '.grace = "500s"' -- sh -c 'trap "" TERM; echo up; while :; do sleep 1; done'
  wait_for 10 equals up tankctl logs slow -n "$NS"
  workload=$(workload_of slow)
  start quick -- sleep 1000
  tankctl delete pod slow -n "$NS"
  tankctl delete pod quick -n "$NS"
  until_state quick deleted
  start next -- sleep 1000
  [ "$(tankctl get pods -n "$NS" -o json | jq 'map(select(.name == "next"))[0].status.state')" = '"running"' ]
  kill -9 "$workload"
}

@test "deleted while stopping and applied again: the new incarnation runs, once" {
  start web '.grace = "3s"' -- sh -c 'trap "" TERM; echo up; while :; do sleep 1; done'
  wait_for 10 equals up tankctl logs web -n "$NS"
  uid=$(get web .meta.uid)
  pid=$(pid_of web)
  tankctl delete pod web -n "$NS"
  # It is there, and no declaration any more.
  [ "$(tankctl get pods -n "$NS" --sort-by name -o name)" = pod/web ]
  [ "$(tankctl get pods -n "$NS" --sort-by name -o yaml)" = '' ]
  pod web -- sleep 1000 | apply
  wait_for 10 gone "$pid"
  until_state web running
  [ "$(get web .meta.uid)" != "$uid" ]
  wait_for 10 equals 1 shim_count
}

@test "containers of a pod: their own results and restart counts, one host name and network" {
  pod web '.containers += [.containers[0]] | .containers[1].name = "side" |
      .containers[1].command = ["sh", "-c", "hostname; readlink /proc/self/ns/net; exec sleep 1000"]' -- \
    sh -c 'hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/pid; exec sleep 1000' |
    apply --wait
  wait_for 10 equals 3 sh -c "tankctl logs web/main -n $NS | wc -l"
  wait_for 10 equals 2 sh -c "tankctl logs web/side -n $NS | wc -l"
  [ "$(tankctl logs web/main -n "$NS" | head -n 2)" = "$(tankctl logs web/side -n "$NS")" ]
  main=$(pid_of web 0)
  kill -9 "$(workload_of web 1)"
  wait_for 10 equals 1 restarts_of web 1
  wait_for 10 equals running get web '.status.containers[1].state'
  [ "$(restarts_of web 0)" = 0 ]
  [ "$(pid_of web 0)" = "$main" ]
  # the sandbox was made by main, and is joined by what comes back
  [ "$(in_pod web/main readlink /proc/self/ns/net)" = "$(in_pod web/side readlink /proc/self/ns/net)" ]
  [ "$(in_pod web/main readlink /proc/self/ns/user)" = "$(in_pod web/side readlink /proc/self/ns/user)" ]
}

@test "the first container's end does not take the sandbox from the others" {
  pod web '.containers += [.containers[0]] | .containers[1].name = "side" |
      .containers[1].command = ["sleep", "1000"]' -- sleep 1000 | apply --wait
  net=$(in_pod web/side readlink /proc/self/ns/net)
  kill -9 "$(pid_of web 0)"
  wait_for 10 equals 1 restarts_of web 0
  wait_for 10 equals running get web '.status.containers[0].state'
  [ "$(in_pod web/main readlink /proc/self/ns/net)" = "$net" ]
  [ "$(in_pod web/side readlink /proc/self/ns/net)" = "$net" ]
}

@test "a shim that is killed: its container ends with it, shim-lost, and the policy applies" {
  start web -- sleep 1000
  start other -- sleep 1000
  other=$(pid_of other)
  workload=$(workload_of web)
  shim=$(awk '/^PPid/ { print $2 }' "/proc/$(pid_of web)/status")
  kill -9 "$shim"
  wait_for 10 at_least 1 restarts_of web
  until_state web running
  gone "$workload"
  [ "$(get web '.status.containers[0].results | last | .kind')" = shim-lost ]
  [ "$(pid_of other)" = "$other" ]
}

@test "wait: running, exited, deleted, timeouts, and what is not declared" {
  start web -- sleep 1000
  until_state web running
  until_state web ready
  refused 5 tankctl wait web -n "$NS" --for=exited --timeout 1
  refused 3 tankctl wait nosuch -n "$NS" --for=running --timeout "$(scaled 50)"
  tankctl wait nosuch -n "$NS" --for=deleted --timeout "$(scaled 50)"
  refused 2 tankctl wait web -n "$NS" --for=lunch
  # exited on a pod that restarts: its next exit
  tankctl wait web -n "$NS" --for=exited --timeout "$(scaled 60)" 3>&- &
  waiter=$!
  wait_for 20 noticed "$waiter"
  wait "$waiter"
}

# When the waiter began to look is not to be seen: the workload ends until one end is noticed.
noticed()
{
  kill -9 "$(workload_of web)" || true
  gone "$1"
}

@test "L4: the events of a start, a crash and a delete come in order" {
  busctl --system monitor --match "type='signal',interface='org.tankd.Reconcile1',member='PodEvent'" \
    --json=short >"$BATS_TEST_TMPDIR/events" 3>&- &
  monitor=$!
  wait_for 10 monitor_sees
  start web '.backoff = {base: "200ms", cap: "1s"}' -- sleep 1000
  kill -9 "$(workload_of web)"
  wait_for 10 at_least 1 restarts_of web
  until_state web running
  tankctl delete pod web -n "$NS" --wait
  wait_for 5 grep -q '"deleted"' "$BATS_TEST_TMPDIR/events"
  kill "$monitor"
  run -0 jq -r --arg ns "$NS" \
    '.payload.data | select(.[0] == $ns and .[1] == "web" and .[4] != "ready") | .[4]' \
    "$BATS_TEST_TMPDIR/events"
  echo "events: $output"
  first=$(uniq <<<"$output" | tr '\n' ' ')
  [[ $first = "applied starting running "*"backing-off "*"starting running "*"deleted "* ]]
}

# The monitor listens when it has seen what we do.
monitor_sees()
{
  pod "m$RANDOM" '.restart = "never"' -- true | apply >/dev/null
  [ -s "$BATS_TEST_TMPDIR/events" ]
}

@test "the bus shows pods and containers as objects with typed properties" {
  start web -- sleep 1000
  path=/org/tankd/Reconcile1/pod/${NS/-/_2d}/web # as sd_bus_path_encode(3) has it
  property()
  {
    busctl --system get-property org.tankd.Reconcile1 "$@"
  }
  [ "$(property "$path" org.tankd.Reconcile1.Pod State)" = 's "running"' ]
  [ "$(property "$path" org.tankd.Reconcile1.Pod Ready)" = 'b true' ]
  [ "$(property "$path" org.tankd.Reconcile1.Pod Containers)" = 'as 1 "main"' ]
  [ "$(property "$path/main" org.tankd.Reconcile1.Container Pid)" = "u $(pid_of web)" ]
  [ "$(property "$path/main" org.tankd.Reconcile1.Container Restarts)" = 'u 0' ]
  bus_name=$(property "$path/main" org.tankd.Reconcile1.Container ShimBusName | tr -d 's "')
  [ "$(busctl --system get-property "$bus_name" /org/tankd/Shim1 org.tankd.Shim1 State)" = 's "running"' ]
}

@test "describe shows what a person needs" {
  start web -- sleep 1000
  run -0 tankctl describe pod web -n "$NS"
  says web
  says running
  says "$(pid_of web)"
  says 'sleep'
}
