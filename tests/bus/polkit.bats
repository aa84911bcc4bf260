#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Who is neither root nor in group tank, and what polkit says about him: a real polkitd.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  load polkit.bash
  setup_dir
  polkit_config
  start_bus
}

start_polkit()
{
  spawn_polkit
  wait_for has_owner org.freedesktop.PolicyKit1
}

# stranger METHOD SIGNATURE ARGUMENT…
stranger()
{
  as_nobody busctl --system --allow-interactive-authorization=no --json=short call org.tankd.Store1 \
    /org/tankd/Store1 org.tankd.Store1 "$@"
}

refused_stranger() # RIGHT METHOD…
{
  local right=$1
  shift
  run -1 stranger "$@"
  [[ $output == *"needs the right '$right'"* ]]
}

# A stranger's connection that stays.
start_client()
{
  mkfifo "$dir/pipe"
  chmod 755 "$dir"
  chmod 666 "$dir/pipe"
  as_nobody "$BATS_TEST_DIRNAME/one-connection.py" "$dir/pipe" >"$dir/client" 2>>"$dir/store.log" 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  client_pid=$!
  exec {client_in}>"$dir/pipe"
  wait_for grep -q '^ready' "$dir/client"
}

# ask LINE: what comes back is in $answer.
ask()
{
  local n
  n=$(wc -l <"$dir/client")
  echo "$1" >&"$client_in"
  wait_for eval "[ \$(wc -l <'$dir/client') -gt $n ]"
  answer=$(tail -n 1 "$dir/client")
}

may() # LINE
{
  ask "$1"
  [ "$answer" = ok ]
}

# What is asked of polkit.
count_questions()
{
  grep -c '"member":"CheckAuthorization"' "$dir/asked" || true
}

asked() # COUNT
{
  [ "$(count_questions)" = "$1" ]
}

denied() # RIGHT LINE
{
  ask "$2"
  [[ $answer == *AccessDenied*"'$1'"* ]]
}

get='["Get", "sss", ["widget", "default", "a"]]'
apply_b='["Apply", "sa{sv}", ["{\"kind\":\"widget\",\"name\":\"b\"}", {}]]'

@test "without polkit nobody else may anything, and is told so at once" {
  start_store
  apply a
  refused_stranger inspect Get sss widget default a
  [[ $output != *'cannot be asked'* ]]
  refused_stranger manage Apply 'sa{sv}' "$(widget b)" 0
  start_client
  ask "$get"
  [[ $answer == *AccessDenied* ]]
  [ "$(property Revision)" = 2 ]
}

@test "polkit grants each right by itself; by default none" {
  start_store
  start_polkit
  apply a
  refused_stranger inspect Get sss widget default a
  refused_stranger manage Apply 'sa{sv}' "$(widget b)" 0
  grant nobody inspect
  wait_for stranger Get sss widget default a
  refused_stranger manage Apply 'sa{sv}' "$(widget b)" 0
  grant nobody manage
  wait_for stranger Apply 'sa{sv}' "$(widget b)" 0
  refused_stranger inspect Get sss widget default a
  # To look and to change is not to break out.
  grant nobody inspect manage
  wait_for stranger Get sss widget default a
  pod='{"name":"p","containers":[{"name":"m","image":{"rootfs":"/srv"},"command":["x"]}]}'
  refused_stranger privileged Apply 'sa{sv}' "$pod" 0
  run -1 stranger Transaction 'a(sa{sv})a{sv}' 2 apply 1 document s "$(widget c)" apply 1 document s "$pod" 0
  [[ $output == *"operations[1]: "*"'privileged'"* ]]
  grant nobody inspect manage privileged
  wait_for stranger Apply 'sa{sv}' "$pod" 0
  [ "$(call History 'sssa{sv}' pod default p 0 | jq '.[0][0][5]')" = 65534 ]
  # Only methods: what asks nobody for rights stays where it was.
  run -1 as_nobody busctl --system get-property org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Revision
  run -1 as_nobody busctl --system introspect org.tankd.Store1 /org/tankd/Store1
}

@test "an answer is remembered until polkit says that something changed, and no longer" {
  start_store
  start_polkit
  apply a
  grant nobody inspect
  start_client
  wait_for may "$get"
  busctl --system --json=short monitor org.freedesktop.PolicyKit1 >"$dir/asked" 2>"$dir/monitor" 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  monitor_pid=$!
  wait_for grep -q Monitoring "$dir/monitor"
  may "many 100 $get"
  [ "$(count_questions)" = 0 ]
  # Nor is asked again and again what was refused: once, for this connection.
  denied manage "many 50 $apply_b"
  denied manage "$apply_b"
  wait_for asked 1
  # The same connection, other rules.
  grant nobody inspect manage
  wait_for may "$apply_b"
  grant nobody manage
  wait_for denied inspect "$get"
  may "$apply_b"
  # Neither root nor the group is ever asked about.
  before=$(count_questions)
  for _ in {1..5}; do
    call Get sss widget default a
  done
  [ "$(count_questions)" = "$before" ]
}

@test "polkit goes, and nothing is granted; it comes back, and what it grants is; it hangs, and others go on" {
  start_store
  grant nobody inspect
  start_polkit
  apply a
  start_client
  wait_for may "$get"
  end "$polkit_pid" KILL || true
  wait_for denied inspect "$get"
  start_polkit
  wait_for may "$get"
  kill -STOP "$polkit_pid"
  before=$(wc -l <"$dir/client")
  echo "$apply_b" >&"$client_in"
  for _ in {1..20}; do
    call Get sss widget default a
  done
  [ "$(wc -l <"$dir/client")" = "$before" ]
  kill -CONT "$polkit_pid"
  wait_for eval "tail -n 1 '$dir/client' | grep -q \"'manage'\""
}

@test "a store that is no owner of the actions is refused by polkit: nothing is granted, and why is told" {
  start_store
  rm "$dir/polkit/actions/org.tankd.policy"
  start_polkit
  grant nobody inspect
  refused_stranger inspect Get sss widget default a
  [[ $output == *'polkit cannot be asked: '* ]]
}

@test "tankctl has people asked when there are some: at a terminal, for what was refused" {
  start_store
  start_polkit
  grant nobody inspect
  wait_for stranger List 'ssa{sv}' widget '' 0
  busctl --system --json=short monitor org.freedesktop.PolicyKit1 >"$dir/asked" 2>"$dir/monitor" 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  monitor_pid=$!
  wait_for grep -q Monitoring "$dir/monitor"
  # In the place of polkit's agent, which reads from the terminal: it is only started here.
  mkdir "$dir/bin"
  printf '#!/bin/sh\necho "$@" >>%q\n' "$dir/agent" >"$dir/bin/pkttyagent"
  chmod 755 "$dir/bin" "$dir/bin/pkttyagent"
  touch "$dir/agent"
  chmod 666 "$dir/agent"
  widget b >"$dir/b.json"
  apply=("$build/tankctl/tankctl" apply -f "$dir/b.json")
  # A script is refused, and nobody is asked.
  run -1 as_nobody env PATH="$dir/bin:$PATH" "${apply[@]}" </dev/null
  [[ $output == *"'manage'"* ]]
  [ ! -s "$dir/agent" ]
  asked_people()
  {
    grep -q '"org.tankd.manage",{},1,""' "$dir/asked"
  }
  run ! asked_people
  run as_nobody env PATH="$dir/bin:$PATH" script -qec "${apply[*]}" /dev/null
  [[ $output == *"'manage'"* ]]
  grep -q -- '--notify-fd' "$dir/agent"
  wait_for asked_people
  [ "$(wc -l <"$dir/agent")" = 1 ]
  # What is granted needs nobody, nor does root.
  run as_nobody env PATH="$dir/bin:$PATH" script -qec "$build/tankctl/tankctl history widget none" /dev/null
  run script -qec "${apply[*]}" /dev/null
  [[ $output == *created* ]]
  [ "$(wc -l <"$dir/agent")" = 1 ]
}
