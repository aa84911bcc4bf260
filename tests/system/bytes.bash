# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A million lines on every way out of a container, to readers of every kind: each byte, in order, and
# the result behind the last of them. Loaded beside the helper, by a file that does it a few times
# and one that does it a hundred times.

# shellcheck disable=SC2034,SC2154,SC2317

lines=1000000
big_log='.containers[0].log = {max_size: "100MB"}'

bytes_setup()
{
  helper_setup
  slower 6
  exact=$(seq "$lines" | sha256sum)
  exact_tty=$(seq "$lines" | sed 's/$/\r/' | sha256sum)
}

# sip ROUND: standard input to its end, in turn at once, slowly, and a byte at a time.
sip()
{
  case $(($1 % 3)) in
  0) cat ;;
  1) "$build/tests/probe/probe" sip 16384 1000 ;;
  2) "$build/tests/probe/probe" sip 1 ;;
  esac
}

# through ROUND COMMAND…: the SHA-256 of what it says; its exit status comes behind its last byte.
through()
{
  local round=$1
  shift
  {
    "$@" </dev/null 2>&1
    echo "$?" >"$BATS_TEST_TMPDIR/status"
  } 3>&- | sip "$round" | sha256sum
}

status()
{
  cat "$BATS_TEST_TMPDIR/status"
}

exec_exact()
{
  local round
  start web -- sleep 100000
  for round in $(seq "$1"); do
    [ "$(through "$round" tankctl exec -n "$NS" web -- sh -c "seq $lines; exit 7")" = "$exact" ]
    [ "$(status)" = 7 ]
  done
}

exec_tty_exact()
{
  local round
  start web -- sleep 100000
  for round in $(seq "$1"); do
    [ "$(through "$round" tankctl exec -t -n "$NS" web -- sh -c "seq $lines; exit 7")" = "$exact_tty" ]
    [ "$(status)" = 7 ]
  done
}

# attach_exact ROUNDS: nothing waits for whoever is attached, so what one who is slow misses is
# counted; whoever is not, misses nothing. The log has it all.
attach_exact()
{
  local round code
  for round in $(seq "$1"); do
    start web "$big_log | .restart = \"never\" | .containers[0].tty = true" -- \
      sh -c "stty -echo; echo ready; read -r l; seq $lines; exit 7"
    wait_for 20 equals ready tankctl logs -n "$NS" web
    {
      code=0
      tankctl attach -n "$NS" web <<<go || code=$?
      echo "$code" >"$BATS_TEST_TMPDIR/status"
    } 3>&- | sip "$round" | "$BATS_TEST_DIRNAME/../system/counted.py" "$lines"
    [ "$(status)" = 7 ]
    [ "$(tankctl logs -n "$NS" web | tail -n +2 | sha256sum)" = "$exact" ]
    tankctl delete pod web -n "$NS" --wait
    rm "$TANK_LOG_DIR/$NS/web/"*
  done
}

# logs_exact ROUNDS TTY: of what was written, and followed from the first line to the end of it.
logs_exact()
{
  local round
  pod web "$big_log | .restart = \"never\" | .containers[0].tty = $2" -- seq "$lines" | apply
  [ "$(through 0 tankctl logs -f -n "$NS" web)" = "$exact" ]
  until_state web exited
  for round in $(seq "$1"); do
    [ "$(through "$round" tankctl logs -n "$NS" web)" = "$exact" ]
    [ "$(status)" = 0 ]
  done
}

winsize_exact()
{
  start web -- sleep 100000
  run -0 "$BATS_TEST_DIRNAME/../system/winsize.py" "$1" tankctl exec -t -n "$NS" web stty size
  echo "$output"
}
