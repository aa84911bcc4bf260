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
  tankctl store export -o yaml | tankctl apply -f - | grep -c unchanged
  tankctl history secret db --revision "$(tankctl get secret db -o json | jq .meta.revision)" -o yaml |
    tankctl apply -f - | grep -x 'secret/default/db unchanged'
}
