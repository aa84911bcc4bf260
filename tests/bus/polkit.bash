# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A real polkitd on the private bus of a test, with our actions and rules of the test's own, which
# stand in the places that it reads in a mount namespace of its own. Loaded behind store.bash.

# What polkitd may read, and the bus that lets it take its name.
polkit_config()
{
  mkdir -p "$dir/polkit/actions" "$dir/polkit/rules"
  cp "$build/dbus/org.tankd.sandbox.policy" "$dir/polkit/actions/org.tankd.policy"
  chmod -R a+rX "$dir/polkit"
  cat >"$dir/polkit.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <include>$(realpath "$build")/dbus/sandbox-bus.conf</include>
  <include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
</busconfig>
END
  echo "$dir/polkit.conf"
}

# Mounts are made, and then it is polkitd: the child that is ended is the one that was started.
start_polkit()
{
  # shellcheck disable=SC2016 # expands in the shell that unshare starts
  unshare --mount sh -c 'mount --bind "$0/actions" /usr/share/polkit-1/actions &&
    mount --bind "$0/rules" /etc/polkit-1/rules.d && exec /usr/lib/polkit-1/polkitd --no-debug' \
    "$dir/polkit" >>"$dir/polkit.log" 2>&1 3>&- &
  # shellcheck disable=SC2034 # teardown ends it
  polkit_pid=$!
  wait_for has_owner org.freedesktop.PolicyKit1
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
