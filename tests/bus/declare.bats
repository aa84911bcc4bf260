#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# tankctl's verbs for declarations over a real bus: what would change, and did, also of secrets; that
# what comes out goes in again.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  load polkit.bash
  setup_dir
  value=hunter2-$RANDOM$RANDOM-never-in-clear
}

tankctl()
{
  "$build/tankctl/tankctl" "$@"
}

# told PATTERN…: each is a line of the output, as a whole.
told()
{
  local line
  for line; do
    grep -Fxq -- "$line" <<<"$output" || {
      printf 'missing: %s\nin: %s\n' "$line" "$output" >&2
      return 1
    }
  done
}

# A secret's document on standard output: its values are the arguments, KEY=VALUE.
secret()
{
  printf 'kind: secret\nname: db\ndata:\n'
  printf '%s\n' "$@" | sed -E 's/^([^=]*)=([^{].*)$/\1="\2"/; s/^([^=]*)=/  \1: /'
}

@test "diff, a dry run and history tell which values of a secret change, and no value" {
  start_bus
  start_store
  secret "password=$value" user=me gone=1 >"$dir/db.yaml"
  run -1 tankctl diff -f "$dir/db.yaml"
  told 'secret/default/db would be created' '  + data.password: added'
  [[ $output != *"$value"* ]]
  tankctl apply -f "$dir/db.yaml"
  first=$(tankctl get secret db -o json | jq .meta.revision)
  run -0 --separate-stderr tankctl diff -f "$dir/db.yaml"
  [ "$output$stderr" = '' ]
  run -0 tankctl apply --dry-run -f "$dir/db.yaml"
  [ "$output" = 'secret/default/db unchanged (dry run)' ]

  secret "password=x$value" user=me more=2 >"$dir/new.yaml"
  for verb in diff 'apply --dry-run'; do
    # shellcheck disable=SC2086 # two words
    run tankctl $verb -f "$dir/new.yaml"
    told '  ~ data.password: changed' '  - data.gone: removed' '  + data.more: added'
    [[ $output != *data.user* && $output != *"$value"* ]]
  done
  tankctl apply -f "$dir/new.yaml"
  second=$(tankctl get secret db -o json | jq .meta.revision)
  run -0 tankctl history secret db --diff "$first" "$second"
  [ "$output" = '  - data.gone: removed
  ~ data.password: changed
  + data.more: added' ]
  run -0 tankctl history secret db --diff "$second" "$first"
  told '  + data.gone: added' '  ~ data.password: changed' '  - data.more: removed'
  run -0 tankctl history secret db --diff "$second"
  [ "$output" = '' ]
  # What is kept is no change, nor is another spelling of the same bytes.
  secret 'password={redacted: true}' "user={base64: $(printf me | base64)}" more=2 >"$dir/kept.yaml"
  run -0 tankctl diff -f "$dir/kept.yaml"
  [ "$output" = '' ]
  secret 'password={redacted: true}' user=you more=2 >"$dir/kept.yaml"
  run -1 tankctl diff -f "$dir/kept.yaml"
  [ "$output" = 'secret/default/db would be updated
  ~ data.user: changed' ]
}

@test "what may not be read of a secret is not compared, and that is said" {
  polkit_config
  start_bus
  start_store
  spawn_polkit
  wait_for has_owner org.freedesktop.PolicyKit1
  tankctl secret create db --from-literal "password=$value" --from-literal gone=1
  first=$(tankctl get secret db -o json | jq .meta.revision)
  tankctl secret set db --from-literal "password=x$value" --from-literal more=1
  secret "password=$value" more=1 >"$dir/db.yaml"
  grant nobody inspect
  wait_for as_nobody "$build/tankctl/tankctl" get secret db -o name
  run -1 --separate-stderr as_nobody "$build/tankctl/tankctl" diff -f "$dir/db.yaml"
  [ "$output" = 'secret/default/db would be updated, if a value differs
  ? data.more: not compared
  ? data.password: not compared' ]
  [[ $stderr == "tankctl: secret/default/db: values are not compared: "*"needs the right 'secrets'"* ]]
  run -0 --separate-stderr as_nobody "$build/tankctl/tankctl" history secret db --diff "$first"
  [ "$output" = '  - data.gone: removed
  ? data.password: not compared
  + data.more: added' ]
  [[ $stderr == *"needs the right 'secrets'"* ]]
}

# What is printed says the same, and in its own words.
@test "what get prints is applied again without a change: every type, each way" {
  start_bus
  start_store
  tankctl apply -f - <<'END'
kind: namespace
name: prod
labels: {tier: "1", on: "yes", time: "12:30", octal: "0755"}
---
name: web
restart: on-failure
grace: 1m30s
backoff: {base: 250ms, cap: 5m, reset: 1h}
labels: {app: "true", "a.b/c": "null"}
annotations: {text: "two\nlines\n", star: "*a", hash: "a # b", empty: ""}
hostname: web
extra_hosts: {db: 10.0.0.1}
volumes:
- {name: v, source: managed}
- {name: s, source: {secret: db, items: {password: p}, mode: "0440"}}
containers:
- name: main
  image: {rootfs: /srv/web}
  command: [/bin/sh, -c, "echo 'a' \"b\" $HOME; true"]
  env: {N: "5", T: "true", E: "", P: {secret: db/password}, U: "é\u2028\U0001F600"}
  env_from: [{config: app, prefix: APP_}]
  limits: {memory: 64MiB, cpu: 1.5, pids: 100}
  stop: {signal: SIGINT, grace: 1500us}
  log: {max_size: 5MB, max_files: 3}
---
kind: secret
name: db
type: login
labels: {a: b}
data: {password: hunter2, bytes: {base64: AAEC/w==}, empty: "", lines: "a\nb\n"}
---
kind: config
name: app
data: {level: debug, number: "5", bool: "no", bytes: {base64: AAEC/w==}, lines: " a\n\n b\n"}
---
{kind: service, name: a, port: 80}
---
{kind: instance, name: a, of: x}
---
{kind: scaling_operation, name: a, to: 3}
---
{kind: deletion_operation, name: a}
---
{kind: widget, name: a, real: 1.5, small: 1e-9, big: 9007199254740993, none: null, off: false,
  deep: [[{a: []}, {}], "", "-", "~"], grace: 10, "key with: colon": "0x10", zero: -0.0}
END
  for type in pods namespaces secrets configs services instances scaling_operations \
    deletion_operations widget; do
    before=$(tankctl get "$type" -o json | jq -c 'map(.meta)')
    tankctl get "$type" -o yaml >"$dir/$type.yaml"
    run -0 tankctl apply -f "$dir/$type.yaml"
    [ -n "$output" ]
    [[ $output != *updated* && $output != *created* ]]
    run -0 tankctl diff -f "$dir/$type.yaml"
    [ "$output" = '' ]
    # A list as it is printed; of pods without what tank alone knows.
    tankctl get "$type" -o json 2>/dev/null >"$dir/$type.json"
    [ "$type" != pods ] || tankctl get pods -o json 2>/dev/null | jq -a 'map(del(.status))' >"$dir/$type.json"
    run -0 tankctl apply -f "$dir/$type.json"
    [ "$(grep -c ' unchanged$' <<<"$output")" = "$(jq length "$dir/$type.json")" ]
    [ "$(tankctl get "$type" -o json | jq -c 'map(.meta)')" = "$before" ]
  done
  tankctl get configs -o json | tankctl validate -f -
  tankctl get config app -o json | tankctl apply -f - | grep -x 'config/default/app unchanged'
  run -1 --separate-stderr tankctl apply -f <(tankctl get pods -o json 2>/dev/null)
  [[ $stderr == *'status: made by tank and never declared: leave it out, as -o yaml does' ]]
  # To delete, what it says beyond names does not matter.
  tankctl get pods -o json 2>/dev/null | tankctl delete -f - | grep -x 'pod/default/web deleted'
  tankctl store export -o yaml | tankctl store import -f - | grep '^0 created, 0 updated, '
  tankctl history secret db --revision "$(tankctl get secret db -o json | jq .meta.revision)" -o yaml |
    tankctl apply -f - | grep -x 'secret/default/db unchanged'
}

# code NUMBER WORD…: what tankctl exits with.
code()
{
  local expected=$1
  shift
  run --separate-stderr tankctl "$@"
  [ "$status" = "$expected" ] || {
    echo "$*: exits with $status, not $expected: $stderr" >&2
    return 1
  }
  [ "$expected" = 0 ] || [ -n "$stderr" ]
}

@test "exit codes: one rule for all verbs" {
  start_bus
  start_store
  printf 'kind: widget\nname: a\nspec: 1\n' >"$dir/a.yaml"
  printf 'kind: widget\nname: a\nmeta: {revision: 0}\n' >"$dir/new.yaml"
  printf 'kind: widget\nname: a\nnamespace: nowhere\n' >"$dir/nowhere.yaml"
  printf 'kind: widget\nstatus: {}\n' >"$dir/bad.yaml"
  printf 'kind: svc\nname: a\n' >"$dir/short.yaml"
  code 0 apply -f "$dir/a.yaml"
  code 0 secret create db --from-literal a=b
  code 0 kv set s k v
  # 3: it is not there; 4: it is, or elsewhere; 5: too late.
  code 3 get widget b
  code 3 get nosuch b
  code 3 describe widget b
  code 3 history widget a --revision 1000
  code 3 rollback widget a --to 1000
  code 3 rollback widget b --to 1
  code 3 apply -f "$dir/nowhere.yaml"
  [[ $stderr == *"declare it first, or let it be made (--create-namespace)" ]]
  code 3 secret get db nokey --reveal
  code 3 secret get nodb a --reveal
  code 3 kv get s nokey
  code 4 apply -f "$dir/new.yaml"
  code 4 secret create db --from-literal a=b
  code 4 kv set s k v --if-revision 0
  code 4 rollback widget a --to 2 --if-revision 1
  code 5 kv set s k other --timeout 0
  # 2: the line is wrong; 1: everything else.
  code 2 get widget A
  code 2 get ns -n x
  code 2 watch pod --prefix A
  code 2 kv get A k
  code 2 secret get A k --reveal
  code 2 store retention A --versions 1
  code 1 apply -f "$dir/bad.yaml"
  code 1 apply -f "$dir/short.yaml"
  [[ $stderr == *"'svc' means 'service' on a command line, and no type can be called that: write 'service'" ]]
  for missing in "apply -f" "diff -f" "validate -f" "delete -f" "store import -f" seed \
    "secret set x --from-file" "kv set s k --from-file" "kv import --capability a --from-pepr"; do
    # shellcheck disable=SC2086 # words
    code 1 $missing "$dir/missing"
    [[ $stderr == *"$dir/missing: No such file or directory" ]]
  done
  code 1 store backup "$dir/missing/x"
  # Deleting what is not there is done; of a namespace that holds something, nothing is.
  code 0 delete widget b
  tankctl apply -f - <<<'{"kind":"namespace","name":"x"}'
  tankctl apply -n x -f "$dir/a.yaml"
  code 1 delete ns x
  [[ $stderr == *"(--cascade)" ]]
  # Skipped, not failed; what is offered is possible.
  code 0 seed "$dir/nowhere.yaml"
  [[ $stderr == *"there is no namespace 'nowhere': declare it first" ]]
  revision=$(tankctl get widget a -n x -o json | jq .meta.revision)
  tankctl delete ns x --cascade
  code 3 rollback widget a -n x --to "$revision"
  [[ $stderr == *"declare it first" ]]
  end "$store_pid"
  unset store_pid
  code 1 get widget a
  code 1 kv get s k
}

@test "watch: no titles above nothing but an error" {
  start_bus
  for verb in watch 'kv watch s' 'get -w' events; do
    # shellcheck disable=SC2086 # words
    run -1 --separate-stderr tankctl $verb
    [ "$output" = '' ]
    [[ $stderr == *'is not on the bus'* ]]
  done
}
