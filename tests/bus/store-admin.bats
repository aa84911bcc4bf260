#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Looking after the database through tankctl: backup and restore, export and import, verifying,
# what is kept and what is given up; and kill -9 in the middle of it.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
}

ctl()
{
  "$build/tankctl/tankctl" "$@"
}

fill() # N [FROM]
{
  local i
  for ((i = ${2-0}; i < $1; i++)); do
    apply "w-$((i % 20))" "\"x\":$i" >/dev/null
  done
}

# The rows of a backup: behind its head of three lines.
rows()
{
  tail -n +4 "$1" | sha256sum
}

stop_store()
{
  end "$store_pid" || true
  store_pid=
}

versions() # NAME
{
  call History 'sssa{sv}' widget default "$1" 0 | jq '.[0] | length'
}

@test "backup while serving, restore into an empty directory, the same rows again" {
  start_store
  fill 60
  call Delete 'sssa{sv}' widget default w-3 0
  run -0 ctl store backup "$dir/a.backup"
  [[ $output == "$dir/a.backup: revision 62, "*bytes ]]
  [ "$(stat -c %a "$dir/a.backup")" = 600 ]
  mkdir "$dir/many"
  run -0 ctl store backup "$dir/many"
  compgen -G "$dir/many/store-20*Z-r62.backup"
  ctl store backup - >"$dir/b.backup"
  [ "$(rows "$dir/a.backup")" = "$(rows "$dir/b.backup")" ]
  id=$(property DatabaseId)

  # What stands there is left alone.
  run -1 "$build/tankd-store/tankd-store" --restore "$dir/a.backup"
  [[ $output == *'is not empty'* ]]
  stop_store
  mv "$dir/state/store" "$dir/old"
  run -0 "$build/tankd-store/tankd-store" --restore "$dir/a.backup"
  run -0 "$build/tankd-store/tankd-store" --verify
  [[ $output == *'nothing is wrong'* ]]
  start_store
  [ "$(property Revision)" = 62 ]
  [ "$(property DatabaseId)" != "$id" ]
  [ "$(property State)" = ok ]
  ctl store backup "$dir/c.backup"
  [ "$(rows "$dir/a.backup")" = "$(rows "$dir/c.backup")" ]
  [ "$(versions w-3)" = 4 ]
  refused 'this is the database' GetChanges 'sta{sv}' "$id" 10 0
  [ -z "$(find "$dir" -name '.#*' -o -name .restore)" ]
}

@test "store restore prints commands that can be typed" {
  start_store
  apply a >/dev/null
  ctl store backup "$dir/it's a.backup" >/dev/null
  stop_store
  export TANK_LIBEXEC_DIR=$build/tankd-store
  ctl store restore "$dir/it's a.backup" >"$dir/told"
  # What needs systemd, its user and a reconciler is the installed machine's.
  sed -n 's/^  //p' "$dir/told" | grep -v '^systemctl\|^tankctl\|^install' >"$dir/commands"
  [ "$(wc -l <"$dir/commands")" = 4 ]
  echo true >>"$dir/commands"
  sed -i "1a install -d -m 0700 '$dir/state/store' &&" "$dir/commands"
  sed -n 's/^  //p' "$dir/told" | grep -q "^install .* '\?$dir/state'\?/store &&$"
  : >"$dir/state/store/secrets.key"
  run -0 bash -x "$dir/commands"
  [ -e "$dir/state/store/secrets.key" ]
  # With what an earlier one put aside still there nothing is done, and no key of then is taken.
  rm "$dir/state/store/secrets.key"
  run -1 bash -x "$dir/commands"
  [[ $output == *"$dir/state/store.old'"*': Directory not empty' ]]
  [ -e "$dir/state/store/db" ] && [ ! -e "$dir/state/store/secrets.key" ]
  start_store
  call Get sss widget default a >/dev/null
  [ "$(property State)" = ok ]
}

@test "a backup that is cut or changed is refused, and leaves nothing" {
  start_store
  fill 30
  ctl store backup "$dir/a.backup"
  stop_store
  rm -rf "$dir/state/store"
  size=$(stat -c %s "$dir/a.backup")
  for at in 10 100 $((size / 2)) $((size - 1)); do
    head -c "$at" "$dir/a.backup" >"$dir/cut.backup"
    run -1 "$build/tankd-store/tankd-store" --restore "$dir/cut.backup"
    [[ $output == *'nothing was restored: the backup is damaged'* ]]
    [ ! -e "$dir/state/store/db" ]
  done
  head -c "$((size - 5))" "$dir/a.backup" >"$dir/cut.backup"
  printf '     ' >>"$dir/cut.backup"
  run -1 "$build/tankd-store/tankd-store" --restore - <"$dir/cut.backup"
  [[ $output == *'its digest is wrong'* ]]
  run -0 "$build/tankd-store/tankd-store" --restore - <"$dir/a.backup"
}

@test "export, as lines and as YAML, and import, whole or not at all" {
  start_store
  fill 25
  call Apply 'sa{sv}' '{"kind":"namespace","name":"prod"}' 0
  call Apply 'sa{sv}' '{"kind":"widget","name":"p","namespace":"prod","x":"64MiB"}' 0
  run -0 ctl store export "$dir/all.jsonl"
  [[ $output == *': 24 documents at revision 28' ]]
  [ "$(wc -l <"$dir/all.jsonl")" = 24 ]
  jq -s -e 'all(.meta.revision > 0)' "$dir/all.jsonl"
  [ "$(ctl store export -n prod | jq -r .name)" = $'prod\np' ]
  [ "$(ctl store export --type namespace | wc -l)" = 3 ]
  ctl store export -o yaml >"$dir/all.yaml"
  stop_store
  rm -rf "$dir/state/store"

  start_store
  run -0 ctl store import -f "$dir/all.jsonl" --dry-run
  [ "$output" = 'would be: 22 created, 0 updated, 2 unchanged' ]
  [ "$(property Revision)" = 1 ]
  (cat "$dir/all.jsonl"; echo '{"kind":"widget"}') >"$dir/bad.jsonl"
  run -1 ctl store import -f "$dir/bad.jsonl"
  [[ $output == *'line 25: name: '* ]]
  [ "$(property Revision)" = 1 ]
  run -0 ctl store import -f - <"$dir/all.jsonl"
  [ "$output" = '22 created, 0 updated, 2 unchanged' ]
  run -0 ctl store import -f "$dir/all.yaml"
  [ "$output" = '0 created, 0 updated, 24 unchanged' ]
  run -0 ctl store import -f - <"$dir/all.yaml"
  sed -i 's/^x: 24$/x: 99/' "$dir/all.yaml"
  run -0 ctl store import -f "$dir/all.yaml"
  [ "$output" = '0 created, 1 updated, 23 unchanged' ]
}

peer() # as peer.py says
{
  "$BATS_TEST_DIRNAME/peer.py" "$@"
}

@test "a pipe and a file are refused; who hands over a socket and never reads holds nobody up" {
  start_store
  # Who has the other end of a pipe makes it blocking again whenever he likes.
  for method in Backup Export Import; do
    for kind in pipe file; do
      run -0 peer "$method" "$kind"
      [[ $output == *'InvalidArgument '*'hand over one end of a socketpair'* ]]
    done
  done
  for i in {1..12}; do apply "large-$i" "\"x\":\"$(head -c 90000 /dev/zero | tr '\0' x)\"" >/dev/null; done
  peer Backup socket >"$dir/peer" 2>&1 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  client_pid=$!
  wait_for grep -q calling "$dir/peer"
  for i in {1..12}; do
    apply "w-$i" >/dev/null
    call Get sss widget default "w-$i" >/dev/null
  done
  run -0 ctl store backup "$dir/a.backup"
  run -0 ctl store verify
  [ "$(cat "$dir/peer")" = calling ]
  stop_store
  wait_for grep -q 'given up: ' "$dir/peer"
}

# damaged FILE: a backup whose widget w-3 is no JSON any more, nor the value of the key "one" of the store s
damaged()
{
  python3 - "$1" <<'PYTHON'
import hashlib
import sys

with open(sys.argv[1], "rb") as f:
    data = f.read()
end = data.index(b"\n", data.index(b"\n", data.index(b"\n") + 1) + 1) + 1
head, body, last = data[:end], data[end:-41], data[-41:-32]
for good, bad in ((b'"name":"w-3","namespace"', b'"name":"w-3",,namespace"'),
                  (b'ds\0one\x01{', b'ds\0one\x01[')):
    assert good in body
    body = body.replace(good, bad)
with open(sys.argv[1], "wb") as f:
    f.write(head + body + last + hashlib.sha256(body).digest())
PYTHON
}

@test "what cannot be read is told by its key, spoils nothing else, and can be deleted" {
  start_store
  fill 5
  ctl kv set s one 1
  ctl kv set s two 2
  ctl store backup "$dir/a.backup"
  stop_store
  rm -rf "$dir/state/store"
  damaged "$dir/a.backup"
  run -0 "$build/tankd-store/tankd-store" --restore "$dir/a.backup"
  start_store
  run -0 ctl get widget -o name
  [ "$(grep -c 'w-[0-4]$' <<<"$output")" = 5 ]
  run -1 ctl get widget w-3
  [[ $output == *'delete it and declare it anew'* ]]
  run -1 ctl store export "$dir/left.jsonl"
  [[ $output == *'widget default/w-3 is not in it: '* ]]
  [ "$(jq -r 'select(.kind == "widget").name' "$dir/left.jsonl" | xargs)" = 'w-0 w-1 w-2 w-4' ]
  run -1 ctl kv list s
  [[ $output == *"'one' cannot be read: remove it"* && $output == *two*2* ]]
  run -1 ctl kv get s one
  [[ $output == *'remove it'* ]]
  run -1 ctl store verify
  [[ $output == *'widget default/w-3 cannot be decoded'*'delete it and declare it anew'* ]]
  [[ $output == *"key one of the store 's': its value cannot be decoded: remove it"* ]]
  ctl kv rm s one
  run -0 ctl kv list s
  ctl delete widget w-3
  apply w-3
  run -0 ctl store export "$dir/all.jsonl"
  # Its earlier version goes with its time.
  run -1 ctl store verify
  [[ $output != *'delete it'* && $output != *'remove it'* ]]
}

@test "versions by count, the change log by rows; who follows lists anew" {
  start_store
  run -0 ctl store retention
  [[ $output == *'(others)'*100*90d* ]]
  ctl store retention widget --versions 3 --age forever
  ctl store retention --log-rows 50
  run -0 ctl store retention -o json
  [ "$(jq -c '[.types[-1], .log.rows]' <<<"$output")" = '[{"type":"widget","versions":3,"age":0},50]' ]
  fill 200
  gone()
  {
    [ "$(property CompactedRevision)" -ge 135 ]
  }
  wait_for gone
  refused 'list anew' GetChanges 'sta{sv}' "$(property DatabaseId)" 100 0
  run -0 ctl store compact
  [ "$output" = 'the changes up to revision 201 are given up' ]
  [ "$(property CompactedRevision)" = 201 ]
  [ "$(versions w-3)" = 3 ]
  run -0 ctl history widget w-3
  first=$(call History 'sssa{sv}' widget default w-3 0 | jq '.[0][-1][0]')
  run -3 ctl rollback widget w-3 --to 5
  [[ $output == *'revision 5 is no version'* ]]
  run -0 ctl rollback widget w-3 --to "$first"
  run -0 ctl store verify
  # A follower that was far behind is told, and goes on.
  run ctl watch widget --since 100 --no-follow
  [ "$status" -ne 124 ]
  [[ $output == *ompacted* || $output == *resync* || $output == *'gone'* ]]
  run -2 ctl store retention widget
  run -2 ctl store retention --versions x
  run -2 ctl store verify --age 1d
  run -0 ctl store retention widget --versions default --age default
  [[ $(ctl store retention) != *widget* ]]
}

@test "kill -9 in the middle of giving up: nothing is lost, and the next start goes on" {
  for point in store.compact.log store.compact.prune store.compact.close; do
    TANK_FAILPOINT=$point start_store
    id=$(property DatabaseId)
    ctl store retention --versions 2 --age forever 2>/dev/null || true
    if kill -0 "$store_pid" 2>/dev/null; then
      fill 50 2>/dev/null || true
      ctl store compact 2>/dev/null || true
    fi
    wait "$store_pid" || [ $? = 137 ]
    start_store
    [ "$(property DatabaseId)" = "$id" ]
    ctl store verify
    fill 50
    run -0 ctl store compact
    [ "$(versions w-3)" -le 2 ]
    ctl store verify
    stop_store
    rm -rf "$dir/state/store"
  done
}

@test "what root restores belongs to whom the data directory belongs to" {
  start_store
  run -0 ctl store backup "$dir/a.backup"
  end "$store_pid"
  chmod 755 "$dir"
  mkdir "$dir/theirs" "$dir/run2"
  chown 65534:65534 "$dir/theirs"
  chmod 755 "$dir/run2"
  run -0 "$build/tankd-store/tankd-store" --restore "$dir/a.backup" --data-dir "$dir/theirs" --run-dir "$dir/run2"
  [ -z "$(find "$dir/theirs" ! -uid 65534)" ]
  [ "$(stat -c %u "$dir/run2/store")" = 65534 ]
  cp "$build/tankd-store/tankd-store" "$dir/tankd-store"
  run -0 setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/tankd-store" --verify --data-dir "$dir/theirs" --run-dir "$dir/run2"
}

@test "kill -9 in the middle of a backup, and of a restore" {
  start_store
  fill 40
  ctl store backup "$dir/good.backup"
  stop_store
  TANK_FAILPOINT=store.backup start_store
  run -1 ctl store backup "$dir/a.backup"
  [ ! -e "$dir/a.backup" ]
  wait "$store_pid" || [ $? = 137 ]
  [ -z "$(find "$dir" -name '.#*')" ]
  start_store
  ctl store verify
  stop_store
  rm -rf "$dir/state/store"

  TANK_FAILPOINT=store.restored run -137 "$build/tankd-store/tankd-store" --restore "$dir/good.backup"
  [ ! -e "$dir/state/store/db" ]
  run -0 "$build/tankd-store/tankd-store" --restore "$dir/good.backup"
  start_store
  [ "$(property Revision)" = 41 ]
}
