#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Clients attached to the terminal of a container's first process: who types, who looks on, how one
# leaves, and that the terminal here is put back whatever happens.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

terminal()
{
  "$BATS_TEST_DIRNAME/terminal.py" "$@"
}

# start_tty NAME [FILTER] -- COMMAND…
start_tty()
{
  local name=$1 filter=.
  shift
  [ "$1" = -- ] || {
    filter=$1
    shift
  }
  start "$name" ".containers[0].tty = true | $filter" "$@"
}

attach()
{
  tankctl attach -n "$NS" "$@"
}

logs()
{
  tankctl logs -n "$NS" "$@"
}

# shim_of POD: the process that owns its terminal.
shim_of()
{
  local shim
  for shim in $(shims); do
    [ "$(awk '/^PPid/ { print $2 }' "/proc/$(pid_of "$1")/status")" != "$shim" ] || echo "$shim"
  done
}

sessions_of()
{
  local name
  name=$(busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetRun sss "$NS" "$1" '' | jq -r '.data[1]')
  busctl --system get-property "$name" /org/tankd/Shim1 org.tankd.Shim1 Sessions
}

modes_of()
{
  tankctl sessions list -n "$NS" "$1" -o json | jq -c '[.[].mode]'
}

# lines_of POD: a program that answers each line that is typed.
echo_lines='stty -echo; echo ready; while read -r l; do echo "got $l"; [ "$l" != end ] || exit 7; done'

@test "R5: write hello, read it back, detach, still running, attach again; TERM is there" {
  start_tty web -- sh -c "echo TERM=\$TERM; $echo_lines"
  pid=$(pid_of web)
  run -0 terminal 24x80 'expect TERM=xterm
    expect ready
    send hello\n
    expect got hello
    send \x10\x11
    expect detached from web' tankctl attach -n "$NS" web
  [ "$(pid_of web)" = "$pid" ]
  [ "$(restarts_of web)" = 0 ]
  # what was there is shown again
  run -0 terminal 24x80 'expect got hello
    send again\n
    expect got again
    send \x10\x11' tankctl attach -n "$NS" web/main
  run -0 terminal 24x80 'send new\n
    expect got new
    send \x10\x11' tankctl attach -n "$NS" --no-scrollback web
  [[ $output != *"got again"* ]]
  [ "$(pid_of web)" = "$pid" ]
  [ "$(logs web)" = $'TERM=xterm\nready\ngot hello\ngot again\ngot new' ]
}

@test "R5: killed while attached: the pod ends signaled 9, the client exits 137" {
  start_tty web '.restart = "never"' -- sh -c "$echo_lines"
  run -137 terminal 24x80 "expect ready
    run tankctl kill -n $NS -s KILL web" tankctl attach -n "$NS" web
  until_state web exited
  [ "$(result_of web)" = "signaled 9" ]
}

@test "the end of the program ends the attach at once, with its code, behind the last output" {
  start_tty web '.restart = "never"' -- sh -c "read -r l; seq 1 5000; exit 7" # less than what is kept for who is slow
  # nothing is typed here: no key may be needed
  tankctl attach -n "$NS" --viewer web >"$BATS_TEST_TMPDIR/seen" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
  viewer=$!
  wait_for 10 equals 'u 1' sessions_of web
  run -7 attach web <<<go
  [ "$(tail -n 5000 <<<"$output" | tr -d '\r' | sha256sum)" = "$(seq 1 5000 | sha256sum)" ]
  code=0
  wait "$viewer" || code=$?
  [ "$code" = 7 ]
  [ "$(tail -n 5000 "$BATS_TEST_TMPDIR/seen" | tr -d '\r' | sha256sum)" = "$(seq 1 5000 | sha256sum)" ]
  [ ! -s "$BATS_TEST_TMPDIR/err" ]
  refused 125 attach web
  says 'does not run: it is failed'
}

@test "refused: not a terminal, not running, no such pod or container, a second writer, bad keys" {
  start plain -- sleep 1000
  refused 125 attach plain
  says 'has no terminal \(its tty is false\)'
  refused 125 attach nosuch
  start_tty web -- sh -c "$echo_lines"
  refused 125 attach web/nosuch
  refused 125 attach
  refused 125 attach web more
  refused 125 attach --detach-keys ctrl- web
  refused 125 attach --detach-keys 'a,' web
  refused 125 attach --detach-keys '"' --frobnicate web
  run -0 terminal 24x80 "expect ready
    run tankctl attach -n $NS web </dev/null 2>$BATS_TEST_TMPDIR/busy; test \$? = 125
    send \x10\x11" tankctl attach -n "$NS" web
  grep -q 'somebody writes to the terminal of container main already: attach as a viewer' \
    "$BATS_TEST_TMPDIR/busy"
}

@test "R7: viewers see what the writer does, and the log has it all; whoever vanishes is detached" {
  start_tty web -- sh -c "$echo_lines"
  for i in 1 2 3; do
    tankctl attach -n "$NS" --viewer web >"$BATS_TEST_TMPDIR/$i" </dev/null 3>&- &
    viewers[i]=$!
  done
  wait_for 10 equals 'u 3' sessions_of web
  mkfifo "$BATS_TEST_TMPDIR/keys"
  tankctl attach -n "$NS" web <"$BATS_TEST_TMPDIR/keys" >"$BATS_TEST_TMPDIR/0" 3>&- &
  writer=$!
  exec 4>"$BATS_TEST_TMPDIR/keys"
  echo one >&4
  for i in 0 1 2 3; do
    wait_for 10 grep -q 'got one' "$BATS_TEST_TMPDIR/$i"
  done
  # a viewer, and the writer, are killed: the pod goes on, and the next writer is let in
  kill -9 "${viewers[1]}" "$writer"
  exec 4>&-
  wait_for 10 equals 'u 2' sessions_of web
  run -0 terminal 24x80 'send two\n
    expect got two
    send \x10\x11' tankctl attach -n "$NS" web
  wait_for 10 grep -q 'got two' "$BATS_TEST_TMPDIR/2"
  kill "${viewers[2]}"
  code=0
  wait "${viewers[2]}" || code=$?
  [ "$code" = 143 ]
  [ "$(get web .status.state)" = running ]
  [ "$(restarts_of web)" = 0 ]
  [ "$(logs web)" = $'ready\ngot one\ngot two' ]
  kill "${viewers[3]}"
}

@test "R7: a pipe types; its end detaches nothing and types nothing, and leaves the place to others" {
  start_tty web -- sh -c "$echo_lines"
  printf 'one\ntwo\n' | tankctl attach -n "$NS" web >"$BATS_TEST_TMPDIR/out" 3>&- &
  client=$!
  wait_for 10 grep -q 'got two' "$BATS_TEST_TMPDIR/out"
  tankctl attach -n "$NS" web >"$BATS_TEST_TMPDIR/nothing" </dev/null 3>&- &
  nothing=$!
  wait_for 10 equals '["viewer","viewer"]' modes_of web
  printf 'end\n' | run -7 attach web
  for pid in "$client" "$nothing"; do
    code=0
    wait "$pid" || code=$?
    [ "$code" = 7 ]
  done
  grep -q 'got end' "$BATS_TEST_TMPDIR/out"
  grep -q 'got end' "$BATS_TEST_TMPDIR/nothing"
  wait_for 10 equals 1 restarts_of web
  [[ $(logs web) == *$'got one\ngot two\ngot end'* ]]
}

@test "in a pipe the keys that detach are data" {
  start_tty web '.restart = "never"' -- \
    sh -c 'stty raw -echo; echo ready; dd bs=5 count=1 iflag=fullblock 2>/dev/null | od -An -tx1; exit 4'
  wait_for 10 sh -c "tankctl logs -n $NS web | grep -q ready"
  run -4 attach web < <(printf 'a\020\021b\n')
  says ' 61 10 11 62 0a'
}

@test "sessions list shows who is attached; kill detaches, with a word about it" {
  start_tty web -- sh -c "$echo_lines"
  tankctl attach -n "$NS" --viewer web >"$BATS_TEST_TMPDIR/seen" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
  viewer=$!
  wait_for 10 equals 'u 1' sessions_of web
  run -125 terminal 24x80 "expect ready
    run tankctl sessions list -n $NS web >$BATS_TEST_TMPDIR/list
    run tankctl sessions list -n $NS web -o json >$BATS_TEST_TMPDIR/json
    run tankctl sessions wait -n $NS web 2 2>$BATS_TEST_TMPDIR/wait; test \$? = 125
    run tankctl sessions kill -n $NS web 2
    expect detached from web by somebody" tankctl attach -n "$NS" web
  grep -qE '^web +main +1 +attached +- +[0-9]+s +\(viewer\)$' "$BATS_TEST_TMPDIR/list"
  grep -qE '^web +main +2 +attached +- +[0-9]+s +\(writer\)$' "$BATS_TEST_TMPDIR/list"
  [ "$(jq -c '[.[] | [.session, .state, .mode, .result]]' "$BATS_TEST_TMPDIR/json")" = \
    '[[1,"attached","viewer",null],[2,"attached","writer",null]]' ]
  [ "$(cat "$BATS_TEST_TMPDIR/wait")" = "tankctl: web: session 2 is no command but a client attached to the terminal of container main of pod web: attach to see what it sees" ]
  tankctl sessions kill -n "$NS" web 1
  code=0
  wait "$viewer" || code=$?
  [ "$code" = 125 ]
  [ "$(cat "$BATS_TEST_TMPDIR/err")" = "tankctl: detached from web by somebody's \"tankctl sessions kill\"; it goes on" ]
  wait_for 10 equals '[]' tankctl sessions list -n "$NS" -o json
  [ "$(restarts_of web)" = 0 ]
}

@test "a reader that goes away ends the client, and only that" {
  start_tty web -- sh -c 'while :; do echo x; sleep 0.05; done'
  run bash -c "tankctl attach -n $NS web </dev/null | head -n 1; exit \${PIPESTATUS[0]}"
  [ "$status" = 141 ]
  [ "${lines[0]}" = $'x\r' ]
  wait_for 10 equals 'u 0' sessions_of web
  [ "$(restarts_of web)" = 0 ]
}

@test "R8: a real shell: line editing, jobs, Ctrl-C for its child, detach leaves it" {
  start_tty web -- sh -i
  run -0 terminal 24x80 'expect / #
    send cat /marker\n
    expect fixture
    send sh -c "echo u$((1))p; exec sleep 1000"\n
    expect u1p
    send \x03
    expect / #
    send echo x$((40+2))\n
    expect x42
    send \x10\x11' tankctl attach -n "$NS" web
  [ "$(get web .status.state)" = running ]
  [ "$(restarts_of web)" = 0 ]
  run -0 terminal 24x80 'send exit 0\n' tankctl attach -n "$NS" web
}

@test "detach keys: a first key alone is held for one key, then typed ahead of it; others; none" {
  start_tty web -- sh -c 'stty raw -echo; echo ready; while :; do dd bs=1 count=1 2>/dev/null | od -An -tx1; done'
  run -0 terminal 24x80 'expect ready
    send a
    expect 61
    send \x10
    send b
    expect 10\s+62
    send \x10\x10
    expect 10
    send \x10c
    expect 10\s+10\s+63
    send \x11d
    expect 11\s+64
    send \x10
    run sleep 0.2
    send \x11' tankctl attach -n "$NS" web
  says 'detached from web'
  # one key
  run -0 terminal 24x80 'expect ready
    send \x10\x11a
    expect 10\s+11\s+61
    send \x1d' tankctl attach -n "$NS" --detach-keys 'ctrl-]' web
  # several, of which each beginning is typed when it leads nowhere
  run -0 terminal 24x80 'expect ready
    send xxxy' tankctl attach -n "$NS" --detach-keys 'x,x,y' web
  wait_for 10 sh -c "tankctl logs -n $NS web | grep -q 78"
  # none: they are keys like all others
  run -137 terminal 24x80 "expect ready
    send \x10\x11z
    expect 10\s+11\s+7a
    run tankctl kill -n $NS -s KILL web" tankctl attach -n "$NS" --detach-keys '' web
}

@test "detaches though the program reads nothing, and says what is lost" {
  start_tty web -- sh -c 'stty raw -echo; echo ready; exec sleep 1000'
  run -0 terminal 24x80 'expect ready
    type 110000
    send \x10\x11
    expect detached from web; [0-9]+ bytes that were typed are lost, it does not read' \
    tankctl attach -n "$NS" web
  [ "$(get web .status.state)" = running ]
}

@test "detaches though the program reads nothing, and more was typed than fits anywhere" {
  start_tty web -- sh -c 'stty raw -echo; echo ready; exec sleep 1000'
  run -0 terminal 24x80 'expect ready
    type 600000
    expect \x07
    send \x10\x11
    expect detached from web; [0-9]{6} bytes that were typed are lost, it does not read' \
    tankctl attach -n "$NS" web
  [ "$(get web .status.state)" = running ]
  # as long as it reads, however slowly, nothing is lost
  start_tty slow '.restart = "never"' -- sh -c 'stty raw -echo; echo ready
    for i in $(seq 8); do dd bs=50000 count=1 iflag=fullblock 2>/dev/null; usleep 100000; done | wc -c; exit 6'
  run -6 terminal 24x80 'expect ready
    type 400000
    expect 400000' tankctl attach -n "$NS" slow
}

@test "the window is the writer's, from the first byte on, and follows" {
  start_tty web -- sh -c 'stty -echo; echo ready; trap "probe winsize" WINCH; while :; do read -r l && probe winsize; done'
  run -0 terminal 33x99 'expect ready
    send x\n
    expect 33 99
    resize 50x120
    expect 50 120
    send \x10\x11' tankctl attach -n "$NS" web
  # a viewer changes nothing, and neither does one without a terminal
  run -0 terminal 10x20 'expect 50 120
    resize 11x21
    send \x10\x11' tankctl attach -n "$NS" --viewer web
  tankctl attach -n "$NS" --no-scrollback web <<<x >"$BATS_TEST_TMPDIR/out" 3>&- &
  client=$!
  wait_for 10 grep -q '50 120' "$BATS_TEST_TMPDIR/out"
  kill "$client"
  wait "$client" || true
  for size in 1x1 7x201 500x500; do
    run -0 terminal "$size" "expect ready
      send x\n
      expect ${size/x/ }[^0-9]
      send \x10\x11" tankctl attach -n "$NS" web
  done
}

@test "a slow viewer finds what it missed counted; workload, log and the others do not feel it" {
  start_tty web '.restart = "never" | .containers[0].log = {max_size: "50MB"}' -- \
    sh -c 'stty -echo; echo ready; read -r l; seq 1 400000; read -r l; exit 3'
  mkfifo "$BATS_TEST_TMPDIR/slow"
  tankctl attach -n "$NS" --viewer web >"$BATS_TEST_TMPDIR/slow" </dev/null 3>&- &
  slow=$!
  exec 4<"$BATS_TEST_TMPDIR/slow" # open, and not read from
  wait_for 10 equals 'u 1' sessions_of web
  run -3 terminal 24x80 'expect ready
    send \n
    expect \n400000\r
    send \n' tankctl attach -n "$NS" web
  until_state web exited
  run -0 "$BATS_TEST_DIRNAME/counted.py" 400000 <&4
  [ "$output" -gt 0 ]
  exec 4<&-
  code=0
  wait "$slow" || code=$?
  [ "$code" = 3 ]
  [ "$(logs web | sha256sum)" = "$( (echo ready; seq 1 400000) | sha256sum)" ]
}

@test "the shim is killed: the terminal is put back, 125, and one sentence; the pod comes back" {
  start_tty web -- sh -c "$echo_lines"
  shim=$(shim_of web)
  [ -n "$shim" ]
  run -125 terminal 24x80 "expect ready
    run kill -9 $shim" tankctl attach -n "$NS" web
  says 'the session in web is lost: its shim is gone'
  wait_for 20 equals 1 restarts_of web
  until_state web running
}

@test "the terminal is put back after signals, and around a stop" {
  start_tty web -- sh -c "$echo_lines"
  run -143 terminal 24x80 'expect ready
    signal 15' tankctl attach -n "$NS" web
  run -130 terminal 24x80 'expect ready
    signal 2' tankctl attach -n "$NS" web
  # those that no loop waits for: anybody's, a limit's, a real-time one
  for signo in 10 24 31 40; do
    run -$((128 + signo)) terminal 24x80 "expect ready
      signal $signo" tankctl attach -n "$NS" web
  done
  # for who looks on, Ctrl-C is a signal to us
  run -130 terminal 24x80 'expect ready
    send \x03' tankctl attach -n "$NS" --viewer web
  run -0 terminal 24x80 'expect ready
    signal 20
    stopped
    signal 18
    send hello\n
    expect got hello
    send \x10\x11' tankctl attach -n "$NS" web
  # our terminal is gone: detached
  run -129 terminal 24x80 'expect ready
    close' tankctl attach -n "$NS" web
  wait_for 10 equals 'u 0' sessions_of web
  [ "$(restarts_of web)" = 0 ]
}

@test "goes on while both daemons and the bus are killed" {
  local name pids=()
  start_tty web -- sh -c "$echo_lines"
  for name in store reconcile bus; do pids+=("$(daemon_pid "$name")"); done
  run -0 terminal 24x80 "expect ready
    run kill -9 ${pids[*]}
    send hello\n
    expect got hello
    send \x10\x11" tankctl attach -n "$NS" web
  for name in store reconcile bus; do
    wait_for 30 daemon_is_new "$name" "${pids[0]}"
    pids=("${pids[@]:1}")
  done
  run -0 terminal 24x80 'expect got hello
    send \x10\x11' tankctl attach -n "$NS" web
  [ "$(restarts_of web)" = 0 ]
}
