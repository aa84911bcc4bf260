#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Secrets and configs in pods: variables and files, byte for byte; what is missing is waited for; who
# restarts when they change; that a value is nowhere but in the container.

# shellcheck disable=SC2016,SC2153,SC2034 # what stands in single quotes is for the shell inside, or for jq

load helper

stays='exec sleep 54321'
# What nobody may take for something else: `$`, base64, an empty value, a newline at the end.
tricky='{dollar: "pa$$word${HOME}", base: "password", empty: "", lines: "a\nb\n"}'

# put KIND NAME FILTER: an object of this test's namespace with that data.
put()
{
  jq -cn --arg kind "$1" --arg name "$2" "{\$kind, \$name, data: ($3)}" |
    tankctl apply -n "$NS" -f - >/dev/null
}

# Says what the pod waits for.
waits_for()
{
  [[ "$(get "$1" '.status | "\(.state) \(.reason) \(.message)"')" == \
    "waiting DependencyWait main: waits for $2"* ]]
}

log_of()
{
  tankctl logs -n "$NS" "$@" 2>/dev/null
}

says_so()
{
  [ "$(log_of "$1" | tail -n 1)" = "$2" ]
}

has_another_pid()
{
  local now
  now=$(pid_of "$1" 2>/dev/null)
  [ "${now:-0}" -gt 0 ] 2>/dev/null && [ "$now" != "$2" ] && [ "$(get "$1" .status.state)" = running ]
}

sync_now()
{
  busctl --system call org.tankd.Reconcile1 /org/tankd/Reconcile1 org.tankd.Reconcile1 Sync \
    >/dev/null
}

# ---- variables -------------------------------------------------------------------------------

variables() # KIND
{
  put "$1" all "$tricky"
  put "$1" first '{USER: "first", PASSWORD: "s3cr3t", LEVEL: "one"}'
  put "$1" second '{LEVEL: "two", _9: "nine"}'
  start web ".containers[0] += {
      env: {APP_USER: \"override\", D: {$1: \"all/dollar\"}, B: {$1: \"all/base\"},
        E: {$1: \"all/empty\"}, L: {$1: \"all/lines\"}, PLAIN: \"\$HOME\"},
      env_from: [{$1: \"first\", prefix: \"APP_\"}, {$1: \"first\"}, {$1: \"second\"}]}" \
    -- sh -c "$stays"
  run in_pod web -- env
  says '^D=pa\$\$word\$\{HOME\}$'
  says '^B=password$'
  says '^E=$'
  says '^PLAIN=\$HOME$'
  says '^APP_USER=override$'
  says '^APP_PASSWORD=s3cr3t$'
  says '^USER=first$'
  says '^LEVEL=two$'
  says '^_9=nine$'
  [ "$(grep -c '^LEVEL=' <<<"$output")" = 1 ]
  [ "$(in_pod web -- sh -c 'printf %s "$L" | od -An -tx1')" = ' 61 0a 62 0a' ]
}

@test "K7, K8, X27, X28: variables of a config: exact values, prefixes, and which one counts" {
  variables config
}

@test "K7, K8, X27, X28: variables of a secret: the same" {
  variables secret
}

@test "K8: a key that cannot name a variable is an error of the start, with its sentence" {
  put config web '{"bad-key": "x", good: "y"}'
  pod web '.containers[0].env_from = [{config: "web"}]' -- sh -c "$stays" | apply >/dev/null
  wait_for 10 equals 'setup-failed 22' result_of web
  get web .status.message | grep -F "key bad-key of config web cannot name a variable"
  # Of the others each can be had.
  pod web '.containers[0].env = {GOOD: {config: "web/good"}}' -- sh -c "$stays" | apply >/dev/null
  until_state web running
  # What no variable can hold is no reason to cut it short.
  put config nul '{a: {base64: "YQBi"}}'
  pod nul '.containers[0].env = {A: {config: "nul/a"}}' -- sh -c "$stays" | apply >/dev/null
  wait_for 10 equals 'setup-failed 22' result_of nul
  get nul .status.message | grep -F 'holds a NUL byte, which no variable can: use it in a volume'
}

# ---- files -----------------------------------------------------------------------------------

files() # KIND
{
  head -c 70000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
  jq -cn --arg kind "$1" --rawfile b64 <(base64 -w 0 "$BATS_TEST_TMPDIR/bytes") \
    '{$kind, name: "web", data: ('"$tricky"' + {bytes: {base64: $b64}})}' | apply >/dev/null
  pod web ".volumes = [{name: \"plain\", source: {$1: \"web\"}},
      {name: \"placed\", source: {$1: \"web\", mode: \"0444\",
        items: {bytes: \"tls/deep/key.der\", base: \"b.txt\"}}}] |
    .containers[0] += {user: \"worker\", mounts: [{volume: \"plain\", path: \"/etc/web\"},
      {volume: \"placed\", path: \"/srv/placed\"}]} |
    .containers += [.containers[0] + {name: \"root\", user: \"0\"}]" \
    -- sh -c "$stays" | apply >/dev/null
  until_state web running
  in_pod web/main -- cat /etc/web/bytes | cmp - "$BATS_TEST_TMPDIR/bytes"
  in_pod web/main -- cat /srv/placed/tls/deep/key.der | cmp - "$BATS_TEST_TMPDIR/bytes"
  [ "$(in_pod web/main -- cat /etc/web/dollar)" = 'pa$$word${HOME}' ]
  [ "$(in_pod web/main -- cat /etc/web/base /srv/placed/b.txt)" = passwordpassword ]
  [ "$(in_pod web/main -- stat -c '%a %u %g %s %n' /etc/web/lines /etc/web/empty)" = \
    $'400 1234 2345 4 /etc/web/lines\n400 1234 2345 0 /etc/web/empty' ]
  [ "$(in_pod web/main -- stat -c '%a %u' /srv/placed/b.txt)" = '444 1234' ]
  [ "$(in_pod web/root -- stat -c '%a %u %g' /etc/web/lines)" = '400 0 0' ]
  [ "$(in_pod web/main -- ls /etc/web | tr '\n' ' ')" = 'base bytes dollar empty lines ' ]
  # A key that is not moved is where it would be anyway.
  [ "$(in_pod web/main -- ls /srv/placed | tr '\n' ' ')" = 'b.txt dollar empty lines tls ' ]
  run -0 in_pod web/root -- grep -E ' /etc/web | /srv/placed ' /proc/mounts
  [ "$(grep -cE ' tmpfs ro,nosuid,nodev,noexec,' <<<"$output")" = 2 ]
  if [ "$1" = secret ] && printf '6.4\n%s\n' "$(uname -r)" | sort -VC; then
    [ "$(grep -cE '[ ,]noswap[ ,]' <<<"$output")" = 2 ]
  fi
  run ! in_pod web/root -- sh -c 'echo x >/etc/web/new'
  run ! in_pod web/root -- sh -c 'echo x >/etc/web/base'
  run ! in_pod web/root -- rm /etc/web/base
  run ! in_pod web/root -- chmod 0777 /etc/web/base
}

@test "K15, X27: a volume of a config: bytes, paths, modes, owner, read-only" {
  files config
}

@test "K15, X27: a volume of a secret: the same" {
  files secret
}

@test "files that cannot stand side by side are an error of the start, with its sentence" {
  put config web '{a: "x", b: "y"}'
  pod web '.volumes = [{name: "v", source: {config: "web", items: {a: "b"}}}] |
    .containers[0].mounts = [{volume: "v", path: "/v"}]' -- sh -c "$stays" | apply >/dev/null
  wait_for 10 equals 'setup-failed 22' result_of web
  get web .status.message | grep -F 'of config web cannot both be there, at b and b'
}

# ---- what is missing -------------------------------------------------------------------------

missing() # KIND
{
  local begin
  pod web ".volumes = [{name: \"v\", source: {$1: \"late\", items: {b: \"x\"}}}] |
    .containers[0] += {env: {A: {$1: \"late/a\"}}, mounts: [{volume: \"v\", path: \"/v\"}]}" \
    -- sh -c "echo \"\$A\" >&2; cat /v/x; echo; $stays" | apply >/dev/null
  wait_for 10 waits_for web "$1 late, which is not in namespace $NS: apply it"
  [ "$(shim_count)" = 0 ]
  put "$1" other '{a: "x"}'
  put "$1" late '{b: "x"}'
  wait_for 10 waits_for web "key a of $1 late in namespace $NS: apply it with that key"
  put "$1" late '{a: "x"}'
  wait_for 10 waits_for web "key b of $1 late"
  # Told by the change, not found by looking every 5 s.
  begin=$(now_ms)
  put "$1" late '{a: "1", b: "2"}'
  until_state web running
  at_most_ms 3000 "$begin"
  wait_for 5 says_so web 2
  [ "$(restarts_of web)" = 0 ]
}

@test "a config that is missing, or a key of it, is waited for" {
  missing config
}

@test "a secret that is missing, or a key of it, is waited for" {
  missing secret
}

@test "without the store a start waits for it; what runs is left alone" {
  put config web '{a: "x"}'
  start web '.containers[0].env = {A: {config: "web/a"}}' -- sh -c "$stays"
  local old workload
  old=$(pid_of web) workload=$(workload_of web)
  hold_daemon store
  [ -e "/proc/$workload" ]
  kill -9 "$workload"
  wait_for 10 grep -qF "$NS/web/main: waits for config web: the store is not there" \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  let_daemons_go
  wait_for 20 has_another_pid web "$old"
}

@test "a store that is not the known one gives no values: a crashed container waits" {
  [ -z "${TANK_INSTALLED-}" ] || skip "the database of an installed tank is not exchanged"
  put config web '{a: "known"}'
  start web '.update_on = ["config"] | .containers[0].env = {A: {config: "web/a"}}' -- sh -c "$stays"
  local old workload
  old=$(pid_of web) workload=$(workload_of web)
  hold_daemon store
  mv "$TANK_STATE_DIR/store" "$BATS_TEST_TMPDIR/store"
  let_daemons_go
  wait_for 20 grep -qF 'held: the store' "$TANK_SANDBOX_DIR/logs/reconcile"
  tankctl apply -f - <<<"{kind: namespace, name: $NS}" >/dev/null
  put config web '{a: "other"}'
  [ -e "/proc/$workload" ]
  kill -9 "$workload"
  wait_for 10 grep -qF "$NS/web/main: waits for config web: nothing is taken from a store that" \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  hold_daemon store
  rm -rf "$TANK_STATE_DIR/store"
  mv "$BATS_TEST_TMPDIR/store" "$TANK_STATE_DIR/store"
  let_daemons_go
  wait_for 20 has_another_pid web "$old"
  [ "$(in_pod web -- sh -c 'echo "$A"')" = known ]
}

@test "a reconciler that is killed while a pod waits goes on waiting" {
  pod web '.containers[0].env = {A: {config: "late/a"}}' -- sh -c "$stays" | apply >/dev/null
  wait_for 10 waits_for web 'config late'
  kill_daemon reconcile
  wait_for 10 waits_for web 'config late'
  put config late '{a: "x"}'
  until_state web running
}

# ---- changes ---------------------------------------------------------------------------------

changes() # KIND
{
  local kept changed old other=config
  [ "$1" = secret ] || other=secret
  put "$1" web '{a: "1"}'
  pod kept ".update_on = [\"$other\"] | .containers[0].env = {A: {$1: \"web/a\"}}" \
    -- sh -c "echo \$A; $stays" | apply >/dev/null
  pod changed ".update_on = [\"$1\"] | .containers[0].env = {A: {$1: \"web/a\"}} |
    .containers += [.containers[0] + {name: \"beside\", env: {}}]" \
    -- sh -c "echo \$A; $stays" | apply >/dev/null
  until_state kept running
  until_state changed running
  kept=$(pid_of kept) changed=$(pid_of changed) beside=$(pid_of changed 1)
  put "$1" web '{a: "2"}'
  wait_for 10 has_another_pid changed "$changed"
  wait_for 5 says_so changed/main 2
  # Of the pod only the container that uses it.
  [ "$(pid_of changed 1)" = "$beside" ]
  sync_now
  [ "$(pid_of kept)" = "$kept" ]
  # What is gone restarts nothing, what is the same neither.
  changed=$(pid_of changed)
  put "$1" web '{a: "2"}'
  tankctl delete "$1" web -n "$NS" >/dev/null
  sync_now
  [ "$(pid_of changed)" = "$changed" ]
  [ "$(get changed .status.state)" = running ]
  put "$1" web '{a: "3"}'
  wait_for 10 has_another_pid changed "$changed"
  # The others take it when they start again.
  tankctl restart kept -n "$NS" >/dev/null
  wait_for 10 has_another_pid kept "$kept"
  wait_for 5 says_so kept 3
  # What changed while nobody looked is found.
  changed=$(pid_of changed) kept=$(pid_of kept)
  : >"$TANK_SANDBOX_DIR/hold/reconcile"
  kill -9 "$(daemon_pid reconcile)"
  put "$1" web '{a: "4"}'
  let_daemons_go
  wait_for 20 has_another_pid changed "$changed"
  [ "$(pid_of changed 1)" = "$beside" ]
  [ "$(pid_of kept)" = "$kept" ]
}

@test "a config that changed restarts whoever says so, and nobody else" {
  changes config
}

@test "a secret that changed restarts whoever says so, and nobody else" {
  changes secret
}

# label KIND NAME FILTER: puts another label on it, with that data.
label()
{
  jq -cn --arg kind "$1" --arg name "$2" --arg now "$(now_ms)" \
    "{\$kind, \$name, labels: {at: \$now}, data: ($3)}" | tankctl apply -n "$NS" -f - >/dev/null
}

same_pid() # POD NUMBER PID
{
  [ "$(pid_of "$1" "$2")" = "$3" ] && [ "$(get "$1" .status.state)" = running ]
}

unused() # KIND
{
  local pids i
  put "$1" web '{a: "1", b: "1"}'
  # One that uses a key, one that uses all as variables, one that has them as files.
  start web ".update_on = [\"$1\"] | .volumes = [{name: \"v\", source: {$1: \"web\"}}] |
    .containers[0].env = {A: {$1: \"web/a\"}} |
    .containers += [.containers[0] + {name: \"all\", env: {}, env_from: [{$1: \"web\"}]},
      .containers[0] + {name: \"files\", env: {}, mounts: [{volume: \"v\", path: \"/v\"}]}]" \
    -- sh -c "$stays"
  pids=("$(pid_of web)" "$(pid_of web 1)" "$(pid_of web 2)")
  label "$1" web '{a: "1", b: "1"}'
  sync_now
  # The next change is looked at behind it: what it would have restarted has been by then.
  label "$1" web '{a: "1", b: "2"}'
  wait_for 10 eval '[ "$(pid_of web 1)" != "'"${pids[1]}"'" ] && [ "$(pid_of web 2)" != "'"${pids[2]}"'" ]'
  until_state web running
  same_pid web 0 "${pids[0]}"
  for i in 1 2; do
    pids[i]=$(pid_of web "$i")
  done
  # Neither does a later life take it for a change, nor what nobody told it of.
  : >"$TANK_SANDBOX_DIR/hold/reconcile"
  kill -9 "$(daemon_pid reconcile)"
  label "$1" web '{a: "1", b: "2"}'
  let_daemons_go
  wait_for 20 sync_now
  wait_for 10 until_noted "$1"
  for i in 0 1 2; do same_pid web "$i" "${pids[i]}"; done
  # What it uses goes: it stays as it is, and says so.
  label "$1" web '{b: "2"}'
  wait_for 10 eval 'tankctl events -n "$NS" --no-follow |
    grep -q "main: it goes on with what it has: .*key a of '"$1"' web"'
  same_pid web 0 "${pids[0]}"
  label "$1" web '{a: "2", b: "2"}'
  wait_for 10 eval '[ "$(pid_of web)" != "'"${pids[0]}"'" ]'
}

# All containers of the pod have the newest revision of it in their record.
until_noted() # KIND
{
  local revision
  revision=$(tankctl get "$1" web -n "$NS" -o json | jq .meta.revision)
  [ "$(tr '\0' '\n' <"$TANK_RUN_DIR"/pods/*/pod.record | grep -c "^used=$1 web $revision ")" = 3 ]
}

@test "update_on: labels, and keys of a config that a container does not use, restart nothing" {
  unused config
}

@test "update_on: labels, and keys of a secret that a container does not use, restart nothing" {
  unused secret
}

goes_on_without() # WHAT
{
  wait_for 10 eval 'tankctl events -n "$NS" --no-follow |
    grep -q "main: it goes on with what it has: .*'"$1"'"'
}

@test "update_on: what was missing beside a changed secret is put right: the restart was not forgotten" {
  local old
  put secret db '{p: "1"}'
  put config app '{a: "1"}'
  put config live '{f: "1"}'
  start web '.update_on = ["secret"] | .volumes = [{name: "v", source: {config: "live", live: true}}] |
    .containers[0] += {env: {P: {secret: "db/p"}, A: {config: "app/a"}},
      mounts: [{volume: "v", path: "/v"}]}' -- sh -c "echo \$P\$A; $stays"
  old=$(pid_of web)
  # Told of each change: a key is missing, then all of it.
  put config app '{b: "1"}'
  put secret db '{p: "2"}'
  goes_on_without 'key a of config app'
  tankctl delete config app -n "$NS" >/dev/null
  put secret db '{p: "3"}'
  goes_on_without 'config app, which is not in'
  # Its live files do not wait for that.
  put config live '{f: "2"}'
  wait_for 10 holds web /v/f 2
  same_pid web 0 "$old"
  put config app '{a: "2"}'
  wait_for 10 has_another_pid web "$old"
  wait_for 5 says_so web 32
  # Nobody told of it: a later life finds out, and does not forget either.
  old=$(pid_of web)
  put config app '{b: "3"}'
  hold_daemon reconcile
  put secret db '{p: "4"}'
  put config live '{f: "4"}'
  let_daemons_go
  wait_for 20 holds web /v/f 4
  same_pid web 0 "$old"
  put config app '{a: "4"}'
  wait_for 10 has_another_pid web "$old"
  wait_for 5 says_so web 44
}

# Calls of Reveal that were refused.
refused_reveals()
{
  tankctl store metrics |
    awk '/^tank_store_call_errors_total[{].*method="Reveal"[}]/ { n = $2 } END { print n + 0 }'
}

refused_at_least() # NUMBER
{
  [ "$(refused_reveals)" -ge "$1" ]
}

@test "update_on: a secret that cannot be opened is asked for once at each resync, and taken when it can" {
  [ -z "${TANK_INSTALLED-}" ] || skip "the key of an installed tank is not exchanged"
  local key=$TANK_STATE_DIR/store/secrets.key old name first
  for name in a b c; do put secret "$name" '{v: "1"}'; done
  start web '.update_on = ["secret"] | .containers[0].env =
      {A: {secret: "a/v"}, B: {secret: "b/v"}, C: {secret: "c/v"}}' -- sh -c "echo \$A; $stays"
  old=$(pid_of web)
  cp -p "$key" "$BATS_TEST_TMPDIR/lost"
  hold_daemon reconcile
  tankctl secret rotate-key >/dev/null
  put secret a '{v: "2"}'
  hold_daemon store
  cp -p "$key" "$BATS_TEST_TMPDIR/kept"
  cp -p "$BATS_TEST_TMPDIR/lost" "$key"
  let_daemons_go
  wait_for 20 grep -q "$NS/web/main: it goes on with what it has: .*secret a: .*which is not here" \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  first=$(refused_reveals)
  # Two more resyncs: a new attempt each, and nothing in between.
  wait_for 20 refused_at_least $((first + 2))
  [ "$(refused_reveals)" -le $((first + 4)) ]
  same_pid web 0 "$old"
  hold_daemon store
  cp -p "$BATS_TEST_TMPDIR/kept" "$key"
  let_daemons_go
  wait_for 20 has_another_pid web "$old"
  wait_for 5 says_so web 2
}

@test "update_on: what an init container uses begins the pod anew; asking for it restarts nothing" {
  put config web '{a: "1"}'
  local filter old
  filter="$with_mark"' | .init_containers = [.containers[0] + {name: "first",
      env: {A: {config: "web/a"}}, command: ["sh", "-c", "echo \"$A\" >>/mark/order"]}]'
  start web "$filter" -- sh -c "echo main >>/mark/order; $stays"
  old=$(pid_of web)
  pod web "$filter | .update_on = [\"config\"]" -- sh -c "echo main >>/mark/order; $stays" |
    apply >/dev/null
  sync_now
  [ "$(pid_of web)" = "$old" ]
  put config web '{a: "2"}'
  wait_for 10 has_another_pid web "$old"
  wait_for 5 equals '1 main 2 main ' eval 'tr "\n" " " <"$MARK/order"'
}

# ---- live volumes ----------------------------------------------------------------------------

holds() # POD FILE TEXT
{
  [ "$(in_pod "$1" -- cat "$2" 2>/dev/null)" = "$3" ]
}

live() # KIND
{
  local pid i
  put "$1" web '{a: "1", b: "old", gone: "x"}'
  start web ".volumes = [
      {name: \"live\", source: {$1: \"web\", live: true, mode: \"0440\", items: {b: \"x/y/b\"}}},
      {name: \"fixed\", source: {$1: \"web\"}}] |
    .containers[0] += {user: \"worker\", mounts: [{volume: \"live\", path: \"/live\"},
      {volume: \"fixed\", path: \"/fixed\"}]}" -- sh -c "$stays"
  pid=$(pid_of web)
  put "$1" web '{a: "2", b: "new", more: "y"}'
  wait_for 10 holds web /live/a 2
  wait_for 10 holds web /live/x/y/b new
  holds web /live/more y
  run ! in_pod web -- cat /live/gone
  [ "$(in_pod web -- ls /live | tr '\n' ' ')" = 'a more x ' ]
  [ "$(in_pod web -- stat -L -c '%a %u %g' /live/a /live/x/y/b /live/more | sort -u)" = '440 1234 2345' ]
  run ! in_pod web -- sh -c 'echo x >/live/a'
  # What is not live has the values of the start.
  holds web /fixed/a 1
  holds web /fixed/gone x
  # A version without a key that has a place leaves all as it is.
  put "$1" web '{a: "3"}'
  wait_for 10 grep -q "$NS/web/main: its live files stay as they are: .*key b of $1 web" \
    "$TANK_SANDBOX_DIR/logs/reconcile"
  holds web /live/a 2
  holds web /live/x/y/b new
  # A reader has the old file or the new one, whole.
  in_pod -d web -- sh -c 'while test ! -e /tmp/end; do
    n=$(sort -u /live/a | wc -l); test "$n" = 1 || echo "$n" >>/tmp/torn; done; echo end >>/tmp/torn'
  for i in 1 2 3 4 5 6 7 8; do
    jq -cn --arg kind "$1" --arg i "$i" \
      '{$kind, name: "web", data: {b: "", a: ([range(20000) | $i + "\n"] | add)}}' | apply >/dev/null
  done
  wait_for 10 equals 8 in_pod web -- sh -c 'sort -u /live/a'
  in_pod web -- touch /tmp/end
  wait_for 10 equals end in_pod web -- cat /tmp/torn
  # What changed while nobody looked is found.
  : >"$TANK_SANDBOX_DIR/hold/reconcile"
  kill -9 "$(daemon_pid reconcile)"
  put "$1" web '{a: "9", b: "last"}'
  let_daemons_go
  wait_for 20 holds web /live/a 9
  holds web /live/x/y/b last
  [ "$(pid_of web)" = "$pid" ]
  [ "$(restarts_of web)" = 0 ]
}

@test "live files of a config follow it: each in one step, without a restart" {
  live config
}

@test "live files of a secret: the same" {
  live secret
}

# On the file system of a live volume, past the container, which may not write there.
in_volume() # POD COMMAND...
{
  local pid
  pid=$(workload_of "$1")
  shift
  nsenter -t "$pid" -m -p -- mount -o remount,bind,rw /live
  nsenter -t "$pid" -m -p -- "$@"
  nsenter -t "$pid" -m -p -- mount -o remount,bind,ro /live
}

@test "a live volume without room keeps its files, says so once, and has the new ones when there is" {
  put secret web '{a: "1", b: "old"}'
  start web '.volumes = [{name: "live", source: {secret: "web", live: true}}] |
    .containers[0].mounts = [{volume: "live", path: "/live"}]' -- sh -c "$stays"
  in_volume web sh -c '! cat /dev/zero >/live/filler'
  jq -cn '{kind: "secret", name: "web", data: {a: "2", c: "new", b: ([range(3000) | "12345"] | add)}}' |
    apply >/dev/null
  wait_for 10 eval 'tankctl events -n "$NS" --no-follow |
    grep -q "main: its live files stay as they are: .*No space left"'
  holds web /live/a 1
  holds web /live/b old
  run ! in_pod web -- ls -d /live/c
  sync_now
  [ "$(tankctl events -n "$NS" --no-follow | grep -c 'its live files stay as they are')" = 1 ]
  in_volume web rm /live/filler
  # At the next resync.
  wait_for 20 holds web /live/a 2
  holds web /live/c new
  [ "$(restarts_of web)" = 0 ]
}

# ---- where values are ------------------------------------------------------------------------

# What cannot be read is no socket's fault: by what is found, not by grep's own exit status.
nowhere() # TEXT
{
  local found
  found=$(grep -rlaF -D skip -- "$1" "$TANK_RUN_DIR" "$TANK_STATE_DIR" "$TANK_LOG_DIR" \
    "$TANK_SANDBOX_DIR/logs" 2>/dev/null || true)
  echo "found in: $found"
  [ -z "$found" ]
}

# is_locked PID: all memory that it can write to, or it is told which is not.
is_locked()
{
  [ "$(awk '/^VmLck:/ { print $2 }' "/proc/$1/status")" -gt 0 ] &&
    awk '$1 ~ /^[0-9a-f]+-[0-9a-f]+$/ { name = $0; writable = $2 ~ /w/ }
      /^VmFlags:/ && writable && !/ lo( |$)/ { print name; bad = 1 }
      END { exit bad }' "/proc/$1/smaps"
}

@test "X26: who handles a value is not swapped: the store, the reconciler, the shim; its files neither" {
  local pid
  ! grep -q libasan "/proc/$(daemon_pid store)/maps" || skip 'sanitizers lock nothing'
  put secret web '{a: "one"}'
  start web '.volumes = [{name: "v", source: {secret: "web", live: true}}] |
    .containers[0] += {env: {A: {secret: "web/a"}}, mounts: [{volume: "v", path: "/v"}]}' \
    -- sh -c "test -n \"\$A\" && $stays"
  # Behind a session and a live update, which take memory too.
  put secret web '{a: "two"}'
  wait_for 10 equals two in_pod web -- cat /v/a
  for pid in "$(daemon_pid store)" "$(daemon_pid reconcile)" $(shims); do
    is_locked "$pid"
  done
  in_pod web -- grep ' /v tmpfs ' /proc/mounts >"$BATS_TEST_TMPDIR/mount"
  # Kernels before 6.4 know no such option: there the shim keeps them locked.
  grep -q noswap "$BATS_TEST_TMPDIR/mount" || grep -q '/a$' "/proc/$(shims)/maps"
}

@test "X26: a secret's value is in no file of tank's, no argument, no log, no event" {
  local value='cafe-V4lu3-0f-a-secret-cafe' pid
  put secret web "{a: \"$value\"}"
  pod web '.update_on = ["secret"] | .volumes = [{name: "v", source: {secret: "web"}}] |
    .containers[0] += {env: {A: {secret: "web/a"}}, mounts: [{volume: "v", path: "/v"}]}' \
    -- sh -c "test -n \"\$A\" && $stays" | apply >/dev/null
  until_state web running
  kill_daemon reconcile
  put secret web "{a: \"$value-2\"}"
  wait_for 10 equals "$value-2" in_pod web -- cat /v/a
  nowhere "$value"
  for pid in "$(daemon_pid reconcile)" $(shims); do
    [ "$(cat "/proc/$pid/cmdline" "/proc/$pid/environ" | grep -caF -- "$value")" = 0 ]
  done
  [ "$( (tankctl events -n "$NS" --no-follow; get web) | grep -cF -- "$value")" = 0 ]
  tankctl delete pod web -n "$NS" >/dev/null
  tankctl wait web -n "$NS" --for=deleted --timeout "$(scaled 30)" >/dev/null
  nowhere "$value"
}
