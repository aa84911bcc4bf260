#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# tankctl's looking verbs with a real store and reconciler, and the shim of tests/fake: lists that
# are sorted, cut and followed, what a terminal is spared, and what completes.

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

follow()
{
  "$build/tankctl/tankctl" "$@" >"$dir/seen" 2>"$dir/said" 3>&- &
  follower=$!
}

# lacks PATTERN <text
lacks()
{
  if grep -E -- "$1"; then
    return 1
  fi
}

saw()
{
  grep -Eq -- "$1" "$dir/seen"
}

names()
{
  tankctl get "$@" -o name | tr '\n' ' '
}

@test "get: sorted, limited, by columns and paths" {
  pod b '.labels = {tier: "1"}' -- sleep 1000 | apply
  pod a '.labels = {tier: "3"}' -- sleep 1001 | apply
  pod c -- sleep 1002 | apply
  for p in a b c; do wait_for running "$p"; done
  [ "$(names pods)" = 'pod/a pod/b pod/c ' ]
  [ "$(names pods --sort-by -name)" = 'pod/c pod/b pod/a ' ]
  [ "$(names pods --sort-by .meta.revision)" = 'pod/b pod/a pod/c ' ]
  [ "$(names pods --sort-by=-.labels.tier)" = 'pod/a pod/b pod/c ' ]
  [ "$(tankctl get pods --sort-by -revision -o json | jq -r '.[].name' | tr '\n' ' ')" = 'c a b ' ]
  run tankctl get pods --limit 2 -o name
  [ "$output" = $'pod/a\npod/b\n1 more are not shown.' ] ||
    [ "$output" = $'1 more are not shown.\npod/a\npod/b' ]
  run tankctl get pods --columns NAME,pid,.labels.tier --sort-by name
  [[ ${lines[0]} =~ ^NAME\ +PID\ +\.labels\.tier$ ]]
  [[ ${lines[1]} =~ ^a\ +$(pid_of a)\ +3$ ]]
  [[ ${lines[3]} =~ ^c\ +$(pid_of c)\ +-$ ]]
  run tankctl get pods -o wide -A
  [[ ${lines[0]} =~ ^NAMESPACE\ +NAME\ +READY\ +STATE\ +REASON\ +RESTARTS\ +AGE\ +GENERATION\ +UID\ +MESSAGE$ ]]
  for wrong in '--sort-by colour' '--columns colour' '--columns NAME -o json' '--limit 0' \
    '--limit x' '--watch -o yaml' '--watch --limit 3' 'web --sort-by name'; do
    # shellcheck disable=SC2086 # words
    run tankctl get pod $wrong
    [ "$status" = 2 ]
    [ "${#lines[@]}" = 1 ]
  done
}

@test "get: selected, counted, limited by the store" {
  for i in 1 2 3; do
    pod "web-$i" ".labels = {app: \"web\", n: \"$i\"}" -- sleep "100$i" | apply
    pod "db-$i" '.labels = {app: "db"}' -- sleep 1000 | apply
  done
  for p in web-{1..3} db-{1..3}; do wait_for running "$p"; done
  [ "$(names pods -l app=web,n!=2)" = 'pod/web-1 pod/web-3 ' ]
  [ "$(names pods -l 'n in (2, 3)')" = 'pod/web-2 pod/web-3 ' ]
  [ "$(names pods -l '!n' --limit 9)" = 'pod/db-1 pod/db-2 pod/db-3 ' ]
  [ "$(names pods --fields 'containers[*].command[1]=1002')" = 'pod/web-2 ' ]
  [ "$(names pods --fields 'status.state=running,name!=db-1' -l app=db)" = 'pod/db-2 pod/db-3 ' ]
  [ "$(names pods --fields status.state=exited)" = '' ]
  tankctl get pods -l app=db --sort-by -revision --limit 2 -o json >"$dir/seen" 2>"$dir/more"
  [ "$(jq -r '.[] | .name + " " + .status.state' "$dir/seen")" = $'db-3 running\ndb-2 running' ]
  [ "$(cat "$dir/more")" = '1 more are not shown.' ]
  [ "$(names pods -o name -l app=web --sort-by age --limit 1 2>/dev/null)" = 'pod/web-3 ' ]
  [ "$(tankctl get pods --count)" = 6 ]
  [ "$(tankctl get pods --count -l app=web)" = 3 ]
  [ "$(tankctl get pods --count --fields 'status.state!=running')" = 0 ]
  [ "$(tankctl get pods --count -n system)" = 0 ]
  [ "$(tankctl get namespaces --count)" = 2 ]
  run tankctl get pods -l 'app=web n=1'
  [ "$status" = 2 ]
  [[ $output == *'label selector, column 9: expected a comma'* ]]
  for wrong in '--fields a[' '--count --limit 3' '--count -o json' '--count -w' 'web-1 --count' \
    'web-1 --fields x' '-l ,'; do
    # shellcheck disable=SC2086 # words
    run tankctl get pod $wrong
    [ "$status" = 2 ]
    [ "${#lines[@]}" = 1 ]
  done
  run tankctl get widgets -l a=b
  [ "$status" = 2 ]
  follow get pods -w -o name -l app=web --fields status.state!=exited
  wait_for saw '^pod/web-3$'
  tankctl delete pod web-3
  gone()
  {
    [ "$(grep -c web-3 "$dir/seen")" = 2 ]
  }
  wait_for gone
  if saw db-; then
    return 1
  fi
}

@test "get -w: rows again at each change, over restarts of both daemons" {
  pod web '.restart = "never"' -- sleep 1000 | apply
  wait_for running web
  follow get pods -w
  wait_for saw '^web +1/1 +running'
  [ "$(wc -l <"$dir/seen")" = 2 ]
  kill_main web
  wait_for saw '^web +0/1 +failed +Signaled'
  end "$reconcile_pid" KILL
  start_reconcile
  wait_for reconciler_is ok
  end "$store_pid" KILL
  start_store
  wait_for reconciler_is ok
  pod new -- sleep 1000 | apply
  wait_for saw '^new +1/1 +running'
  tankctl delete pod web
  wait_for saw '^web +0/0 +deleted'
  # One row for each thing that changed: no row is the same as the one before it of that name.
  [ "$(grep -c '^web' "$dir/seen")" -le 5 ]
  [ "$(grep '^web' "$dir/seen" | sed -E 's/ +[0-9a-z]+$//' | uniq -d)" = '' ]
  end "$follower"
  # A name; as JSON; gone and there again.
  follow get pod new -w -o json
  wait_for saw '"state":"running"'
  tankctl delete pod new
  wait_for saw '"deleted":true'
  jq -s 'map(.name) | unique == ["new"]' "$dir/seen" | grep -x true
  pod new -- sleep 1000 | apply
  wait_for tail_runs
  run tankctl get pod nothing -w
  [ "$status" = 3 ]
}

tail_runs()
{
  [ "$(tail -n 1 "$dir/seen" | jq -r .status.state)" = running ]
}

@test "describe: one line says why, and the last five ends" {
  pod loop '.backoff = {base: "20ms", cap: "20ms"}' -- sh -c 'exit 3' | apply
  wait_for is loop '.containers[0].restarts >= 6'
  # So long that it stands still while it is looked at.
  pod loop '.backoff = {base: "1h", cap: "1h"}' -- sh -c 'exit 3' | apply
  wait_for waits_long loop
  run tankctl describe pod loop
  [ "$(grep -c '^Why:' <<<"$output")" = 1 ]
  grep -Eq '^Why: +main: exited with 3; next start in [0-9a-z.]+, restart [0-9]+$' <<<"$output"
  [ "$(grep -c 'exited with 3 (' <<<"$output")" = 5 ]
  pod over '.restart = "never"' -- sh -c 'exit 4' | apply
  wait_for is over '.state == "failed"'
  run tankctl describe pod over
  grep -Fxq 'Why:          main: exited with 4; restart is never, so that only "tankctl restart over" starts it again' <<<"$output"
  pod fine -- sleep 1000 | apply
  wait_for running fine
  run tankctl describe pod fine
  lacks '^Why:' <<<"$output"
  end "$reconcile_pid" KILL
  run tankctl describe pod fine
  [ "$status" = 0 ]
  grep -Eq '^Why: +tankd-reconcile is not on the bus' <<<"$output"
}

waits_long()
{
  is "$1" '.reason == "BackingOff" and .restart_at != null and
    (.restart_at | sub("\\.[0-9]*Z$"; "Z") | fromdate) > now + 600'
}

# ---- what a terminal is spared

# on_terminal COMMAND…: its output on a terminal.
on_terminal()
{
  TERM=xterm script -qec "$(printf '%q ' "$@")" /dev/null </dev/null
}

evil=$'\e]52;c;cHduZWQ=\a\e[2Jx\xc2\x9b31m\xe2\x80\xaegnp\x7f\r'

@test "nothing that a terminal obeys comes out: documents, containers, errors" {
  jq -acn --arg e "$evil" '{kind: "pod", name: "evil", restart: "never", annotations: {note: $e},
    containers: [{name: "main", image: {rootfs: "/"}, command: ["sh", "-c", "exit 1", $e], env: {E: $e}}]}' |
    sed 's/\x7f/\\u007f/g' | tankctl apply -f - >/dev/null
  jq -acn --arg e "$evil" '{kind: "widget", name: "w", $e, ($e): 1}' |
    sed 's/\x7f/\\u007f/g' | tankctl apply -f - >/dev/null
  wait_for is evil '.state == "failed"'
  clean()
  {
    "$@" >"$dir/out" 2>&1 || true
    [ -s "$dir/out" ]
    LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' "$dir/out" || return 0
    cat -v "$dir/out"
    return 1
  }
  clean tankctl describe pod evil
  grep -Fq '\x1b]52;c;cHduZWQ=\x07\x1b[2Jx\u009b31m\u202egnp\x7f\x0d' "$dir/out"
  clean tankctl get pod evil -o json
  [ "$(jq -r .annotations.note "$dir/out")" = "$evil" ]
  clean tankctl get pod evil -o yaml
  clean tankctl get widget w -o yaml
  clean tankctl describe widget w
  clean tankctl get pods --columns NAME,.annotations.note
  clean tankctl watch --since 1 --no-follow -o json
  clean tankctl events --no-follow
  clean tankctl get "pod/$evil"
  clean tankctl "$evil"
  clean tankctl get --sort-by "$evil"
  clean tankctl events "$evil"
  clean tankctl validate -f - <<<"{kind: pod, name: \"$evil\"}"
  # What stands in the store is what is applied again.
  tankctl get widget w -o yaml | tankctl apply -f - | grep -x 'widget/default/w unchanged'
  tankctl get pod evil -o yaml | tankctl apply -f - | grep -x 'pod/default/evil unchanged'
}

# A log as a shim would write it; the one of tests/fake writes none.
@test "logs: byte by byte into a pipe, harmless on a terminal, unless it is to be raw" {
  pod web -- sleep 1000 | apply
  wait_for running web
  mkdir -p "$dir/log/default/web"
  text=$'\e[31mred\e]0;title\a \xc2\x9b \xff tab\there \xc3\xbc'
  printf '%s out F 1 %s\n' 2026-01-01T00:00:00.000000Z "$text" >"$dir/log/default/web/main.log"
  [ "$(tankctl logs web)" = "$text" ]
  [ "$(on_terminal "$build/tankctl/tankctl" logs web)" = \
    $'\\x1b[31mred\\x1b]0;title\\x07 \\u009b \\xff tab\there \xc3\xbc\r' ]
  [ "$(on_terminal "$build/tankctl/tankctl" logs --raw web)" = "$text"$'\r' ]
}

@test "colours on a terminal only, and not when they are not wanted" {
  pod web -- sleep 1000 | apply
  wait_for running web
  tankctl get pods | lacks $'\e'
  on_terminal "$build/tankctl/tankctl" get pods | grep -q $'\e\\[32mrunning\e\\[0m'
  NO_COLOR=1 on_terminal "$build/tankctl/tankctl" get pods | lacks $'\e'
  on_terminal env TERM=dumb "$build/tankctl/tankctl" get pods | lacks $'\e'
}

# ---- completion

# complete LINE: what bash would offer at its end, sorted. Words are cut as readline cuts them.
complete_line()
{
  # shellcheck disable=SC2016 # for the bash that is completed in
  PATH=$build/tankctl:$PATH bash --norc -c '
    source <(tankctl completion bash)
    line=$1
    read -ra COMP_WORDS <<<"${line//=/ = }"
    [[ $line != *[\ =] ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
    _tankctl tankctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]-}"
    ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"' - "$1" | sort | tr '\n' ' '
}

offers()
{
  local got
  got=$(complete_line "$1")
  [ "$got" = "$2" ] || {
    echo "'$1' offers: $got"
    return 1
  }
}

@test "completion: verbs, options, types, names from the bus, in bash" {
  pod web '.containers += [{name: "side", image: {rootfs: "/"}, command: ["sleep", "2000"]}]' \
    -- sleep 1000 | apply
  pod worker -- sleep 1000 | apply
  tankctl apply -f - <<<'{kind: namespace, name: prod}' >/dev/null
  tankctl apply -f - <<<"$(pod other '.namespace = "prod"' -- sleep 1000)" >/dev/null
  offers 'tankctl des' 'describe '
  offers 'tankctl get po' 'pod '
  offers 'tankctl get pod w' 'web worker '
  offers 'tankctl get pod/we' 'pod/web '
  offers 'tankctl describe pods wo' 'worker '
  offers 'tankctl -n prod get pod ' 'other '
  offers 'tankctl get -n pr' 'prod '
  offers 'tankctl get pod --namespace=pr' 'prod '
  offers 'tankctl exec w' 'web worker '
  offers 'tankctl exec web/' 'web/main web/side '
  offers 'tankctl exec web -c s' ''
  offers 'tankctl logs web -c s' 'side '
  offers 'tankctl restart wor' 'worker '
  offers 'tankctl events --s' '--since '
  offers 'tankctl wait web --for=r' 'ready running '
  offers 'tankctl kill -s SIGKI' 'SIGKILL '
  offers 'tankctl get -o js' 'json '
  offers 'tankctl get pods --sort-by RES' 'RESTART-AT RESTARTS '
  offers 'tankctl help comp' 'completion '
  offers 'tankctl completion b' 'bash '
  touch "$dir/a file.yaml"
  cd "$dir"
  offers 'tankctl apply -f a' 'a file.yaml '
  # Silent where there is nothing, and quick when nobody answers.
  offers 'tankctl get pod zzz' ''
  end "$store_pid" KILL
  offers 'tankctl get pod w' ''
  offers 'tankctl ev' 'events '
  DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere offers 'tankctl get pod w' ''
  run tankctl completion zsh
  [ "$status" = 2 ]
}
