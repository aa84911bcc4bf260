#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What is told of pods: the log of events (ListEvents), and those who follow it, while the daemons
# die under them. The shim is the one of tests/fake.

# shellcheck disable=SC2154,SC2030,SC2031 # from there; a subshell for each test is meant
load reconcile

setup()
{
  setup_tank
}
teardown()
{
  [ -z "${follower-}" ] || end "$follower"
  teardown_tank
}

last_told()
{
  [ "$(told "$1" | tr ' ' '\n' | grep . | tail -n 1)" = "$2" ]
}

all_told()
{
  [ "$(told "$1")" = "$2" ]
}

@test "L4: applied, starting, running; crash: backing-off; delete: deleted; all in the log" {
  pod web '.backoff = {base: "2h", cap: "4h"}' -- sleep 1000 | apply
  wait_for last_told web ready
  [ "$(told web)" = 'applied starting running ready ' ]
  kill_main web
  wait_for last_told web backing-off
  detail=$(list 1 pod s web | jq -r '.[0][-1][6]')
  # Counted from the end; a busy machine tells it later than that.
  [[ $detail =~ ^killed\ by\ SIGKILL\;\ restart\ 1\ in\ (2h|1h59m) ]]
  tankctl delete pod web
  wait_for last_told web deleted
  # Numbers rise by one, times do not fall, all of one incarnation.
  list 0 | jq -e '.[0] | [.[][8]] == [range(1; length + 1)] and ([.[][7]] | . == sort) and
    ([.[][2]] | unique | length == 1)'
  list 0 | jq -e '.[1] == "" and .[2] == (.[0] | length)'
}

@test "pages, and what is asked for" {
  for p in a b c; do pod "$p" -- sleep 1000 | apply; done
  for p in a b c; do wait_for last_told "$p" ready; done
  list 1 limit u 5 | jq -e '(.[0] | length == 5) and .[1] == "5" and .[2] == 12'
  list 2 limit u 5 continue s 5 | jq -e '[.[0][][8]] == [6,7,8,9,10]'
  list 2 limit u 5 continue s 10 | jq -e '([.[0][][8]] == [11,12]) and .[1] == ""'
  list 1 after t 11 | jq -e '[.[0][][8]] == [12]'
  list 1 after t 12 | jq -e '.[0] == [] and .[1] == "" and .[2] == 12'
  list 1 pod s b | jq -e '[.[0][][1]] | unique == ["b"]'
  at=$(list 0 | jq '.[0][6][7]')
  list 1 since t "$at" | jq -e '[.[0][][8]] == [7,8,9,10,11,12]'
  run list 1 after t 13
  [[ $output == *'the log was begun anew'* ]]
  run list 1 limit u 0
  [[ $output == *'must be at least 1'* ]]
  run list 1 continue s x
  [[ $output == *'not a token'* ]]
  [ "$(busctl --system get-property org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 EventSequence)" = 't 12' ]
}

@test "a reconciler that is killed and comes back tells nothing twice, and nothing less" {
  pod steady -- sleep 1000 | apply
  pod loop '.restart = "never"' -- sh -c 'sleep 0.1; exit 3' | apply
  # One that was declared anew since it began to run.
  pod labelled -- sleep 1000 | apply
  wait_for last_told labelled ready
  pod labelled '.labels = {a: "b"}' -- sleep 1000 | apply
  wait_for all_told labelled 'applied starting running ready applied ready '
  wait_for last_told steady ready
  wait_for last_told loop failed
  for _ in 1 2 3; do
    end "$reconcile_pid" KILL
    start_reconcile
    wait_for reconciler_is ok
    sync
  done
  [ "$(told steady)" = 'applied starting running ready ' ]
  [ "$(told loop)" = 'applied starting running ready failed ' ]
  [ "$(told labelled)" = 'applied starting running ready applied ready ' ]
  # What happens while nobody looks is told when somebody does.
  end "$reconcile_pid" KILL
  cat "$dir"/run/pods/*/main/*/record | tr '\0' '\n' | sed -n 's/^pid=\([1-9].*\)/\1/p' | xargs kill -KILL
  start_reconcile
  wait_for all_told steady 'applied starting running ready backing-off starting running ready '
  wait_for all_told labelled \
    'applied starting running ready applied ready backing-off starting running ready '
}

exited_or_dead()
{
  dead "$reconcile_pid" || last_told "$1" exited
}

# Between the telling and the noting, or the other way around.
@test "killed at each of its stages, each event is told once" {
  local point pod
  for point in reconcile.before-record reconcile.record-written reconcile.running \
    reconcile.before-result reconcile.result-recorded reconcile.run-removed \
    reconcile.result-noted reconcile.pod-removed; do
    pod=p-${point##*.}
    end "$reconcile_pid"
    TANK_FAILPOINT=$point start_reconcile
    pod "$pod" '.restart = "on-failure"' -- sh -c 'sleep 0.1' | apply
    wait_for exited_or_dead "$pod"
    tankctl delete pod "$pod" >/dev/null
    wait_for dead "$reconcile_pid" # at the latest when the pod is removed
    wait "$reconcile_pid" || true
    start_reconcile
    wait_for last_told "$pod" deleted
    run told "$pod"
    echo "$point: $output"
    [[ $output =~ ^applied\ (starting\ )*(running\ )?(ready\ )?(exited\ )?deleted\ $ ]]
  done
}

@test "a log that cannot be used is begun anew; one that is torn is cut" {
  pod web -- sleep 1000 | apply
  wait_for last_told web ready
  end "$reconcile_pid" KILL
  truncate -s -1 "$dir/run/events"
  start_reconcile
  wait_for last_told web ready
  [ "$(told web)" = 'applied starting running ready ' ]
  end "$reconcile_pid" KILL
  printf 'v=2\0sequence=1\0\0' >"$dir/run/events"
  start_reconcile
  wait_for running web
  list 0 | jq -e '.[0] == []'
  grep -q 'beginning anew' "$dir/reconcile.log"
}

# ---- tankctl events and watch ----------------------------------------------------------------

# follow VERB [OPTION…]: in the background, to $dir/seen; its messages to $dir/said.
follow()
{
  "$build/tankctl/tankctl" "$@" >"$dir/seen" 2>"$dir/said" 3>&- &
  follower=$!
}

# What a follower of pod events has seen, in words; a mark made after it began shows that it listens.
seen_of()
{
  jq -r --arg pod "$1" 'select(.pod == $pod) | .event' "$dir/seen" | tr '\n' ' '
}

saw_last()
{
  [ "$(jq -r --arg pod "$1" 'select(.pod == $pod) | .event' "$dir/seen" | tail -n 1)" = "$2" ]
}

# Whether it listens: of a pod that is applied before that it sees nothing, of one of the next it will.
listens()
{
  mark=$((${mark-0} + 1))
  pod "mark$mark" '.restart = "never"' -- true | apply
  wait_for last_told "mark$mark" exited
  [ -s "$dir/seen" ]
}

@test "tankctl events: from now, since, of one pod; table, wide and JSON lines" {
  pod before '.restart = "never"' -- true | apply
  wait_for last_told before exited
  pod web -- sleep 1000 | apply
  wait_for last_told web ready
  # All of it, and its end.
  run tankctl events --no-follow
  [ "$status" = 0 ]
  [ "${#lines[@]}" = 10 ]
  [[ ${lines[0]} =~ ^TIME\ +POD\ +EVENT\ +DETAIL$ ]]
  [[ ${lines[1]} =~ ^20[0-9-]+T[0-9:.]+Z\ +before\ +applied\ +-$ ]]
  [[ ${lines[2]} =~ Z\ +before/main\ +starting\ +-$ ]]
  [[ ${lines[5]} =~ Z\ +before/main\ +exited\ +exited\ cleanly$ ]]
  run tankctl events web --no-follow -o wide -A
  [ "${#lines[@]}" = 5 ]
  [[ ${lines[0]} =~ GENERATION\ +UID\ +SEQUENCE\ +DETAIL$ ]]
  [[ ${lines[4]} =~ Z\ +default/web\ +ready\ +1\ +[0-9a-f]{32}\ +9\ +-$ ]]
  [ "$(tankctl events --since 1h --no-follow -o json | jq -c .sequence | tr '\n' ' ')" = '1 2 3 4 5 6 7 8 9 ' ]
  at=$(tankctl events --no-follow -o json | jq -r 'select(.sequence == 7).at')
  [ "$(tankctl events --since "$at" --no-follow -o json | jq -c .sequence | tr '\n' ' ')" = '7 8 9 ' ]
  [ "$(tankctl events -n other --no-follow | wc -l)" = 1 ] # the titles
  run tankctl events --since yesterday
  [ "$status" = 2 ]
  run tankctl events ../web
  [ "$status" = 2 ]
  # From now: nothing of what was.
  follow events -o json
  wait_for listens
  tankctl delete pod web
  wait_for saw_last web deleted
  [ "$(seen_of web)" = 'exited deleted ' ]
  [ -z "$(seen_of before)" ]
}

@test "tankctl events: reconciler, store and bus die in the middle: no gap, no double" {
  follow events --since 1h -A -o json
  pod steady -- sleep 1000 | apply
  wait_for saw_last steady ready
  for i in 1 2 3; do
    pod "a$i" '.restart = "never"' -- sh -c 'exit 3' | apply
    end "$reconcile_pid" KILL
    pod "b$i" '.restart = "never"' -- true | apply
    start_reconcile
    wait_for saw_last "a$i" failed
    wait_for saw_last "b$i" exited
    end "$store_pid" KILL
    kill_main steady
    start_store
    wait_for saw_often steady ready $((i + 1))
  done
  grep -q 'waiting until it is back' "$dir/said"
  end "$bus_pid" KILL
  rm -f "$dir/bus"
  start_bus
  wait_for has_owner org.tankd.Reconcile1
  wait_for reconciler_is ok
  pod last '.restart = "never"' -- true | apply
  wait_for saw_last last exited
  wait_for follower_has "$(tankctl events -A --no-follow -o json | jq -s 'last.sequence')"
  jq -s '[.[].sequence] == [range(1; length + 1)]' "$dir/seen" | grep -x true
  diff "$dir/seen" <(tankctl events -A --no-follow -o json)
  # A start that the killed one could not finish was one; there is a second.
  for i in 1 2 3; do
    [[ $(seen_of "a$i") =~ ^applied\ (starting\ )+(running\ )?(ready\ )?failed\ $ ]]
    [[ $(seen_of "b$i") =~ ^applied\ (starting\ )+(running\ )?(ready\ )?exited\ $ ]]
  done
}

saw_often()
{
  [ "$(seen_of "$1" | tr ' ' '\n' | grep -cx "$2")" -ge "$3" ]
}

follower_has()
{
  [ "$(jq -s 'last.sequence' "$dir/seen")" = "$1" ]
}

@test "tankctl events: a log that is begun anew is told, and followed" {
  follow events --since 1h -o json
  pod web -- sleep 1000 | apply
  wait_for saw_last web ready
  end "$reconcile_pid" KILL
  rm "$dir/run/events"
  start_reconcile
  wait_for grep -q 'events are missing here: there is no event 4' "$dir/said"
  tankctl delete pod web
  wait_for saw_last web deleted
}

# logged FIRST N: so many events in the form of the log.
logged()
{
  python3 -c 'import sys
for i in range(int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2])):
    sys.stdout.write("v=1\0sequence=%d\0at_usec=1700000000000000\0namespace=default\0pod=old\0"
                     "uid=%032d\0container=\0event=applied\0generation=1\0detail=\0\0" % (i, 1))' "$@"
}

@test "tankctl events: what is not kept any more is told, the rest is shown" {
  follow events --since 1h -o json
  pod web -- sleep 1000 | apply
  wait_for saw_last web ready
  end "$reconcile_pid" KILL
  logged 1000 3 >"$dir/run/events"
  start_reconcile
  wait_for grep -q 'events are missing here: the events behind 4 are gone, the oldest one is 1000' "$dir/said"
  # Of a pod that is neither declared nor there it is told that it is gone.
  wait_for saw_last old deleted
  [ "$(jq -c 'select(.sequence > 4) | .sequence' "$dir/seen" | head -n 4 | tr '\n' ' ')" = '1000 1001 1002 1003 ' ]
  # A long log is read in pages, all of it.
  end "$reconcile_pid" KILL
  logged 2000 3000 >"$dir/run/events"
  start_reconcile
  wait_for reconciler_is ok
  [ "$(tankctl events --no-follow -o json | jq -c .sequence | grep -cE '^[234]...$')" = 3000 ]
}

@test "tankctl events: ends when nobody reads it" {
  pod web -- sleep 1000 | apply
  wait_for last_told web ready
  mkfifo "$dir/pipe"
  "$build/tankctl/tankctl" events --since 1h >"$dir/pipe" 3>&- &
  follower=$!
  head -n 1 "$dir/pipe" >/dev/null
  wait_for dead "$follower"
}

# ---- watch

changes_seen()
{
  [ "$(wc -l <"$dir/seen")" -ge "$1" ]
}

widget()
{
  tankctl apply -f - <<<"{kind: widget, name: $1, size: ${2-1}}" >/dev/null
}

# The events of $dir/seen, in short.
seen()
{
  jq -rs 'map([.event, .name // .revision] | join(" ")) | join(", ")' "$dir/seen"
}

seen_is()
{
  [ "$(seen)" = "$1" ]
}

@test "tankctl watch: since a revision, types, formats" {
  widget a
  widget b
  widget a 2
  tankctl apply -f - <<<'{kind: namespace, name: other}' >/dev/null
  tankctl apply -f - <<<'{kind: widget, name: far, namespace: other}' >/dev/null
  tankctl delete widget b
  revision=$(tankctl get namespace default -o json | jq .meta.revision)
  run tankctl watch -A --since "$revision" --no-follow
  [ "$status" = 0 ]
  [[ ${lines[0]} =~ ^REVISION\ +EVENT\ +TYPE\ +NAMESPACE\ +NAME$ ]]
  [[ ${lines[1]} =~ ^2\ +created\ +widget\ +default\ +a$ ]]
  [[ ${lines[3]} =~ ^4\ +updated\ +widget\ +default\ +a$ ]]
  [[ ${lines[4]} =~ ^5\ +created\ +namespace\ +-\ +other$ ]]
  [[ ${lines[6]} =~ ^7\ +deleted\ +widget\ +default\ +b$ ]]
  [ "${#lines[@]}" = 7 ]
  run tankctl watch -n other --since "$revision" --no-follow
  [[ ${lines[0]} =~ ^REVISION\ +EVENT\ +TYPE\ +NAME$ ]]
  [[ ${lines[1]} =~ ^6\ +created\ +widget\ +far$ ]]
  [ "${#lines[@]}" = 2 ]
  [ "$(tankctl watch namespace --since "$revision" --no-follow -o name)" = namespace/other ]
  run tankctl watch widget --since 3 --no-follow -A -o json
  [ "$(jq -c '[.revision, .index, .event, .namespace, .name, .document.size]' <<<"$output" | tr '\n' ' ')" = \
    '[4,0,"updated","default","a",2] [6,0,"created","other","far",null] [7,0,"deleted","default","b",1] ' ]
  run tankctl watch widget --since 3 --no-follow -A -o name
  [ "${lines[1]}" = widget/other/far ]
  run tankctl watch --since 8 --no-follow
  [ "$status" = 1 ]
  [ "$output" = 'tankctl: watch: there is no revision 8 yet: the newest is 7' ]
  run tankctl watch --since x
  [ "$status" = 2 ]
  run tankctl watch pod web
  [ "$status" = 2 ]
  run tankctl watch widget --prefix A
  [ "$status" = 2 ]
}

@test "X16: what stands, synced with revision and database, and then what follows; a transaction together" {
  widget a
  widget b
  widget a 2
  run tankctl watch widget --no-follow
  [[ ${lines[1]} =~ ^4\ +created\ +widget\ +a$ ]]
  [[ ${lines[2]} =~ ^3\ +created\ +widget\ +b$ ]]
  [[ ${lines[3]} =~ ^4\ +synced\ +-\ +[0-9a-f]{32}$ ]]
  [ "${#lines[@]}" = 4 ]
  follow watch widget -o json
  wait_for changes_seen 3
  jq -cs '.[2]' "$dir/seen" | grep -Ex '\{"event":"synced","revision":4,"database":"[0-9a-f]{32}"\}'
  printf 'kind: widget\nname: %s\n---\n' x y z | tankctl apply -f - >/dev/null
  tankctl delete widget a
  wait_for changes_seen 7
  [ "$(jq -c 'select(.revision > 4) | [.revision, .index, .event, .name]' "$dir/seen" | tr '\n' ' ')" = \
    '[5,0,"created","x"] [5,1,"created","y"] [5,2,"created","z"] [6,0,"deleted","a"] ' ]
}

@test "X17: labels, a prefix, every namespace: what ceases to match is deleted" {
  tankctl apply -f - <<<'{kind: namespace, name: other}' >/dev/null
  colored() # NAME COLOR [NAMESPACE]
  {
    tankctl apply -f - <<<"{kind: widget, name: $1, labels: {color: $2}, namespace: ${3-default}}" >/dev/null
  }
  colored a blue
  colored b red
  colored c blue other
  follow watch widget -A -l 'color in (blue, green)' -o json
  wait_for seen_is 'created a, created c, synced 5'
  colored a red
  colored b green
  colored c green other
  tankctl delete widget a
  tankctl delete widget b
  wait_for seen_is 'created a, created c, synced 5, deleted a, created b, updated c, deleted b'
  [ "$(jq -rs 'map(select(.event == "deleted").document.labels.color) | join(" ")' "$dir/seen")" = 'blue green' ]
  colored aa red
  colored ab red
  [ "$(tankctl watch widget --prefix a --no-follow -o json | jq -r .name | tr '\n' ' ')" = 'aa ab null ' ]
  [ "$(tankctl watch widget --prefix ab --since 5 --no-follow -o name)" = widget/ab ]
  run tankctl watch widget -l 'color in'
  [ "$status" != 0 ]
  [[ $output == *column* ]]
}

@test "tankctl watch: changes that are compacted are told, with what to do" {
  widget gone
  follow watch widget -o json
  wait_for seen_is 'created gone, synced 2'
  end "$reconcile_pid"
  end "$store_pid"
  "$build/tests/fake/compacted-store" 3>&- &
  store_pid=$!
  wait_for has_owner org.tankd.Store1
  run tankctl watch --since 5 --no-follow
  [ "$status" = 1 ]
  [ "$output" = 'tankctl: watch: the changes behind revision 5 cannot be told: changes up to 40 are gone; without --since all is listed first' ]
  # Who follows is told, and shown what stands now.
  wait_for seen_is 'created gone, synced 2, resync 2, created left, synced 50'
  [ "$(jq -r '.reason // empty' "$dir/seen")" = 'changes up to 40 are gone' ]
  start_reconcile # for the teardown
  wait_for has_owner org.tankd.Reconcile1
}

@test "tankctl watch: the store dies in the middle: no gap, no double; another database is told" {
  follow watch widget --since 1 -o json
  for i in 1 2 3; do
    widget "a$i"
    [ "$i" -gt 1 ] || wait_for changes_seen 1
    end "$store_pid" KILL
    start_store
    widget "b$i"
    widget "c$i"
  done
  wait_for changes_seen 9
  [ "$(jq -r .name "$dir/seen" | tr '\n' ' ')" = 'a1 b1 c1 a2 b2 c2 a3 b3 c3 ' ]
  jq -s '[.[].revision] | . == (unique)' "$dir/seen" | grep -x true
  end "$bus_pid" KILL
  rm -f "$dir/bus"
  start_bus
  wait_for has_owner org.tankd.Store1
  widget d
  wait_for changes_seen 10
  end "$store_pid"
  start_store --data-dir "$dir/other"
  wait_for changes_seen 12
  [ "$(jq -rs '.[10:] | map(.event) | join(" ")' "$dir/seen")" = 'resync synced' ]
  [ "$(jq -rs '.[11].database' "$dir/seen")" != "$(jq -rs '.[10].database' "$dir/seen")" ]
  widget e
  wait_for changes_seen 13
  [ "$(jq -rs '.[12].name' "$dir/seen")" = e ]
}

@test "tankctl watch: what was compacted while it did not look is a resync, and what stands" {
  widget a
  follow watch widget -o json
  wait_for seen_is 'created a, synced 2'
  kill -STOP "$follower"
  widget b
  tankctl delete widget b
  widget c
  tankctl store compact
  run tankctl watch widget --since 2 --no-follow
  [ "$status" = 1 ]
  [[ $output == *'the changes up to revision 5 are gone'* ]]
  [ "$(tankctl watch widget --since 5 --no-follow -o name)" = '' ]
  kill -CONT "$follower"
  wait_for seen_is 'created a, synced 2, resync 2, created a, created c, synced 5'
  widget d
  wait_for seen_is 'created a, synced 2, resync 2, created a, created c, synced 5, created d'
}
