#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many documents at once, all or none; what a thing was; going back.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside, or for jq

load helper

# refused STATUS COMMAND…
refused()
{
  run "${@:2}"
  [ "$status" = "$1" ] || {
    echo "exit status $status instead of $1; said: $output"
    return 1
  }
}

says()
{
  [[ $output == *"$1"* ]] || {
    echo "not said: $1; but: $output"
    return 1
  }
}

widget() # NAME X
{
  printf -- '---\nkind: widget\nname: %s\nx: %s\n' "$1" "$2"
}

# member COMMAND…: as one of group tank who is not root.
member()
{
  setpriv --reuid tank-member --regid tank --init-groups "$@"
}

revision_of() # TYPE NAME
{
  tankctl get "$1" "$2" -n "$NS" -o json | jq .meta.revision
}

things()
{
  tankctl get widget -n "$NS" -o name 2>/dev/null
}

teardown()
{
  local name
  for name in $(things); do tankctl delete "$name" -n "$NS" >/dev/null; done
  helper_teardown
}

@test "apply of many documents: one that the store refuses, and nothing is stored of any" {
  # a namespace that is not there
  refused 3 tankctl apply -f - <<END
$(widget a 1)
namespace: $NS
$(widget b 1)
namespace: $NS-nowhere
$(widget c 1)
namespace: $NS
END
  [ "$output" = "tankctl: widget/$NS-nowhere/b: namespace: there is no namespace '$NS-nowhere': declare it first, or let it be made (--create-namespace); none of the 3 documents was stored" ]
  [ "$(things)" = '' ]

  # a revision that is another one
  widget old 1 | apply
  revision=$(revision_of widget old)
  refused 4 apply <<END
$(widget a 1)
$(widget old 2)
meta: {revision: 1}
END
  says "tankctl: widget/$NS/old: stands at revision $revision, and the document was made from 1: "
  says 'none of the 2 documents was stored'
  [ "$(things)" = widget/old ]
  [ "$(revision_of widget old)" = "$revision" ]

  # what the caller may not
  pod p -- sleep 1 >"$BATS_TEST_TMPDIR/pod.json"
  chmod 644 "$BATS_TEST_TMPDIR/pod.json"
  refused 1 member tankctl apply -n "$NS" -f - <<END
$(widget a 1)
---
$(cat "$BATS_TEST_TMPDIR/pod.json")
END
  says "pod/$NS/p: containers[0].image.rootfs: needs the right 'privileged'"
  [ "$(things)" = widget/old ]

  # of one alone nothing is said about others
  refused 3 tankctl apply -n "$NS-nowhere" -f - <<<"$(widget a 1)"
  [ "$output" = "tankctl: widget/$NS-nowhere/a: namespace: there is no namespace '$NS-nowhere': declare it first, or let it be made (--create-namespace)" ]
}

@test "apply of many documents: one revision, in whatever order the files are" {
  {
    widget a 1 && echo "namespace: $NS-2"
    widget b 1 && echo "namespace: $NS-2"
    printf -- '---\nkind: namespace\nname: %s\n' "$NS-2"
  } >"$BATS_TEST_TMPDIR/all.yaml"
  run -0 tankctl apply -f "$BATS_TEST_TMPDIR/all.yaml"
  [ "$output" = "widget/$NS-2/a created
widget/$NS-2/b created
namespace/$NS-2 created" ]
  revisions=$(for thing in namespace/"$NS-2" widget/"$NS-2"/a widget/"$NS-2"/b; do
    tankctl get "$thing" -o json | jq .meta.revision
  done | sort -u)
  [ "$(wc -l <<<"$revisions")" = 1 ]

  # and away again, together; what else stands in the namespace keeps all of it
  widget other 1 | tankctl apply -n "$NS-2" -f -
  refused 1 tankctl delete -f "$BATS_TEST_TMPDIR/all.yaml"
  says "tankctl: namespace/$NS-2: the namespace '$NS-2' still holds 1 object: delete it first, or with it (--cascade); none of the 3 documents was deleted"
  [ "$(tankctl get widget -n "$NS-2" -o name)" = $'widget/a\nwidget/b\nwidget/other' ]
  tankctl delete widget other -n "$NS-2"
  run -0 tankctl delete -f "$BATS_TEST_TMPDIR/all.yaml"
  [ "$output" = "namespace/$NS-2 deleted
widget/$NS-2/b deleted
widget/$NS-2/a deleted" ]
  run -0 tankctl delete -f "$BATS_TEST_TMPDIR/all.yaml"
  says "widget/$NS-2/a absent"
}

@test "apply of many pods: together, and waited for together" {
  {
    pod one -- sleep 1000
    pod two -- sleep 1000
    pod three -- sleep 1000
  } >"$BATS_TEST_TMPDIR/pods.yaml"
  sed -i 's/^/---\n/' "$BATS_TEST_TMPDIR/pods.yaml"
  run -0 tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/pods.yaml" --wait
  [ "$output" = "pod/$NS/one created
pod/$NS/two created
pod/$NS/three created
pod/$NS/one running
pod/$NS/two running
pod/$NS/three running" ]
  pid=$(pid_of one)
  run -0 tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/pods.yaml" --wait
  says "pod/$NS/two unchanged"
  [ "$(pid_of one)" = "$pid" ]
  # one that is refused leaves those that run alone
  refused 4 apply <<END
$(pod one -- sleep 2000)
---
$(pod two '.meta = {revision: 1}' -- sleep 2000)
END
  [ "$(pid_of one)" = "$pid" ]
  [ "$(get one '.containers[0].command[1]')" = 1000 ]
  run -0 tankctl delete -n "$NS" -f "$BATS_TEST_TMPDIR/pods.yaml" --wait
  [ "$(tankctl get pods -n "$NS" -o json)" = '[]' ]
}

@test "more documents than a transaction may have are refused, and none is stored" {
  seq -f '{kind: widget, name: w-%.0f}' 10001 | sed 's/$/\n---/' >"$BATS_TEST_TMPDIR/many.yaml"
  refused 1 tankctl apply -n "$NS" -f "$BATS_TEST_TMPDIR/many.yaml"
  says 'at most 10000 operations'
  [ "$(things)" = '' ]
}

@test "a dry run asks the store: namespaces, revisions and rights" {
  refused 3 tankctl apply --dry-run -n "$NS-nowhere" -f - <<<"$(widget a 1)"
  says "there is no namespace '$NS-nowhere'"
  run -0 tankctl apply --dry-run -f - <<END
$(widget a 1)
namespace: $NS-2
---
{kind: namespace, name: $NS-2}
END
  says "widget/$NS-2/a created (dry run)"
  says "namespace/$NS-2 created (dry run)"
  refused 3 tankctl get namespace "$NS-2"
  widget old 1 | apply
  refused 4 apply --dry-run <<END
$(widget old 2)
meta: {revision: 1}
END
  run -0 apply --dry-run <<<"$(widget old 2)"
  says "widget/$NS/old updated (dry run)"
  says '~ x: 1 -> 2'
  [ "$(tankctl get widget old -n "$NS" -o json | jq .x)" = 1 ]
}

@test "history: every version, with who and when; one of them; what changed between two" {
  widget w 1 | apply
  member tankctl apply -n "$NS" -f - <<<"$(widget w 2)"
  widget w 2 | apply # no version
  tankctl delete widget w -n "$NS"
  widget w 3 | apply
  run -0 tankctl history widget w -n "$NS" -o json
  jq -e 'map(.operation) == ["created", "deleted", "updated", "created"]' <<<"$output"
  jq -e 'map(.generation) == [1, 2, 2, 1]' <<<"$output"
  jq -e --argjson uid "$(id -u tank-member)" 'map(.by) == [0, 0, $uid, 0]' <<<"$output"
  jq -e '(map(.revision) | . == (unique | reverse)) and
    all(.at | test("^20..-..-..T..:..:..\\.[0-9]{6}Z$"))' <<<"$output"
  jq -e '.[1].uid == .[3].uid and .[0].uid != .[1].uid' <<<"$output"
  mapfile -t revisions < <(jq '.[].revision' <<<"$output")

  run -0 tankctl history "widget/$NS/w"
  [[ ${lines[0]} =~ ^REVISION\ +OPERATION\ +GENERATION\ +AT\ +BY$ ]]
  [[ ${lines[1]} =~ ^${revisions[0]}\ +created\ +1\ +20[0-9T:-]+Z\ +root$ ]]
  [[ ${lines[3]} =~ ^${revisions[2]}\ +updated\ +2\ .*\ tank-member$ ]]
  [ "${#lines[@]}" = 5 ]

  run -0 tankctl history widget w -n "$NS" --revision "${revisions[3]}"
  [ "$output" = "kind: widget
name: w
namespace: $NS
x: 1" ]
  run -0 tankctl history widget w -n "$NS" --revision "${revisions[2]}" -o json
  jq -e --argjson r "${revisions[2]}" '.x == 2 and .meta.revision == $r and .meta.generation == 2' <<<"$output"
  run -0 tankctl history widget w -n "$NS" --diff "${revisions[3]}" "${revisions[2]}"
  [ "$output" = '  ~ x: 1 -> 2' ]
  run -0 tankctl history "widget/$NS/w" --diff "${revisions[2]}"
  [ "$output" = '  ~ x: 2 -> 3' ]

  refused 3 tankctl history widget w -n "$NS" --revision "${revisions[1]}"
  says "revision ${revisions[1]} deleted widget $NS/w"
  refused 3 tankctl history widget w -n "$NS" --revision 1
  says "revision 1 is no version of widget $NS/w"
  refused 3 tankctl history pod w -n "$NS"
  says "there never was a pod $NS/w"
  refused 2 tankctl history w
  says 'did you mean "history pod w"?'
  refused 2 tankctl history widget w --revision 0
  refused 2 tankctl history widget w --revision x
  refused 2 tankctl history widget w --diff 1 2 3
  refused 2 tankctl history widget w 3
  refused 2 tankctl history widget w -o yaml
  refused 2 tankctl history widget w --revision 1 --diff 1
}

@test "rollback: the pod runs as it did; what runs already is left alone" {
  start web '.containers[0].env = {V: "1"}' -- sleep 1000
  first=$(revision_of pod web)
  start web '.containers[0].env = {V: "2"}' -- sleep 1000
  second=$(revision_of pod web)
  run -0 tankctl rollback pod web -n "$NS" --to "$first" --wait
  [ "$output" = "pod/$NS/web updated
pod/$NS/web running" ]
  [ "$(in_pod web -- sh -c 'echo $V')" = 1 ]
  [ "$(get web .meta.generation)" = 3 ]
  pid=$(pid_of web)
  run -0 tankctl rollback pod web -n "$NS" --to "$first"
  [ "$output" = "pod/$NS/web unchanged" ]
  third=$(revision_of pod web)
  refused 4 tankctl rollback pod/web -n "$NS" --to "$second" --if-revision "$second"
  says "pod $NS/web stands at revision $third, $second was expected"
  [ "$(pid_of web)" = "$pid" ]
  tankctl rollback pod/web -n "$NS" --to "$second" --if-revision "$third" --wait
  [ "$(in_pod web -- sh -c 'echo $V')" = 2 ]

  refused 3 tankctl rollback pod web -n "$NS" --to 1
  says 'is no version of'
  refused 2 tankctl rollback pod web -n "$NS"
  says -- '--to REVISION'
  refused 2 tankctl rollback web --to 3
  says 'did you mean "rollback pod web"?'
  refused 2 tankctl rollback pod web --to x
  refused 2 tankctl rollback widget w --to 3 --wait
}

@test "rollback brings back what was deleted, as a new pod; not to whoever may not declare it" {
  start web -- sleep 1000
  revision=$(revision_of pod web)
  uid=$(get web .meta.uid)
  tankctl delete pod web -n "$NS" --wait
  gone=$(tankctl history pod web -n "$NS" -o json | jq '.[0].revision')
  refused 1 tankctl rollback pod web -n "$NS" --to "$gone"
  says "revision $gone deleted pod $NS/web: roll back to an earlier one"
  refused 1 member tankctl rollback pod web -n "$NS" --to "$revision"
  says "needs the right 'privileged'"
  run -0 tankctl rollback pod web -n "$NS" --to "$revision" --wait
  says "pod/$NS/web created"
  [ "$(get web .meta.uid)" != "$uid" ]
  [ "$(get web .meta.generation)" = 1 ]
  # nor is what stands there theirs to replace
  tankctl delete pod web -n "$NS" --wait
  refused 4 tankctl rollback pod web -n "$NS" --to "$revision" --if-revision 1
}

@test "a slip in the type: what was meant is said by every verb that takes one" {
  local hint='did you mean the type "pod"?' near='there is no type "pood"; did you mean "pod"?'
  refused 3 tankctl get pood a -n "$NS"
  says "there is no pood $NS/a; $hint"
  refused 3 tankctl describe pood a -n "$NS"
  says "$hint"
  refused 3 tankctl history pood a -n "$NS"
  says "there never was a pood $NS/a; $hint"
  refused 3 tankctl history pood a --diff 1 2 -n "$NS"
  says "$hint"
  refused 3 tankctl rollback pood a --to 1 -n "$NS"
  says "$hint"
  refused 2 tankctl get pood -n "$NS"
  says "$near"
  refused 2 timeout "$(scaled 20)" tankctl get pood -w -n "$NS"
  says "$near"
  refused 2 timeout "$(scaled 20)" tankctl watch pood -n "$NS"
  says "$near"
  refused 2 tankctl delete pood a -n "$NS"
  says "$near"
  refused 2 tankctl delete pood/a --wait -n "$NS"
  says "$near"
  # what is like no type of tank's may be somebody's own: missing is success
  run -0 tankctl delete widget a -n "$NS"
  says "widget/$NS/a absent"
  # but it is a type once there is one of it
  printf 'kind: pood\nname: a\n' | tankctl apply -n "$NS" -f -
  tankctl get pood -n "$NS"
  tankctl watch pood -n "$NS" --since 1 --no-follow
  tankctl delete pood b -n "$NS"
  tankctl delete pood a -n "$NS"
}

@test "a reference stands for TYPE NAME: by name, in short, by id; with a key it is refused" {
  printf -- '---\nkind: widget\nname: a\nx: 1\n' | tankctl apply -f - -n "$NS"
  tankctl get widget a -n "$NS" -o json >"$BATS_TEST_TMPDIR/a"
  uid=$(jq -r .meta.uid "$BATS_TEST_TMPDIR/a")
  for reference in "tank://widget/$NS/a" "rune://widget/$NS/a" "widget:a.$NS.tank" "widget:a.$NS.rune" \
    "tank://widget/$NS/id/$uid"; do
    tankctl get "$reference" -o json | diff - "$BATS_TEST_TMPDIR/a"
  done
  tankctl get widget:a -n "$NS" -o json | diff - "$BATS_TEST_TMPDIR/a"
  tankctl get "namespace:$NS" -o name | grep -x "namespace/$NS"
  tankctl describe "widget:a.$NS.tank" | grep -x "Uid: *$uid"
  tankctl history "tank://widget/$NS/id/$uid" | grep -c created | grep -x 1
  widget a 2 | tankctl apply -f - -n "$NS"
  tankctl rollback "tank://widget/$NS/id/$uid" --to "$(jq .meta.revision "$BATS_TEST_TMPDIR/a")"
  [ "$(tankctl get "widget:a.$NS.tank" -o json | jq .x)" = 1 ]

  refused 2 tankctl get "tank://widget/$NS/a/key"
  says 'names a key of the widget a'
  refused 2 tankctl get "tank://widget/$NS/a?x"
  says 'has no query'
  refused 2 tankctl delete "tank://widget/$NS/a" -n default
  says 'name two namespaces'
  refused 3 tankctl get "tank://pod/$NS/id/$uid"
  says "no pod in namespace '$NS' with the id $uid"
  refused 3 tankctl get "pods:a.$NS.tank"
  says 'did you mean the type "pod"'
  tankctl delete "tank://widget/$NS/id/$uid" | grep -x "widget/$NS/a deleted"
  refused 3 tankctl get "tank://widget/$NS/id/$uid"
}
