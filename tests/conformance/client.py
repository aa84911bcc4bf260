# SPDX-License-Identifier: Apache-2.0
"""What the scenarios have in common: a client of the store's bus interface, one who follows its
changes, and the list of scenarios.

A scenario is a function of one Store, that is a connection and a namespace of its own; the number
of the scenario is the beginning of its name, and its first line tells what it shows. It needs
nothing but an empty namespace, so that all of them run against one daemon; what it sets for all, it
puts back.
"""

import json
import threading
import time
import traceback

import dbus
import dbus.bus
import dbus.lowlevel
from gi.repository import Gio

from daemon import iterate_until, SECONDS

STORE = "org.tankd.Store1"
ADMIN = STORE + ".Admin"
SECRETS = STORE + ".Secrets"
KEY_VALUE = STORE + ".KeyValue"
PATH = "/org/tankd/Store1"
ERROR = "org.tankd.Error."
SCENARIOS = []  # (function, why it is nothing for a database in memory, or None)


def scenario(f):
    SCENARIOS.append((f, None))
    return f


def on_disk(why):
    """Of what has no meaning in memory."""
    def keep(f):
        SCENARIOS.append((f, why))
        return f
    return keep


class Refused(Exception):
    def __init__(self, reply):
        sentence, *detail = reply.get_args_list()
        super().__init__(str(sentence))
        self.name = reply.get_error_name().removeprefix(ERROR)
        self.detail = tuple(int(x) for x in detail)


def boot_usec():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def real_usec():
    return time.time_ns() // 1000


def worked_usec(pid):
    """What a process has worked, which is no more when others do so too: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2) // 1000


def variant(value):
    """By its Python type, where the option's name does not say more."""
    if isinstance(value, bool):
        return dbus.Boolean(value)
    if isinstance(value, int):
        return dbus.UInt64(value)
    if isinstance(value, bytes):
        return dbus.ByteArray(value)
    if isinstance(value, dict):
        return dbus.Dictionary(value, signature="ss")
    return dbus.String(value)


class Store:
    """A connection of its own, and one namespace."""

    def __init__(self, daemon, namespace):
        self.daemon = daemon
        self.namespace = namespace
        self.bus = dbus.bus.BusConnection(daemon.address)

    def another(self, namespace=None):
        return Store(self.daemon, namespace or self.namespace)

    def close(self):
        self.bus.close()

    def make_namespace(self):
        self.call("Apply", "sa{sv}", json.dumps({"kind": "namespace", "name": self.namespace}),
                  self.options())
        return self

    def beside(self, namespace):
        """Another namespace, which is there."""
        return self.another(namespace).make_namespace()

    def call(self, method, signature, *arguments, interface=STORE):
        """What an error has behind its sentence is lost by the library's own calls."""
        m = dbus.lowlevel.MethodCallMessage(STORE, PATH, interface, method)
        m.append(*arguments, signature=signature)
        replies = []
        self.bus.send_message_with_reply(
            m, replies.append, SECONDS, require_main_loop=False).block()
        reply = replies[0]
        if isinstance(reply, dbus.lowlevel.ErrorMessage):
            raise Refused(reply)
        results = reply.get_args_list()
        return results[0] if len(results) == 1 else results

    def property(self, name, interface=STORE):
        return self.call("Get", "ss", interface, name, interface=dbus.PROPERTIES_IFACE)

    def revision(self):
        return int(self.property("Revision"))

    @staticmethod
    def options(**given):
        kinds = {"limit": dbus.UInt32}
        return dbus.Dictionary(
            {k.replace("_", "-"): kinds.get(k, variant)(v) for k, v in given.items()},
            signature="sv")

    # ---- documents

    def document(self, kind, name, **fields):
        return json.dumps({"kind": kind, "name": name, "namespace": self.namespace, **fields})

    def create(self, kind, name, options=None, **fields):
        return self.call("Create", "sa{sv}", self.document(kind, name, **fields),
                         self.options(**options or {}))

    def apply(self, kind, name, options=None, **fields):
        return self.call("Apply", "sa{sv}", self.document(kind, name, **fields),
                         self.options(**options or {}))

    def update(self, kind, name, options=None, **fields):
        return self.call("Update", "sa{sv}", self.document(kind, name, **fields),
                         self.options(**options or {}))

    def delete(self, kind, name, **options):
        return self.call("Delete", "sssa{sv}", kind, self.namespace, name,
                         self.options(**options))

    def rollback(self, kind, name, revision, **options):
        return self.call("Rollback", "sssta{sv}", kind, self.namespace, name, revision,
                         self.options(**options))

    def get(self, kind, name):
        return json.loads(self.call("Get", "sss", kind, self.namespace, name))

    def is_there(self, kind, name):
        try:
            self.get(kind, name)
            return True
        except Refused as e:
            assert e.name == "NotFound", e
            return False

    def resolve(self, reference, namespace=""):
        return tuple(str(x) for x in self.call("Resolve", "ss", reference, namespace))

    def transaction(self, *operations, **options):
        """Operations: (verb, {part: value})."""
        words = dbus.Array(
            [dbus.Struct((verb, self.options(**parts)), signature=None)
             for verb, parts in operations], signature="(sa{sv})")
        return self.call("Transaction", "a(sa{sv})a{sv}", words, self.options(**options))

    # ---- lists

    def list(self, kind):
        found, token = [], ""
        while True:
            options = {"continue": token} if token else {}
            page, token, _ = self.call("List", "ssa{sv}", kind, self.namespace,
                                       self.options(**options))
            found += [json.loads(d) for d in page]
            if not token:
                return found

    def query(self, kind="widget", namespace=None, between=None, **options):
        """All pages, as (namespace/name, x) of each, and the revision of them all."""
        found, revisions, token = [], set(), ""
        while True:
            page, token, revision = self.call(
                "List", "ssa{sv}", kind, self.namespace if namespace is None else namespace,
                self.options(**options, **({"continue": token} if token else {})))
            for d in map(json.loads, page):
                found.append((d.get("namespace", "") + "/" + d["name"], d.get("x")))
            revisions.add(int(revision))
            if not token:
                assert len(revisions) == 1, revisions
                return found, revisions.pop()
            if between:
                between(len(found))

    def names(self, *arguments, **options):
        return [path.partition("/")[2] for path, _ in self.query(*arguments, **options)[0]]

    def count(self, kind="widget", namespace=None, **options):
        return int(self.call("Count", "ssa{sv}", kind,
                             self.namespace if namespace is None else namespace,
                             self.options(**options))[0])

    # ---- what was

    def history(self, kind, name):
        """(revision, operation, uid, generation, when, who) of each, the newest first."""
        found, token = [], ""
        while True:
            page, token = self.call("History", "sssa{sv}", kind, self.namespace, name,
                                    self.options(**({"continue": token} if token else {})))
            found += page
            if not token:
                return found

    def version(self, kind, name, revision):
        return json.loads(self.call("GetVersion", "ssst", kind, self.namespace, name, revision))

    def changes(self, since):
        """Of its namespace, and of namespaces: (revision, operation, type, name)."""
        found = []
        while True:
            page, more, revision = self.call(
                "GetChanges", "sta{sv}", self.property("DatabaseId"), since, self.options())
            found += [(int(c[0]), str(c[1]), str(c[2]), str(c[4])) for c in page
                      if c[3] == self.namespace or c[2] == "namespace"]
            if not more:
                return found
            since = revision

    # ---- values of secrets

    def set_secret(self, name, data, **options):
        pairs = dbus.Dictionary({k: dbus.ByteArray(v) for k, v in data.items()}, signature="say")
        return self.call("Set", "ssa{say}a{sv}", self.namespace, name, pairs,
                         self.options(**options), interface=SECRETS)

    def reveal(self, name, **options):
        data, _, _ = self.call("Reveal", "ssa{sv}", self.namespace, name, self.options(**options),
                               interface=SECRETS)
        return {str(k): bytes(v) for k, v in data.items()}

    # ---- keys and values, of a store that is called as the namespace

    def kv(self, method, signature, *arguments, **options):
        given = [dbus.ByteArray(a) if isinstance(a, bytes) else a for a in arguments]
        if signature.endswith("a{sv}"):
            given.append(self.options(**options))
        return self.call(method, "s" + signature, self.namespace, *given, interface=KEY_VALUE)

    def kv_set(self, key, value, **options):
        return int(self.kv("Set", "ayaya{sv}", key, value, **options))

    def kv_get(self, key):
        found, value, _, _ = self.kv("Get", "ay", key)
        return bytes(value) if found else None

    def kv_expiry(self, key):
        return int(self.kv("Get", "ay", key)[3])

    def kv_changes(self, since):
        """(revision, event, key, old, new), None where there was or is nothing."""
        found, more = [], True
        while more:
            page, more, since = self.call(
                "GetChanges", "ssta{sv}", self.property("DatabaseId"), self.namespace, since,
                self.options(), interface=KEY_VALUE)
            found += [(int(c[0]), str(c[1]), bytes(c[2]), bytes(c[4]) if c[3] else None,
                       bytes(c[6]) if c[5] else None) for c in page]
        return found

    def kv_expired(self, since):
        return {c[2] for c in self.kv_changes(since) if c[1] == "expired"}


class Watcher:
    """Follows the changes that options ask for, as protocol.md tells to: a signal is a hint, what
    changed is read. events: (revision, operation, type, name, document).

    heard is the newest revision that a signal told of. Nothing is read without one that tells of
    more than was read, but what stands behind a given since, which has had its signals."""

    def __init__(self, s, since=None, interface=STORE, **options):
        self.s, self.options, self.events = s, options, []
        self.database = s.property("DatabaseId")
        self.bus = Gio.DBusConnection.new_for_address_sync(
            s.daemon.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.bus.set_exit_on_close(False)
        self.heard = 0
        self.bus.signal_subscribe(STORE, interface, "Changed", PATH, None,
                                  Gio.DBusSignalFlags.NONE, self._on_changed)
        self.bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                           "GetId", None, None, 0, -1, None)  # what was sent before has arrived
        self.since = s.revision() if since is None else since

    def _on_changed(self, *arguments):
        _, revision, _ = arguments[-1].unpack()
        self.heard = max(self.heard, revision)

    def read(self):
        more = True
        while more:
            page, more, since = self.s.call("GetChanges", "sta{sv}", self.database, self.since,
                                            self.s.options(documents=True, **self.options))
            self.events += [(int(c[0]), str(c[1]), str(c[2]), str(c[4]), json.loads(c[5] or "null"))
                            for c in page]
            self.since = int(since)

    def hear(self, revision):
        """Reads nothing."""
        iterate_until(lambda: self.heard >= revision, f"the signal of revision {revision}")

    def until(self, n):
        """So many events, each of which a signal told of."""
        def there():
            if self.heard > self.since:
                self.read()
            return len(self.events) >= n and self.heard >= self.events[n - 1][0]
        iterate_until(there, f"the signals of {n} events")
        return self.events

    def close(self):
        self.bus.close_sync(None)


def refused(name, f, *arguments, **options):
    try:
        f(*arguments, **options)
    except Refused as e:
        assert e.name == name, f"{e.name}: {e}"
        return e
    raise AssertionError(f"not refused with {name}")


def stands(document, **fields):
    for key, value in fields.items():
        assert document[key] == value, document


def until(predicate, what):
    """Of what nobody tells: asked again and again."""
    iterate_until(predicate, what)


def in_time(f, usec, attempts=10):
    """f() tells how long it took, and it was less than that once: as the machine may do something
    else, it has several attempts."""
    took = []
    while len(took) < attempts and min(took, default=usec) >= usec:
        took.append(f())
    assert min(took) < usec, took
    print(f"# {took[-1] / 1000:.1f} ms", flush=True)


def together(s, n, f):
    """f(i, store) in a thread of its own for each i, each with a connection of its own."""
    failures = []

    def run(i, store):
        try:
            f(i, store)
        except Exception:  # whatever it was, it is the scenario's end
            failures.append(traceback.format_exc())
        finally:
            store.close()

    threads = [threading.Thread(target=run, args=(i, s.another())) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]
