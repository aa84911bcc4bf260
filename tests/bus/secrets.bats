#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# shellcheck disable=SC2016 # what would be expanded is what must not be
#
# Secrets over a real bus: tankctl's verbs, who may, what is shown and logged, keys and where they come
# from. What secrets have to do, whoever asks for it, is in tests/conformance.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
  value=hunter2-$RANDOM$RANDOM-never-in-clear
  key=$dir/state/store/secrets.key
}

tankctl()
{
  "$build/tankctl/tankctl" "$@"
}

secrets_property()
{
  busctl --system --json=short get-property org.tankd.Store1 /org/tankd/Store1 \
    org.tankd.Store1.Secrets "$1" | jq -c .data
}

# nowhere WORD: in no file under the test's directory.
nowhere()
{
  local found
  if found=$(grep -rlaF -- "$1" "$dir"); then
    echo "$1 is in: $found" >&2
    return 1
  fi
}

@test "create, set, get, list, delete; nothing is a version that changes nothing" {
  start_store
  [ "$(tankctl secret create db --from-literal "password=$value" --type login)" = 'secret/default/db created' ]
  run -4 --separate-stderr tankctl secret create db --from-literal password=x
  [[ $stderr == *'is there already'* ]]
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  [ "$(tankctl secret get secret:db.default.tank/password --reveal)" = "$value" ]
  uid=$(tankctl get secret db -o json | jq -r .meta.uid)
  [ "$(tankctl secret get "tank://secret/default/id/$uid/password" --reveal)" = "$value" ]
  run -2 tankctl secret get db password
  run -2 tankctl secret get secret:db/password more --reveal
  run -2 tankctl secret get pod:db/password --reveal
  run -2 tankctl secret get DB password --reveal
  run -3 tankctl secret get db nokey --reveal
  run -3 tankctl secret get nodb password --reveal
  run -3 tankctl -n nowhere secret create db --from-literal a=b
  tankctl -n nowhere secret create db --from-literal a=b --create-namespace

  [ "$(tankctl secret set db --from-literal "password=$value")" = 'secret/default/db unchanged' ]
  [ "$(tankctl secret set db --from-literal "password=x$value")" = 'secret/default/db updated' ]
  [ "$(tankctl get secret db -o json | jq -c '[.type, .data, .meta.generation]')" = \
    '["login",{"password":{"redacted":true}},2]' ]
  tankctl secret list -A | grep -q nowhere
  # What is shown can be brought back, and changes nothing.
  tankctl get secret db -o yaml >"$dir/db.yaml"
  [[ $(tankctl apply -f "$dir/db.yaml") == *unchanged* ]]
  # Neither diff nor a dry run shows what is in a file.
  printf 'kind: secret\nname: db\ntype: other\ndata: {password: %s}\n' "$value" >"$dir/new.yaml"
  run tankctl diff -f "$dir/new.yaml"
  [[ $output == *other* && $output != *"$value"* ]]
  run tankctl apply --dry-run -f "$dir/new.yaml"
  [[ $output != *"$value"* ]]
  tankctl secret delete secret:db
  run -3 tankctl secret get db password --reveal
}

@test "tankctl secret: bytes in are bytes out" {
  start_store
  head -c 200000 /dev/urandom >"$dir/binary"
  printf 'line\n\n' >"$dir/lines"
  : >"$dir/empty"
  tankctl secret create b --from-file "bin=$dir/binary" --from-file "$dir/lines" --from-file "$dir/empty" \
    --from-literal 'dollar=pa$$word${HOME}' --from-literal word=password --from-literal eq=a=b
  tankctl secret get b bin --reveal | cmp - "$dir/binary"
  tankctl secret get b lines --reveal | cmp - "$dir/lines"
  tankctl secret get b empty --reveal | cmp - "$dir/empty"
  [ "$(tankctl secret get b dollar --reveal)" = 'pa$$word${HOME}' ]
  [ "$(tankctl secret get b word --reveal)" = password ]
  [ "$(tankctl secret get b eq --reveal)" = a=b ]
  printf secret-stdin | tankctl secret set b --from-file k=-
  [ "$(tankctl secret get b k --reveal)" = secret-stdin ]
  run -3 tankctl secret get b word --reveal

  tankctl apply -f - <<'END'
kind: secret
name: y
data: {plain: password, encoded: {base64: cGFzc3dvcmQ=}, dollar: "$HOME"}
END
  [ "$(tankctl secret get y plain --reveal)" = password ]
  [ "$(tankctl secret get y encoded --reveal)" = password ]
  [ "$(tankctl secret get y dollar --reveal)" = '$HOME' ]

  head -c 1048577 /dev/zero >"$dir/large"
  run -1 tankctl secret set b --from-file "k=$dir/large"
  truncate -s 1048576 "$dir/large"
  tankctl secret set b --from-file "k=$dir/large"
  tankctl secret get b k --reveal | cmp - "$dir/large"
  run -2 tankctl secret set b --from-literal 'a b=c'
  run -2 tankctl secret set b --from-literal a=b --from-literal a=c
}

# no_value_in PID: of its command line, which has the rest.
no_value_in()
{
  tr '\0' ' ' <"/proc/$1/cmdline" >"$dir/cmdline"
  grep -q 'tankctl secret set db --from-literal' "$dir/cmdline" && ! grep -qF "$value" "$dir/cmdline"
}

@test "a value of the command line is taken from there while tankctl waits" {
  start_store
  kill -STOP "$store_pid"
  "$build/tankctl/tankctl" secret set db --from-literal "password=$value" \
    "--from-literal=more=x$value" 3>&- &
  client_pid=$!
  wait_for no_value_in "$client_pid"
  grep -q 'from-literal password= .*from-literal=more=' "$dir/cmdline"
  kill -0 "$client_pid"
  kill -CONT "$store_pid"
  wait "$client_pid"
  unset client_pid
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  [ "$(tankctl secret get db more --reveal)" = "x$value" ]
}

@test "keys from a file, from standard input, from a credential" {
  one=$(head -c 32 /dev/urandom | base64)
  two=$(head -c 32 /dev/urandom | base64)
  (umask 077 && echo "$one" >"$dir/one")
  start_store --key-file "$dir/one"
  tankctl secret create db --from-literal "password=$value"
  end "$store_pid"
  [ ! -e "$key" ]

  "$build/tankd-store/tankd-store" --key-stdin <<<"$one" >>"$dir/store.log" 2>&1 3>&- &
  store_pid=$!
  wait_for has_owner org.tankd.Store1
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  run -1 --separate-stderr tankctl secret rotate-key
  [[ $stderr == *'a new key on a line before the old one'* ]]
  end "$store_pid"

  mkdir "$dir/credentials"
  printf '%s\n%s\n' "$two" "$one" >"$dir/credentials/tank-store.keys"
  export CREDENTIALS_DIRECTORY=$dir/credentials
  start_store
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  run -0 tankctl secret rotate-key
  [[ $output == *': 1 records sealed anew' ]]
  end "$store_pid"
  echo "$two" >"$dir/credentials/tank-store.keys"
  start_store
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  run -1 tankctl secret rotate-key
  unset CREDENTIALS_DIRECTORY
  run -2 "$build/tankd-store/tankd-store" --key-stdin --key-file "$dir/one"
}

@test "a rotation that is killed is ended by the next one, and nothing is lost" {
  start_store
  for i in {1..400}; do
    printf -- '---\nkind: secret\nname: s%s\ndata: {k: value-%s}\n' "$i" "$i"
  done >"$dir/many.yaml"
  tankctl apply -f "$dir/many.yaml" >/dev/null
  tankctl secret rotate-key >/dev/null 2>&1 3>&- &
  client_pid=$!
  two_keys()
  {
    [ "$(wc -l <"$key")" = 2 ]
  }
  wait_for two_keys
  end "$store_pid" KILL || true
  wait "$client_pid" || true
  unset client_pid
  start_store
  [ "$(tankctl secret get s1 k --reveal)" = value-1 ]
  [ "$(tankctl secret get s400 k --reveal)" = value-400 ]
  cut=$(secrets_property ActiveKey)
  tankctl secret rotate-key
  [ "$(secrets_property ActiveKey)" != "$cut" ]
  [ "$(secrets_property Keys | jq length)" = 1 ]
  [ "$(wc -l <"$key")" = 1 ]
  for i in 1 7 200 399 400; do
    [ "$(tankctl secret get "s$i" k --reveal)" = "value-$i" ]
  done
}

@test "kill -9 between the steps of rotations: each goes to a key of its own, and the last one ends them all" {
  grep -Eq '^#define ENABLE_FAILPOINTS 1' "$build/config.h" ||
    skip "this build has no failpoints: configure with --enable-failpoints"
  start_store
  tankctl secret create db --from-literal "password=$value"
  tankctl secret set db --from-literal "password=more-$value"
  for point in store.rotate.begun store.rotate.slice store.rotate.sealed store.rotate.ended; do
    end "$store_pid" || true
    keys=$(wc -l <"$key")
    TANK_FAILPOINT=$point start_store
    was=$(secrets_property ActiveKey)
    run ! tankctl secret rotate-key
    wait "$store_pid" || [ $? = 137 ]
    start_store
    [ "$(secrets_property ActiveKey)" != "$was" ]
    [ "$(tankctl secret get db password --reveal)" = "more-$value" ]
    # Earlier ones are cut, too: this has theirs, until all of it is sealed.
    [ "$point" = store.rotate.ended ] || [ "$(wc -l <"$key")" = $((keys + 1)) ]
  done
  [ "$(wc -l <"$key")" = 1 ]
  tankctl secret rotate-key >/dev/null
  [ "$(secrets_property Keys | jq length)" = 1 ]
  tankctl store verify
  [ "$(tankctl secret get db password --reveal)" = "more-$value" ]
}

@test "in memory: a key of its own, that goes with it" {
  start_store --memory
  tankctl secret create db --from-literal "password=$value"
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  tankctl secret rotate-key
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  [ ! -e "$key" ]
}

@test "backup and export are ciphertext unless told otherwise, and come back where the key is" {
  start_store
  tankctl secret create db --from-literal "password=$value" --type login
  tankctl store backup "$dir/backup" >/dev/null
  tankctl store export "$dir/lines" >/dev/null
  nowhere "$value"
  tankctl store verify >/dev/null
  [ "$(tankctl store export --reveal | jq -r 'select(.kind == "secret").data.password')" = "$value" ]

  tankctl secret delete db >/dev/null
  tankctl store import -f "$dir/lines" >/dev/null
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  [ "$(tankctl get secret db -o json | jq -r .type)" = login ]
  # The same as YAML, which apply has no use for.
  tankctl store export -o yaml "$dir/yaml" >/dev/null
  tankctl secret delete db >/dev/null
  run -1 --separate-stderr tankctl apply -f "$dir/yaml"
  [[ $stderr == *'meta.sealed: '*'tankctl store import'* ]]
  run -0 tankctl store import -f - <"$dir/yaml"
  [[ $output == '1 created, 0 updated, '* ]]
  [ "$(tankctl secret get db password --reveal)" = "$value" ]
  # With neither the value nor what it was sealed to there is nothing to be brought back.
  jq -c 'del(.meta)' "$dir/lines" >"$dir/redacted"
  run -1 --separate-stderr tankctl store import -f "$dir/redacted"
  [[ $stderr == *'the values are redacted'*'export it again'* ]]
  # As another secret it is nothing.
  sed 's/"name":"db"/"name":"other"/' "$dir/lines" >"$dir/moved"
  run -1 --separate-stderr tankctl store import -f "$dir/moved"
  [[ $stderr == *'is not what was sealed there'* ]]

  tankctl secret rotate-key
  tankctl store verify >/dev/null
  # What the old key sealed stays shut from now on.
  run -1 --separate-stderr tankctl store import -f "$dir/lines"
  [[ $stderr == *'which is not here'* ]]
  nowhere "$value"
}

@test "what is wrong with a secret in a seed is not told in the log" {
  printf '%s\n' '{"kind":"secret","name":"a","data":"hunter8"}' '{"kind":"secret","data":{"p":"hunter3"}' \
    '{"kind":"widget","name":"Bad","x":"told"}' >"$dir/seed"
  start_store --seed "$dir/seed"
  run -1 grep hunter "$dir/store.log"
  grep -q 'seed:1: it is about a secret' "$dir/store.log"
  grep -q 'seed:2: it is about a secret' "$dir/store.log"
  grep -q 'seed:3: name: ' "$dir/store.log"
}
