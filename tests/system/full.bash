# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Who dies, what survives (docs/architecture.md): the disk is full. Twenty pods, sessions, attached
# terminals and followers of logs as in 61-matrix.bats; again and again there is not a byte free,
# every second time not a file either; then there is room again, and nobody does anything about it.
# Loaded beside helper, matrix and disk.

# shellcheck disable=SC2016,SC2034,SC2154 # quoted for the shell inside; of the helper

full_setup()
{
  matrix_setup
  printf -v hundred_k '%*s' 100000 ''
  hundred_k=${hundred_k// /x}
  printf -v long '%*s' 1500 ''
  long=${long// /l}
}

full_teardown()
{
  [ -z "$TANK_INSTANCE" ] || grow "$TANK_RUN_DIR"
  ! mountpoint -q "$TANK_STATE_DIR" || grow "$TANK_STATE_DIR" "$TANK_LOG_DIR"
  let_daemons_go
  wait_for 30 all_ready
  drop_written
  matrix_teardown_with large_disks
}

daemons()
{
  echo "$(daemon_pid bus) $(daemon_pid store) $(daemon_pid reconcile)"
}

# Hundredths of a second of processor time that the daemons have used, and the lines they have said.
used()
{
  local one
  for one in $(daemons); do awk '{ print $14 + $15 }' "/proc/$one/stat"; done |
    awk '{ n += $1 } END { print n }'
}

said()
{
  cat "$TANK_SANDBOX_DIR"/logs/* | wc -l
}

# Nothing is asked of them, and a resync or more goes by: they do not try without end.
daemons_are_quiet()
{
  local ticks told # not "lines": that is a variable of run
  ticks=$(used)
  told=$(said)
  run -124 timeout 6 tankctl wait "$1" -n "$NS" --for=deleted --timeout 60
  ticks=$(($(used) - ticks))
  told=$(($(said) - told))
  if [ "$ticks" -ge 100 ] || [ "$told" -ge 100 ]; then
    echo "the daemons used $ticks hundredths of a second and said $told lines:"
    tail -n 40 "$TANK_SANDBOX_DIR"/logs/*
    return 1
  fi
}

# write_much TAG: a megabyte at once, which only the store looks at. Prints what was wrong with it.
write_much()
{
  local i words=()
  for i in $(seq 10); do
    words+=(apply 1 document s "{\"kind\":\"widget\",\"namespace\":\"$NS\",\"name\":\"w$i\",\"tag\":\"$1\",\"x\":\"$hundred_k\"}")
  done
  busctl --system --quiet call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
    Transaction 'a(sa{sv})a{sv}' 10 "${words[@]}" 0 2>&1
}

# What is set aside in the log of the database takes a few.
write_until_refused()
{
  local n
  for n in $(seq 50); do
    output=$(write_much "$1.$n") || {
      says "$TANK_STATE_DIR/store: the disk is full: make room|the disk of $TANK_STATE_DIR/store is full.*make room"
      return 0
    }
    written=$1.$n
  done
  echo "the disk of the store was never full"
  return 1
}

tag_of()
{
  busctl --system --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
    Get sss widget "$NS" "$1" | jq -r '.data[0] | fromjson.tag'
}

drop_written()
{
  local i
  for i in $(seq 10); do
    busctl --system --quiet call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 \
      Delete 'sssa{sv}' widget "$NS" "w$i" 0
  done
}

# All or nothing, and what was acknowledged: unless the write that failed is in force.
written_is_there()
{
  local tags
  tags=$(for i in $(seq 10); do tag_of "w$i"; done | sort -u)
  [ "$tags" = "$written" ] || [ "$tags" = "${written%.*}.$((${written##*.} + 1))" ] || {
    echo "written: $written; there: $tags"
    return 1
  }
}

apply_label()
{
  jq -c ".labels.round = \"$1\"" "$BATS_TEST_TMPDIR/pods/p20.json" | apply
}

# One line that names the disk and what to do.
apply_is_refused()
{
  refused 1 apply_label "$1"
  [ "$(wc -l <<<"$output")" = 1 ]
  says "the disk of $TANK_STATE_DIR/store is full.*make room"
}

# settled POD PID: it runs, as another process than PID, or it is said why it does not.
settled()
{
  local is
  is=$(get "$1" '.status | "\(.containers[0].state) \(.containers[0].pid) \(.message)"')
  case $is in
  "running $2 "*) return 1 ;;
  "running "*) return 0 ;;
  *"No space left on device"*) echo "$1: $is" >>"$BATS_TEST_TMPDIR/reasons" ;;
  *) return 1 ;;
  esac
}

runs_anew()
{
  local is
  is=$(get "$1" '.status.containers[0] | "\(.state) \(.pid)"')
  [[ $is = "running "* && $is != "running $2" ]]
}

# victim_of ROUND: a pod that nobody is in.
victim_of()
{
  echo "p$((16 + $1 % 4))"
}

# One of them dies, one is stopped and started, by turns.
end_one()
{
  if [ $(($1 % 2)) = 0 ]; then
    tankctl restart "$2" -n "$NS" >/dev/null
  else
    kill -9 "$(workload_by_record "$2")"
  fi
}

kind_of()
{
  [ $(($1 % 4)) -lt 2 ] && echo bytes || echo inodes
}

# While nothing can be written: who is there goes on, and can be worked with.
all_go_on()
{
  in_pod "p$1" true
  end_one "$1" "$victim"
  tankctl delete pod gone -n "$NS" --wait --timeout 20 >/dev/null
  wait_for 20 settled "$victim" "$pid"
  clients same gone late "$victim"
  [ "$1" -gt 1 ] || daemons_are_quiet "$victim"
}

# Room again: nobody is restarted, nothing is asked for.
all_is_well()
{
  clients ask "after-$1"
  wait_for 20 runs_anew "$victim" "$pid"
  clients same "$victim"
  clients again "$victim"
  [ "$(daemons)" = "$before" ]
}

# With enough of them there is no room for one.
events_are_lost()
{
  local i
  for i in $(seq 200); do
    [ "$(times_told 'is not in the log')" = "$losses" ] || return 0
    apply_label "fill-$i" >/dev/null
  done
  echo "the log of events took everything"
  return 1
}

# times_told WORDS: by the reconciler, whenever.
times_told()
{
  grep -c "$1" "$TANK_SANDBOX_DIR/logs/reconcile" || true
}

# Each gap is in the log of events, which is asked for one namespace, and says how many there were.
gaps_are_told()
{
  tankctl events --no-follow --since "$since" -n "$NS" -o json >"$BATS_TEST_TMPDIR/events"
  jq -s -e --argjson n $(($(times_told 'is not in the log') - losses)) \
    'map(select(.event == "lost")) | length == $n and $n > 0 and
      all(.detail | test("^[0-9]+ since .* could not be written to .*/events: No space left"))' \
    "$BATS_TEST_TMPDIR/events" >/dev/null
}

# ---- the scenarios -------------------------------------------------------------------------------

# What a round needs before there is no room: a pod whose workload will die, one that will be deleted.
begin_round()
{
  victim=$(victim_of "$round")
  pid=$(pid_of "$victim")
  start gone -- sleep 1000
}

# state_and_logs_full ROUNDS
state_and_logs_full()
{
  small_disks
  matrix_open
  before=$(daemons)
  for round in $(seq "$1"); do
    begin_round
    apply_label "$round" >/dev/null
    shrink "$(kind_of "$round")" "$TANK_STATE_DIR" "$TANK_LOG_DIR"
    write_until_refused "$round"
    apply_is_refused "no-$round"
    clients blind "1-$round-$long" "2-$round-$long" "3-$round-$long"
    all_go_on "$round"
    grow "$TANK_STATE_DIR" "$TANK_LOG_DIR"
    all_is_well "$round"
    clients counted
    [ "$(get p20 .labels.round)" = "$round" ]
    written_is_there
  done
  [ "$(lines_of "$MARK/starts")" = $((20 + $1)) ]
  matrix_close
}

# run_directory_full ROUNDS
run_directory_full()
{
  [ -n "$TANK_INSTANCE" ] || skip "the run directory is the machine's: not to be filled"
  since=$(date -u +%FT%TZ)
  losses=$(times_told 'is not in the log')
  matrix_open
  before=$(daemons)
  for round in $(seq "$1"); do
    begin_round
    shrink "$(kind_of "$round")" "$TANK_RUN_DIR"
    clients ask "full-$round"
    apply_label "$round" >/dev/null
    [ "$round" -gt 1 ] || events_are_lost
    pod late -- sleep 1000 | apply >/dev/null
    wait_for 20 settled late 0
    all_go_on "$round"
    grow "$TANK_RUN_DIR"
    wait_for 20 runs_anew late 0
    tankctl delete pod late -n "$NS" --wait --timeout 20 >/dev/null
    all_is_well "$round"
  done
  wait_for 20 gaps_are_told
  [ "$(lines_of "$MARK/starts")" = $((20 + $1)) ]
  matrix_close
}

# daemons_die_on_full_disks bytes|inodes: whoever starts on them comes up, and takes up what runs.
daemons_die_on_full_disks()
{
  small_disks
  matrix_open
  victim=p16
  pid=$(pid_of "$victim")
  start gone -- sleep 1000
  shrink "$1" "$TANK_STATE_DIR" "$TANK_LOG_DIR" "$TANK_RUN_DIR"
  write_until_refused 1
  # what the store had set aside is taken by others, too
  shrink "$1" "$TANK_STATE_DIR" "$TANK_LOG_DIR" "$TANK_RUN_DIR"
  kill_daemon store
  kill_daemon reconcile
  wait_for "$TANK_TEST_SECONDS" all_answer
  before=$(daemons)
  write_until_refused 2
  apply_is_refused no
  clients blind "1-$long" "2-$long" "3-$long"
  clients same gone
  in_pod p1 true
  kill -9 "$(workload_by_record "$victim")"
  wait_for 20 settled "$victim" "$pid"
  # there is nothing more to give up for it: it works, or is refused in as many words
  run tankctl delete pod gone -n "$NS"
  [ "$status" = 0 ] || says "the disk of $TANK_STATE_DIR/store is full.*make room"
  grow "$TANK_STATE_DIR" "$TANK_LOG_DIR" "$TANK_RUN_DIR"
  apply_label again >/dev/null
  tankctl delete pod gone -n "$NS" --wait --timeout 20 >/dev/null
  all_is_well 1
  clients counted
  written_is_there
  matrix_close
}
