#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Several containers in a pod: what they share and what is each one's own; init containers; one that
# fails, is added, taken out, or whose shim is killed concerns no other.

# shellcheck disable=SC2016,SC2153,SC2034 # what stands in single quotes is for the shell inside, or for jq

load helper

# beside NAME COMMAND…: a filter that adds a container; first NAME COMMAND…: one that adds an init
# container behind those that are there. $marked, behind these, gives all of them /mark.
beside()
{
  jq -cn '$ARGS.positional' --args -- "${@:2}" |
    sed "s/.*/.containers += [.containers[0] + {name: \"$1\", command: &}]/"
}

first()
{
  jq -cn '$ARGS.positional' --args -- "${@:2}" |
    sed "s/.*/.init_containers += [{name: \"$1\", image: .containers[0].image, command: &}]/"
}
marked='.volumes = [{name: "mark", source: {host: $mark}}] |
  (.containers[], .init_containers[]?).mounts = [{volume: "mark", path: "/mark"}]'
stays='exec sleep 54321'

# of POD CONTAINER FILTER: something of one container's status.
of()
{
  get "$1" ".status | (.init_containers + .containers)[] | select(.name == \"$2\") | $3"
}

pid()
{
  of "$1" "$2" .pid
}

workload()
{
  local pid
  pid=$(pid "$1" "$2")
  tr -d ' \n' <"/proc/$pid/task/$pid/children"
}

shim_of()
{
  awk '/^PPid/ { print $2 }' "/proc/$(pid "$1" "$2")/status"
}

namespace_of()
{
  readlink "/proc/$(pid "$1" "$2")/ns/$3"
}

# The words that workloads wrote to /mark/order.
order()
{
  tr '\n' ' ' <"$MARK/order" 2>/dev/null
}

count()
{
  grep -cx "$1" "$MARK/order" 2>/dev/null || true
}

runs_anew() # POD CONTAINER PID
{
  local now
  now=$(pid "$1" "$2")
  [ "${now:-0}" -gt 0 ] && [ "$now" != "$3" ] && [ "$(of "$1" "$2" .state)" = running ]
}

sync_now()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync \
    >/dev/null
}

# ---- what is shared, and what is not ---------------------------------------------------------

@test "containers share user, net, ipc, uts and /dev/shm; each has its root, processes, cgroup" {
  pod web "$(beside side sleep 1000) | .volumes = [{name: \"both\"}] |
    .containers[0].mounts = [{volume: \"both\", path: \"/both\"}] |
    .containers[1].mounts = [{volume: \"both\", path: \"/seen\", read_only: true}] |
    .containers[0].limits = {pids: 50} | .containers[1] += {user: \"1234:2345\", limits: {pids: 60}}" -- \
    sleep 54321 | apply --wait
  for ns in user net ipc uts; do
    [ "$(namespace_of web main $ns)" = "$(namespace_of web side $ns)" ]
  done
  for ns in mnt pid cgroup; do
    [ "$(namespace_of web main $ns)" != "$(namespace_of web side $ns)" ]
  done
  in_pod web/main sh -c 'echo x >/own; echo seen >/both/file; echo shared >/dev/shm/segment; : >/dev/mqueue/q'
  run ! in_pod web/side test -e /own
  [ "$(in_pod web/side cat /seen/file)" = seen ]
  run ! in_pod web/side sh -c 'echo x >/seen/other'
  [ "$(in_pod web/side cat /dev/shm/segment)" = shared ]
  in_pod web/side test -e /dev/mqueue/q
  in_pod web/side sh -c 'echo mine >/dev/shm/mine'
  [ "$(in_pod web/main stat -c '%u %a' /dev/shm/mine /dev/shm | tr '\n' ' ')" = "1234 644 0 1777 " ]
  [ "$(in_pod web/main id -u) $(in_pod web/side id -u)" = "0 1234" ]
  [ "$(in_pod web/side sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" "\n"' | grep -cx 54321)" = 0 ]
  main=$(cgroup_of "$(workload web main)" pids) side=$(cgroup_of "$(workload web side)" pids)
  [ "$(cat "${main%/main}/pids.max" "${side%/main}/pids.max" | tr '\n' ' ')" = "50 60 " ]
  # what one of them leaves in there is there for as long as the pod's sandbox is
  kill -9 "$(workload web main)"
  wait_for 10 equals 1 of web main .restarts
  wait_for 10 equals running of web main .state
  [ "$(in_pod web/main cat /dev/shm/segment)" = shared ]
  run -0 in_pod web/main grep -c ' /dev/shm tmpfs .*nosuid,nodev,noexec' /proc/mounts
}

@test "one that fails is restarted alone; results, counts and logs are each one's own; the pod is their sum" {
  pod web "$(beside side sh -c 'echo up; sleep 0.1; exit 7') | $(beside calm sleep 1000)" -- sleep 1000 | apply
  wait_for 20 at_least 3 of web side .restarts
  main=$(pid web main) calm=$(pid web calm)
  [ "$(of web main .restarts) $(of web calm .restarts)" = "0 0" ]
  [ "$(of web side '.results[0] | "\(.kind) \(.code)"')" = "exited 7" ]
  [ "$(of web main '.results | length')" = 0 ]
  [ "$(tankctl logs web/side -n "$NS" | head -n 1)" = up ]
  [ -z "$(tankctl logs web/main -n "$NS")" ]
  wait_for 10 equals 'waiting false side:' \
    get web '.status | "\(.state) \(.ready) \(.message[0:5])"'
  # taken out of the policy, it has failed, and the pod runs on with the others
  pod web "$(beside side sh -c 'echo up; sleep 0.1; exit 7') | $(beside calm sleep 1000) | .restart = \"never\"" -- \
    sleep 1000 | apply
  wait_for 10 equals failed of web side .state
  wait_for 10 equals running get web .status.state
  [ "$(get web .status.ready)" = false ]
  [ "$(get web .status.message)" = "side: exited with 7" ]
  [ "$(tankctl describe pod web -n "$NS" | sed -n 's/^Why: *//p')" = "side: exited with 7" ]
  [ "$(pid web main) $(pid web calm)" = "$main $calm" ]
  refused 1 tankctl wait web -n "$NS" --for=running --timeout "$(scaled 5)"
  says 'container side is failed'
  refused 1 tankctl wait web -n "$NS" --for=ready --timeout "$(scaled 5)"
  # all over: exited is a failure when one has failed
  tankctl wait web -n "$NS" --for=exited --timeout "$(scaled 60)" 3>&- &
  waiter=$!
  kill -9 "$(workload web main)" "$(workload web calm)"
  wait "$waiter"
  wait_for 10 equals failed get web .status.state
}

follow_logs()
{
  : >"$BATS_TEST_TMPDIR/followed" # at once: nothing of who followed before is taken for theirs
  timeout "$(scaled 60)" tankctl logs -f web -n "$NS" 3>&- >"$BATS_TEST_TMPDIR/followed" &
  follower=$!
}

@test "logs: of one container, and of all in the order of time" {
  # each says the words that it is told to say
  local says='while read -r word; do echo "$word"; done' container
  mkfifo -m 0666 "$MARK/main" "$MARK/side"
  two=$(pod web "$(beside side sh -c "$says <>/mark/side") | $marked" -- sh -c "$says <>/mark/main")
  three=$(jq -c "$(beside more sh -c 'echo more; exec sleep 1000')" <<<"$two")
  apply --wait <<<"$two"
  follow_logs
  for word in first second third fourth; do
    container=main
    [[ $word == @(first|third) ]] || container=side
    timeout "$(scaled 60)" sh -c "echo $word >$MARK/$container"
    wait_for 10 equals "$word" tankctl logs "web/$container" -n "$NS" --tail 1
  done
  [ "$(tankctl logs web -n "$NS" | tr '\n' ' ')" = "first second third fourth " ]
  [ "$(tankctl logs web -n "$NS" --prefix | sed -n 2,3p | tr '\n' ' ')" = "[side] second [main] third " ]
  [ "$(tankctl logs -c main web -n "$NS" | tr '\n' ' ')" = "first third " ]
  # who follows meets one that is added
  apply <<<"$three"
  wait_for 10 grep -qx more "$BATS_TEST_TMPDIR/followed"
  # and one that was there before: of that, what it writes now
  apply --wait <<<"$two"
  wait_for 10 equals "first second third fourth " sh -c "tankctl logs web -n $NS | tr '\n' ' '"
  kill "$follower"
  wait "$follower" || true
  follow_logs
  wait_for 10 grep -qx fourth "$BATS_TEST_TMPDIR/followed"
  apply <<<"$three"
  wait_for 10 grep -qx more "$BATS_TEST_TMPDIR/followed"
  tankctl delete pod web -n "$NS" --wait
  wait "$follower"
  [ "$(sort "$BATS_TEST_TMPDIR/followed" | tr '\n' ' ')" = "first fourth more second third " ]
  [ "$(tankctl logs web -n "$NS" | tr '\n' ' ')" = "first second third fourth more more " ]
  refused 3 tankctl logs web/other -n "$NS"
}

# ---- added, taken out, killed ----------------------------------------------------------------

@test "containers are added and taken out, the first one too: the others keep their pids and sandbox" {
  pod web "$(beside side sleep 1000)" -- sleep 1000 | apply --wait
  main=$(pid web main) side=$(pid web side) net=$(namespace_of web main net)
  in_pod web/main sh -c 'echo here >/dev/shm/sign'
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000)" -- sleep 1000 | apply --wait
  [ "$(pid web main) $(pid web side)" = "$main $side" ]
  [ "$(namespace_of web third net)" = "$net" ]
  third=$(pid web third)
  # the one that made the sandbox
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000) | del(.containers[0])" -- sleep 1000 | apply
  wait_for 10 gone "$main"
  wait_for 10 equals 2 get web '.status.containers | length'
  [ "$(pid web side) $(pid web third)" = "$side $third" ]
  [ "$(get web .status.state)" = running ]
  # what joins now finds the sandbox without its maker; also while the manager is another one
  kill_daemon reconcile
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000) | $(beside fourth sleep 1000) |
    del(.containers[0])" -- sleep 1000 | apply --wait
  [ "$(pid web side) $(pid web third)" = "$side $third" ]
  [ "$(namespace_of web fourth net)" = "$net" ]
  [ "$(in_pod web/fourth cat /dev/shm/sign)" = here ]
  [ "$(in_pod web/fourth hostname)" = web ]
  # and the first again, in front
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000) | $(beside fourth sleep 1000)" -- sleep 1000 |
    apply --wait
  [ "$(pid web side) $(pid web third)" = "$side $third" ]
  [ "$(namespace_of web main net)" = "$net" ]
  [ "$(get web '[.status.containers[].name] | join(" ")')" = "main side third fourth" ]
}

@test "a sandbox without /dev/shm, as earlier builds made it, is joined, and then has one" {
  pod web -- sleep 1000 | apply --wait
  main=$(pid web main)
  local shm
  shm=$TANK_RUN_DIR/pods/$(get web .meta.uid)/ns/shm
  umount "$shm"
  rmdir "$shm"
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000)" -- sleep 1000 | apply --wait
  [ "$(pid web main)" = "$main" ]
  in_pod web/side sh -c 'echo shared >/dev/shm/segment'
  [ "$(in_pod web/third cat /dev/shm/segment)" = shared ]
  [ "$(in_pod web/side stat -c '%u %a' /dev/shm)" = "0 1777" ]
  # nor is the directory alone, left by a shim that died before it mounted there, taken for one
  pod web -- sleep 1000 | apply --wait
  umount "$shm"
  [ -d "$shm" ]
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000)" -- sleep 1000 | apply --wait
  in_pod web/side sh -c 'echo again >/dev/shm/segment'
  [ "$(in_pod web/third cat /dev/shm/segment)" = again ]
  [ "$(in_pod web/side stat -f -c '%T %b' /dev/shm)" = "tmpfs 16384" ]
}

@test "a shim that is killed, the sandbox's maker's too: the others keep their pids" {
  pod web "$(beside side sleep 1000)" -- sleep 1000 | apply --wait
  main=$(pid web main) side=$(pid web side) net=$(namespace_of web side net)
  kill -9 "$(shim_of web main)"
  wait_for 10 runs_anew web main "$main"
  [ "$(of web main '.results[-1].kind')" = shim-lost ]
  [ "$(pid web side) $(of web side .restarts)" = "$side 0" ]
  [ "$(namespace_of web main net)" = "$net" ]
  # while nobody looks, and one is taken out at the same time
  main=$(pid web main)
  hold_daemon reconcile
  kill -9 "$(awk '/^PPid/ { print $2 }' "/proc/$main/status")"
  pod web "$(beside side sleep 1000) | $(beside third sleep 1000) | del(.containers[0])" -- sleep 1000 | apply
  let_daemons_go
  wait_for 20 all_ready
  until_state web ready
  wait_for 10 gone "$main"
  [ "$(pid web side) $(of web side .restarts)" = "$side 0" ]
  [ "$(namespace_of web third net)" = "$net" ]
  wait_for 10 equals 2 shim_count
}

@test "32 containers and an init container in one pod" {
  pod web "$(first prep sh -c 'echo prep >>/mark/order') |
    .containers = [range(32) as \$i | .containers[0] + {name: \"c\(\$i)\"}] | $marked" -- \
    sh -c "echo main >>/mark/order; $stays" | apply --wait --timeout "$(scaled 60)"
  [ "$(get web '.status.ready')" = true ]
  [ "$(get web '[.status.containers[].pid] | unique | length')" = 32 ]
  wait_for 10 equals 33 sh -c "wc -l <$MARK/order"
  [ "$(head -n 1 "$MARK/order")" = prep ]
  [ "$(for p in $(get web '.status.containers[].pid'); do readlink "/proc/$p/ns/net"; done | sort -u | wc -l)" = 1 ]
  before=$(get web '[.status.containers[].pid] | join(" ")')
  kill_daemon reconcile
  sync_now
  [ "$(get web '[.status.containers[].pid] | join(" ")')" = "$before" ]
  one=$(pid web c7)
  kill -9 "$(workload web c7)"
  wait_for 10 runs_anew web c7 "$one"
  [ "$(get web '[.status.containers[] | select(.name != "c7") | .pid] | join(" ")')" = \
    "$(tr ' ' '\n' <<<"$before" | grep -vx "$one" | tr '\n' ' ' | sed 's/ $//')" ]
  tankctl delete pod web -n "$NS" --wait --timeout "$(scaled 60)"
  refused 1 tankctl apply -n "$NS" -f <(pod big '.containers = [range(33) as $i | .containers[0] + {name: "c\($i)"}]' -- sleep 1)
  says 'has 33 entries, and may have at most 32'
}

# ---- init containers ---------------------------------------------------------------------------

@test "init containers run one after the other, and the others when all are done" {
  pod web "$(first one sh -c 'sleep 0.2; echo one >>/mark/order; echo x >/dev/shm/made') |
    $(first two sh -c 'echo two >>/mark/order') | $(beside side sh -c "echo side >>/mark/order; $stays") | $marked" -- \
    sh -c "echo main >>/mark/order; $stays" | apply --wait
  [ "$(get web .status.state)" = running ]
  wait_for 10 equals 4 sh -c "wc -l <$MARK/order"
  [[ $(order) = "one two "* ]]
  [ "$(of web one .state) $(of web two .reason)" = "exited Completed" ]
  [ "$(of web one '.results | length') $(of web two .pid)" = "1 0" ]
  # one sandbox, from the first to the last
  [ "$(in_pod web/side cat /dev/shm/made)" = x ]
  run -0 tankctl describe pod web -n "$NS"
  says '^Init containers:'
  says '^  two:'
  path=/org/tankd/Reconcile1/pod/${NS/-/_2d}/web
  [ "$(busctl --system get-property org.tankd.Reconcile1 "$path" org.tankd.Reconcile1.Pod InitContainers)" = 'as 2 "one" "two"' ]
  [ "$(busctl --system get-property org.tankd.Reconcile1 "$path" org.tankd.Reconcile1.Pod Containers)" = 'as 2 "main" "side"' ]
  [ "$(busctl --system get-property org.tankd.Reconcile1 "$path/one" org.tankd.Reconcile1.Container State)" = 's "exited"' ]
  # a container that starts alone concerns no init container, whoever wants it
  main=$(pid web main)
  kill -9 "$(workload web main)"
  wait_for 10 runs_anew web main "$main"
  main=$(pid web main) side=$(pid web side)
  tankctl restart web/side -n "$NS"
  wait_for 10 runs_anew web side "$side"
  [ "$(pid web main)" = "$main" ]
  kill_daemon reconcile
  sync_now
  [ "$(count one) $(count two)" = "1 1" ]
  # the whole pod begins with them
  tankctl restart web -n "$NS"
  wait_for 10 equals 2 count two
  until_state web running
  [ "$(count one)" = 2 ]
  runs_anew web main "$main"
  # and so does what comes after one
  main=$(pid web main)
  tankctl restart web/two -n "$NS"
  wait_for 10 equals 3 count two
  wait_for 10 runs_anew web main "$main"
  [ "$(count one)" = 2 ]
}

@test "an init container that fails: again by the policy, with back-off, and then the others" {
  pod web "$(first one sh -c 'echo one >>/mark/order') |
    $(first two sh -c 'echo two >>/mark/order; test -e /mark/go || exit 5') | $marked" -- \
    sh -c "echo main >>/mark/order; $stays" | apply
  wait_for 20 at_least 2 of web two .restarts
  [ "$(count main) $(count one)" = "0 1" ]
  [ "$(of web two '.results[-1] | "\(.kind) \(.code)"')" = "exited 5" ]
  # not while it is being tried once more
  wait_for 10 equals 'BackingOff two: exited with 5' get web '.status | "\(.reason) \(.message[0:18])"'
  [ "$(of web main .state) $(of web main .pid)" = "waiting 0" ]
  refused 1 tankctl kill web -n "$NS"
  refused 125 in_pod web true
  says 'waiting'
  touch "$MARK/go"
  until_state web running
  [ "$(count one) $(count main)" = "1 1" ]
  [ "$(of web two .reason)" = Completed ]
  # of a pod that backs off for an hour, a restart of the one that failed is at once
  rm "$MARK/go"
  pod slow "$(first two sh -c 'test -e /mark/go || exit 5') | $marked | .backoff = {base: \"1h\", cap: \"1h\"}" -- sleep 1000 | apply
  wait_for 10 equals BackingOff get slow .status.reason
  touch "$MARK/go"
  tankctl restart slow/two -n "$NS"
  until_state slow running
}

@test "an init container that fails under never: the pod has failed, the others never run" {
  refused 1 timeout "$(scaled 50)" tankctl apply -n "$NS" --wait -f <(pod web "$(first one sh -c 'echo one >>/mark/order; exit 5') |
    $marked | .restart = \"never\"" -- sh -c "echo main >>/mark/order; $stays")
  says 'one: exited with 5'
  [ "$(get web .status.state) $(get web .status.reason)" = "failed Error" ]
  until_state web exited
  wait_for 10 told_end web one
  refused 1 tankctl wait web -n "$NS" --for=ready --timeout "$(scaled 5)"
  # stays so, for a new manager, and after a boot
  kill_daemon reconcile
  sync_now
  as_after_a_boot
  [ "$(get web .status.state)" = failed ]
  [ "$(order)" = "one " ]
  # a person may ask; and another policy is another matter
  tankctl restart web -n "$NS"
  wait_for 10 equals 2 count one
  wait_for 10 equals failed get web .status.state
  pod web "$(first one sh -c 'echo one >>/mark/order; exit 5') | $marked" -- sh -c "echo main >>/mark/order; $stays" | apply
  wait_for 10 at_least 4 count one
  [ "$(count main)" = 0 ]
}

# What is under the run directory is gone, and with it all that ran.
as_after_a_boot()
{
  hold_daemon reconcile
  wait_for 10 equals 0 shim_count # none is taking off its mounts just now
  awk -v d="$TANK_RUN_DIR/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo |
    xargs -r -n 1 umount
  rm -rf "${TANK_RUN_DIR:?}/pods"
  let_daemons_go
  wait_for 20 all_ready
  sync_now
}

@test "never and init containers across a boot: what is over stays so, what is not begins at the first" {
  pod over "$(first one sh -c 'echo over-init >>/mark/order') | $marked | .restart = \"never\"" -- \
    sh -c 'echo over >>/mark/order; exit 3' | apply
  pod half "$(first one sh -c 'echo half-init >>/mark/order') | $(beside ended sh -c 'echo ended >>/mark/order') |
    $marked | .restart = \"never\"" -- sh -c "echo half >>/mark/order; $stays" | apply
  wait_for 10 told_end over
  wait_for 10 told_end half ended
  wait_for 10 equals running of half main .state
  shim=$(shim_of half main) main=$(pid half main)
  hold_daemon reconcile
  kill -9 "$shim" "$main"
  wait_for 10 equals 0 shim_count
  wait_for 10 equals 0 sh -c "grep -lE '$in_tank' /proc/[0-9]*/cgroup 2>/dev/null | wc -l"
  as_after_a_boot_with_cgroups
  wait_for 10 equals 2 count half
  [ "$(get over .status.state) $(count over-init) $(count over)" = "failed 1 1" ]
  [ "$(of over one .state)" = exited ]
  [ "$(count half-init) $(count ended)" = "2 1" ]
  [ "$(of half ended .state)" = exited ]
}

as_after_a_boot_with_cgroups()
{
  find /sys/fs/cgroup -mindepth 2 -depth -type d -path "$tank_cgroups" -exec rmdir {} + 2>/dev/null || true
  rm -rf "${TANK_STATE_DIR:?}"/containers/*
  awk -v d="$TANK_RUN_DIR/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo |
    xargs -r -n 1 umount
  rm -rf "${TANK_RUN_DIR:?}/pods"
  let_daemons_go
  wait_for 20 all_ready
  sync_now
}

@test "an init container that cannot be set up is named, and tried again" {
  pod web "$(first one sleep 1) | .init_containers[0].image.rootfs = \"/nonexistent\" | .restart = \"on-failure\"" -- \
    sleep 1000 | apply
  wait_for 10 at_least 1 of web one .restarts
  [ "$(of web one '.results[-1] | "\(.kind) \(.stage)"')" = "setup-failed rootfs" ]
  says_why()
  {
    [ "$(get web .status.message)" = "one: setup failed in rootfs: /nonexistent: No such file or directory" ]
  }
  wait_for 10 says_why # not while it is being tried once more
  [ "$(of web main .state)" = waiting ]
  # mended, it goes on: the sandbox is made by the first that gets so far
  pod web "$(first one true) | .restart = \"on-failure\"" -- sleep 1000 | apply --wait
  [ "$(of web one .state)" = exited ]
}

@test "an init container that does not end: creating, entered by its name, changed and deleted meanwhile" {
  pod web "$(first one sh -c 'echo one >>/mark/order; trap "exit 0" TERM; sleep 54321 & wait') | $marked" -- \
    sh -c "echo main >>/mark/order; $stays" | apply
  wait_for 10 equals running of web one .state
  [ "$(get web .status.state) $(get web .status.ready)" = "creating false" ]
  [ "$(get web .status.message)" = "init container one has not ended yet" ]
  refused 125 in_pod web true
  [ "$(in_pod web/one sh -c 'hostname')" = web ]
  refused 5 tankctl wait web -n "$NS" --for=running --timeout 1
  one=$(pid web one)
  # the others are changed, it is not
  pod web "$(first one sh -c 'echo one >>/mark/order; trap "exit 0" TERM; sleep 54321 & wait') | $marked" -- \
    sh -c "echo changed >>/mark/order; $stays" | apply
  sync_now
  [ "$(pid web one)" = "$one" ]
  # it is: what was stopped was not done, whatever it exits with
  pod web "$(first one sh -c 'echo two >>/mark/order; trap "exit 0" TERM; sleep 54321 & wait') | $marked" -- \
    sh -c "echo changed >>/mark/order; $stays" | apply
  wait_for 10 runs_anew web one "$one"
  wait_for 10 equals "one two " order
  # it is taken out while it runs: the others start when it is gone
  one=$(pid web one)
  pod web "$marked" -- sh -c "echo changed >>/mark/order; $stays" | apply
  until_state web running
  gone "$one"
  wait_for 10 equals "one two changed " order
  pod gone "$(first one sleep 54321)" -- sleep 1000 | apply
  wait_for 10 equals running of gone one .state
  tankctl delete pod gone -n "$NS" --wait
}

@test "a changed init container restarts the pod; nothing else about them does" {
  base=$(pod web "$(first one sh -c 'echo one >>/mark/order') | $(first two sh -c 'echo two >>/mark/order') | $marked" -- \
    sh -c "echo main >>/mark/order; $stays")
  apply --wait <<<"$base"
  wait_for 10 equals "one two main " order
  main=$(pid web main)
  # labels; limits of an init container that is done; one of the others
  jq -c '.labels = {a: "b"} | .init_containers[0].limits = {pids: 9}' <<<"$base" | apply --wait
  jq -c '.containers += [.containers[0] + {name: "side", command: ["sleep", "54321"]}]' <<<"$base" | apply --wait
  [ "$(pid web main)" = "$main" ]
  # one is taken out: what it did is done
  jq -c 'del(.init_containers[0])' <<<"$base" | apply --wait
  wait_for 10 equals 1 get web '.status.init_containers | length'
  [ "$(pid web main)" = "$main" ]
  [ "$(order)" = "one two main " ]
  # one is changed: from it on
  : >"$MARK/order"
  jq -c '.init_containers[1].env = {A: "b"}' <<<"$base" | apply
  wait_for 10 runs_anew web main "$main"
  wait_for 10 equals "one two main " order # "one" is new to it
  main=$(pid web main)
  : >"$MARK/order"
  jq -c '.init_containers[1].env = {A: "c"}' <<<"$base" | apply
  wait_for 10 runs_anew web main "$main"
  wait_for 10 equals "two main " order
  # one is added
  main=$(pid web main)
  : >"$MARK/order"
  jq -c '.init_containers[1].env = {A: "c"} |
    .init_containers += [.init_containers[0] + {name: "three", command: ["sh", "-c", "echo three >>/mark/order"]}]' \
    <<<"$base" | apply
  wait_for 10 runs_anew web main "$main"
  wait_for 10 equals "three main " order
  [ "$(of web main .restarts)" = 0 ]
}

@test "init containers and the shims: one that is killed was not done" {
  pod web "$(first one sh -c 'echo one >>/mark/order; test -e /mark/go && exit; : >/mark/stays; exec sleep 54321') |
    $marked" -- sh -c "echo main >>/mark/order; $stays" | apply
  wait_for 10 test -e "$MARK/stays"
  touch "$MARK/go"
  kill -9 "$(shim_of web one)"
  until_state web running
  wait_for 10 equals "one one main " order
  [ "$(of web one '[.results[].kind] | join(" ")')" = "shim-lost exited" ]
}

# ---- kill -9 of the reconciler ----------------------------------------------------------------

failpoints()
{
  grep -rhoE 'FAILPOINT\("[^"]+"\)' "$top/tankd-reconcile" | sed 's/.*("\(.*\)").*/\1/' | sort -u
}

sound()
{
  until_state web running
  wait_for 20 all_ready
  until_state web running
  wait_for 20 equals "$2" order
  wait_for 20 sync_now # the one that dies may do so just now
  echo "$1: $(order)"
  [ "$(order)" = "$2" ]
  wait_for 20 equals 2 shim_count
}

# dies_at NAME: the next reconciler, once.
dies_at()
{
  printf 'TANK_FAILPOINT=%s\nTANK_FAILPOINT_ONCE=%s\n' "$1" "$BATS_TEST_TMPDIR/once" \
    >"$TANK_SANDBOX_DIR/env/reconcile"
  rm -f "$BATS_TEST_TMPDIR/once"
  kill_daemon reconcile
}

@test "kill -9 of the reconciler between any two steps of a start with init containers: each runs once" {
  grep -Eq '^#define ENABLE_FAILPOINTS 1' "$build/config.h" ||
    skip "this build has no failpoints: configure with --enable-failpoints"
  document=$(pod web "$(first one sh -c 'echo one >>/mark/order') | $(first two sh -c 'echo two >>/mark/order') |
    $(beside side sh -c "$stays") | $marked" -- sh -c "echo main >>/mark/order; $stays")
  for name in $(failpoints); do
    : >"$MARK/order"
    dies_at "$name"
    apply <<<"$document"
    sound "$name" "one two main "
    tankctl delete pod web -n "$NS"
    until_state web deleted
    wait_for 20 all_ready
  done
  # and where a pod that runs begins again at one of them
  : >"$MARK/order"
  apply --wait <<<"$document"
  order="one two main "
  for name in reconcile.record-written reconcile.start-sent reconcile.result-recorded reconcile.run-removed; do
    side=$(pid web side)
    dies_at "$name"
    document=$(jq -c ".init_containers[1].env = {A: \"$name\"}" <<<"$document")
    apply <<<"$document"
    wait_for 20 runs_anew web side "$side"
    order+="two main "
    sound "$name" "$order"
    [ -e "$BATS_TEST_TMPDIR/once" ]
  done
}

# ---- names -----------------------------------------------------------------------------------

@test "hostname and extra_hosts: what stands in /etc, and what a change of them does" {
  base=$(pod web "$(beside side sleep 1000) | .hostname = \"web.example.org\" |
    .extra_hosts = {db: \"10.1.2.3\", \"v6.example.org\": \"FD00:0:0:0::7\"}" -- sleep 1000)
  apply --wait <<<"$base"
  for c in main side; do
    [ "$(in_pod web/$c hostname)" = web.example.org ]
    [ "$(in_pod web/$c cat /etc/hostname)" = web.example.org ]
    [ "$(in_pod web/$c cat /etc/hosts)" = "127.0.0.1 localhost web.example.org web
::1 localhost ip6-localhost
10.1.2.3 db
fd00::7 v6.example.org" ]
  done
  main=$(pid web main) side=$(pid web side)
  # in place, also shorter; a pod's own name may be somewhere else
  jq -c '.extra_hosts = {web: "10.9.9.9"}' <<<"$base" | apply --wait
  for c in main side; do
    wait_for 10 equals "127.0.0.1 localhost web.example.org
::1 localhost ip6-localhost
10.9.9.9 web" in_pod web/$c cat /etc/hosts
  done
  [ "$(in_pod web/side sh -c 'ping -c 1 -W 1 web 2>&1' | head -n 1)" = "PING web (10.9.9.9): 56 data bytes" ]
  [ "$(pid web main) $(pid web side)" = "$main $side" ]
  kill_daemon reconcile
  sync_now
  jq -c 'del(.extra_hosts)' <<<"$base" | apply --wait
  wait_for 10 equals 2 in_pod web/side sh -c 'wc -l </etc/hosts'
  [ "$(pid web main) $(pid web side)" = "$main $side" ]
  # one that starts later, and one that starts again, have what is declared now
  jq -c '.extra_hosts = {late: "10.0.0.9"}' <<<"$base" | apply --wait
  wait_for 10 in_pod web/side grep -qx '10.0.0.9 late' /etc/hosts
  kill -9 "$(workload web main)"
  wait_for 10 runs_anew web main "$main"
  in_pod web/main grep -qx '10.0.0.9 late' /etc/hosts
  [ "$(pid web side)" = "$side" ]
  # another host name is another sandbox; the pod's own, declared, is no other than none
  jq -c '.hostname = "web" | del(.extra_hosts)' <<<"$base" | apply
  wait_for 10 runs_anew web side "$side"
  until_state web running
  [ "$(in_pod web/main hostname) $(in_pod web/side hostname)" = "web web" ]
  main=$(pid web main)
  jq -c 'del(.hostname, .extra_hosts)' <<<"$base" | apply --wait
  [ "$(pid web main)" = "$main" ]
}

@test "a file in /etc that a container made its own is written in place, not where its name leads" {
  start web '.extra_hosts = {db: "10.1.2.3"}' -- sleep 1000
  in_pod web sh -c 'echo 1.2.3.4 mine >>/etc/hosts'
  pod web '.extra_hosts = {db: "10.1.2.4"}' -- sleep 1000 | apply --wait
  wait_for 10 in_pod web grep -qx '10.1.2.4 db' /etc/hosts
  run ! in_pod web grep -q mine /etc/hosts
}

@test "a container that fills what it sees of its /etc takes the space of a new hosts file from nobody" {
  start web -- sleep 1000
  in_pod web sh -c 'cd /etc
    for f in resolv.conf hostname; do cat /dev/zero >>$f; done 2>/dev/null
    ! echo more >>resolv.conf && : >hosts && ! dd if=/dev/zero of=hosts bs=4096 seek=25' 2>/dev/null
  hosts=$(jq -cn '[range(128) | {key: "h\(.).\("a" * 60).\("b" * 60)", value: "10.0.0.\(.)"}] | from_entries')
  pod web ".extra_hosts = $hosts | .containers[0].limits = {pids: 50}" -- sleep 1000 | apply --wait
  [ "$(in_pod web grep -c '^10.0.0' /etc/hosts)" = 128 ]
  [ "$(in_pod web sh -c 'wc -l </etc/hosts')" = 130 ]
}

tells_why()
{
  tankctl describe -n "$NS" pod web | grep -q 'limits: more memory than 5MiB is in use'
}

tells_nothing()
{
  ! tells_why
}

@test "a limit below what is in use is refused, also by the next reconciler, until it can be had" {
  # Where memory is limited by a hierarchy of its own; the other one takes it, and reclaims or kills.
  [ -d /sys/fs/cgroup/memory ] || skip 'the kernel refuses no limit here'
  pod web '.backoff = {base: "1s", cap: "1s"} | .containers[0].limits = {memory: "100MiB"}' -- sleep 1000 |
    apply --wait
  in_pod web dd if=/dev/zero of=/dev/shm/x bs=1M count=40
  limited=$(pod web '.backoff = {base: "1s", cap: "1s"} | .containers[0].limits = {memory: "5MiB"} |
    .extra_hosts = {db: "10.1.2.3"}' -- sleep 1000)
  refused 1 tankctl apply -n "$NS" --wait -f - <<<"$limited"
  says 'tankctl: pod/.*/web: main: runs, but not as declared: limits: more memory than 5MiB is in use: Device or resource busy; what was in force stays, and it is tried again$'
  in_pod web grep -qx '10.1.2.3 db' /etc/hosts
  kill_daemon reconcile
  sync_now
  wait_for 10 tells_why
  in_pod web rm /dev/shm/x
  wait_for 10 tells_nothing
}

@test "host names and addresses that are none are refused, by name and place" {
  while IFS=$'\t' read -r filter expected; do
    refused 1 tankctl apply -n "$NS" -f <(pod web "$filter" -- sleep 1)
    says "$expected"
  done <<'END'
.hostname = "Web"	hostname: 'Web' is no valid host name: use up to 64 of a-z, 0-9, '-' and '\.'
.hostname = "a..b"	hostname: 'a\.\.b' is no valid host name
.hostname = "-a"	hostname: '-a' is no valid host name
.hostname = "a_b"	hostname: 'a_b' is no valid host name
.hostname = ""	hostname: '' is no valid host name
.hostname = "10.0.0.1"	hostname: '10\.0\.0\.1' is no valid host name.*no address
.hostname = ("a" * 30 + "." + "b" * 34)	hostname: .* is no valid host name
.hostname = 5	hostname: expected the name of a host, as text, found the number 5
.extra_hosts = []	extra_hosts: expected a map, found a list
.extra_hosts = {db: "10.0.0"}	extra_hosts\.db: expected an address such as 10\.0\.0\.1 or fd00::1, found '10\.0\.0'
.extra_hosts = {db: "010.0.0.1"}	extra_hosts\.db: expected an address
.extra_hosts = {db: "fe80::1%eth0"}	extra_hosts\.db: expected an address
.extra_hosts = {db: 5}	extra_hosts\.db: expected an address such as 10\.0\.0\.1 or fd00::1, found the number 5
.extra_hosts = {"D": "10.0.0.1"}	extra_hosts\.D: 'D' is no valid name of a host
.extra_hosts = {"::1": "10.0.0.1"}	is no valid name of a host
.extra_hosts = {localhost: "10.0.0.1"}	extra_hosts\.localhost: 'localhost' is always the container itself
.extra_hosts = ([range(129) | {key: "h\(.)", value: "10.0.0.1"}] | from_entries)	extra_hosts: has 129 entries, and may have at most 128
.init_containers = [.containers[0]]	containers\[0\]\.name: 'main' is there twice, first in init_containers\[0\]
.init_containers = [.containers[0] + {name: "a"}, .containers[0] + {name: "a"}]	init_containers\[1\]\.name: 'a' is there twice, first in init_containers\[0\]
.init_containers = [.containers[0] + {name: "a", command: []}]	init_containers\[0\]\.command: command or args is required
.init_containers = [.containers[0] + {name: "a", mounts: [{volume: "v", path: "/x"}]}]	init_containers\[0\]\.mounts\[0\]\.volume: no volume 'v' is declared
.init_containers = [range(33) as $i | .containers[0] + {name: "c\($i)"}]	init_containers: has 33 entries, and may have at most 32
END
}

# ---- apply --wait ------------------------------------------------------------------------------

@test "apply --wait of what ends at once tells the end" {
  for _ in 1 2 3 4 5; do
    run -0 tankctl apply -n "$NS" --wait -f <(pod job '.restart = "never"' -- true)
    says "pod/$NS/job exited"
    refused 1 tankctl apply -n "$NS" --wait -f <(pod bad '.restart = "never"' -- false)
    says 'bad.*exited with 1'
    tankctl delete pod job -n "$NS" --wait
    tankctl delete pod bad -n "$NS" --wait
  done
  # with one that stays beside it, it runs
  run -0 tankctl apply -n "$NS" --wait -f <(pod both "$(beside job true) | .restart = \"on-failure\"" -- sleep 1000)
  says "pod/$NS/both running"
}

