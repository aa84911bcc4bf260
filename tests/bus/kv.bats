#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Key-value data over a real bus: tankctl kv. What such a store has to do is in tests/conformance.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
  PATH=$build/tankctl:$PATH
  kv=(busctl --system --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1.KeyValue)
}

restart_store()
{
  end "$store_pid" KILL || true
  start_store
}

has_line()
{
  grep -qF -- "$1" "$2"
}

@test "tankctl kv: bytes in, bytes out" {
  start_store
  tankctl kv set s https://x 'a value'
  [ "$(tankctl kv get s https://x)" = 'a value' ]
  head -c 3000 /dev/urandom >"$dir/bytes"
  tankctl kv set s bytes --from-file "$dir/bytes"
  tankctl kv get s bytes | cmp - "$dir/bytes"
  tankctl kv set s stdin - <"$dir/bytes"
  tankctl kv get s stdin | cmp - "$dir/bytes"
  tankctl kv set s empty ''
  run -0 tankctl kv get s empty
  [ -z "$output" ]
  run -3 tankctl kv get s absent
  [[ $output == *'no key "absent"'* ]]

  run -0 tankctl kv set s k 1 --if-revision 0 -o json
  revision=$(jq .revision <<<"$output")
  run -4 tankctl kv set s k 2 --if-revision 0
  [[ $output == *"stands at revision $revision"* ]]
  tankctl kv set s k 2 --if-revision "$revision" --no-wait
  [ "$(tankctl kv get s k)" = 2 ]
  run -5 tankctl kv set s k 3 --timeout 0
  [[ $output == *'may still count'* ]]
  # A time that never comes is no limit.
  busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1.KeyValue Set 'sayaya{sv}' \
    s 1 107 1 51 1 timeout t 18446744073709551615

  run -0 tankctl kv list s --prefix e -o json
  [ "$(jq -c 'map([.key, .value])' <<<"$output")" = '[["empty",""]]' ]
  run -0 tankctl kv list s -o json
  [ "$(jq -r '.[] | select(.key == "bytes") | .value.base64' <<<"$output" | base64 -d | cmp - "$dir/bytes")" = '' ]
  [ "$(tankctl kv stores -o json | jq -c 'map([.store, .keys])')" = '[["s",5]]' ]
  # Times as everywhere: of what stays there is none.
  tankctl kv set s later x --ttl 1h
  expires=$(tankctl kv get s later -o json | jq -r .expires)
  [[ $expires =~ ^20[0-9-]+T[0-9:]+\.[0-9]{6}Z$ ]]
  [ "$(date -ud "$expires" +%s)" -gt $(($(date +%s) + 3500)) ]
  [ "$(tankctl kv list s -o json | jq -c 'map([.key, .expires]) | map(select(.[0] | IN("k", "later")))')" = \
    "[[\"k\",null],[\"later\",\"$expires\"]]" ]
  [ "$(tankctl kv get s k -o json | jq .expires)" = null ]
  tankctl kv rm s later
  tankctl kv set s soon gone --ttl 100ms
  gone() { [ "$(tankctl kv get s soon 2>/dev/null || echo absent)" = absent ]; }
  wait_for gone
  tankctl kv rm s k
  tankctl kv rm s k
  [ "$(tankctl kv clear s -o json | jq .removed)" = 4 ]
  [ "$(tankctl kv stores -o name)" = '' ]

  run -2 tankctl kv set s k
  run -2 tankctl kv rm s k --ttl 1s
  [[ $output == *'takes no --ttl'* ]]
  run -2 tankctl kv set Not/A/Name k v
  [[ $output == *'"Not/A/Name" is no name of a store'* ]]
  run -2 tankctl kv get s ''
  [[ $output == *'"" is no key'* ]]
}

@test "tankctl kv watch: what is there, ready, and every change across a restart" {
  start_store
  tankctl kv set s a 1
  tankctl kv watch s -o json >"$dir/watch" 2>"$dir/watch.err" 3>&- &
  watcher=$!
  wait_for has_line '"ready"' "$dir/watch"
  tankctl kv set s a 2
  tankctl kv set other a 1
  restart_store
  tankctl kv rm s a
  tankctl kv set s b 1 --ttl 200ms
  wait_for has_line '"expired"' "$dir/watch"
  end "$watcher" || true
  [ "$(jq -c '[.event, .key, .old, .new]' "$dir/watch")" = '["snapshot","a",null,"1"]
["ready",null,null,null]
["set","a","1","2"]
["removed","a","2",null]
["set","b",null,"1"]
["expired","b","1",null]' ]
}

@test "a batch over the bus: each by itself, or all; what is not understood does nothing" {
  start_store
  write() { "${kv[@]}" Write 'sa(sa{sv})a{sv}' "$@" | jq -c '.data[0] | map(.[0] | sub("org.tankd.Error."; ""))'; }
  [ "$(write s 3 set 2 key ay 1 97 value ay 1 49 set 2 key ay 0 value ay 1 49 remove 1 key ay 1 120 0)" = '["","InvalidArgument",""]' ]
  [ "$(write s 2 set 2 key ay 1 98 value ay 1 49 set 2 key ay 0 value ay 0 1 atomic b true)" = '["FailedPrecondition","InvalidArgument"]' ]
  [ "$(tankctl kv list s -o name)" = a ]
  before=$(property Revision)
  run ! "${kv[@]}" Write 'sa(sa{sv})a{sv}' s 2 set 2 key ay 1 97 value ay 1 50 replace 1 key ay 1 97 0
  [[ $output == *'operations[1]: there is no operation "replace"'* ]]
  run ! "${kv[@]}" Write 'sa(sa{sv})a{sv}' s 1 remove 0 0
  [[ $output == *'"key" is missing: remove needs it'* ]]
  run ! "${kv[@]}" Set 'sayaya{sv}' s 1 97 1 97 1 deadline t 1
  [[ $output == *'TimedOut'* || $output == *'deadline'* ]]
  [ "$(property Revision)" = "$before" ]
  run ! "${kv[@]}" Set 'sayaya{sv}' s 1 97 1 97 1 unknown b true
  [[ $output == *'no option "unknown"'* ]]
}
