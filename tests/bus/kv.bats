#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Key-value data over a real bus: the journeys of the Pepr store through examples/tank_store.py, and
# tankctl kv.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
  PATH=$build/tankctl:$PATH
  top=$(realpath "$BATS_TEST_DIRNAME/../..")
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

# journeys BACKEND: and whatever secret they set stands in no log.
journeys()
{
  local line secret="" to from pid restarted=0
  coproc JOURNEYS { exec /usr/bin/python3 -u "$top/tests/bus/kv-journeys.py" "$1" 2>"$dir/journeys.err" 3>&-; }
  pid=$JOURNEYS_PID
  exec {from}<&"${JOURNEYS[0]}" {to}>&"${JOURNEYS[1]}"
  while read -r line <&"$from"; do
    echo "$line"
    case $line in
    secret*) secret=${line#secret } ;;
    restart)
      restart_store
      restarted=1
      echo go >&"$to"
      ;;
    esac
  done
  exec {from}<&- {to}>&-
  wait "$pid" || {
    cat "$dir/journeys.err" >&2
    return 1
  }
  [ -n "$secret" ]
  [ "$1" = memory ] || [ $restarted = 1 ]
  run ! grep -rF -- "$secret" "$dir/store.log" "$dir/run"
}

@test "P1-P12, X33-X41: the Pepr store's journeys, on disk" {
  start_store
  journeys disk
}

@test "P1-P12, X33-X41: the same, in memory" {
  start_store --memory
  journeys memory
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

@test "P9, X43: what a PeprStore held is imported, once, all of a store or nothing" {
  start_store
  cat >"$dir/pepr.json" <<'END'
{"apiVersion": "pepr.dev/v1", "kind": "PeprStore",
 "metadata": {"name": "pepr-1-store", "uid": "u-1", "resourceVersion": "42"},
 "data": {
  "__pepr_do_not_delete__": "k-thx-bye",
  "hello-old": "1", "hello-v2-https://new": "2", "hello-both": "old", "hello-v2-both": "new",
  "hello-pepr-v2-keep": "3", "hello-pepr-older": "", "unnamed-v2-x": "4", "hello": "5"}}
END
  before=$(property Revision)
  run -0 tankctl kv import --from-pepr "$dir/pepr.json" --capability hello --capability hello-pepr --dry-run
  [[ $output == *'hello: would set "https://new" (1 bytes)'* && $output != *'"2"'* ]]
  [ "$(property Revision)" = "$before" ]

  run -0 tankctl kv import --from-pepr "$dir/pepr.json" --capability hello --capability hello-pepr
  [[ $output == *'hello: 3 keys imported'* && $output == *'hello-pepr: 2 keys imported'* ]]
  pairs() { tankctl kv list "$1" -o json | jq -c 'map([.key, .value])'; }
  [ "$(pairs hello)" = '[["both","new"],["https://new","2"],["old","1"]]' ]
  [ "$(pairs hello-pepr)" = '[["keep","3"],["older",""]]' ]
  [ "$(tankctl kv stores -o name | tr '\n' ' ')" = 'hello hello-pepr pepr-import ' ]

  # Again: nothing, also over what was set since.
  tankctl kv set hello old newer
  before=$(property Revision)
  run -0 tankctl kv import --from-pepr "$dir/pepr.json" --capability hello --capability hello-pepr
  [[ $output == *'hello: imported already'* ]]
  [ "$(property Revision)" = "$before" ]
  [ "$(tankctl kv get hello old)" = newer ]

  # A capability that was not named keeps its keys; a value too many spoils the store as a whole.
  tankctl kv rm pepr-import hello
  tankctl kv clear hello
  run -0 tankctl kv import --from-pepr "$dir/pepr.json" --capability hello
  [[ $output == *'"hello-pepr-v2-keep" is left out'* ]]
  jq -c --arg long "$(printf 'x%.0s' {1..1025})" '.data["late-v2-a"] = "1" | .data["late-v2-b"] = "2"
    | .data["late-v2-" + ($long[0:1024])] = "3"' "$dir/pepr.json" >"$dir/late.json"
  run -0 tankctl kv import --from-pepr "$dir/late.json" --capability late
  [[ $output == *'late: 3 keys imported'* ]]
  run -1 tankctl kv import --from-pepr /dev/null --capability x
  [[ $output == *'not JSON'* ]]
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
