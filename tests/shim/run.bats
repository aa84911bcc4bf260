#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of a run: how it starts, how it ends, and that nothing is left of it.

# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside

load helper

setup_file()
{
  helper_setup_file
}

teardown_file()
{
  helper_teardown_file
}

@test "a command runs, its exit code is the result, and everything of it is gone" {
  run drive @end wait -- sh -c 'exit 3'
  [ "$status" = 0 ]
  [[ $output = *'state=running'*'result=exited 3'* ]]
}

@test "with init=none the workload is PID 1 and its exit code the result" {
  run drive init=none @end wait -- sh -c 'echo $$; exit 4'
  [ "$status" = 0 ]
  [[ $output = *'result=exited 4'* ]]
  [ "$(log)" = 1 ]
}

@test "tank-init is PID 1, reaps orphans, and the workload leads a session of its own" {
  run in_container -- sh -c \
    'until grep -x tank-init /proc/1/comm; do :; done; cut -d" " -f6 /proc/self/stat
      orphan=$(true >/dev/null & echo $!)
      while [ -e "/proc/$orphan" ]; do :; done; echo reaped'
  [ "$status" = 0 ]
  [ "${lines[0]}" = tank-init ]
  [ "${lines[1]}" = 2 ]
  [ "${lines[2]}" = reaped ]
}

@test "SIGKILL to the workload is signaled(9), with and without tank-init" {
  run drive @end kill:9 -- sleep 1000
  [ "$status" = 0 ]
  [[ $output = *'result=signaled 9'* ]]
  run drive init=none @end kill:9 -- sleep 1000
  [ "$status" = 0 ]
  [[ $output = *'result=signaled 9'* ]]
}

@test "a signal goes to the workload: one without a handler ends it, one with a handler is handled" {
  run drive @end kill:10 -- sleep 1000
  [[ $output = *'result=signaled 10'* ]]
  run drive @running 'until grep -q ready "$LOG"; do :; done' @end kill:10 \
    -- sh -c 'trap "exit 7" USR1; echo ready; while :; do sleep 0.05; done'
  [[ $output = *'result=exited 7'* ]]
}

@test "stop sends the stop signal" {
  run drive stop.signal=12 @running 'until grep -q ready "$LOG"; do :; done' @end stop \
    -- sh -c 'trap "exit 9" USR2; echo ready; while :; do sleep 0.05; done'
  [ "$status" = 0 ]
  [[ $output = *'state=stopping'*'result=exited 9'* ]]
}

@test "stop escalates to SIGKILL when the grace is over" {
  run drive stop.grace_usec=300000 @running 'until grep -q ready "$LOG"; do :; done' @end stop \
    -- sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
  [ "$status" = 0 ]
  [[ $output = *'result=signaled 9'* ]]
}

@test "the end takes children with it that left session, group and parent behind" {
  run drive stop.grace_usec=300000 @running '
    until [ "$(wc -l <"/sys/fs/cgroup/unified/$CGROUP/ctr/main/cgroup.procs" 2>/dev/null ||
      wc -l <"/sys/fs/cgroup/$CGROUP/ctr/main/cgroup.procs")" -ge 4 ]; do :; done
  ' -- sh -c 'setsid sh -c "trap \"\" TERM HUP; sleep 1000 & sleep 1000" & exec sleep 1000'
  [ "$status" = 0 ]
  [[ $output != *leftover* ]]
}

@test "a command that is not there or cannot be executed is setup-failed in exec" {
  run drive @end wait -- nosuchprogram
  [[ $output = *'result=setup-failed 2 exec nosuchprogram'* ]]
  run drive @end wait -- /bin/nosuchprogram
  [[ $output = *'result=setup-failed 2 exec'* ]]
  run drive @end wait -- /etc/passwd
  [[ $output = *'result=setup-failed 13 exec'* ]]
  run drive init=none @end wait -- nosuchprogram
  [[ $output = *'result=setup-failed 2 exec'* ]]
}

@test "argv[0] is looked up in the container's PATH; a file that may not run does not hide one that may" {
  printf '#!/bin/sh\necho found\n' >"$WORK/root/usr/local/bin/tool"
  chmod 755 "$WORK/root/usr/local/bin/tool"
  printf 'x' >"$WORK/root/tmp/tool"
  run in_container env=PATH=/tmp:/usr/local/bin:/bin -- tool
  [ "$output" = found ]
  run drive env=PATH=/tmp:/bin @end wait -- tool
  [[ $output = *'result=setup-failed 13 exec tool'* ]]
}

@test "a root that is missing, a volume that is missing, a user that is missing: named, and nothing left" {
  run drive rootfs=/nonexistent @end wait -- true
  [ "$status" = 0 ]
  [[ $output = *'result=setup-failed 2 rootfs /nonexistent'* ]]
  run drive mount.source=/nonexistent mount.target=/data mount.options=rw @end wait -- true
  [ "$status" = 0 ]
  [[ $output = *'result=setup-failed 2 volume /nonexistent'* ]]
  run drive user=nobody-here @end wait -- true
  [ "$status" = 0 ]
  [[ $output = *"result=setup-failed 22 user user 'nobody-here' is not in"* ]]
  run drive cwd=/not/there @end wait -- true
  [ "$status" = 0 ]
  [[ $output = *'result=setup-failed 2 cwd'* ]]
}

@test "the end of the channel before the start is the end of the shim, and nothing was made" {
  run drive @end abort -- sleep 1000
  [ "$status" = 0 ]
  [[ $output != *running* ]]
}

@test "the end of the channel after the start is nothing: another reconciler finds it at control" {
  run drive @end lost -- sleep 1000
  [ "$status" = 0 ]
  [[ $output = *'state=running'*'hello state=running'*adopted*'result=signaled 15'* ]]
}

@test "a shim that is killed leaves a run that --cleanup finishes, but not while its lock is held" {
  run drive @end shim-kill @running '
    ! "$TANK_BUILD_DIR/tank-shim/tank-shim" --cleanup "$RUN" 2>/dev/null
  ' -- sh -c 'echo x >/written; setsid sleep 1000 & exec sleep 1000'
  [ "$status" = 0 ]
  [[ $output != *command=failed* && $output != *leftover* ]]
}

@test "the record tells state, pid, cgroup and scratch while it runs, and the result afterwards" {
  drive @running '
    tr "\0" "\n" <"$RUN/record" >"$WORK/record"
    echo "$RUN" >"$WORK/path"
  ' -- sleep 1000
  grep -qx 'v=1' "$WORK/record"
  grep -qx 'started=1' "$WORK/record"
  grep -qx 'state=running' "$WORK/record"
  grep -Eqx 'pid=[1-9][0-9]*' "$WORK/record"
  grep -Eqx 'cgroup=tank-test-.*' "$WORK/record"
  grep -Eqx 'scratch=/.*' "$WORK/record"
  tr '\0' '\n' <"$(cat "$WORK/path")/record" >"$WORK/record"
  grep -qx 'state=exited' "$WORK/record"
  grep -qx 'result.kind=signaled' "$WORK/record"
  grep -qx 'result.code=15' "$WORK/record"
}

# Nobody else mounts anything here, and what is mounted anywhere would be seen, as on a host whose
# mounts are shared.
@test "nothing stays mounted on the host" {
  export -f drive
  # shellcheck disable=SC2016
  run unshare -m bash -euc '
    mount --make-rshared /
    cut -d" " -f5- /proc/self/mountinfo >"$WORK/before"
    drive @end wait -- true
    drive @end wait -- nosuchprogram
    drive @end shim-kill -- sleep 1000
    # The pins are the reconciler'"'"'s to remove, and shim-drive did.
    cut -d" " -f5- /proc/self/mountinfo >"$WORK/after"'
  echo "$output"
  [ "$status" = 0 ]
  diff "$WORK/before" "$WORK/after"
}

@test "a launch record that makes no sense is refused, with the key" {
  run drive user= id_base=0 @end wait -- true
  [[ $output = *id_base* ]]
  run drive mount.source=/tmp mount.target=relative mount.options=rw @end wait -- true
  [[ $output = *'absolute, normal'* ]]
  run drive seccomp=sometimes @end wait -- true
  [[ $output = *'seccomp: not default'* ]]
  run drive log.name=../../x @end wait -- true
  [[ $output = *log.name* ]]
}

@test "a second container joins the pod's sandbox: same ids, network, name; own files and processes" {
  run drive hostname=shared @running '
    for ns in user net ipc uts mnt pid cgroup; do readlink "/proc/$PID/ns/$ns"; done >"$WORK/first"
    KEEP_PINS=1 "$DRIVE" "$WORK" sandbox=join hostname=shared @end stop @running "
      for ns in user net ipc uts mnt pid cgroup; do readlink /proc/\$PID/ns/\$ns; done >$WORK/second
      awk \"/^Uid:/ { print \\\$2 }\" /proc/\$PID/status >$WORK/uid
      until grep -q done \$LOG; do :; done
    " -- sh -c "hostname; ls /sys/class/net; test -e /first || echo none; ps >/tmp/ps; wc -l </tmp/ps; echo done; exec sleep 1000"
  ' @end stop -- sh -c 'touch /first; exec sleep 1000'
  [ "$status" = 0 ]
  [[ $output != *command=failed* && $output != *leftover* && $output != *setup-failed* ]]
  [ "$(head -4 "$WORK/first")" = "$(head -4 "$WORK/second")" ]
  [ "$(grep -Fxc -f "$WORK/first" "$WORK/second")" = 4 ]
  [ "$(cat "$WORK/uid")" = 536870912 ]
  [ "$(log)" = $'shared\nlo\nnone\n4\ndone' ]
}

@test "joining a sandbox that is not there fails as such" {
  run drive sandbox=join @end wait -- true
  [ "$status" = 0 ]
  [[ $output = *'result=setup-failed 2 namespaces'* ]]
}

@test "the shim keeps five capabilities and cannot be looked into" {
  run drive @running '
    until [ "$(awk "/^CapEff/ { print \$2 }" "/proc/$SHIM/status")" = 000000000000402b ]; do :; done
    awk "/^CapBnd/ { print \$2 }" "/proc/$SHIM/status"
    stat -c %U "/proc/$SHIM/environ"' -- sleep 1000
  [ "$status" = 0 ]
  [[ $output = *000000000000402b* ]]
}

@test "whoever hears of the end finds the whole log" {
  local tty
  TANK_FAILPOINT=shim.locked run drive @end failpoint -- sleep 1000
  [[ $output = *shim=killed* ]] || skip 'this build has no failpoints (--enable-failpoints)'
  for tty in 0 1; do
    # It stands still until the workload is a zombie and all of that in its pipe.
    TANK_FAILPOINT=shim.told run drive "tty=$tty" init=none @running '
      until grep -q ready "$LOG"; do :; done
      kill -STOP "$SHIM"
      kill -USR1 "$PID"
      until grep -q ") Z " "/proc/$PID/stat"; do :; done
      kill -CONT "$SHIM"
    ' @end failpoint -- sh -c 'trap "seq 400; exit" USR1; echo ready; while :; do sleep 0.01; done'
    [[ $output = *shim=killed* ]]
    [ "$(log | tail -n 1)" = 400 ]
  done
}

@test "a shim that dies at any step of a start or an end leaves what --cleanup removes" {
  local point
  TANK_FAILPOINT=shim.locked run drive @end failpoint -- sleep 1000
  [[ $output = *shim=killed* ]] || skip 'this build has no failpoints (--enable-failpoints)'
  for point in record hello started cgroup scratch cloned trees pins ready workload running exited \
    empty told finished cgroup-removed removed; do
    TANK_FAILPOINT=shim.$point run drive @end failpoint -- sh -c 'echo x >/x; sleep 0.1'
    [ "$status" = 0 ] && [[ $output = *shim=killed* && $output != *leftover* ]] || {
      echo "$point: $output"
      false
    }
    [ "$(find "$WORK/containers" -mindepth 1 -maxdepth 1 | wc -l)" = 0 ]
  done
}
