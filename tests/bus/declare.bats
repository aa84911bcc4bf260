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
