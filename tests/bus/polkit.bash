# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A real polkitd on the private bus of a test, with our actions and rules of the test's own, which
# stand in the places that it reads in a mount namespace of its own. Loaded behind store.bash, or by
# tests/system; what they share is $dir, $build and has_owner.

# What polkitd may read.
polkit_config()
{
  mkdir -p "$dir/polkit/actions" "$dir/polkit/rules"
  cp "$build/dbus/org.tankd.sandbox.policy" "$dir/polkit/actions/org.tankd.policy"
  chmod -R a+rX "$dir/polkit"
}

# Mounts are made, and then it is polkitd: the child that is ended is the one that was started.
spawn_polkit()
{
  # shellcheck disable=SC2016 # expands in the shell that unshare starts
  unshare --mount sh -c 'mount --bind "$0/actions" /usr/share/polkit-1/actions &&
    mount --bind "$0/rules" /etc/polkit-1/rules.d && exec /usr/lib/polkit-1/polkitd --no-debug' \
    "$dir/polkit" >>"$dir/polkit.log" 2>&1 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  polkit_pid=$!
}

# rules: standard input is what polkit decides by, from now on.
rules()
{
  cat >"$dir/rule"
  chmod 644 "$dir/rule"
  mv "$dir/rule" "$dir/polkit/rules/50-tank.rules"
}

# grant USER ACTION…
grant()
{
  local user=$1
  shift
  printf 'polkit.addRule(function(action, subject) {
    if (subject.user == "%s" && %s.indexOf(action.id) >= 0)
        return polkit.Result.YES;
  });\n' "$user" "$(printf '%s\n' "$@" | jq -Rcn '[inputs | "org.tankd." + .]')" | rules
}

as_nobody()
{
  setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
