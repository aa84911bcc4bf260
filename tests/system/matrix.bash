# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Twenty pods with clients, for the tests of who may die or stand still. Loaded beside the helper.
#
#   p1…p5    have a terminal and answer each line: attached to, followed
#   p6…p10   answer each line of a fifo: followed
#   p11…p15  a session each
#   p16…p20  sleep
#
# Each workload holds a lock that no second run of its pod could get, and writes a line when it
# begins: two runs at a time are seen whenever they happened.

# shellcheck disable=SC2016,SC2034,SC2153,SC2154 # what stands in single quotes is for the shell inside

matrix_setup()
{
  helper_setup
  slower 3
  export MARK
  clients_pid=
}

matrix_teardown()
{
  matrix_teardown_with true
}

# matrix_teardown_with COMMAND…: which is run when the pods are gone.
matrix_teardown_with()
{
  local pid
  # shellcheck disable=SC2086
  for pid in ${stopped_pids-}; do kill -CONT "$pid" 2>/dev/null || true; done
  [ -z "$clients_pid" ] || stop_clients
  let_daemons_go
  wait_for 30 all_ready
  # all at once: one after the other takes twenty times as long
  [ ! -d "$BATS_TEST_TMPDIR/pods" ] ||
    tankctl delete -n "$NS" -f "$BATS_TEST_TMPDIR/pods" --wait --timeout "$TANK_TEST_SECONDS" \
      >/dev/null || true
  helper_teardown
  "$@"
}

once='echo "$0" >>/mark/starts; '
answer='while read -r line; do echo "got $line"; done'

# matrix_pod NAME KIND [FILTER]: its document. KIND is terminal, fifo or sleep.
matrix_pod()
{
  local name=$1 kind=$2 filter="$with_mark | ${3:-.}" script
  case $kind in
  terminal)
    script="${once}stty -echo; echo ready; $answer"
    filter="$filter | .containers[0].tty = true"
    ;;
  fifo) script="${once}$answer <>/mark/feed.$name" ;;
  sleep) script="${once}exec sleep 54321" ;;
  esac
  pod "$name" "$filter" -- probe alone "/mark/lock.$name" sh -c "$script" "$name"
}

twenty_pods()
{
  local i kind
  mkdir "$BATS_TEST_TMPDIR/pods"
  : >"$MARK/starts"
  chmod 0666 "$MARK/starts"
  for i in $(seq 20); do
    kind="sleep"
    [ "$i" -gt 5 ] || kind=terminal
    if [ "$i" -gt 5 ] && [ "$i" -le 10 ]; then
      kind=fifo
      mkfifo -m 0666 "$MARK/feed.p$i"
    fi
    matrix_pod "p$i" "$kind" >"$BATS_TEST_TMPDIR/pods/p$i.json"
  done
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/pods" --wait --timeout "$TANK_TEST_SECONDS" >/dev/null
  wait_for 20 equals 20 lines_of "$MARK/starts"
}

lines_of()
{
  wc -l <"$1"
}

# ---- the clients ---------------------------------------------------------------------------------

start_clients()
{
  coproc CLIENTS { exec "$top/tests/system/clients.py" "$NS" 3>&-; }
  clients_pid=$CLIENTS_PID
  clients_in=${CLIENTS[1]} clients_out=${CLIENTS[0]}
}

# clients COMMAND…: of clients.py.
clients()
{
  local reply=
  echo "$*" >&"$clients_in"
  read -r -t $((TANK_TEST_SECONDS * 2)) reply <&"$clients_out" || true
  [ "$reply" = ok ] || {
    echo "clients: ${reply:-no answer to $*}"
    return 1
  }
}

# What is open while something happens: of each kind five, each with a pod of its own.
client_kinds="attach tty-logs logs exec"

# open_client KIND I
open_client()
{
  case $1 in
  attach)
    clients attach "attach$2" "p$2"
    clients tty "attach$2" YES
    ;;
  tty-logs) clients logs "tty-logs$2" "p$2" ;;
  logs) clients logs "logs$2" "p$(($2 + 5))" ;;
  exec) clients exec "exec$2" "p$(($2 + 10))" ;;
  esac
}

open_clients()
{
  local kind i
  for kind in $client_kinds; do
    for i in 1 2 3 4 5; do open_client "$kind" "$i"; done
  done
}

# shim_client N: the client of pod pN that lives and dies with its shim, "KIND I", or nothing.
shim_client()
{
  if [[ $1 -le 5 ]]; then
    echo "attach $1"
  elif [[ $1 -gt 10 && $1 -le 15 ]]; then
    echo "exec $(($1 - 10))"
  fi
}

stop_clients()
{
  local pid=$clients_pid
  clients_pid=
  eval "exec $clients_in>&-" || true
  wait "$pid" || true
}

# Twenty pods, all clients, and what the machine looks like with them.
matrix_open()
{
  twenty_pods
  start_clients
  open_clients
  clients ask opened
  clients remember
}

matrix_close()
{
  clients close
  stop_clients
  never_two
}

# No run met another one of its pod.
never_two()
{
  ! grep . "$MARK"/lock.*
}

# record_of POD KEY: of the record of its one container's run.
record_of()
{
  local file text
  for file in "$TANK_RUN_DIR"/pods/*/main/*/record; do
    text=$(tr '\0' '\n' <"$file" 2>/dev/null) || continue
    if grep -qx "pod=$1" <<<"$text" && grep -qx "namespace=$NS" <<<"$text" &&
      ! grep -qx "state=exited" <<<"$text"; then
      sed -n "s/^$2=//p" <<<"$text"
    fi
  done
}

shim_of()
{
  record_of "$1" shim_pid
}

# The workload, told by nobody that could stand still.
workload_by_record()
{
  local pid
  pid=$(record_of "$1" pid)
  tr -d ' \n' <"/proc/$pid/task/$pid/children"
}

# ---- standing still ------------------------------------------------------------------------------

stand_still()
{
  kill -STOP "$@"
  stopped_pids="${stopped_pids-} $*"
}

go_on()
{
  # shellcheck disable=SC2086
  kill -CONT $stopped_pids
  stopped_pids=
}

# in_time: each line of standard input is an exit code and the words of a tankctl that has to end
# with it, or 0/N for either. All at once; who gets no answer waits for it for three seconds.
in_time()
{
  local codes code words i=0 n=0 wrong=0 pids=()
  while read -r codes words; do
    n=$((n + 1))
    echo "$codes $words" >"$BATS_TEST_TMPDIR/call.$n"
    # shellcheck disable=SC2086
    SYSTEMD_BUS_TIMEOUT=$([ "$codes" = 0 ] || echo 3s) timeout "$TANK_TEST_SECONDS" tankctl $words \
      >"$BATS_TEST_TMPDIR/said.$n" 2>&1 </dev/null 3>&- &
    pids[n]=$!
  done
  for i in $(seq "$n"); do
    code=0
    wait "${pids[i]}" || code=$?
    read -r codes words <"$BATS_TEST_TMPDIR/call.$i"
    [[ /$codes/ == */$code/* ]] || {
      wrong=1
      echo "tankctl $words: $code, not $codes: $(cat "$BATS_TEST_TMPDIR/said.$i")"
    }
    # 5 and 125 are for who did not answer, and that is said
    if [[ $code == 5 || $code == 125 ]] && ! grep -Eq 'does not answer|timed out|after ' \
      "$BATS_TEST_TMPDIR/said.$i"; then
      wrong=1
      echo "tankctl $words: $(cat "$BATS_TEST_TMPDIR/said.$i")"
    fi
  done
  [ "$wrong" = 0 ]
}

# The bus, and whoever is to be on it.
all_answer()
{
  all_ready && tankctl get pods -n "$NS" -o name >/dev/null 2>&1 &&
    busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync \
      >/dev/null 2>&1
}
