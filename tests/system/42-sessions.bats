#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Sessions that outlive their clients, and all that do not: lists, signals, limits, what is left
# when a client dies.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

terminal()
{
  "$BATS_TEST_DIRNAME/terminal.py" "$@"
}

sessions()
{
  tankctl sessions "$1" -n "$NS" "${@:2}"
}

# session POD NUMBER [FILTER]: from the list; nothing when it is not there.
session()
{
  sessions list "$1" -o json | jq -r --argjson n "$2" ".[] | select(.session == \$n) | ${3:-.state}"
}

# runs POD TEXT: a process in the pod has it in its arguments; absent: none has.
runs()
{
  in_pod "$1" sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "' | grep -qF -- "$2"
}

absent()
{
  ! runs "$@"
}

@test "-d prints a number; wait prints what was held, goes on, and exits with the command's code" {
  start web -- sleep 1000
  n=$(in_pod -d web sh -c 'echo out; echo err >&2; until test -e /tmp/go; do sleep 0.02; done; echo more; exit 7')
  [[ $n =~ ^[0-9]+$ ]]
  [ "$(session web "$n")" = running ]
  tankctl sessions wait -n "$NS" web "$n" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  client=$!
  wait_for 10 equals out cat "$BATS_TEST_TMPDIR/out"
  in_pod web touch /tmp/go
  code=0
  wait "$client" || code=$?
  [ "$code" = 7 ]
  [ "$(cat "$BATS_TEST_TMPDIR/out")" = $'out\nmore' ]
  [ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
  [ -z "$(session web "$n")" ]
  refused 125 sessions wait web "$n"
  says "there is no session $n in container main of pod web"
}

@test "-d: the result of what ended unseen waits for somebody" {
  start web -- sleep 1000
  n=$(in_pod -d web sh -c 'echo kept; kill -9 $$')
  wait_for 10 equals ended session web "$n"
  [ "$(session web "$n" '"\(.result.kind) \(.result.code) \(.pid) \(.processes)"')" = "signaled 9 0 0" ]
  refused 1 sessions kill web "$n"
  says 'has ended'
  run -137 sessions wait web "$n"
  [ "$output" = kept ]
  [ -z "$(session web "$n")" ]
}

@test "-d: what cannot be run is told at once, and nothing stays" {
  start web -- sleep 1000
  refused 127 in_pod -d web nosuchcommand
  refused 126 in_pod -d web /etc/passwd
  refused 125 in_pod -d -w /nosuch web pwd
  refused 127 in_pod --keep web nosuchcommand
  refused 127 in_pod -d -t web nosuchcommand
  [ "$(sessions list web -o json)" = '[]' ]
  refused 125 in_pod -d -i web cat
  says '-d and -i exclude each other'
  refused 125 in_pod --detach-keys ctrl-a web cat
  says '--detach-keys needs --keep'
}

@test "wait: a tail of 64 KiB, and how much is missing before it" {
  start web -- sleep 1000
  n=$(in_pod -d web seq 1000000)
  wait_for 20 equals ended session web "$n"
  sessions wait web "$n" >"$BATS_TEST_TMPDIR/out"
  missing=$(sed -nE '2s/^\[tank: ([0-9]+) bytes of output dropped\]$/\1/p' "$BATS_TEST_TMPDIR/out")
  [ "$(seq 1000000 | wc -c)" = $((missing + 65536)) ]
  cmp <(tail -n +3 "$BATS_TEST_TMPDIR/out") <(seq 1000000 | tail -c 65536)
}

@test "--keep: the client is killed, the command goes on, and the next client has all of it" {
  start web -- sleep 1000
  tankctl exec --keep -n "$NS" web sh -c 'echo begin; until test -e /tmp/go; do sleep 0.02; done; echo end; exit 5' \
    >"$BATS_TEST_TMPDIR/out" 3>&- &
  client=$!
  wait_for 10 equals begin cat "$BATS_TEST_TMPDIR/out"
  n=$(sessions list web -o json | jq '.[0].session')
  kill -9 "$client"
  wait_for 10 equals 0 session web "$n" .clients
  [ "$(session web "$n")" = running ]
  in_pod web touch /tmp/go
  run -5 sessions wait web "$n"
  [ "$output" = $'begin\nend' ]
}

@test "--keep -i: input to its end; while the client is there it is as without" {
  start web -- sleep 1000
  head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
  [ "$(in_pod -i --keep web sha256sum <"$BATS_TEST_TMPDIR/in" | cut -d' ' -f1)" = \
    "$(sha256sum <"$BATS_TEST_TMPDIR/in" | cut -d' ' -f1)" ]
  run -3 in_pod --keep web sh -c 'cat; exit 3'
  [ "$(sessions list web -o json)" = '[]' ]
}

@test "--keep -it: a shell to come back to, by keys or after a crash of the client" {
  start web -- sleep 1000
  run -0 terminal 33x99 'expect / #
    send X=kept; stty size\n
    expect 33 99
    send \x01' tankctl exec -it --keep --detach-keys ctrl-a -n "$NS" web sh
  says 'detached from web; it goes on'
  n=$(sessions list web -o json | jq '.[0].session')
  wait_for 10 equals "true 0" session web "$n" '"\(.tty) \(.clients)"'
  # what was on the screen comes first; the size is that of who types
  # (98: who is killed cannot put the terminal's modes back)
  run -98 terminal 40x120 'expect kept; stty size
    send \nstty size\n
    expect 40 120
    signal 9' tankctl sessions wait -i -n "$NS" web "$n"
  wait_for 10 equals 0 session web "$n" .clients
  run -6 terminal 24x80 'expect 40 120
    send echo $X-$((20+3)); exit 6\n
    expect kept-23' tankctl sessions wait -i -n "$NS" web "$n"
  [ -z "$(session web "$n")" ]
}

@test "who waits without -i only looks on: a signal ends the waiting" {
  start web -- sleep 1000
  n=$(in_pod -d web sh -c 'echo up; exec sleep 1000')
  tankctl sessions wait -n "$NS" web "$n" >"$BATS_TEST_TMPDIR/out" 3>&- &
  client=$!
  wait_for 10 equals up cat "$BATS_TEST_TMPDIR/out"
  kill -TERM "$client"
  wait_for 10 gone "$client"
  code=0
  wait "$client" || code=$?
  [ "$code" = 143 ]
  [ "$(session web "$n")" = running ]
}

@test "list: one container, a pod, a namespace, all; for people and for programs" {
  start one -- sleep 1000
  start two '.containers += [.containers[0] | .name = "side"]' -- sleep 1000
  [ "$(sessions list -o json)" = '[]' ]
  a=$(in_pod -d one sleep 1001)
  in_pod -d two sleep 1002 >/dev/null
  b=$(in_pod -d -u worker -t two/side sh -c 'sleep 1003; : "$(printf "\033[31m\n")"')
  [ "$(sessions list -o json | jq -c '[.[] | [.pod, .container, .command[1]]]')" = \
    '[["one","main","1001"],["two","main","1002"],["two","side","-c"]]' ]
  [ "$(sessions list two -o json | jq length)" = 2 ]
  [ "$(sessions list two/side -o json | jq -c '.[] | [.session, .user, .tty, .stdio, .disconnect, .result]')" = \
    "[$b,\"worker\",true,\"held\",\"keep\",null]" ]
  [ "$(tankctl sessions list -A -o json | jq --arg ns "$NS" '[.[] | select(.namespace == $ns)] | length')" = 3 ]
  [ "$(session one "$a" .pid)" = "$(sed -n 1p "$(cgroup_of "$(workload_of one)" | sed 's,/main$,,')/exec-$a/cgroup.procs")" ]
  run -0 sessions list
  says "^one +main +$a +running +- +[0-9]+s +sleep 1001\$"
  run -0 sessions list two -o wide
  says 'two +side .*sh -c sleep 1003; .*printf "\\033'
  [ "$(wc -l <<<"$output")" = 3 ]
  refused 3 sessions list nosuch
  refused 3 sessions list two/nosuch
}

@test "list: a shim that stands still is told of by name, and hides nobody else's sessions" {
  start one -- sleep 1000
  start two '.containers += [.containers[0] | .name = "side"]' -- sleep 1000
  in_pod -d one sleep 1001 >/dev/null
  in_pod -d two sleep 1002 >/dev/null
  in_pod -d two/side sleep 1003 >/dev/null
  shims=$(awk '/^PPid/ { print $2 }' "/proc/$(pid_of one)/status" "/proc/$(pid_of two)/status")
  # shellcheck disable=SC2086 # two words
  kill -STOP $shims
  code=0
  SECONDS=0
  sessions list -o json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || code=$?
  took=$SECONDS
  tankctl sessions list -A 2>"$BATS_TEST_TMPDIR/everywhere" >/dev/null || code=$code$?
  named=0
  sessions list one/main 2>"$BATS_TEST_TMPDIR/named" || named=$?
  # shellcheck disable=SC2086
  kill -CONT $shims
  [ "$code" = 11 ] && [ "$named" = 1 ]
  grep -q "^tankctl: $NS/one/main: the container" "$BATS_TEST_TMPDIR/everywhere"
  [ "$(jq -c '[.[] | [.pod, .container, .command[1]]]' "$BATS_TEST_TMPDIR/out")" = '[["two","side","1003"]]' ]
  [ "$(cat "$BATS_TEST_TMPDIR/err")" = "tankctl: one/main: the container's shim does not answer
tankctl: two/main: the container's shim does not answer" ]
  [ "$(cat "$BATS_TEST_TMPDIR/named")" = "tankctl: one/main: the container's shim does not answer" ]
  [ "$took" -lt "$(scaled 9)" ] # together, not one after the other
  [ "$(sessions list -o json | jq length)" = 3 ]
}

@test "list: shims that are not on the bus are waited for together, and told of by name" {
  local pod code=0 shims
  for pod in a b c d; do start "$pod" -- sleep 1000; done
  start web -- sleep 1000
  in_pod -d web sleep 1001 >/dev/null
  shims=$(for pod in a b c d; do awk '/^PPid/ { print $2 }' "/proc/$(pid_of "$pod")/status"; done)
  # shellcheck disable=SC2086 # four words
  kill -STOP $shims
  kill_daemon bus
  wait_for 20 all_ready
  wait_for 20 sessions list web
  SECONDS=0
  sessions list -o json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || code=$?
  took=$SECONDS
  # shellcheck disable=SC2086
  kill -CONT $shims
  [ "$code" = 1 ]
  [ "$(jq -c '[.[] | [.pod, .command[1]]]' "$BATS_TEST_TMPDIR/out")" = '[["web","1001"]]' ]
  [ "$(sed -E 's/\(org.*u[0-9a-f]{16}\)/(NAME)/' "$BATS_TEST_TMPDIR/err")" = "$(for pod in a b c d; do
    echo "tankctl: $pod/main: its shim (NAME) is not on the bus; is the bus well?"
  done)" ]
  [ "$took" -lt 6 ] # two seconds for all, not for each
  wait_for 20 sessions list
}

@test "kill: all processes of a session, and of no other" {
  start web -- sleep 1000
  a=$(in_pod -d web sh -c 'sleep 2001 & sleep 2001 & wait')
  b=$(in_pod -d web sh -c 'trap "" TERM; while :; do sleep 2002; done')
  wait_for 10 equals 3 session web "$a" .processes
  wait_for 10 runs web 'sleep 2002'
  sessions kill web "$a"
  wait_for 10 equals ended session web "$a"
  wait_for 10 absent web 'sleep 2001'
  [ "$(session web "$b")" = running ]
  sessions kill web "$b" -s KILL
  run -137 sessions wait web "$b"
  run -143 sessions wait web "$a"
  refused 3 sessions kill web 4711
  refused 2 sessions kill web x
  refused 2 sessions kill web
  refused 2 sessions kill -s NOSIG web 1
  [ "$(get web .status.state)" = running ]
}

@test "a client that dies takes everything with it that its command started" {
  start web '.grace = "1s"' -- sleep 1000
  tankctl exec -n "$NS" web sh -c 'trap "" HUP; (setsid sleep 3001 &); nohup sleep 3002 & exec sleep 3003' \
    </dev/null >/dev/null 2>&1 3>&- &
  client=$!
  wait_for 10 runs web 'sleep 3001'
  wait_for 10 runs web 'sleep 3003'
  kill -9 "$client"
  for process in 3001 3002 3003; do
    wait_for 10 absent web "sleep $process"
  done
  wait_for 10 equals '[]' sessions list web -o json
}

@test "what a command leaves in the background ends with its client; with -d it stays, and is seen" {
  start web '.grace = "1s"' -- sleep 1000
  run -0 in_pod web sh -c 'sleep 3011 >/dev/null 2>&1 & echo started'
  [ "$output" = started ]
  wait_for 10 absent web 'sleep 3011'
  # what has still something to say is not cut off
  # (without a pause: 100 ms of silence are its end)
  [ "$(in_pod web sh -c '(i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); echo $i; done) &' | tail -n 1)" = 50000 ]
  n=$(in_pod -d web sh -c 'sleep 3012 >/dev/null 2>&1 & echo started')
  wait_for 10 equals background session web "$n"
  [ "$(session web "$n" '"\(.processes) \(.result.code)"')" = '1 0' ]
  run -0 sessions wait web "$n"
  [ "$output" = started ]
  runs web 'sleep 3012'
  [ "$(session web "$n")" = background ]
  sessions kill web "$n"
  wait_for 10 equals '' session web "$n"
}

@test "a hundred sessions at once, in two containers" {
  start web '.containers += [.containers[0] | .name = "side"]' -- sleep 1000
  # all begin when this lock is let go
  exec 4>"$BATS_TEST_TMPDIR/go"
  flock 4
  for i in $(seq 100); do
    in_pod -i "web/$([ $((i % 2)) = 0 ] && echo main || echo side)" sh -c "read x; seq $((i * 100)); exit $i" \
      < <(exec flock -s "$BATS_TEST_TMPDIR/go" echo 3>&- 4>&-) >"$BATS_TEST_TMPDIR/out.$i" 3>&- 4>&- &
    pids[i]=$!
  done
  wait_for 60 equals 100 count web
  [ "$(sessions list web/side -o json | jq length)" = 50 ]
  exec 4>&-
  for i in $(seq 100); do
    code=0
    wait "${pids[i]}" || code=$?
    [ "$code" = "$i" ]
    cmp <(seq $((i * 100))) "$BATS_TEST_TMPDIR/out.$i"
  done
  wait_for 10 equals 0 count web
}

count()
{
  sessions list "$1" -o json | jq '[.[] | select(.state == "running")] | length'
}

@test "the sixty-fifth of a container is refused; kept results count for nothing, and are bounded" {
  start web '.grace = "1s"' -- sleep 1000
  for _ in $(seq 20); do
    in_pod -d web true >/dev/null
  done
  ended=16
  wait_for 10 equals "$ended" ended_sessions web
  for _ in $(seq 64); do
    in_pod -d web sleep 1000 >/dev/null
  done
  refused 125 in_pod -d web true
  says '64 sessions are open in container main of pod web'
  refused 125 in_pod web true
  sessions kill web "$(sessions list web -o json | jq 'map(select(.state == "running"))[0].session')"
  wait_for 10 in_pod web true
}

ended_sessions()
{
  sessions list "$1" -o json | jq '[.[] | select(.state == "ended")] | length'
}

@test "live and kept sessions outlive both daemons and the bus, and end with the container" {
  start web '.grace = "1s"' -- sleep 1000
  live=$(in_pod -d web sh -c 'echo live; exec sleep 1000')
  kept=$(in_pod -d web sh -c 'echo kept; exit 9')
  wait_for 10 equals ended session web "$kept"
  tankctl sessions wait -n "$NS" web "$live" >"$BATS_TEST_TMPDIR/out" 3>&- &
  client=$!
  wait_for 10 equals live cat "$BATS_TEST_TMPDIR/out"
  pid=$(session web "$live" .pid)
  kill_daemon reconcile
  kill_daemon store
  kill_daemon bus
  wait_for 20 all_ready
  wait_for 20 equals "running $pid" session web "$live" '"\(.state) \(.pid)"'
  run -9 sessions wait web "$kept"
  [ "$output" = kept ]
  kill -0 "$client"
  tankctl delete pod web -n "$NS" --wait
  wait_for 10 gone "$client"
  code=0
  wait "$client" || code=$?
  [ "$code" = 137 ]
  gone "$pid"
}

@test "a storm of sizes: the last one counts; none and the largest do no harm" {
  start web -- sleep 1000
  storm=$(for i in $(seq 1000); do echo "resize $((10 + i % 40))x$((100 + i % 50))"; done)
  run -0 terminal 24x80 "expect / #
    $storm
    resize 0x0
    resize 65535x65535
    resize 0x0
    resize 43x123
    send stty size\n
    expect 43 123
    send exit\n" tankctl exec -it -n "$NS" web sh
  # a terminal that does not know its size
  run -0 terminal 0x0 'expect 24 80' tankctl exec -t -n "$NS" web stty size
}

@test "a session is who the container is: user, groups, limits" {
  start web '.containers[0].user = "worker" | .containers[0].groups = ["777", "4321"] | .containers[0].limits = {pids: 20, memory: "32MiB"}' \
    -- sh -c 'id >/tmp/id; exec sleep 1000'
  wait_for 10 in_pod web test -s /tmp/id
  [ "$(in_pod web id)" = "$(in_pod web cat /tmp/id)" ]
  [ "$(in_pod web sh -c 'grep Groups /proc/1/status')" = "$(in_pod web sh -c 'grep Groups /proc/self/status')" ]
  # as another one: that one's own groups
  [ "$(in_pod -u worker web id -G)" = '2345 6 29' ]
  # more than the container may have, a session may not have either
  [ "$(in_pod web sh -c 'head -c 64M /dev/zero | tail -c 64M | wc -c')" -lt 67108864 ]
  [ "$(restarts_of web)" = 0 ]
}
