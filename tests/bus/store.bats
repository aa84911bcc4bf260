#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# tankd-store as a process, over a real bus.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
}

changes_since() # REVISION [OPTION…]
{
  local since=$1
  shift
  call GetChanges 'sta{sv}' "$(property DatabaseId)" "$since" $(($# / 3)) "$@"
}

@test "create, get, apply, unchanged, delete" {
  start_store
  run -0 call Create 'sa{sv}' "$(widget a '"x":1')" 0
  [[ $output =~ ^\[\"([0-9a-f]{32})\",1,2\]$ ]]
  uid=${BASH_REMATCH[1]}
  refused 'there already' Create 'sa{sv}' "$(widget a)" 0

  run -0 call Apply 'sa{sv}' '{"x":1, "name":"a","kind":"widget","namespace":"default"}' 0
  [ "$output" = "[\"$uid\",1,2,\"unchanged\"]" ]
  run -0 apply a '"x":2'
  [ "$output" = "[\"$uid\",2,3,\"updated\"]" ]
  [ "$(property Revision)" = 3 ]

  document=$(call Get sss widget default a | jq -r '.[0]')
  [ "$(jq -c 'del(.meta)' <<<"$document")" = '{"kind":"widget","name":"a","namespace":"default","x":2}' ]
  [ "$(jq -c '.meta | [.uid, .generation, .revision]' <<<"$document")" = "[\"$uid\",2,3]" ]
  [[ $(jq -r .meta.created <<<"$document") =~ ^[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z$ ]]

  # What was read can be brought back as it is; what moved on cannot.
  run -0 call Apply 'sa{sv}' "$document" 0
  [[ $output == *unchanged* ]]
  apply a '"x":3'
  refused 'stands at revision 4' Apply 'sa{sv}' "$(jq -c '.x = 9' <<<"$document")" 0
  refused 'stands at revision 4' Apply 'sa{sv}' "$(widget a)" 1 if-revision t 3
  refused 'stands at revision 4' Delete 'sssa{sv}' widget default a 1 if-revision t 3

  [ "$(call Delete 'sssa{sv}' widget default a 1 if-revision t 4)" = '[true,5]' ]
  [ "$(call Delete 'sssa{sv}' widget default a 0)" = '[false,5]' ]
  refused 'there is no widget default/a' Get sss widget default a
}

@test "what is not a document, an option, a name" {
  start_store
  refused 'not valid JSON' Apply 'sa{sv}' '{' 0
  refused 'status: ' Apply 'sa{sv}' "$(widget a '"status":{}')" 0
  refused 'no option "force"' Apply 'sa{sv}' "$(widget a)" 1 force b true
  refused "must be of the type 't', not 'u'" Apply 'sa{sv}' "$(widget a)" 1 if-revision u 1
  refused "no namespace 'nowhere'" Apply 'sa{sv}' "$(widget a '"namespace":"nowhere"')" 0
  refused 'names are 1 to 63' Get sss widget default A/b
  # Quoted and cut short, in the middle of a character.
  refused 'names are 1 to 63' Get sss "x$(printf 'é%.0s' {1..60})" default a
  refused 'not valid JSON' Apply 'sa{sv}' "{\"x\": $(printf '日%.0s' {1..60})" 0
  refused 'greater than 0' List 'ssa{sv}' widget '' 1 limit u 0
  refused 'not a token' List 'ssa{sv}' widget '' 1 continue s nonsense
  refused 'this is the database' GetChanges 'sta{sv}' other 0 0
  refused 'it went back' GetChanges 'sta{sv}' "$(property DatabaseId)" 99 0
  [ "$(property Revision)" = 1 ]
}

@test "lists are paged, and no namespace reaches into another" {
  start_store
  for namespace in prod prod-2 production; do
    call Apply 'sa{sv}' "{\"kind\":\"namespace\",\"name\":\"$namespace\"}" 0
    apply a "\"namespace\":\"$namespace\""
  done
  list()
  {
    call List 'ssa{sv}' "$@"
  }
  [ "$(list widget prod 0 | jq -c '.[0] | map(fromjson.namespace)')" = '["prod"]' ]
  page=$(list widget '' 1 limit u 2)
  [ "$(jq -c '.[0] | map(fromjson.namespace)' <<<"$page")" = '["prod","prod-2"]' ]
  apply late
  page=$(list widget '' 2 limit u 2 continue s "$(jq -r '.[1]' <<<"$page")")
  [ "$(jq -c '[(.[0] | map(fromjson.namespace)), .[1], .[2]]' <<<"$page")" = '[["production"],"",7]' ]
  refused 'still holds 1 object' Delete 'sssa{sv}' namespace '' prod 0
  refused 'always exists' Delete 'sssa{sv}' namespace '' default 0
}

@test "changes since a revision, with documents when asked" {
  start_store
  apply a '"x":1'
  apply a '"x":2'
  call Delete 'sssa{sv}' widget default a 0
  run -0 changes_since 1
  [ "$(jq -c '.[0] | map([.[0], .[1], .[4], .[5]])' <<<"$output")" = \
    '[[2,"created","a",""],[3,"updated","a",""],[4,"deleted","a",""]]' ]
  run -0 changes_since 1 limit u 1 documents b true
  [ "$(jq -c '[(.[0][0][5] | fromjson.x), .[1], .[2]]' <<<"$output")" = '[1,true,2]' ]
  run -0 changes_since 4
  [ "$output" = '[[],false,4]' ]
  run -0 changes_since 3 documents b true
  [ "$(jq -c '.[0][0] | [.[1], (.[5] | fromjson | [.x, .meta.revision])]' <<<"$output")" = '["deleted",[2,3]]' ]
}

@test "changes of some objects only: type, namespace, prefix, labels" {
  start_store
  call Apply 'sa{sv}' '{"kind":"namespace","name":"prod"}' 0
  apply a '"labels":{"color":"blue"}'
  apply ab '"namespace":"prod"'
  apply a '"labels":{"color":"red"}'
  call Apply 'sa{sv}' '{"kind":"gadget","name":"a"}' 0
  names()
  {
    changes_since 1 "$@" | jq -r '.[0] | map("\(.[1]) \(.[2])/\(.[4])") | join(", ")'
  }
  [ "$(names type s widget)" = 'created widget/a, created widget/ab, updated widget/a' ]
  [ "$(names namespace s prod)" = 'created widget/ab' ]
  [ "$(names prefix s ab)" = 'created widget/ab' ]
  [ "$(names labels s color=blue)" = 'created widget/a, deleted widget/a' ]
  [ "$(names labels s 'color in (red)' type s widget)" = 'created widget/a' ]
  [ "$(changes_since 1 type s nothing)" = '[[],false,6]' ]
  id=$(property DatabaseId)
  refused 'names are 1 to 63' GetChanges 'sta{sv}' "$id" 0 1 namespace s 'x*'
  refused 'no name begins with "*"' GetChanges 'sta{sv}' "$id" 0 1 prefix s '*'
  refused 'column' GetChanges 'sta{sv}' "$id" 0 1 labels s 'a in'
}

@test "one Changed for each commit, and none for what changes nothing" {
  start_store
  busctl --system --json=short monitor --match \
    "type='signal',interface='org.tankd.Store1',member='Changed'" >"$dir/signals" 2>"$dir/monitor" 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  monitor_pid=$!
  wait_for grep -q Monitoring "$dir/monitor"
  apply a
  apply a
  apply b
  call Delete 'sssa{sv}' widget default a 0
  call Delete 'sssa{sv}' widget default a 0
  apply last
  wait_for grep -q last "$dir/signals"
  id=$(property DatabaseId)
  [ "$(jq -c 'select(.member == "Changed") | .payload.data' "$dir/signals")" = "[\"$id\",2,[[\"widget\",\"default\",\"a\",\"created\"]]]
[\"$id\",3,[[\"widget\",\"default\",\"b\",\"created\"]]]
[\"$id\",4,[[\"widget\",\"default\",\"a\",\"deleted\"]]]
[\"$id\",5,[[\"widget\",\"default\",\"last\",\"created\"]]]" ]
}

@test "seeds are created where they are missing" {
  {
    echo '{"kind":"namespace","name":"prod"}'
    widget a '"namespace":"prod","x":1' && echo
    echo 'nonsense'
    widget b '"namespace":"nowhere"' && echo
  } >"$dir/seed"
  start_store --seed "$dir/seed"
  [ "$(call Get sss widget prod a | jq '.[0] | fromjson.x')" = 1 ]
  grep -q "$dir/seed:3: .*not valid JSON" "$dir/store.log"
  grep -q "$dir/seed:4: .*nowhere" "$dir/store.log"
  apply a '"namespace":"prod","x":2'
  end "$store_pid"
  start_store --seed "$dir/seed"
  [ "$(call Get sss widget prod a | jq '.[0] | fromjson.x')" = 2 ]
  end "$store_pid"
  run -1 "$build/tankd-store/tankd-store" --seed "$dir/missing"
  [[ $output == *"$dir/missing"* ]]
}

@test "the database stays; a second store is refused it" {
  start_store
  apply a
  id=$(property DatabaseId)
  run -1 "$build/tankd-store/tankd-store"
  [[ $output == *'only one tankd-store may'* ]]
  end "$store_pid"
  start_store
  [ "$(property DatabaseId)" = "$id" ]
  [ "$(property Revision)" = 2 ]
  [ "$(property State)" = ok ]
  [ "$(property Backend)" = rocksdb ]
  end "$store_pid" KILL || true
  start_store
  call Get sss widget default a
}

@test "options that are not there are refused" {
  run -2 "$build/tankd-store/tankd-store" --unknown
  run -2 "$build/tankd-store/tankd-store" word
  run -0 "$build/tankd-store/tankd-store" --version
  [[ $output == 'tankd-store '* ]]
  run -0 "$build/tankd-store/tankd-store" --help
  [ "$(awk 'length > 80' <<<"$output")" = '' ]
}

@test "a store in memory: the same answers, and no file is touched" {
  # What is traced cannot look for leaks, and a sanitizer that is told where to report makes that file.
  (cd "$dir" && export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS= && exec strace -D -f -o "$dir/trace" -e trace=%file "$build/tankd-store/tankd-store" --memory \
      >>"$dir/store.log" 2>&1 3>&-) &
  store_pid=$!
  wait_for has_owner org.tankd.Store1
  apply a
  call Get sss widget default a
  [ "$(property Backend)" = memory ]
  [ "$(property Revision)" = 2 ]
  first=$(property DatabaseId)
  end "$store_pid"
  run -1 grep -E 'O_CREAT|mkdir|rename|unlink' "$dir/trace"
  spawn_store --memory
  wait_for has_owner org.tankd.Store1
  [ "$(property DatabaseId)" != "$first" ]
  run call Get sss widget default a
  [[ $output == *'there is no widget'* ]]
  run -2 "$build/tankd-store/tankd-store" --memory --data-dir "$dir/x"
  [[ $output == *'--memory needs no directory'* ]]
}

@test "the bus may come late, and go" {
  end "$bus_pid" KILL || true
  wait_for eval "! busctl --system status >/dev/null 2>&1"
  spawn_store
  wait_for grep -q 'no system bus yet' "$dir/store.log"
  start_bus
  wait_for has_owner org.tankd.Store1
  apply a
  kill -KILL "$bus_pid"
  wait_for eval "! busctl --system status >/dev/null 2>&1"
  start_bus
  wait_for has_owner org.tankd.Store1
  call Get sss widget default a
}

@test "missing acknowledged writes are told: reads only" {
  start_store
  apply a
  end "$store_pid"
  start_store
  apply b
  end "$store_pid"
  log=$(printf '%s\n' "$dir"/state/store/db/*.log | tail -n 1)
  truncate -s 0 "$log"
  start_store
  [ "$(property State)" = degraded ]
  [ -n "$(property DegradedReason)" ]
  refused 'acknowledged' Apply 'sa{sv}' "$(widget c)" 0
  call Get sss widget default a
}

# Wherever it is that a table is spoiled, the store serves what it can and takes no writes: of objects and
# their history one stands in for the other.
@test "a damaged table: served read-only, degraded, with the remedy" {
  local position table size i
  start_store
  for i in $(seq 300); do
    printf '{"kind":"widget","name":"w%s","color":"%s"}\n' "$i" "$(head -c 60 /dev/urandom | base64 -w0)"
  done >"$dir/seed"
  end "$store_pid"
  for _ in 1 2 3; do # from the log into tables
    start_store --seed "$dir/seed"
    end "$store_pid"
  done
  for position in 3 11 19 27; do # the two largest are the objects' and the history's
    table=$(du -b "$TANK_STATE_DIR"/store/db/*.sst | sort -rn | sed -n "$((position / 16 + 1))p" | cut -f2)
    size=$(stat -c %s "$table")
    cp "$table" "$dir/table"
    printf '\377\377' | dd of="$table" bs=1 seek=$((size * (position % 16) / 16)) conv=notrunc status=none
    start_store
    [ "$(call Count 'ssa{sv}' widget '' 0 | jq '.[0]')" = 300 ]
    [[ $(call List 'ssa{sv}' widget '' 0) != *unreadable* ]]
    for i in $(seq 5 10 300); do [[ $(call Get sss widget default "w$i") == *color* ]]; done
    call History 'sssa{sv}' widget default w7 0 >/dev/null 2>&1 || true
    call List 'ssa{sv}' widget '' 1 revision t 2 >/dev/null 2>&1 || true
    [ "$(property State)" = degraded ]
    [[ $(property DegradedReason) == *'damaged'*'restore a copy'* ]]
    refused 'damaged' Apply 'sa{sv}' '{"kind":"widget","name":"new"}' 0
    call List 'ssa{sv}' namespace '' 0
    end "$store_pid"
    cp "$dir/table" "$table"
  done
  start_store
  [ "$(property State)" = ok ]
  apply new
}

# RocksDB's handle is beyond closing then, so the process ends, once.
@test "no file can be made any more: the write is answered, and the next process takes deletes" {
  local n=0 text refusal='' status=0
  mkdir -p "$TANK_STATE_DIR"
  mount -t tmpfs -o size=100m,nr_inodes=120 tmpfs "$TANK_STATE_DIR"
  start_store
  apply small
  while n=$((n + 1)) && true >"$TANK_STATE_DIR/file$n"; do :; done 2>/dev/null
  text=$(head -c 20000 /dev/zero | tr '\0' x)
  for n in $(seq 400); do
    refusal=$(busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Apply 'sa{sv}' \
      "$(widget "w$n" "\"text\":\"$text\"")" 0 2>&1 >/dev/null) || break
  done
  [[ $refusal == *'the disk is full: make room'* ]]
  wait "$store_pid" || status=$?
  [ "$status" = 75 ]
  start_store
  [ "$(property State)" = degraded ]
  [[ $(call Delete 'sssa{sv}' widget default small 0) == *true* ]]
  rm "$TANK_STATE_DIR"/file*
  apply again
  [ "$(property State)" = ok ]
  call Get sss widget default "w$((n - 1))" >/dev/null
  end "$store_pid"
  umount "$TANK_STATE_DIR"
}

# Whatever the size of a disk: writes are refused when it is full, deleting goes on, and with a quarter of it
# free all is well again, without a restart.
@test "small disks: full, deleting goes on, and well again with a quarter free" {
  local size refusal=''
  for size in 12 40; do
    mkdir -p "$TANK_STATE_DIR"
    mount -t tmpfs -o "size=${size}m" tmpfs "$TANK_STATE_DIR"
    start_store
    apply small
    [ "$(stat -c %s "$TANK_STATE_DIR/store/ballast")" = $((size * 1024 * 1024 / 8)) ]
    head -c "${size}M" /dev/zero >"$TANK_STATE_DIR/file" 2>/dev/null || true
    for n in $(seq 1000); do
      refusal=$(busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Apply 'sa{sv}' \
        "$(widget "w$n" "\"text\":\"$(head -c 45000 /dev/urandom | base64 -w0)\"")" 0 2>&1 >/dev/null) || break
    done
    [[ $refusal == *'the disk is full: make room'* ]]
    [ "$(property State)" = degraded ]
    refused 'is full: make room' Apply 'sa{sv}' "$(widget other)" 0
    [[ $(call Delete 'sssa{sv}' widget default small 0) == *true* ]]
    # Room for the ballast, and not for as much again: what comes would fill it at once.
    truncate -s $(($(stat -c %s "$TANK_STATE_DIR/file") - size * 1024 * 1024 / 16)) "$TANK_STATE_DIR/file"
    refused 'is full: make room' Apply 'sa{sv}' "$(widget other)" 0
    [[ $(call Delete 'sssa{sv}' widget default w1 0) == *true* ]]
    truncate -s $(($(stat -c %s "$TANK_STATE_DIR/file") - size * 1024 * 1024 / 4)) "$TANK_STATE_DIR/file"
    apply other
    [ "$(property State)" = ok ]
    [ "$(stat -c %s "$TANK_STATE_DIR/store/ballast")" = $((size * 1024 * 1024 / 8)) ]
    end "$store_pid"
    unset store_pid
    umount "$TANK_STATE_DIR"
  done
}

is_degraded()
{
  [ "$(property State)" = degraded ]
}

# read_only_is_told NAME…: what was declared is served, and nothing else is done, with the remedy.
read_only_is_told()
{
  [ "$(property State)" = degraded ]
  [[ $(property DegradedReason) == *'is read-only: mount it for writing'* ]]
  for name; do call Get sss widget default "$name"; done
  [ "$(call Count 'ssa{sv}' widget '' 0 | jq '.[0]')" = $# ]
  refused 'is read-only: mount it for writing' Apply 'sa{sv}' "$(widget other)" 0
  refused 'is read-only: mount it for writing' Delete 'sssa{sv}' widget default "$1" 0
}

@test "a read-only file system: reads are served, and writes again when it is mounted for writing" {
  mkdir -p "$TANK_STATE_DIR"
  mount -t tmpfs -o size=100m tmpfs "$TANK_STATE_DIR"
  start_store
  apply a
  apply b
  id=$(property DatabaseId)
  end "$store_pid"
  mount -o remount,ro "$TANK_STATE_DIR"
  start_store
  read_only_is_told a b
  mount -o remount,rw "$TANK_STATE_DIR"
  apply c
  [ "$(property State)" = ok ]
  [ -s "$TANK_STATE_DIR/store/ballast" ]
  [ "$(property DatabaseId) $(property Revision)" = "$id 4" ]
  call Delete 'sssa{sv}' widget default b 0
  end "$store_pid"
  start_store
  [ "$(property State) $(property Revision)" = 'ok 5' ]
  end "$store_pid"
  # No database: nothing to be read, and still somebody who says so.
  rm -r "$TANK_STATE_DIR/store"
  mkdir -m 700 "$TANK_STATE_DIR/store"
  mount -o remount,ro "$TANK_STATE_DIR"
  start_store
  refused 'is read-only, and there is no database' Apply 'sa{sv}' "$(widget other)" 0
  end "$store_pid"
  unset store_pid
  umount "$TANK_STATE_DIR"
}

@test "a file system that becomes read-only while it is written to" {
  mkdir -p "$TANK_STATE_DIR"
  truncate -s 300M "$dir/disk"
  mkfs.ext4 -q "$dir/disk"
  mount -o loop "$dir/disk" "$TANK_STATE_DIR" || skip 'no loop devices here'
  start_store
  apply a
  apply b
  # As the kernel does when it meets an error: whoever has a file open for writing is not asked.
  mount -o remount,abort "$TANK_STATE_DIR"
  refused 'could not be made durable' Apply 'sa{sv}' "$(widget other)" 0
  wait_for is_degraded
  read_only_is_told a b
  kill -0 "$store_pid"
  end "$store_pid"
  umount "$TANK_STATE_DIR"
  mount -o loop "$dir/disk" "$TANK_STATE_DIR"
  start_store
  [ "$(property State)" = ok ]
  apply other
  call Get sss widget default a
  end "$store_pid"
  unset store_pid
  umount "$TANK_STATE_DIR"
}

# spoil HOW: what makes it impossible to open the database, or to write to it
spoil()
{
  local db=$TANK_STATE_DIR/store/db file
  case $1 in
  current) rm "$db/CURRENT" ;;
  manifest) truncate -s 20 "$db"/MANIFEST-* ;;
  log)
    file=$(du -b "$db"/*.log | sort -rn | head -n 1 | cut -f2)
    printf '\377\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 3)) conv=notrunc status=none
    ;;
  database) rm -r "$db" ;;
  esac
}

@test "a database that cannot be opened: the store says why to whoever asks, and stays" {
  local how
  start_store
  apply a
  end "$store_pid"
  start_store
  apply b
  end "$store_pid" KILL || true
  cp -a "$TANK_STATE_DIR/store" "$dir/good"
  for how in current manifest database; do
    spoil "$how"
    start_store
    [ "$(property State)" = degraded ]
    [[ $(property DegradedReason) == *"$TANK_STATE_DIR/store"*'then restart tankd-store' ]] || {
      echo "$how: $(property DegradedReason)"
      false
    }
    [ "$(property DatabaseId)" = '' ]
    refused 'nothing is served: ' List 'ssa{sv}' widget '' 0
    refused 'nothing is served: ' Apply 'sa{sv}' '{"kind":"widget","name":"new"}' 0
    run -1 busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1.KeyValue Stores
    [[ $output == *'nothing is served: '* ]]
    end "$store_pid"
    rm -rf "$TANK_STATE_DIR/store"
    cp -a "$dir/good" "$TANK_STATE_DIR/store"
  done
  start_store
  [ "$(property State)" = ok ]
  call Get sss widget default b
}

@test "a log or a table that is damaged: what is left is served, and nothing is written" {
  local file
  start_store
  apply a
  end "$store_pid"
  start_store
  apply b
  apply c
  end "$store_pid" KILL || true
  cp -a "$TANK_STATE_DIR/store" "$dir/good"
  spoil log
  start_store
  [ "$(property State)" = degraded ]
  [[ $(property DegradedReason) == *'is damaged: it is served as of revision 2, and writes up to 4 were acknowledged; restore a newer copy, then restart tankd-store' ]]
  call Get sss widget default a
  refused 'it may stand in what cannot be read' Get sss widget default b
  refused 'is damaged' Apply 'sa{sv}' '{"kind":"widget","name":"new"}' 0
  end "$store_pid"
  # Whichever table is gone: what is told is right, and what is refused says what to do.
  for file in "$dir"/good/db/*.sst; do
    rm -rf "$TANK_STATE_DIR/store"
    cp -a "$dir/good" "$TANK_STATE_DIR/store"
    rm "$TANK_STATE_DIR/store/db/${file##*/}"
    start_store
    [ "$(property State)" = degraded ]
    [[ $(property DegradedReason) == *'restore a copy of it, then restart tankd-store' ]]
    call Get sss widget default a || refused 'restore a copy' Get sss widget default a
    refused 'restore a copy' Apply 'sa{sv}' '{"kind":"widget","name":"new"}' 0
    end "$store_pid"
  done
}

@test "whoever is neither root nor in the group is refused by the store itself" {
  kill -KILL "$bus_pid"
  wait_for eval "! busctl --system status >/dev/null 2>&1"
  start_bus "$(open_config)"
  start_store
  apply a
  as_nobody()
  {
    setpriv --reuid=65534 --regid=65534 --clear-groups busctl --system call org.tankd.Store1 \
      /org/tankd/Store1 org.tankd.Store1 "$@" 2>&1
  }
  for arguments in 'Get sss widget default a' 'List ssa{sv} widget default 0' \
    "GetChanges sta{sv} $(property DatabaseId) 0 0" 'Delete sssa{sv} widget default a 0' \
    'Apply sa{sv} {} 0' 'Update sa{sv} {} 0' 'Create sa{sv} {} 0' 'Transaction a(sa{sv})a{sv} 0 0' \
    'Rollback sssta{sv} widget default a 2 0' 'History sssa{sv} widget default a 0' \
    'GetVersion ssst widget default a 2' 'Resolve ss widget:a default'; do
    # shellcheck disable=SC2086 # words
    run -1 as_nobody $arguments
    [[ $output == *'needs the right'* ]]
  done
  [ "$(property Revision)" = 2 ]
}

transaction() # COUNT OPERATION… [OPTIONS…]
{
  call Transaction 'a(sa{sv})a{sv}' "$@"
}

@test "a transaction is all or nothing, under one revision, told by one Changed" {
  start_store
  apply old '"x":1'
  busctl --system --json=short monitor --match \
    "type='signal',interface='org.tankd.Store1',member='Changed'" >"$dir/signals" 2>"$dir/monitor" 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  monitor_pid=$!
  wait_for grep -q Monitoring "$dir/monitor"

  # The last one is bad: its index is told, and nothing is left of the others.
  refused 'operations[2]: namespace: there is no namespace' Transaction 'a(sa{sv})a{sv}' 3 \
    apply 1 document s "$(widget new)" \
    delete 3 type s widget namespace s default name s old \
    apply 1 document s "$(widget a '"namespace":"nowhere"')" 0
  [ "$(property Revision)" = 2 ]
  refused 'there is no widget default/new' Get sss widget default new
  call Get sss widget default old

  run -0 transaction 5 \
    apply 1 document s '{"kind":"namespace","name":"prod"}' \
    create 1 document s "$(widget a '"namespace":"prod"')" \
    apply 2 document s "$(widget old '"x":2')" if-revision t 2 \
    delete 3 type s widget namespace s default name s never \
    check 4 type s namespace namespace s '' name s default if-revision t 1 \
    0
  [ "$(jq -c '[.[0], (.[1] | map([.[1], .[2], .[3]]))]' <<<"$output")" = \
    '[3,[[1,3,"created"],[1,3,"created"],[2,3,"updated"],[0,0,"absent"],[1,1,"unchanged"]]]' ]
  run -0 changes_since 2
  [ "$(jq -c '.[0] | map([.[0], .[1], .[4]])' <<<"$output")" = \
    '[[3,"created","prod"],[3,"created","a"],[3,"updated","old"]]' ]
  apply last
  wait_for grep -q last "$dir/signals"
  [ "$(jq -c 'select(.member == "Changed") | [.payload.data[1], (.payload.data[2] | length)]' \
    "$dir/signals")" = $'[3,3]\n[4,1]' ]
}

@test "what is no operation; a dry run does nothing" {
  start_store
  bad()
  {
    local part=$1
    shift
    refused "$part" Transaction 'a(sa{sv})a{sv}' "$@"
  }
  bad 'operations[0]: there is no operation "replace"' 1 replace 0 0
  bad 'operations[0]: "document" is missing: apply needs it' 1 apply 0 0
  bad 'operations[0]: there is no option "if-revision"' 1 create 2 document s "$(widget a)" if-revision t 1 0
  bad 'operations[0]: "name" is missing' 1 delete 1 type s widget 0
  bad 'operations[0]: "if-revision" is missing: check needs it' 1 check 3 type s widget namespace s default name s a 0
  bad 'operations[0]: "revision" is missing' 1 rollback 3 type s widget namespace s default name s a 0
  bad "must be of the type 't', not 's'" 1 delete 1 if-revision s x 0
  bad 'operations[1]: an operation before this one writes widget default/a' 2 \
    apply 1 document s "$(widget a)" apply 1 document s "$(widget a '"x":1')" 0
  bad 'there is no option "force"' 0 1 force b true
  [ "$(transaction 0 0)" = '[1,[]]' ]
  run -0 transaction 1 apply 1 document s "$(widget a)" 1 dry-run b true
  [ "$output" = '[1,[["",1,0,"created"]]]' ]
  refused 'there is no widget' Get sss widget default a
  [ "$(property Revision)" = 1 ]
}

@test "history, versions, rollback, undelete; who and when" {
  start_store
  apply a '"x":1'
  apply a '"x":2'
  call Delete 'sssa{sv}' widget default a 0
  run -0 call History 'sssa{sv}' widget default a 0
  [ "$(jq -c '[.[0] | map([.[0], .[1], .[3], .[5]])[]]' <<<"$output")" = \
    '[[4,"deleted",2,0],[3,"updated",2,0],[2,"created",1,0]]' ]
  uid=$(jq -r '.[0][0][2]' <<<"$output")
  at=$(jq '.[0][0][4]' <<<"$output")
  [ $((at / 1000000)) -le "$(date +%s)" ] && [ $((at / 1000000)) -gt $(($(date +%s) - 60)) ]
  page=$(call History 'sssa{sv}' widget default a 1 limit u 2)
  [ "$(jq '.[0] | length' <<<"$page")" = 2 ]
  page=$(call History 'sssa{sv}' widget default a 1 continue s "$(jq -r '.[1]' <<<"$page")")
  [ "$(jq -c '[(.[0] | map(.[0])), .[1]]' <<<"$page")" = '[[2],""]' ]

  [ "$(call GetVersion ssst widget default a 2 | jq -c '.[0] | fromjson | [.x, .meta.revision]')" = '[1,2]' ]
  refused 'revision 4 deleted widget default/a' GetVersion ssst widget default a 4
  refused 'revision 9 is no version of widget default/a' GetVersion ssst widget default a 9
  refused 'there never was a widget default/b' History 'sssa{sv}' widget default b 0
  refused 'greater than 0' History 'sssa{sv}' widget default a 1 limit u 0
  refused 'not a token' History 'sssa{sv}' widget default a 1 continue s x

  refused 'revision 4 deleted widget default/a' Rollback 'sssta{sv}' widget default a 4 0
  run -0 call Rollback 'sssta{sv}' widget default a 2 1 if-revision t 0
  [ "$(jq -c '.[1:]' <<<"$output")" = '[1,5,"created"]' ]
  [ "$(jq -r '.[0]' <<<"$output")" != "$uid" ]
  refused 'stands at revision 5' Rollback 'sssta{sv}' widget default a 3 1 if-revision t 4
  run -0 call Rollback 'sssta{sv}' widget default a 3 0
  [ "$(jq -c '.[1:]' <<<"$output")" = '[2,6,"updated"]' ]
  run -0 call Rollback 'sssta{sv}' widget default a 3 0
  [ "$(jq -c '.[1:]' <<<"$output")" = '[2,6,"unchanged"]' ]
  [ "$(property Revision)" = 6 ]
}

@test "a long list is given up when its caller leaves" {
  export TANK_LOG_LEVEL=debug
  for i in {1..200}; do
    widget "w-$i" "\"list\":[$(seq -s, 10000)]"
    echo
  done >"$dir/seed"
  start_store --seed "$dir/seed"
  leave()
  {
    timeout -s KILL 0.2 busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
      Count 'ssa{sv}' widget '' 1 fields s 'list[*]=none' || true
    grep -q 'left the bus: its list is given up' "$dir/store.log"
  }
  wait_for leave
  [ "$(call Count 'ssa{sv}' widget '' 0)" = "[200,$(property Revision)]" ]
}

@test "references: what they stand for, and ids that follow an object's life" {
  start_store
  resolved() { [ "$(call Resolve ss "$1" "$2")" = "$3" ]; }

  resolved tank://secret/prod/db/pass%2Fword '' '["secret","prod","db","pass/word"]'
  resolved secret:db.prod.tank/a/b x '["secret","prod","db","a/b"]'
  resolved widget:a '' '["widget","default","a",""]'
  resolved widget:a prod '["widget","prod","a",""]'
  resolved namespace:prod x '["namespace","","prod",""]'
  resolved rune://configmap/prod/app '' '["config","prod","app",""]'
  refused 'at character 25: the key is missing' Resolve ss tank://widget/default/a/ ''
  refused 'has no query' Resolve ss 'tank://widget/default/a?b' ''
  refused 'a-z, 0-9, and -' Resolve ss widget:a No

  apply a
  uid=$(call Get sss widget default a | jq -r '.[0] | fromjson | .meta.uid')
  resolved "tank://widget/default/id/$uid" '' '["widget","default","a",""]'
  resolved "tank://widget/default/id/$uid/k" '' '["widget","default","a","k"]'
  apply a '"x":1'
  resolved "tank://widget/default/id/$uid" '' '["widget","default","a",""]'
  refused 'no widget in namespace '\''prod'\'' with the id' Resolve ss "tank://widget/prod/id/$uid" ''
  refused 'no pod in namespace' Resolve ss "tank://pod/default/id/$uid" ''
  refused 'with the id svc-123' Resolve ss rune://widget/default/id/svc-123 ''
  refused 'with the id' Resolve ss "tank://widget/default/id/${uid//[0-9]/a}" ''

  # Another object of the same name has another id; the old one names nothing, also after a restart.
  call Delete 'sssa{sv}' widget default a 0
  refused 'with the id' Resolve ss "tank://widget/default/id/$uid" ''
  apply a
  refused 'with the id' Resolve ss "tank://widget/default/id/$uid" ''
  new=$(call Get sss widget default a | jq -r '.[0] | fromjson | .meta.uid')
  end "$store_pid" KILL || true
  start_store
  resolved "tank://widget/default/id/$new" '' '["widget","default","a",""]'
  refused 'with the id' Resolve ss "tank://widget/default/id/$uid" ''
}
