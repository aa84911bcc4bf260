#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a workload writes: byte-exact, in records whose format is fixed, rotated, followed.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

logs()
{
  tankctl logs -n "$NS" "$@"
}

# The log's files, oldest first.
log_files()
{
  find "$TANK_LOG_DIR/$NS/$1" -name "${2:-main}.log*" | sort -t. -k3 -rn | sort -rV
}

records_of()
{
  local file
  for file in $(log_files "$1"); do cat "$file"; done
}

# ran POD FILTER -- COMMAND…: to its end.
ran()
{
  local name=$1 filter=$2
  shift 2
  pod "$name" "$filter | .restart = \"never\"" "$@" | apply
  until_state "$name" exited
}

@test "G1: every record is time, stream, whole or part, number, bytes" {
  ran web . -- sh -c 'echo one; echo two >&2; echo; printf three'
  run -0 records_of web
  time='20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z'
  [ "$(grep -Ecx "$time (out|err|tty) (F|P) [0-9]+ .*" <<<"$output")" = 4 ]
  [ "$(awk '{ print $4 }' <<<"$output" | tr '\n' ' ')" = "1 2 3 4 " ]
  says '^[^ ]+ out F [0-9]+ one$'
  says '^[^ ]+ err F [0-9]+ two$'
  says '^[^ ]+ out F [0-9]+ $'
  says '^[^ ]+ out P [0-9]+ three$'
}

@test "G1: lines are put together across writes; what ends without a newline is not lost" {
  ran web . -- sh -c 'printf a; sleep 0.1; printf b; sleep 0.1; echo c; printf tail'
  [ "$(logs web | od -c)" = "$(printf 'abc\ntail' | od -c)" ]
  [ "$(records_of web | grep -c ' F 1 abc$')" = 1 ]
}

@test "G1: standard output and standard error stay apart" {
  ran web . -- sh -c 'echo out; echo err >&2'
  run -0 --separate-stderr logs web
  [ "$output" = out ]
  # shellcheck disable=SC2154
  [ "$stderr" = err ]
}

@test "G1: on a tty the stream is one and its carriage returns are shed; elsewhere they stay" {
  ran web '.containers[0].tty = true' -- sh -c 'echo one; echo two >&2'
  run -0 records_of web
  says '^[^ ]+ tty F 1 one$'
  says '^[^ ]+ tty F 2 two$'
  ran bytes . -- printf 'a\r\nb\r\r\n'
  [ "$(logs bytes | od -c)" = "$(printf 'a\r\nb\r\r\n' | od -c)" ]
}

@test "G1: 20,000 bytes without a newline are 16,384 and 3,616" {
  ran web . -- sh -c 'head -c 20000 /dev/zero | tr "\0" x'
  [ "$(logs web | wc -c)" = 20000 ]
  [ "$(records_of web | awk '{ print $2, $3, length($5) }')" = $'out P 16384\nout P 3616' ]
  ran line . -- sh -c 'head -c 20000 /dev/zero | tr "\0" y; echo'
  [ "$(records_of line | awk '{ print $3, length($5) }')" = $'P 16384\nF 3616' ]
  [ "$(logs line | wc -c)" = 20001 ]
}

@test "G1: rotation with max_files 3 leaves exactly .log, .log.1 and .log.2" {
  ran web '.containers[0].log = {max_size: "100KB", max_files: 3}' -- seq 100000
  [ "$(cd "$TANK_LOG_DIR/$NS/web" && echo *)" = "main.log main.log.1 main.log.2" ]
  for file in $(log_files web); do [ "$(stat -c %s "$file")" -le 100000 ]; done
  # what is kept is the end, without a hole, in order
  run -0 logs web
  first=$(head -n 1 <<<"$output")
  [ "$(sha256sum <<<"$output")" = "$(seq "$first" 100000 | sha256sum)" ]
  [ "$first" -gt 1 ]
}

@test "300,000 lines as fast as possible through the log, byte-exact" {
  filter='.containers[0].log = {max_size: "100MB", max_files: 5}'
  ran web "$filter" -- seq 300000
  [ "$(logs web | sha256sum)" = "$(seq 300000 | sha256sum)" ]
  ran both "$filter" -- probe spew 300000
  logs both >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/out")" = "$(seq 2 2 300000 | sha256sum)" ]
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/err")" = "$(seq 1 2 300000 | sha256sum)" ]
  # no number is missing and none comes twice
  [ "$(records_of both | awk '{ print $4 }' | sha256sum)" = "$(seq 300000 | sha256sum)" ]
  # and across rotations
  ran rotated '.containers[0].log = {max_size: "1MB", max_files: 20}' -- seq 300000
  [ "$(logs rotated | sha256sum)" = "$(seq 300000 | sha256sum)" ]
}

@test "any bytes: NUL, high bytes, escape sequences come back as they went in" {
  head -c 300000 /dev/urandom >"$MARK/bytes"
  ran web "$with_mark" -- cat /mark/bytes
  logs web | cmp - "$MARK/bytes"
}

@test "numbers go on across restarts; each run's output is there" {
  pod web "$with_mark" -- sh -c 'echo run; [ $(cat /mark/n 2>/dev/null | wc -l) -lt 3 ] || exec sleep 1000; echo >>/mark/n' |
    apply
  wait_for 10 equals 3 restarts_of web
  wait_for 5 equals 4 sh -c "tankctl logs web -n $NS | wc -l"
  [ "$(records_of web | awk '{ print $4 }' | tr '\n' ' ')" = "1 2 3 4 " ]
}

@test "tail, since, a torn line, a pod that never was, one that runs no more" {
  ran web . -- seq 100
  [ "$(logs --tail 1 web)" = 100 ]
  [ "$(logs --tail 3 web)" = $'98\n99\n100' ]
  [ "$(logs --tail 0 web | wc -l)" = 100 ]
  [ "$(logs --tail 1000 web | wc -l)" = 100 ]
  [ "$(logs --since 1h web | wc -l)" = 100 ]
  [ "$(logs --since "$(date -u -d '1 hour' +%Y-%m-%dT%H:%M:%SZ)" web | wc -l)" = 0 ]
  refused 3 logs nosuch
  refused 3 logs web/nosuch
  printf '2026-01-01T00:00' >>"$TANK_LOG_DIR/$NS/web/main.log"
  [ "$(logs web | sha256sum)" = "$(seq 100 | sha256sum)" ]
}

@test "tail reaches back across rotations" {
  ran web '.containers[0].log = {max_size: "64KB", max_files: 10}' -- seq 10000
  [ "$(logs --tail 9000 web | sha256sum)" = "$(seq 1001 10000 | sha256sum)" ]
}

@test "-f: what is there and what comes, across rotation and restart, nothing twice" {
  start web "$with_mark | .containers[0].log = {max_size: \"64KB\", max_files: 50}" -- \
    sh -c 'seq 1000; while [ ! -e /mark/go ]; do sleep 0.05; done; seq 1001 40000; exec sleep 1000'
  wait_for 10 equals 1000 sh -c "tankctl logs web -n $NS | wc -l"
  logs -f web >"$BATS_TEST_TMPDIR/followed" 3>&- &
  follower=$!
  wait_for 10 equals 1000 sh -c "wc -l <$BATS_TEST_TMPDIR/followed"
  touch "$MARK/go"
  wait_for 20 equals 40000 sh -c "wc -l <$BATS_TEST_TMPDIR/followed"
  [ "$(sha256sum <"$BATS_TEST_TMPDIR/followed")" = "$(seq 40000 | sha256sum)" ]
  kill "$follower"
}

@test "-f --tail: begins so many lines back" {
  start web "$with_mark" -- \
    sh -c 'seq 100; while [ ! -e /mark/go ]; do sleep 0.05; done; echo new; exec sleep 1000'
  wait_for 10 equals 100 sh -c "tankctl logs web -n $NS | wc -l"
  logs -f --tail 2 web >"$BATS_TEST_TMPDIR/followed" 3>&- &
  follower=$!
  wait_for 10 equals 2 sh -c "wc -l <$BATS_TEST_TMPDIR/followed"
  touch "$MARK/go"
  wait_for 10 equals $'99\n100\nnew' cat "$BATS_TEST_TMPDIR/followed"
  kill "$follower"
}

@test "nothing is lost when a workload is killed while it writes" {
  start web '.restart = "never" | .containers[0].log = {max_size: "100MB"}' -- \
    sh -c 'exec seq 1 1000000000'
  wait_for 10 at_least 1000000 stat -c %s "$TANK_LOG_DIR/$NS/web/main.log"
  kill -9 "$(workload_of web)"
  until_state web exited
  run -0 bash -c "tankctl logs web -n $NS | awk '\$1 != NR && !bad { bad = NR } END { print NR, bad + 0 }'"
  echo "$output"
  # only the last line may be cut
  read -r lines bad <<<"$output"
  [ "$bad" = 0 ] || [ "$bad" = "$lines" ]
}

@test "the shim and the daemons do not write a log to the workload's own descriptors" {
  start web -- sleep 1000
  kill_daemon reconcile
  [ -z "$(logs web 2>&1)" ]
  # Of group tank where there is one, and then what is made in it, too; nobody else's ever.
  [[ "$(stat -c %a "$TANK_LOG_DIR/$NS/web")" =~ ^2?750$ ]]
}

@test "logs that were there before group tank was are given to it; another group's are left" {
  getent group tank >/dev/null || skip "there is no group tank"
  start web -- sh -c 'echo line; sleep 1000'
  start other -- sleep 1000
  wait_for 10 equals line logs web
  hold_daemon reconcile
  chmod 00750 "$TANK_LOG_DIR/$NS" "$TANK_LOG_DIR/$NS"/*
  chgrp -R root "$TANK_LOG_DIR/$NS/web" "$TANK_LOG_DIR/$NS"
  chgrp adm "$TANK_LOG_DIR/$NS/other"
  let_daemons_go
  wait_for 20 all_ready
  [ "$(stat -c '%a %U:%G' "$TANK_LOG_DIR/$NS" "$TANK_LOG_DIR/$NS/web" "$TANK_LOG_DIR/$NS/web/main.log" | tr '\n' ' ')" = \
    "2750 root:tank 2750 root:tank 640 root:tank " ]
  [ "$(stat -c '%a %U:%G' "$TANK_LOG_DIR/$NS/other")" = "750 root:adm" ]
  [ "$(logs web)" = line ]
}

@test "sessions' output is not the log's" {
  start web -- sleep 1000
  in_pod web echo from-the-session
  [ -z "$(logs web)" ]
}
