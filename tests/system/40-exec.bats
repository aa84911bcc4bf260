#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Sessions in a running container: streams, terminals, codes, and where their processes belong.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

terminal()
{
  "$BATS_TEST_DIRNAME/terminal.py" "$@"
}

@test "output, errors and codes pass through, apart from each other" {
  start web -- sleep 1000
  run -0 --separate-stderr in_pod web -- sh -c 'echo out; echo err >&2'
  [ "$output" = out ]
  # shellcheck disable=SC2154
  [ "$stderr" = err ]
  run -7 in_pod web sh -c 'exit 7'
  run -137 in_pod web sh -c 'kill -9 $$'
  run -143 in_pod web sh -c 'kill -TERM $$'
  run -0 in_pod web true
  run -1 in_pod web false
}

@test "our own failures: 125 no such pod or not running, 126 not executable, 127 not found" {
  start web -- sleep 1000
  refused 125 in_pod nosuch true
  refused 127 in_pod web nosuchcommand
  says nosuchcommand
  refused 126 in_pod web /etc/passwd
  refused 125 in_pod web/nosuch true
  refused 125 in_pod -w /nosuch web pwd
  refused 125 in_pod -w '' web pwd
  refused 125 in_pod -u '' web id
  refused 125 in_pod -u nosuch web id
  pod ended '.restart = "never"' -- true | apply
  until_state ended exited
  refused 125 in_pod ended true
  refused 125 in_pod web
}

@test "options end at the pod's name; -- is optional; POD/CONTAINER" {
  start web -- sleep 1000
  [ "$(in_pod web echo -n x)" = x ]
  [ "$(in_pod web -- echo -- -n x)" = "-- -n x" ]
  [ "$(in_pod web/main echo -e 'a\tb')" = $'a\tb' ]
}

@test "-e, -w and -u; the container's environment underneath" {
  start web '.containers[0].env = {A: "declared", B: "declared"} | .containers[0].working_dir = "/home"' -- sleep 1000
  [ "$(in_pod -e B=given -e C= web sh -c 'echo $A $B $C.')" = "declared given ." ]
  [ "$(in_pod web pwd)" = /home ]
  [ "$(in_pod -w /tmp web pwd)" = /tmp ]
  [ "$(in_pod -u worker web id -u)" = 1234 ]
  [ "$(in_pod -u 7:8 web sh -c 'id -u; id -g')" = $'7\n8' ]
  [ "$(in_pod -u worker web grep CapEff /proc/self/status | awk '{ print $2 }')" = 0000000000000000 ]
  for user in 4294967296 -1 ' 0' 1000: 1000foo 0x0; do
    run in_pod -u "$user" web id
    [ "$status" = 125 ] || [ "$status" = 2 ]
  done
}

@test "the container's own user is the session's" {
  start web '.containers[0].user = "worker"' -- sleep 1000
  [ "$(in_pod web id -u)" = 1234 ]
  [ "$(in_pod -u 0 web id -u)" = 0 ]
}

@test "standard input is piped, to its end" {
  start web -- sleep 1000
  [ "$(echo hello | in_pod -i web cat)" = hello ]
  [ "$(printf '' | in_pod -i web wc -c)" = 0 ]
  head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
  in_pod -i web cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
  cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
  # a program that does not read to the end does not hang us
  run -0 in_pod -i web head -c 1 <"$BATS_TEST_TMPDIR/in"
  # without -i nothing of ours is taken
  (in_pod web true && cat) <<<"still here" >"$BATS_TEST_TMPDIR/rest"
  [ "$(cat "$BATS_TEST_TMPDIR/rest")" = "still here" ]
}

@test "300,000 lines as fast as possible over exec, byte-exact" {
  start web -- sleep 1000
  [ "$(in_pod web seq 300000 | sha256sum)" = "$(seq 300000 | sha256sum)" ]
  in_pod web probe spew 300000 >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/out")" = "$(seq 2 2 300000 | sha256sum)" ]
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/err")" = "$(seq 1 2 300000 | sha256sum)" ]
  # to a reader that is slow
  [ "$(in_pod web seq 300000 | python3 -c 'import sys, time
while data := sys.stdin.buffer.read1(1 << 20):
    time.sleep(0.001)
    sys.stdout.buffer.write(data)' | sha256sum)" = "$(seq 300000 | sha256sum)" ]
  # through a terminal, where the kernel adds the carriage returns
  [ "$(in_pod -t web seq 300000 </dev/null | sha256sum)" = "$(seq 300000 | sed 's/$/\r/' | sha256sum)" ]
}

@test "the tail of the output is never lost, ended by exit or by a signal" {
  start web -- sleep 1000
  for _ in $(seq 20); do
    [ "$(in_pod web sh -c 'seq 5000; exit 3' | sha256sum)" = "$(seq 5000 | sha256sum)" ]
    [ "$(in_pod web sh -c 'seq 5000; kill -9 $$' | sha256sum)" = "$(seq 5000 | sha256sum)" ]
  done
}

@test "a reader that goes away ends the session" {
  start web -- sleep 1000
  run bash -c "set -o pipefail; tankctl exec -n $NS web sh -c 'while echo x; do :; done' mark4711 | head -n 1"
  [ "${lines[0]}" = x ]
  wait_for 10 not_in_pod mark4711
}

# not_in_pod TEXT: no process in the pod has it in its arguments.
not_in_pod()
{
  run -0 in_pod web sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "'
  [[ $output != *"$1"* ]]
}

@test "a child that keeps the pipes open does not hold the session's end" {
  start web -- sleep 1000
  run -5 timeout "$(scaled 60)" tankctl exec -n "$NS" web sh -c 'sleep 1000 & echo out; exit 5'
  [ "$output" = out ]
}

@test "a client that is killed takes its session with it, and only that" {
  start web '.grace = "1s"' -- sleep 1000
  tankctl exec -n "$NS" web sh -c 'trap "" HUP; exec sleep 4321' 3>&- &
  client=$!
  # (who looks has it in another spelling)
  wait_for 10 in_pod web sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -q "^sleep [4]321\| sleep [4]321"'
  kill -9 "$client"
  wait_for 10 not_in_pod "sleep 4321"
  [ "$(get web .status.state)" = running ]
  [ "$(restarts_of web)" = 0 ]
}

@test "signals to the client reach the program" {
  start web -- sleep 1000
  tankctl exec -n "$NS" web sh -c 'trap "exit 42" TERM; touch /tmp/up; while :; do sleep 0.1; done' 3>&- &
  client=$!
  wait_for 10 in_pod web test -e /tmp/up
  kill -TERM "$client"
  code=0
  wait "$client" || code=$?
  [ "$code" = 42 ]
}

# The process "sleep 777" in a session's cgroup beneath $container, as $session.
find_session()
{
  local procs process
  session=
  while read -r procs; do
    while read -r process; do
      [ "$(tr '\0' ' ' <"/proc/$process/cmdline")" != "sleep 777 " ] || session=$process
    done <"$procs"
  done < <(find "$container" -path '*/exec-*/cgroup.procs') 2>/dev/null
  [ -n "$session" ]
}

@test "R6: a session is in all of the container's namespaces and in its cgroup" {
  start web -- sleep 1000
  pid=$(workload_of web)
  for ns in cgroup ipc mnt net pid user uts; do
    [ "$(in_pod web readlink "/proc/self/ns/$ns")" = "$(readlink "/proc/$pid/ns/$ns")" ]
  done
  tankctl exec -n "$NS" web sh -c 'echo $$ >/tmp/pid; exec sleep 777' 3>&- &
  client=$!
  wait_for 10 in_pod web test -s /tmp/pid
  main=$(cgroup_of "$pid")
  container=${main%/main*}
  wait_for 10 find_session
  # with the container's memory and number of processes, from the first instruction on
  for controller in memory pids; do
    [ "$(dirname "$(cgroup_of "$session" "$controller")")" = "$(dirname "$(cgroup_of "$pid" "$controller")")" ] ||
      [[ $(cgroup_of "$session" "$controller") == "$(cgroup_of "$pid" "$controller" | sed 's,/main$,,')"* ]]
  done
  kill "$client"
}

@test "R6: a second instance finds its port taken, and sees the first by lo only" {
  start web -- nc -ll -p 80 -e cat
  wait_for 10 in_pod web sh -c 'cat /proc/net/tcp* | grep -q ":0050 .* 0A "'
  run in_pod web timeout 2 nc -l -p 80
  [ "$status" != 0 ]
  [ "$(echo hello | in_pod -i web nc -w 30 127.0.0.1 80)" = hello ]
  [ "$(in_pod web cat /marker)" = fixture ]
  [ "$(get web .status.state)" = running ]
}

@test "exec holds no secret against the container: not dumpable before it is ours" {
  start web -- sh -c 'while :; do for p in /proc/[0-9]*; do
      ls -l $p/fd 2>/dev/null | grep -E " (/|socket|memfd)" | grep -vE "/dev/null|/tmp|pipe"; done; done >/tmp/seen'
  for _ in $(seq 30); do in_pod web true; done
  # descriptors of directories and sockets of the host would show here
  run -1 in_pod web grep -E 'socket:|tank|memfd' /tmp/seen
}

@test "twenty sessions at a time" {
  start web -- sleep 1000
  for i in $(seq 20); do
    tankctl exec -n "$NS" web sh -c "seq $((i * 1000)); exit $i" >"$BATS_TEST_TMPDIR/out.$i" 3>&- &
    pids[i]=$!
  done
  for i in $(seq 20); do
    code=0
    wait "${pids[i]}" || code=$?
    [ "$code" = "$i" ]
    [ "$(sha256sum <"$BATS_TEST_TMPDIR/out.$i")" = "$(seq $((i * 1000)) | sha256sum)" ]
  done
}

@test "sixty-four sessions and no more; the next one fits when one has ended" {
  start web -- sleep 1000
  for _ in $(seq 64); do
    tankctl exec -n "$NS" web sleep 1000 3>&- &
    sessions+=($!)
  done
  wait_for 30 equals 'u 64' sessions_of web
  refused 125 in_pod web true
  says '64'
  kill -9 "${sessions[0]}"
  wait_for 20 equals 'u 63' sessions_of web
  in_pod web true
  kill -9 "${sessions[@]:1}"
  wait_for 20 equals 'u 0' sessions_of web
}

sessions_of()
{
  local name
  name=$(busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetRun sss "$NS" "$1" '' | jq -r '.data[1]')
  busctl --system get-property "$name" /org/tankd/Shim1 org.tankd.Shim1 Sessions
}

@test "-t: the window's size is there before the program is" {
  start web -- sleep 1000
  run -0 terminal 33x99 'expect 33 99' tankctl exec -t -n "$NS" web probe winsize
  for _ in 1 2 3 4 5; do
    run -0 terminal 7x201 'expect 7 201' tankctl exec -it -n "$NS" web probe winsize
  done
}

@test "-t: resize, Ctrl-C, codes; the terminal is put back" {
  start web -- sleep 1000
  run -0 terminal 24x80 'expect / #
    resize 50x120
    send stty size\n
    expect 50 120
    send sh -c "echo u$((1))p; exec sleep 1000"\n
    expect u1p
    send \x03
    send echo $TERM-$((20+3))\n
    expect -23
    send exit 0\n' tankctl exec -it -n "$NS" web sh
  run -9 terminal 24x80 'expect / #
    send exit 9\n' tankctl exec -it -n "$NS" web sh
  run -130 terminal 24x80 'expect up
    send \x03' tankctl exec -it -n "$NS" web sh -c 'echo up; exec sleep 1000'
  run -127 terminal 24x80 '' tankctl exec -it -n "$NS" web nosuchcommand
}

@test "-t: TERM is there, /dev/pts has the session's terminal only" {
  start web -- sleep 1000
  run -0 in_pod -t web sh -c 'tty; echo TERM=$TERM; ls /dev/pts' </dev/null
  says '^/dev/pts/[0-9]+'
  says 'TERM=.+'
  [ "$(in_pod -t web sh -c 'ls /dev/pts | wc -l' </dev/null | tr -d '\r')" -le 2 ]
}

@test "-it from a pipe: the end of the input is the program's, also behind half a line" {
  start web -- sleep 1000
  run -0 timeout "$(scaled 60)" bash -c "printf abc | tankctl exec -it -n $NS web sh -c 'stty -echo; cat; echo; echo end'"
  says 'abc.?$'
  says '^end'
  run -0 timeout "$(scaled 60)" bash -c "tankctl exec -it -n $NS web cat </dev/null"
  [ -z "$output" ]
}

@test "-t: a big paste arrives whole" {
  start web -- sleep 1000
  paste=$(for i in $(seq 400); do printf 'line %04d of the paste\\n' "$i"; done)
  # one write after the other, since a terminal's own queue is small
  run -0 terminal 24x80 "expect / #
    send stty -echo; cat >/tmp/paste; echo do''ne\n
    send $paste
    send \x04
    expect done
    send exit 0\n" tankctl exec -it -n "$NS" web sh
  [ "$(in_pod web sha256sum </dev/null /tmp/paste | cut -d' ' -f1)" = \
    "$(for i in $(seq 400); do printf 'line %04d of the paste\n' "$i"; done | sha256sum | cut -d' ' -f1)" ]
}

@test "sessions end with their container" {
  start web '.grace = "1s"' -- sleep 1000
  tankctl exec -n "$NS" web sh -c 'touch /tmp/up; exec sleep 1000' 3>&- &
  client=$!
  wait_for 10 in_pod web test -e /tmp/up
  tankctl delete pod web -n "$NS"
  wait_for 10 gone "$client"
  code=0
  wait "$client" || code=$?
  [ "$code" = 143 ] || [ "$code" = 137 ] || [ "$code" = 129 ] || [ "$code" = 125 ]
}

@test "a user that cannot be is told in one whole sentence" {
  start web -- sleep 1000
  local user
  for user in nosuch root:disk : ''; do
    run -125 in_pod -u "$user" web true
    [[ ${#lines[@]} = 1 && $output == *user* && $output != *"Invalid argument"* ]]
    [ "$user" != root:disk ] || [[ $output != *"add it there"* ]]
  done
  # and the errno stands where it says why
  run -125 in_pod -w /nosuch web true
  [ "$output" = "tankctl: web: working directory /nosuch: No such file or directory" ]
  run -126 in_pod web /etc/passwd
  [ "$output" = "tankctl: web: cannot execute /etc/passwd: Permission denied" ]
}
