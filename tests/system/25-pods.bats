#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Several containers in a pod: what they share and what is each one's own; init containers; one that
# fails, is added, taken out, or whose shim is killed concerns no other.

# shellcheck disable=SC2016,SC2153 # what stands in single quotes is for the shell inside

load helper

# beside NAME COMMAND…: a filter that adds a container.
beside()
{
  jq -cn --arg name "$1" '$ARGS.positional' --args -- "${@:2}" |
    sed "s/.*/.containers += [.containers[0] + {name: \"$1\", command: &}]/"
}

# first NAME COMMAND…: a filter that adds an init container behind those that are there.
first()
{
  jq -cn '$ARGS.positional' --args -- "${@:2}" |
    sed "s/.*/.init_containers += [{name: \"$1\", image: .containers[0].image, command: &}]/"
}

# of POD CONTAINER FILTER: something of one container's status.
of()
{
  get "$1" ".status | (.init_containers + .containers)[] | select(.name == \"$2\") | $3"
}

pid()
{
  of "$1" "$2" .pid
}

# The host's pid of a container's workload.
workload()
{
  local pid
  pid=$(pid "$1" "$2")
  tr -d ' \n' <"/proc/$pid/task/$pid/children"
}

shim_of()
{
  awk '/^PPid/ { print $2 }' "/proc/$(pid "$1" "$2")/status"
}

# Both lists, with the marks of $with_mark in all of them.
# shellcheck disable=SC2154
marked="$with_mark"' | .volumes |= unique | (.init_containers // [])[] as $x | . // .'
# shellcheck disable=SC2034
marked='.volumes = [{name: "mark", source: {host: $mark}}] |
  (.containers[], .init_containers[]?).mounts = [{volume: "mark", path: "/mark"}]'

marks()
{
  tr '\n' ' ' <"$MARK/order" 2>/dev/null
}

@test "init containers run one after the other, and the others when all are done" {
  pod web "$(first one sh -c 'sleep 0.2; echo one >>/mark/order') | $(first two sh -c 'echo two >>/mark/order') |
    $(beside side sh -c 'echo side >>/mark/order; exec sleep 1000') | $marked" -- \
    sh -c 'echo main >>/mark/order; exec sleep 1000' | apply --wait
  [ "$(get web .status.state)" = running ]
  wait_for 10 equals 4 sh -c "wc -l <$MARK/order"
  [[ $(marks) = "one two "* ]]
  [ "$(of web one .state)" = exited ]
  [ "$(of web two .reason)" = Completed ]
}
