#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A database that is empty, another one, or older than it was, under a running suite: the loop never
# stops what it merely cannot see.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

state()
{
  busctl --system get-property org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 \
    State | cut -d'"' -f2
}

sync_now()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync \
    >/dev/null 2>&1 || true
}

# status_of POD FILTER: as the reconciler tells it, whatever the store knows.
status_of()
{
  busctl --system --json=short call org.tankd.Reconcile1 /org/tankd/Reconcile1 \
    org.tankd.Reconcile1 GetStatus ss "$NS" "$1" | jq -r '.data[2]' | jq -r "$2"
}

still_runs()
{
  [ -d "/proc/$web" ] && [ -d "/proc/$db" ]
}

two_pods()
{
  start web -- sleep 1000
  start db -- sleep 1000
  web=$(pid_of web)
  db=$(pid_of db)
}

held()
{
  wait_for 15 equals held state
  still_runs
  sync_now
  still_runs
  [ "$(status_of web .reason)" = Held ]
  [ "$(status_of web .containers[0].pid)" = "$web" ]
  [ "$(status_of db .reason)" = Held ]
  run tankctl doctor
  [ "$status" != 0 ]
  says '[Hh]eld'
  says 'accept-store'
}

store_dir()
{
  echo "$TANK_STATE_DIR/store"
}

put_aside()
{
  hold_daemon store
  rm -rf "$BATS_FILE_TMPDIR/aside"
  cp -a "$(store_dir)" "$BATS_FILE_TMPDIR/aside"
}

# Puts the database back that was put aside, and takes it as what is wanted.
restore()
{
  hold_daemon store
  rm -rf "$(store_dir)"
  cp -a "$BATS_FILE_TMPDIR/aside" "$(store_dir)"
  let_daemons_go
  wait_for 20 all_ready
  sync_now
}

@test "an empty database: nothing is stopped, Held is shown, also by the next reconciler; accepting it ends it" {
  two_pods
  put_aside
  find "$(store_dir)" -mindepth 1 -delete
  let_daemons_go
  wait_for 20 all_ready
  held
  kill_daemon reconcile
  held
  kill_daemon store
  held
  # exec, logs and the policy still work
  kill -9 "$(tr -d ' \n' <"/proc/$web/task/$web/children")"
  wait_for 10 held_restarted
  web=$(status_of web .containers[0].pid)
  # a restart asked for by a person is refused while it is not known what is wanted
  refused 1 tankctl restart web -n "$NS"
  run tankctl get pods -n "$NS" -o json
  tankctl doctor --accept-store
  wait_for 15 gone "$web"
  wait_for 15 gone "$db"
  [ "$(state)" = ok ]
  run tankctl doctor --accept-store
  [ "$status" != 0 ]
  restore
  tankctl doctor --accept-store || true
  wait_for 15 equals running get web .status.state
}

held_restarted()
{
  [ "$(status_of web .containers[0].restarts)" = 1 ] &&
    [ "$(status_of web .containers[0].state)" = running ]
}

@test "a foreign database with other pods: nothing is stopped, nothing of it is started before it is accepted" {
  two_pods
  put_aside
  find "$(store_dir)" -mindepth 1 -delete
  let_daemons_go
  wait_for 20 all_ready
  held
  echo '{"kind":"namespace","name":"'"$NS"'"}' | tankctl apply -f -
  pod foreign -- sleep 1000 | apply
  sync_now
  still_runs
  run status_of foreign .state
  [ "$output" != running ]
  # the same name, too
  pod web -- sleep 2000 | apply
  sync_now
  still_runs
  tankctl doctor --accept-store
  until_state foreign running
  until_state web running
  wait_for 10 gone "$web"
  wait_for 10 gone "$db"
  [ "$(state)" = ok ]
}

@test "a database that went back: nothing is stopped; Held" {
  start web -- sleep 1000
  web=$(pid_of web)
  put_aside
  let_daemons_go
  wait_for 20 all_ready
  start db -- sleep 1000
  db=$(pid_of db)
  restore
  held
  tankctl doctor --accept-store
  wait_for 15 gone "$db"
  [ -d "/proc/$web" ]
  [ "$(state)" = ok ]
}

@test "the database comes back: Held ends by itself, with the same pids" {
  two_pods
  put_aside
  find "$(store_dir)" -mindepth 1 -delete
  let_daemons_go
  wait_for 20 all_ready
  held
  restore
  wait_for 15 equals ok state
  still_runs
  [ "$(pid_of web)" = "$web" ]
  [ "$(get web .status.reason)" = "" ]
}

@test "a store that is away is no reason to stop anything, for as long as it is" {
  two_pods
  hold_daemon store
  wait_for 10 equals no-store state
  sync_now
  still_runs
  kill_daemon reconcile
  still_runs
  # a reconciler that never saw the store knows its pods from their records
  [ "$(status_of web .containers[0].pid)" = "$web" ]
  let_daemons_go
  wait_for 20 all_ready
  wait_for 15 equals ok state
  [ "$(pid_of web)" = "$web" ]
}
