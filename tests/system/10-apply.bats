#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people declare: documents in and out, what is refused and how it is said, seeds, namespaces.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

whole()
{
  cat <<END
# Every field that works, in YAML as people write it.
name: whole
labels: {app: web, example.org/tier: "1"}
annotations: {note: "a: b"}
restart: on-failure
backoff: {base: 250ms, cap: 1m30s, reset: 10m}
grace: 5s
network: none
volumes:
  - name: data
  - {name: conf, source: {host: $MARK}, idmap: auto}
containers:
  - name: app
    image: {rootfs: $ROOT}
    command: [sleep]
    args: ["1000"]
    env: {LOG_LEVEL: debug, EMPTY: ""}
    working_dir: /tmp
    user: "1234:2345"
    groups: [audio, "777"]
    tty: false
    init: tank
    mounts:
      - {volume: data, path: /data}
      - {volume: conf, path: /conf, read_only: true}
    limits: {memory: 64MiB, pids: 50, cpu: 0.5}
    stop: {signal: SIGINT, grace: 1s}
    security:
      capabilities: {drop: [CAP_CHOWN]}
      seccomp: default
      no_new_privileges: true
    log: {max_size: 1MB, max_files: 3}
  - name: side
    image: {rootfs: $ROOT}
    command: [sleep, "1000"]
END
}

# bad PATTERN <document: validate refuses it, in one line that begins with its place and says so.
bad()
{
  cat >"$BATS_TEST_TMPDIR/bad.yaml"
  run tankctl validate -f "$BATS_TEST_TMPDIR/bad.yaml"
  [ "$status" = 1 ] || {
    echo "validate exited $status for: $(cat "$BATS_TEST_TMPDIR/bad.yaml")"
    return 1
  }
  says "$1"
  says '^(tankctl: )?/[^:]*bad\.yaml:[0-9]+:[0-9]+: '
}

# bad_pod PATTERN FIELDS [CONTAINER-FIELDS]: a pod that is right but for these lines.
bad_pod()
{
  bad "$1" <<END
name: bad
containers:
  - name: main
    image: {rootfs: $ROOT}
    command: [sleep, "1"]
${3:+    $3}
$2
END
}

@test "V1: a full nested document is valid, and comes back as it was declared" {
  whole >"$BATS_TEST_TMPDIR/whole.yaml"
  tankctl validate -f "$BATS_TEST_TMPDIR/whole.yaml"
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/whole.yaml" --wait
  run -0 get whole 'del(.meta, .status)'
  diff <(jq -S . <<<"$output") - <<END
{
  "annotations": {
    "note": "a: b"
  },
  "backoff": {
    "base": 250000,
    "cap": 90000000,
    "reset": 600000000
  },
  "containers": [
    {
      "args": [
        "1000"
      ],
      "command": [
        "sleep"
      ],
      "env": {
        "EMPTY": "",
        "LOG_LEVEL": "debug"
      },
      "groups": [
        "audio",
        "777"
      ],
      "image": {
        "rootfs": "$ROOT"
      },
      "init": "tank",
      "limits": {
        "cpu": {
          "period": 100000,
          "quota": 50000
        },
        "memory": 67108864,
        "pids": 50
      },
      "log": {
        "max_files": 3,
        "max_size": 1000000
      },
      "mounts": [
        {
          "path": "/data",
          "volume": "data"
        },
        {
          "path": "/conf",
          "read_only": true,
          "volume": "conf"
        }
      ],
      "name": "app",
      "security": {
        "capabilities": {
          "drop": [
            "CAP_CHOWN"
          ]
        },
        "no_new_privileges": true,
        "seccomp": "default"
      },
      "stop": {
        "grace": 1000000,
        "signal": "SIGINT"
      },
      "tty": false,
      "user": "1234:2345",
      "working_dir": "/tmp"
    },
    {
      "command": [
        "sleep",
        "1000"
      ],
      "image": {
        "rootfs": "$ROOT"
      },
      "name": "side"
    }
  ],
  "grace": 5000000,
  "kind": "pod",
  "labels": {
    "app": "web",
    "example.org/tier": "1"
  },
  "name": "whole",
  "namespace": "$NS",
  "network": "none",
  "restart": "on-failure",
  "volumes": [
    {
      "name": "data"
    },
    {
      "idmap": "auto",
      "name": "conf",
      "source": {
        "host": "$MARK"
      }
    }
  ]
}
END
}

@test "V1: the defaults are kind pod, namespace default, no network, restart always, no tty" {
  printf 'name: bare\ncontainers:\n  - name: main\n    image: {rootfs: %s}\n    command: [%s]\n' \
    "$ROOT" 'sh, -c, "tty; ls /sys/class/net; exec sleep 1000"' >"$BATS_TEST_TMPDIR/bare.yaml"
  tankctl apply -f "$BATS_TEST_TMPDIR/bare.yaml" --wait
  run -0 tankctl get pod bare -n default -o json
  NS=default delete_all default
  jq -e '.kind == "pod" and .namespace == "default"' <<<"$output"
  jq -e 'has("restart") or has("network") or has("volumes") or has("tty") | not' <<<"$output"
}

@test "V1: -o yaml is the declaration alone and re-applies without a change" {
  whole | apply --wait
  tankctl get pod whole -n "$NS" -o yaml >"$BATS_TEST_TMPDIR/out.yaml"
  run -1 grep -Eq '^(meta|status):' "$BATS_TEST_TMPDIR/out.yaml"
  pid=$(pid_of whole)
  generation=$(get whole .meta.generation)
  tankctl apply -f "$BATS_TEST_TMPDIR/out.yaml"
  [ "$(get whole .meta.generation)" = "$generation" ]
  [ "$(pid_of whole)" = "$pid" ]
}

@test "unchanged: other key order, units and spelling make no generation and keep the pid" {
  start web '.grace = "2s" | .labels = {a: "1"}' -- sleep 1000
  pid=$(pid_of web)
  before=$(get web .meta)
  apply <<END
containers:
  - command: [sleep, '1000']
    image:
      rootfs: $ROOT/
    name: "main"
backoff: {reset: 600s, cap: 1000ms, base: 100ms}
labels:
  a: "1"
grace: 2000ms
kind: pod
name: web
END
  [ "$(get web .meta)" = "$before" ]
  [ "$(pid_of web)" = "$pid" ]
}

@test "JSON: an object has exactly the declared fields, meta and status" {
  start web -- sleep 1000
  run -0 get web
  jq -e 'keys == ["backoff", "containers", "grace", "kind", "meta", "name", "namespace", "status"]' \
    <<<"$output"
  jq -e '.meta | keys == ["created", "generation", "revision", "uid", "updated"]' <<<"$output"
  jq -e '.meta.generation == 1 and (.meta.revision | type == "number")' <<<"$output"
  jq -e '.meta.uid | test("^[0-9a-f]{32}$")' <<<"$output"
  time='^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$'
  jq -e ".meta | (.created | test(\"$time\")) and (.updated | test(\"$time\"))" <<<"$output"
  jq -e '.status | keys == ["addresses", "containers", "init_containers", "message", "ready", "reason", "restart_at",
    "state"]' <<<"$output"
  jq -e '.status | .state == "running" and .ready == true and .addresses == []' <<<"$output"
  jq -e '.status.containers | length == 1' <<<"$output"
  jq -e '.status.containers[0] | keys == ["digest", "image", "name", "pid", "ready", "reason",
    "restarts", "results", "started_at", "state"]' <<<"$output"
  jq -e '.status.containers[0] | .name == "main" and .state == "running" and .restarts == 0 and
    .results == [] and .pid > 1 and (.started_at | test("'"$time"'"))' <<<"$output"
}

@test "JSON: without a NAME a list; a finished run's result is kind, code and time" {
  pod one '.restart = "never"' -- sh -c 'exit 3' | apply
  until_state one exited
  start two -- sleep 1000
  run -0 tankctl get pods -n "$NS" -o json
  jq -e 'type == "array" and map(.name) == ["one", "two"]' <<<"$output"
  jq -e '.[0].status | .state == "failed" and .reason == "Error"' <<<"$output"
  jq -e '.[0].status.containers[0] | .pid == 0 and .state == "failed" and .reason == "Error"' \
    <<<"$output"
  jq -e '.[0].status.containers[0].results | length == 1' <<<"$output"
  jq -e '.[0].status.containers[0].results[0] | keys == ["at", "code", "kind"] and
    .kind == "exited" and .code == 3 and (.at | test("^20.*\\.[0-9]{6}Z$"))' <<<"$output"
}

@test "get: -o name, TYPE/NAME, plural and short types; -A is everything; -l selects" {
  start web '.labels = {app: "web"}' -- sleep 1000
  start db '.labels = {app: "db"}' -- sleep 1000
  [ "$(tankctl get pods -n "$NS" -o name)" = $'pod/db\npod/web' ]
  [ "$(tankctl get pod/web -n "$NS" -o json | jq -r .name)" = web ]
  [ "$(tankctl get pods/web -n "$NS" -o name)" = pod/web ]
  [ "$(tankctl -o json get -n "$NS" pod web | jq -r .name)" = web ]
  [ "$(tankctl get pods -A -o json | jq -r --arg ns "$NS" \
    'map(select(.namespace == $ns).name) | join(" ")')" = "db web" ]
  [ "$(tankctl get pods -n "$NS" -l app=web -o name)" = pod/web ]
  [ "$(tankctl get pods -n "$NS" -l app=web -l app!=web -o name)" = '' ] # both have to hold
  run -0 tankctl get pods -n "$NS"
  says '^NAME'
  says '^web +.*running'
  refused 3 tankctl get pod nosuch -n "$NS"
  says nosuch
  refused 2 tankctl get web -n "$NS"
  says 'did you mean .*get pod web'
}

@test "V2: unknown keys are refused at every level, with place and suggestion" {
  bad_pod ':6:1: .*contaners.*unknown|unknown.*contaners' 'contaners: []'
  says containers
  bad_pod 'imag' '' 'imag: x'
  says ':6:5: '
  says 'did you mean.*image'
  bad_pod memroy '' 'limits: {memroy: 1}'
  says 'did you mean.*memory'
  bad_pod raed_only 'volumes: [{name: v}]' 'mounts: [{volume: v, path: /v, raed_only: true}]'
}

@test "V2: what is missing or of the wrong type" {
  bad name <<<"containers: [{name: a, image: {rootfs: /x}}]"
  bad containers <<<"name: a"
  bad containers <<<"{name: a, containers: []}"
  bad containers <<<"{name: a, containers: {}}"
  bad image <<<"{name: a, containers: [{name: b}]}"
  bad rootfs <<<"{name: a, containers: [{name: b, image: {rootfs: relative}}]}"
  bad 'duplicate|twice' <<<"{name: a, containers: [{name: b, image: {rootfs: /x}, command: [x]}, {name: b, image: {rootfs: /x}, command: [x]}]}"
  bad kind <<<"{kind: 7, name: a}"
  bad_pod restart 'restart: on_failure'
  says on-failure
  bad_pod network 'network: 7'
  bad_pod args '' 'args: not-a-list'
  bad_pod 'env' '' 'env: {A: 7}'
  bad_pod 'env' '' 'env: [A=b]'
  bad_pod working_dir '' 'working_dir: tmp'
  bad_pod tty '' 'tty: "yes"'
  bad_pod tty '' 'tty: yes'
}

@test "V2: limits, quantities and durations" {
  bad_pod memory '' 'limits: {memory: 0}'
  bad_pod memory '' 'limits: {memory: -1}'
  bad_pod memory '' 'limits: {memory: 12XB}'
  bad_pod 'memory|64 bits' '' 'limits: {memory: 99999999999999999999}'
  bad_pod pids '' 'limits: {pids: 0}'
  bad_pod pids '' 'limits: {pids: many}'
  bad_pod cpu '' 'limits: {cpu: 0}'
  bad_pod cpu '' 'limits: {cpu: {quota: 50ms, period: 0s}}'
  bad_pod grace 'grace: 10'
  bad_pod grace 'grace: 10 parsecs'
  bad_pod base 'backoff: {base: -1s}'
  bad_pod max_files '' 'log: {max_files: 0}'
  bad_pod signal '' 'stop: {signal: SIGNOPE}'
}

@test "V2: volumes and mounts" {
  bad_pod nosuch '' 'mounts: [{volume: nosuch, path: /v}]'
  bad_pod path 'volumes: [{name: v}]' 'mounts: [{volume: v, path: v}]'
  bad_pod '[dD]uplicate|twice' 'volumes: [{name: v}]' \
    'mounts: [{volume: v, path: /v}, {volume: v, path: /v}]'
  bad_pod '[dD]uplicate|twice' 'volumes: [{name: v}]' \
    'mounts: [{volume: v, path: /v}, {volume: v, path: //v/}]'
  bad_pod '[dD]uplicate|twice' 'volumes: [{name: v}, {name: v}]'
  bad_pod host 'volumes: [{name: v, source: {host: relative}}]'
  bad_pod source 'volumes: [{name: v, source: elsewhere}]'
  bad_pod '\.\.' 'volumes: [{name: v}]' 'mounts: [{volume: v, path: /a/../../etc}]'
  bad_pod proc 'volumes: [{name: v}]' 'mounts: [{volume: v, path: /proc}]'
  bad_pod proc 'volumes: [{name: v}]' 'mounts: [{volume: v, path: /proc/self}]'
}

@test "names with slashes, dots, capitals and 64 characters are refused; a--b is not" {
  for name in ../x a/b /etc .. . 'a b' A a_b -a a- '' "$(printf 'a%.0s' {1..64})"; do
    bad name <<<"{\"name\": \"$name\", \"containers\": [{\"name\": \"m\", \"image\": {\"rootfs\": \"$ROOT\"}, \"command\": [\"sleep\", \"1\"]}]}"
  done
  bad name <<<"{name: a, containers: [{name: ../m, image: {rootfs: $ROOT}, command: [x]}]}"
  bad namespace <<<"{name: a, namespace: ../x, containers: [{name: m, image: {rootfs: $ROOT}, command: [x]}]}"
  bad volume <<<"{name: a, volumes: [{name: ../../x}], containers: [{name: m, image: {rootfs: $ROOT}, command: [x]}]}"
  start a--b -- sleep 1000
  start "$(printf 'a%.0s' {1..63})" -- sleep 1000
  # and where tankctl is not asked
  run busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Apply 'sa{sv}' \
    "$(pod a/b -- sleep 1 | jq -c --arg ns "$NS" '.namespace = $ns')" 0
  [ "$status" != 0 ]
  says name
}

@test "user names and numbers are parsed exactly" {
  for user in 4294967296 2147483648 -1 0x0 ' 0' '0 ' 1000: :0 1000foo 65534 '' 1:2:3; do
    bad_pod user '' "user: \"$user\""
  done
  bad user <<<'{"name": "a", "containers": [{"name": "m", "image": {"rootfs": "/x"}, "command": ["x"], "user": "root\n"}]}'
}

@test "NUL bytes are refused wherever they come from" {
  bad 'NUL|control|character|escape|U\+0000|u0000' \
    <<<'{"name": "a", "containers": [{"name": "m", "image": {"rootfs": "/x"}, "command": ["a\u0000b"]}]}'
}

@test "YAML: duplicate keys, tags, merge keys and two documents' errors have their place" {
  bad '[dD]uplicate|twice' <<<$'name: a\nname: b'
  says ':2:1: '
  bad 'tag' <<<$'name: !!str a'
  bad '<<|merge' <<<$'a: &x {b: 1}\n<<: *x\nname: a'
  bad name <<<$'name: a\ncontainers: [{name: m, image: {rootfs: /}, command: [x]}]\n---\nname: A'
  says ':4:'
  bad 'depth|deep|nest' <<<"$(printf '[%.0s' {1..100})$(printf ']%.0s' {1..100})"
}

@test "YAML: only true and false are booleans; octal, yes and times are strings" {
  start web '.containers[0].env = {}' -- sleep 1000
  apply <<END
name: words
containers:
  - name: main
    image: {rootfs: $ROOT}
    command: [sleep, "1000"]
    env: {A: yes, B: on, C: 0755, D: 12:30, E: ~x}
END
  [ "$(get words '.containers[0].env | [.A, .B, .C, .D, .E] | join(" ")')" = "yes on 0755 12:30 ~x" ]
}

@test "fields that do not work yet are refused, and named, by tankctl and by the store" {
  for field in 'state: stopped' 'ports: [{host: 80, container: 80}]' \
    'depends_on: [{pod: x, condition: started}]' 'after_units: [x.service]'; do
    bad_pod "${field%%:*}.*not supported yet|not supported yet.*${field%%:*}" "$field"
  done
  for field in 'health: {live: {tcp: {port: 1}}}' 'rlimits: {nofile: 1}' 'oom_score_adj: 1'; do
    bad_pod "${field%%:*}.*not supported yet|not supported yet.*${field%%:*}" '' "$field"
  done
  run busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 Apply 'sa{sv}' \
    "$(pod web '.state = "stopped"' -- sleep 1 | jq -c --arg ns "$NS" '.namespace = $ns')" 0
  [ "$status" != 0 ]
  says 'state'
  says 'not supported'
}

@test "validate is offline; apply refuses a file as a whole" {
  printf 'name: ok\ncontainers: [{name: m, image: {rootfs: %s}, command: [sleep, "1"]}]\n---\n{name: a, wrong: 1}\n' \
    "$ROOT" >"$BATS_TEST_TMPDIR/two.yaml"
  DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent run -1 tankctl validate -f \
    "$BATS_TEST_TMPDIR/two.yaml"
  says wrong
  run -1 tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/two.yaml"
  says 'two.yaml:4:'
  [ "$(tankctl get pods -n "$NS" -o json)" = '[]' ]
}

@test "apply -f DIR applies every file; a dry run stores nothing; diff shows what would change" {
  mkdir "$BATS_TEST_TMPDIR/d"
  pod one -- sleep 1000 >"$BATS_TEST_TMPDIR/d/1.json"
  pod two -- sleep 1000 >"$BATS_TEST_TMPDIR/d/2.yaml"
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/d" --dry-run
  [ "$(tankctl get pods -n "$NS" -o json)" = '[]' ]
  tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/d" --wait
  [ "$(tankctl get pods -n "$NS" -o name)" = $'pod/one\npod/two' ]
  tankctl diff -n "$NS" -f "$BATS_TEST_TMPDIR/d"
  pod two '.grace = "3s"' -- sleep 1000 >"$BATS_TEST_TMPDIR/d/2.yaml"
  run -1 tankctl diff -n "$NS" -f "$BATS_TEST_TMPDIR/d"
  says grace
}

@test "what get -o json printed is edited and applied again; who was late is told what to do" {
  pod web '.grace = "1500ms" | .containers[0].limits = {memory: "64MiB"}' \
    -- sleep 1000 | apply --wait
  before=$(tankctl get pod web -n "$NS" -o json)
  uid=$(jq -r .meta.uid <<<"$before") pid=$(pid_of web)
  [ "$(jq -c '[.grace, .containers[0].limits.memory]' <<<"$before")" = '[1500000,67108864]' ]
  run -1 tankctl apply -f - <<<"$before"
  says 'status'
  # As it is, and with what is wanted changed, in either form.
  run -0 tankctl apply -f - < <(jq 'del(.status)' <<<"$before")
  says unchanged
  run -0 tankctl apply --wait -f - < <(jq 'del(.status) | .grace = "2s"' <<<"$before")
  says updated
  [ "$(get web .grace)" = 2000000 ] && [ "$(get web .meta.uid)" = "$uid" ]
  [ "$(pid_of web)" = "$pid" ]
  # It moved on meanwhile: nobody's change is lost.
  run -4 tankctl apply -f - < <(jq 'del(.status) | .grace = 3000000' <<<"$before")
  says "stands at revision $(get web .meta.revision), and the document was made from $(jq .meta.revision <<<"$before")"
  says "tankctl history pod web -n $NS --diff"
  eval "$(sed -n 's/.*"\(tankctl history.*--diff [0-9]* [0-9]*\)".*/run -0 \1/p' <<<"$output")"
  says grace
  # A document of people's own has units.
  run -1 tankctl apply -f - < <(jq 'del(.status, .meta)' <<<"$before")
  says 'a duration needs a unit'
  tankctl delete pod web -n "$NS" --wait
  run -4 tankctl apply -f - < <(jq 'del(.status)' <<<"$before")
  says 'is not there'
}

@test "namespaces come with what stands in them, and go with it" {
  run -3 tankctl apply -n "$NS-new" -f - <<<"$(pod web -- sleep 1000)"
  says 'create-namespace'
  tankctl apply -n "$NS-new" --create-namespace --dry-run -f - <<<"$(pod web -- sleep 1000)"
  run -3 tankctl get namespace "$NS-new"
  tankctl apply -n "$NS-new" --create-namespace --wait -f - <<<"$(pod web -- sleep 1000)"
  pid=$(tankctl get pod web -n "$NS-new" -o json | jq '.status.containers[0].pid')
  run -1 tankctl delete namespace "$NS-new"
  says 'still holds 1 object'
  run -2 tankctl delete pod web -n "$NS-new" --cascade
  run -1 tankctl delete namespace default --cascade
  says 'always exists'
  run -0 tankctl delete namespace "$NS-new" --cascade --wait
  [ "$output" = "namespace/$NS-new deleted" ]
  gone "$pid"
  run -3 tankctl get pod web -n "$NS-new"
}

@test "V3: list and get agree with apply; delete of what is missing is success; a daemon's death loses nothing" {
  start web -- sleep 1000
  uid=$(get web .meta.uid)
  tankctl delete pod nosuch -n "$NS"
  kill_daemon store
  [ "$(get web .meta.uid)" = "$uid" ]
  tankctl delete pod web -n "$NS" --wait
  refused 3 tankctl get pod web -n "$NS"
  # a new incarnation, not the old one
  start web -- sleep 1000
  [ "$(get web .meta.uid)" != "$uid" ]
}

@test "V3: create exists, if-revision: Conflict and AlreadyExists exit 4, over the bus by name" {
  document=$(pod web -- sleep 1000 | jq -c --arg ns "$NS" '.namespace = $ns')
  call=(busctl --system call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1)
  "${call[@]}" Create 'sa{sv}' "$document" 0
  run "${call[@]}" Create 'sa{sv}' "$document" 0
  [ "$status" != 0 ]
  says 'exists|there already'
  revision=$(get web .meta.revision)
  run "${call[@]}" Apply 'sa{sv}' "$(jq -c '.grace = "3s"' <<<"$document")" 1 if-revision t 1
  [ "$status" != 0 ]
  refused 4 apply <<<"$(jq -c '.grace = "4s" | .meta = {revision: 1}' <<<"$document")"
  apply <<<"$(jq -c --argjson r "$revision" '.grace = "4s" | .meta = {revision: $r}' <<<"$document")"
  [ "$(get web .grace)" = 4000000 ]
  run apply <<<"$(jq -c '.status = {state: "running"}' <<<"$document")"
  [ "$status" != 0 ]
  says status
}

@test "V4: seed creates what is absent, never overwrites, and skips what is bad" {
  mkdir "$BATS_TEST_TMPDIR/seed"
  pod web '.grace = "7s"' -- sleep 1000 | jq -c --arg ns "$NS" '.namespace = $ns' \
    >"$BATS_TEST_TMPDIR/seed/web.yaml"
  pod new -- sleep 1000 | jq -c --arg ns "$NS" '.namespace = $ns' \
    >"$BATS_TEST_TMPDIR/seed/new.yaml"
  echo '{name: Bad}' >"$BATS_TEST_TMPDIR/seed/bad.yaml"
  start web '.grace = "3s"' -- sleep 1000
  run tankctl seed "$BATS_TEST_TMPDIR/seed"
  says 'bad.yaml'
  until_state new running
  [ "$(get web .grace)" = 3000000 ]
  tankctl delete pod new -n "$NS" --wait
  rm "$BATS_TEST_TMPDIR/seed/bad.yaml"
  tankctl seed "$BATS_TEST_TMPDIR/seed"
  until_state new running
  # what was named and is not there is no bad document
  run -1 tankctl seed "$BATS_TEST_TMPDIR/nowhere"
  says 'No such file'
}

@test "namespaces: prod never lists prod-2; one must exist; one with contents stays" {
  for name in "$NS-2" "${NS}2"; do
    echo "{kind: namespace, name: $name}" | tankctl apply -f -
    pod other -- sleep 1000 | tankctl apply -n "$name" -f -
  done
  start web -- sleep 1000
  [ "$(tankctl get pods -n "$NS" -o name)" = pod/web ]
  run tankctl delete namespace "$NS-2"
  [ "$status" = 1 ]
  says "$NS-2"
  for name in "$NS-2" "${NS}2"; do
    delete_all "$name"
    tankctl delete namespace "$name"
  done
  refused 3 tankctl apply -n nosuch -f - <<<"$(pod web -- sleep 1)"
  says nosuch
  run -0 tankctl get namespaces -o name
  says '^namespace/default$'
  says '^namespace/system$'
}

@test "what tank has never heard of is stored, versioned and given back, not run" {
  echo '{kind: widget, name: w, size: 3, nested: {a: [1, two]}}' | apply
  run -0 tankctl get widget w -n "$NS" -o json
  jq -e '.size == 3 and .nested.a == [1, "two"] and .meta.generation == 1' <<<"$output"
  echo '{kind: widget, name: w, size: 4}' | apply
  [ "$(tankctl get widget w -n "$NS" -o json | jq .meta.generation)" = 2 ]
  tankctl delete widget w -n "$NS"
  run ! tankctl get widget w -n "$NS"
}

@test "errors: unknown verb, unknown option, missing file, no bus" {
  refused 2 tankctl nosuch
  refused 2 tankctl apply --nosuch
  refused 2 tankctl apply
  refused 1 tankctl apply -f /nonexistent.yaml
  says 'No such file'
  DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent run -1 tankctl get pods
  says 'bus'
  # who is neither root nor of the group is told so, by every verb
  run -1 setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v tankctl)" get pods
  says "needs the right 'inspect': be root or in the group 'tank'"
  run -1 setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v tankctl)" doctor
  says 'only root and members of group tank'
  run -0 tankctl version
  says '[0-9]+\.[0-9]+'
}
