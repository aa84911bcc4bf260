# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What is looked at in the machine of tests/vm/power: `declared` when tank was installed, all others
# after each cut. What was promised before it stands in $told, a line each, written by the host:
#
#   database ID              the store's
#   acked REVISION WRITE POD a write of tests/vm/power-inside was answered with that revision
#   ended POD CODE           a pod that runs once was seen to have exited so
#   again POD                one that had ended was started again by a person, and ran
#   kept WORD                a workload synced that word to its volume
#
# Twenty pods: p1…p16 run; `keeper` has a managed volume; `group` an init container and two others;
# `over` and `once` have ended for good. Each container says in $MARK/starts that it begins, and no
# second run of it would get its lock; both are in memory, and begin anew with the machine.

# shellcheck disable=SC2016 # what stands in single quotes is for jq and for shells inside

bats_require_minimum_version 1.5.0
load ../system/helper
load ../system/matrix

MARK=/run/power
NS=power
ROOT=/srv/power/root
told=/mnt/tank/told

# In memory, which not every kernel shows with a container's ids.
with_mark+=' | (.volumes[] | select(.name == "mark")).idmap = "off"'

setup_file() { :; }
teardown_file() { :; }

# Behind what is wrong, all else may wait for what does not come.
setup()
{
  [ ! -e "$MARK/failed" ] || skip 'one before it failed'
}

teardown()
{
  [ -n "${BATS_TEST_COMPLETED-}" ] || {
    : >"$MARK/failed"
    tankctl get pods -n "$NS"
    journalctl --no-pager -b -u 'tankd-*' -n 40
  }
}

# ---- what was promised -------------------------------------------------------------------------

# promised WHAT [FIELD]: that field (2) of the lines about it.
promised()
{
  awk -v what="$1" -v field="${2:-2}" '$1 == what { print $field }' "$told"
}

store_property()
{
  busctl get-property org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 "$1" |
    sed -E 's/^[a-z] "?([^"]*)"?$/\1/'
}

# changes_since REVISION: of the log, each as a JSON array.
changes_since()
{
  local since=$1 id page more
  id=$(store_property DatabaseId)
  while :; do
    page=$(busctl --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1 GetChanges \
      'sta{sv}' "$id" "$since" 1 documents b true)
    jq -c '.data[0][]' <<<"$page"
    read -r more since < <(jq -r '"\(.data[1]) \(.data[0][-1][0])"' <<<"$page")
    [ "$more" = true ] || return 0
  done
}

# ---- what there is -----------------------------------------------------------------------------

declare_pods()
{
  local i dir=/srv/power/pods
  mkdir -p "$dir"
  for i in $(seq 16); do matrix_pod "p$i" "sleep" >"$dir/p$i.json"; done
  matrix_pod keeper "sleep" '.volumes += [{name: "data"}] |
    .containers[0].mounts += [{volume: "data", path: "/data"}]' >"$dir/keeper.json"
  matrix_pod group "sleep" '.containers[0] as $c |
    .init_containers = [$c | .name = "first" | .command = ["sh", "-c", "echo first >>/mark/starts"]] |
    .containers += [$c | .name = "side" | .command |= map(sub("group$"; "side"))]' >"$dir/group.json"
  pod over "$with_mark | .restart = \"never\"" -- \
    sh -c 'echo over >>/mark/starts; [ ! -e /mark/stay ] || exec sleep 54321; exit 3' >"$dir/over.json"
  pod once "$with_mark | .restart = \"on-failure\"" -- \
    sh -c 'echo once >>/mark/starts; [ "$(grep -c once /mark/starts)" = 3 ]' >"$dir/once.json"
}

# What runs, as it says of itself.
runs()
{
  printf '%s\n' p{1..16} keeper group side
}

# Waited for by calls that sleep: whoever looks again and again takes the time from what starts.
all_run()
{
  local pod
  for pod in p{1..16} keeper group; do
    wait_for "$TANK_TEST_SECONDS" until_state "$pod" running
  done
}

# Each once, and no two at a time.
started_once()
{
  diff <(sort "$MARK/starts") <({ runs; echo first; promised again; } | sort) && ! grep . "$MARK"/lock.*
}

# ended_as POD RESULT RESTARTS
ended_as()
{
  get "$1" '.status | "\(.state) \(.containers[0].results[-1] | "\(.kind) \(.code)") \(.containers[0].restarts)"' |
    grep -Eqx "(exited|failed) $2 $3" || {
    get "$1" .status
    return 1
  }
}

# ---- the tests ---------------------------------------------------------------------------------

@test "declared: twenty pods, in a store and a run directory that are new" {
  make_root "$ROOT"
  declare_pods
  sync # from here on only what tank syncs is on the disk
  echo '{"kind":"namespace","name":"'"$NS"'"}' | tankctl apply -f -
  tankctl apply -n "$NS" -f /srv/power/pods
  all_run
  until_state over exited
  until_state once exited
  ended_as over "exited 3" 0
  ended_as once "exited 0" 2
}

@test "the database is the one that it was, with all it had, and everybody is well" {
  wait_for "$TANK_TEST_SECONDS" tankctl doctor
  [ "$(store_property DatabaseId)" = "$(promised database | sort -u)" ]
  [ "$(store_property Revision)" -ge "$(promised acked | sort -n | tail -n 1)" ]
  [ -z "$(tankctl get pods -n "$NS" -o json | jq -r '.[] | select(.status.reason == "Held").name')" ]
}

# A write makes a namespace with its name, gives a pod that label, and deletes an older namespace.
@test "every acknowledged write is there, whole, and the log has no gap" {
  changes_since $(($(promised acked | sort -n | head -n 1) - 1)) >"$BATS_TEST_TMPDIR/changes"
  jq -r 'select(.[2] == "namespace" and .[1] == "created") | "\(.[0]) \(.[4])"' \
    "$BATS_TEST_TMPDIR/changes" | sort >"$BATS_TEST_TMPDIR/namespaces"
  jq -r 'select(.[2] == "pod" and .[1] == "updated") |
    "\(.[0]) \(.[5] | fromjson | .labels.write) \(.[4])"' \
    "$BATS_TEST_TMPDIR/changes" | sort >"$BATS_TEST_TMPDIR/pods"
  awk '$1 == "acked" { print $2, $3, $4 }' "$told" | sort >"$BATS_TEST_TMPDIR/acked"
  # stored
  [ -z "$(comm -23 "$BATS_TEST_TMPDIR/acked" "$BATS_TEST_TMPDIR/pods")" ]
  # all of each, of those that nobody was told of, too
  diff <(awk '{ print $1, $2 }' "$BATS_TEST_TMPDIR/pods") "$BATS_TEST_TMPDIR/namespaces"
  # no revision is missing
  diff <(jq '.[0]' "$BATS_TEST_TMPDIR/changes" | sort -nu) \
    <(seq "$(jq '.[0]' "$BATS_TEST_TMPDIR/changes" | head -n 1)" "$(store_property Revision)")
}

@test "the objects stand as the log says, what was deleted is gone" {
  changes_since 0 | jq -cs 'map(select(.[2] == "namespace")) | group_by(.[4]) | map(last) |
    map(select(.[1] != "deleted") | "\(.[4]) \(.[0])") | sort[]' >"$BATS_TEST_TMPDIR/log"
  tankctl get namespaces -o json | jq -c 'map("\(.name) \(.meta.revision)") | sort[]' |
    diff "$BATS_TEST_TMPDIR/log" -
  changes_since 0 | jq -csS 'map(select(.[2] == "pod")) | group_by(.[4]) | map(last) |
    map(select(.[1] != "deleted") | {name: .[4], revision: .[0], document: (.[5] | fromjson | del(.meta))}) |
    sort_by(.name)[]' >"$BATS_TEST_TMPDIR/log"
  tankctl get pods -n "$NS" -o json |
    jq -cS 'map({name, revision: .meta.revision, document: del(.meta, .status)}) | sort_by(.name)[]' |
    diff "$BATS_TEST_TMPDIR/log" -
}

@test "all that was declared runs again, each container once" {
  all_run
  wait_for "$TANK_TEST_SECONDS" started_once
}

# Those that nobody was told of may run again, and one that ran when the machine died does.
@test "what had ended has its result and does not run again" {
  local name code
  until_state over exited
  ended_as over "exited 3" 0
  ended_as once "exited 0" 2
  while read -r _ name code; do
    ended_as "$name" "exited $code" 0
    if grep -x "$name" "$MARK/jobs"; then return 1; fi
  done < <(grep '^ended ' "$told")
}

@test "what a workload synced to its volume is there" {
  in_pod keeper cat /data/words | sort >"$BATS_TEST_TMPDIR/words"
  [ -z "$(comm -23 <(promised kept | sort) "$BATS_TEST_TMPDIR/words")" ]
}

# Known is what has a document in the store; current is what runs.
@test "nothing of the life before the cut is left" {
  local jobs
  jobs=$(tankctl get pods -n "$NS" -o json | jq -r '.[].name | select(startswith("job-"))')
  for job in $jobs; do tankctl delete pod "$job" -n "$NS"; done
  for job in $jobs; do tankctl wait "$job" -n "$NS" --for=deleted --timeout "$TANK_TEST_SECONDS"; done
  wait_for "$TANK_TEST_SECONDS" nothing_stale || {
    stale
    return 1
  }
  started_once
}

nothing_stale()
{
  [ -z "$(stale)" ]
}

# What is there and should not be, "<", or is not and should, ">".
stale()
{
  local pods boot file
  pods=$(tankctl get pods -n "$NS" -o json)
  boot=$(tr -d - </proc/sys/kernel/random/boot_id)
  find "$TANK_RUN_DIR/pods" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort |
    diff - <(jq -r '.[].meta.uid' <<<"$pods" | sort) | grep '^[<>]'
  find "$TANK_STATE_DIR/results" -mindepth 1 -printf '%f\n' | sort |
    diff - <(jq -r '.[] | select(.name | IN("over", "once")).meta.uid' <<<"$pods" | sort) | grep '^[<>]'
  for file in "$TANK_RUN_DIR"/pods/*/pod.record; do
    tr '\0' '\n' <"$file" | grep -qx "boot_id=$boot" || echo "< $file: of another boot"
  done
  # runs, their writable layers, their scopes, their shims: one for each container
  runs_there >"$BATS_TEST_TMPDIR/runs"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/runs")" = "$(runs | wc -l)" ] || sed 's/^/< run /' "$BATS_TEST_TMPDIR/runs"
  find "$TANK_STATE_DIR/containers" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort |
    diff - "$BATS_TEST_TMPDIR/runs" | grep '^[<>]'
  find /sys/fs/cgroup/tank.slice -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | grep -c . |
    diff - <(runs | wc -l) | grep '^[<>]'
  shims | grep -c . | diff - <(runs | wc -l) | grep '^[<>]'
  awk -v d="$TANK_RUN_DIR/pods/" 'index($5, d) == 1 { print substr($5, length(d) + 1, 32) }' \
    /proc/self/mountinfo | sort -u |
    comm -23 - <(jq -r '.[].meta.uid' <<<"$pods" | sort) | sed 's/^/< mount of /'
  return 0
}

runs_there()
{
  find "$TANK_RUN_DIR/pods" -mindepth 3 -maxdepth 3 -type d -path '*/pods/*/*/*' -printf '%f\n' |
    grep -Ex '[0-9a-f]{32}' | sort
}
