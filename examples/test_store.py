# SPDX-License-Identifier: Apache-2.0
"""A tankd-store of one's own, in memory, for the tests of a program that talks to it.

    class MyTest(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.store = TestStore(seed=[{"kind": "namespace", "name": "prod"}])

        def setUp(self):
            self.store.reset()

        @classmethod
        def tearDownClass(cls):
            cls.store.stop()

It is the store itself, with all that it does, but that its database is in memory: nothing to clean
up, no rights needed, a start of some milliseconds. The program under test finds it where it finds
tank's: on the system bus, whose address is in .environment. Each TestStore has a bus to itself, so
that tests run side by side.

Needs python3-gi, dbus-daemon and tankd-store (in /usr/libexec/tank, or where $TANKD_STORE says).
`python3 test_store.py` runs the tests at its end, which show what there is.
"""

import json
import os
import subprocess
import tempfile
import unittest

from gi.repository import Gio, GLib

BUS_NAME = "org.tankd.Store1"
PATH = "/org/tankd/Store1"
PROGRAM = os.environ.get("TANKD_STORE", "/usr/libexec/tank/tankd-store")

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:tmpdir=%s</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class StoreError(Exception):
    """What the store said; .name is the error's name without its prefix."""

    def __init__(self, error):
        name = Gio.DBusError.get_remote_error(error) or ""
        Gio.DBusError.strip_remote_error(error)
        super().__init__(error.message)
        self.name = name.removeprefix("org.tankd.Error.")


class TestStore:
    """seed: documents that are there at the start, and after each reset()."""

    __test__ = False  # its name is no reason to collect it

    def __init__(self, seed=()):
        self._seed = [json.dumps(d) for d in seed]
        self._dir = tempfile.TemporaryDirectory(prefix="tank-test-store.")
        config = os.path.join(self._dir.name, "bus.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(BUS_CONFIG % self._dir.name)
        self._bus = subprocess.Popen(
            ["dbus-daemon", "--config-file=" + config, "--nofork", "--nosyslog",
             "--print-address=1"], stdout=subprocess.PIPE, text=True)
        self.address = self._bus.stdout.readline().strip()
        self.environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address)
        self._store = subprocess.Popen([PROGRAM, "--memory"], env=self.environment)
        self.connection = Gio.DBusConnection.new_for_address_sync(
            self.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self._wait_until_served()
        self._declare_seed()

    def _wait_until_served(self):
        loop = GLib.MainLoop.new(None, False)
        watch = Gio.bus_watch_name_on_connection(
            self.connection, BUS_NAME, Gio.BusNameWatcherFlags.NONE,
            lambda *_: loop.quit(), None)
        late = GLib.timeout_add_seconds(30, loop.quit)
        loop.run()
        Gio.bus_unwatch_name(watch)
        if not GLib.source_remove(late) or self._store.poll() is not None:
            self.stop()
            raise RuntimeError(f"{PROGRAM} does not serve")

    def call(self, method, signature, *arguments, interface="org.tankd.Store1"):
        """The results as Python's own types."""
        try:
            reply = self.connection.call_sync(
                BUS_NAME, PATH, interface, method, GLib.Variant(signature, arguments), None,
                Gio.DBusCallFlags.NONE, 30000, None)
        except GLib.Error as e:
            raise StoreError(e) from None
        return reply.unpack()

    def _declare_seed(self):
        if self._seed:
            self.call("Transaction", "(a(sa{sv})a{sv})",
                      [("create", {"document": GLib.Variant("s", d)}) for d in self._seed], {})

    def reset(self):
        """As newly made, under another database id, with the seed."""
        self.call("Reset", "()", interface="org.tankd.Store1.Admin")
        self._declare_seed()

    def apply(self, document, **options):
        """apply({...}, if_revision=7): (uid, generation, revision, what changed)"""
        given = {"if-revision": GLib.Variant("t", options["if_revision"])} if options else {}
        return self.call("Apply", "(sa{sv})", json.dumps(document), given)

    def get(self, kind, name, namespace="default"):
        return json.loads(self.call("Get", "(sss)", kind, namespace, name)[0])

    def delete(self, kind, name, namespace="default"):
        return self.call("Delete", "(sssa{sv})", kind, namespace, name, {})[0]

    def property(self, name):
        return self.call("Get", "(ss)", "org.tankd.Store1", name,
                         interface="org.freedesktop.DBus.Properties")[0]

    def stop(self):
        for process in (self._store, self._bus):
            process.terminate()
            process.wait()
        self._bus.stdout.close()
        self._dir.cleanup()


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = TestStore(seed=[
            {"kind": "namespace", "name": "prod"},
            {"kind": "service", "name": "web", "namespace": "prod", "port": 80}])

    @classmethod
    def tearDownClass(cls):
        cls.store.stop()

    def setUp(self):
        self.store.reset()

    def test_the_seed_is_there(self):
        self.assertEqual(self.store.get("service", "web", "prod")["port"], 80)
        self.assertEqual(self.store.property("Backend"), "memory")

    def test_each_test_begins_anew(self):
        first = self.store.property("DatabaseId")
        self.store.apply({"kind": "service", "name": "other"})
        self.store.reset()
        self.assertNotEqual(self.store.property("DatabaseId"), first)
        with self.assertRaises(StoreError) as refused:
            self.store.get("service", "other")
        self.assertEqual(refused.exception.name, "NotFound")

    def test_what_the_program_relies_on(self):
        _, generation, revision, changed = self.store.apply({"kind": "service", "name": "a"})
        self.assertEqual((generation, changed), (1, "created"))
        self.store.apply({"kind": "service", "name": "a", "port": 81}, if_revision=revision)
        with self.assertRaises(StoreError) as refused:
            self.store.apply({"kind": "service", "name": "a", "port": 82}, if_revision=revision)
        self.assertEqual(refused.exception.name, "Conflict")

    def test_changes_since_a_revision(self):
        since = self.store.property("Revision")
        self.store.apply({"kind": "service", "name": "a"})
        self.store.delete("service", "a")
        changes, more, revision = self.store.call(
            "GetChanges", "(sta{sv})", self.store.property("DatabaseId"), since, {})
        self.assertEqual([(c[1], c[4]) for c in changes], [("created", "a"), ("deleted", "a")])
        self.assertEqual((more, revision), (False, since + 2))

    def test_keys_and_values(self):
        kv = "org.tankd.Store1.KeyValue"
        self.store.call("Set", "(sayaya{sv})", "hello", b"key", b"value", {}, interface=kv)
        found, value, *_ = self.store.call("Get", "(say)", "hello", b"key", interface=kv)
        self.assertEqual((found, bytes(value)), (True, b"value"))


if __name__ == "__main__":
    unittest.main()
