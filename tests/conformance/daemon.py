# SPDX-License-Identifier: Apache-2.0
"""A bus and a tankd-store of one's own: started, killed and started anew, with a directory that
holds everything they write, and tankctl to go with them.

Nothing is left of it behind close(). What is awaited has TANK_TEST_SECONDS.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile

from gi.repository import Gio, GLib

NAME = "org.tankd.Store1"
SECONDS = float(os.environ.get("TANK_TEST_SECONDS", "60"))
BUILD = os.environ.get("TANK_BUILD_DIR", ".")


def built(path):
    return os.path.join(BUILD, path)


class Owner:
    """Whether the store's name is owned, as the bus tells it."""

    def __init__(self, address):
        self.bus = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.bus.set_exit_on_close(False)
        self.owned = False
        self.watch = Gio.bus_watch_name_on_connection(
            self.bus, NAME, Gio.BusNameWatcherFlags.NONE, self._appeared, self._vanished)

    def _appeared(self, *_):
        self.owned = True

    def _vanished(self, *_):
        self.owned = False

    def close(self):
        Gio.bus_unwatch_name(self.watch)
        self.bus.close_sync(None)


def iterate_until(predicate, what, seconds=SECONDS):
    """Serves the main context until it is so."""
    context, late = GLib.MainContext.default(), []

    def on_late():
        late.append(True)
        return False
    timer = GLib.timeout_add(int(seconds * 1000), on_late)
    tick = GLib.timeout_add(50, lambda: True)  # processes end without a word
    try:
        while not predicate():
            assert not late, "waited in vain for " + what
            context.iteration(True)
    finally:
        GLib.source_remove(tick)
        if not late:
            GLib.source_remove(timer)


class Daemon:
    def __init__(self, backend):
        self.backend = backend
        self.dir = tempfile.mkdtemp(prefix="tank-conformance.")
        os.chmod(self.dir, 0o755)
        self.state = os.path.join(self.dir, "state")
        for part in ("state", "run"):
            os.mkdir(os.path.join(self.dir, part), 0o700)
        self.bus = subprocess.Popen(
            ["dbus-daemon", "--config-file=" + built("dbus/sandbox-bus.conf"), "--nofork",
             "--nosyslog", "--print-address=1", "--address=unix:path=" + self.dir + "/bus"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.bus.stdout.readline().strip()
        self.env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address,
                        TANK_STATE_DIR=self.state, TANK_RUN_DIR=os.path.join(self.dir, "run"),
                        TANK_LOG_DIR=os.path.join(self.dir, "log"))
        self.log = os.path.join(self.dir, "store.log")
        self.process = None
        self.owner = Owner(self.address)
        self.options, self.extra = (), {}

    # ---- the store's process

    def start(self, *options, stdin=subprocess.DEVNULL, **environment):
        """environment: variables for this one process, as TANK_FAILPOINT."""
        self.options, self.extra = options, environment
        memory = ("--memory",) if self.backend == "memory" else ()
        with open(self.log, "ab") as log:
            # pylint: disable-next=consider-using-with # it ends with this object
            self.process = subprocess.Popen(
                [built("tankd-store/tankd-store"), *memory, *options], stdout=log, stderr=log,
                stdin=stdin, env={**self.env, **environment})
        iterate_until(lambda: self.owner.owned or self.process.poll() is not None, "the store")
        assert self.owner.owned, f"the store ended with {self.process.returncode}"

    def end(self, how=signal.SIGTERM):
        """Its exit status; -N when a signal ended it."""
        self.process.send_signal(how)
        status = self.process.wait(SECONDS)
        self.process = None
        iterate_until(lambda: not self.owner.owned, "the end of the name")
        return status

    def kill(self):
        return self.end(signal.SIGKILL)

    def restart(self, how=signal.SIGKILL):
        self.end(how)
        self.start(*self.options, **self.extra)

    def run(self, *options, stdin=None, **environment):
        """To its end, beside the one that serves: exit status and what it said."""
        done = subprocess.run([built("tankd-store/tankd-store"), *options], stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
                              env={**self.env, **environment}, check=False)
        return done.returncode, done.stdout.decode()

    # ---- beside it

    def ctl(self, *words, stdin=b"", status=0, text=True):
        """What tankctl printed, and as text what it said besides."""
        done = subprocess.run([built("tankctl/tankctl"), *words], input=stdin, env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS,
                              check=False)
        assert done.returncode == status, (words, done.returncode, done.stderr.decode())
        return (done.stdout + done.stderr).decode() if text else done.stdout

    def files_with(self, word):
        """The paths of all below its directory that have it in them. A store that runs lets go of
        files of its database when it likes: what stood there stands in another then, which may have
        come behind the look, so that all is looked at again."""
        for _ in range(100):
            try:
                return self._look_for(word)
            except FileNotFoundError as e:
                gone = e
        raise AssertionError(f"files come and go all the time: {gone}")

    def _look_for(self, word):
        def fail(error):
            raise error
        found = []
        for folder, _, names in os.walk(self.dir, onerror=fail):
            for path in (os.path.join(folder, name) for name in names):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as f:
                        if word in f.read():
                            found.append(path)
        return found

    def path(self, name):
        return os.path.join(self.dir, name)

    def close(self):
        self.owner.close()
        for process in (self.process, self.bus):
            if process is not None:
                process.kill()
                process.wait()
        self.bus.stdout.close()
        shutil.rmtree(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
