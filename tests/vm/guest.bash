# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The inside of the emulated machine, for the scripts that it runs (`inside` of tests/vm/lib.bash):
# standard output is TAP, the second disk is at /mnt/tank.

disk=/mnt/tank
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export TANK_SANDBOX_DIR=/run/tank-test TANK_STATE_DIR=/var/lib/tank TANK_RUN_DIR=/run/tank \
  TANK_LOG_DIR=/var/log/tank TANK_INSTANCE='' TANK_TEST_SECONDS=100 TANK_INSTALLED=1

# trouble WHAT: the one test that failed, when there could be no others.
trouble()
{
  echo "1..1"
  echo "not ok 1 - $1"
  systemctl --no-pager --failed 2>&1 | sed 's/^/# /'
  journalctl --no-pager -b -u 'tankd-*' -n 60 2>&1 | sed 's/^/# /'
  exit 0
}

# What the tests expect of a sandbox (tools/sandbox).
make_sandbox_dir()
{
  local program
  mkdir -p "$TANK_SANDBOX_DIR"/{bin,ready,hold,env,logs}
  for program in /usr/local/libexec/tank/*; do
    ln -s "$program" "$TANK_SANDBOX_DIR/bin/"
  done
  ln -s "$disk/build/tankctl/tankctl" "$TANK_SANDBOX_DIR/bin/tankctl"
}

install_tank()
{
  cp -a "$disk/install/." / || trouble 'make install into the machine'
  make_sandbox_dir
  systemd-sysusers >/dev/null 2>&1 || trouble 'systemd-sysusers'
  systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/tank.conf >/dev/null 2>&1 ||
    trouble 'systemd-tmpfiles'
}

start_tank()
{
  if ! systemctl daemon-reload ||
    ! busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig; then
    trouble 'reload of systemd and the bus'
  fi
  systemctl enable --now tankd-reconcile.service >/dev/null 2>&1 || trouble 'start of tankd-reconcile'
  systemctl enable --now tankd-store.service >/dev/null 2>&1 || trouble 'start of tankd-store'
}
