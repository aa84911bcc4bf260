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

# list OPTIONS…: a page of the log, as JSON: [events, next, sequence].
list()
{
  busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 ListEvents 'sa{sv}' '' "$@" | jq -c .data
}

# told POD: its events of the log, in words, "applied starting running …".
told()
{
  list 1 pod s "$1" | jq -r '.[0][][4]' | tr '\n' ' '
}

last_told()
{
  [ "$(told "$1" | tr ' ' '\n' | grep . | tail -n 1)" = "$2" ]
}

@test "L4: applied, starting, running; crash: backing-off; delete: deleted; all in the log" {
  pod web '.backoff = {base: "2s", cap: "4s"}' -- sleep 1000 | apply
  wait_for last_told web ready
  [ "$(told web)" = 'applied starting running ready ' ]
  kill -KILL "$(pid_of web)"
  wait_for last_told web backing-off
  detail=$(list 1 pod s web | jq -r '.[0][-1][6]')
  [[ $detail =~ ^killed\ by\ SIGKILL\;\ restart\ 1\ in\ (2|2\.[0-9]+)s$ ]]
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
  # What happens while nobody looks is told when somebody does.
  end "$reconcile_pid" KILL
  kill -KILL "$(cat "$dir"/run/pods/*/main/*/record | tr '\0' '\n' | sed -n 's/^pid=\([1-9].*\)/\1/p')"
  start_reconcile
  wait_for last_told steady ready
  [ "$(told steady)" = 'applied starting running ready backing-off starting running ready ' ]
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
