# SPDX-License-Identifier: Apache-2.0
"""A client of tank's key-value data (org.tankd.Store1.KeyValue), in the manner of the Pepr store.

    from tank_store import Store

    store = Store("hello")
    store.on_ready(lambda snapshot: print("ready with", len(snapshot), "keys"))
    unsubscribe = store.subscribe(lambda snapshot, changes: print(changes))
    store.set_item("https://example.org", "yep")            # returns when it is accepted
    store.set_item_and_wait("sync", "yep", timeout=15)      # returns when it is durable
    store.get_item("sync")                                  # "yep"; None when there is none
    store.remove_item_and_wait("sync")
    store.clear()
    store.close()

Keys and values are str (UTF-8); with Store(name, text=False) they are bytes. get_item() sees what
was set, by anybody, as soon as set_item() has returned. Callbacks run in a thread of the store's
own, in the order of the changes; one that fails is logged, without what was in the store, and the
others go on. A store is followed by the revision of the database: a daemon that is restarted, or a
bus that goes away, costs time and no change.

Needs python3-gi (Debian: python3-gi).
"""

import json
import logging
import threading
import time

from gi.repository import Gio, GLib

BUS_NAME = "org.tankd.Store1"
PATH = "/org/tankd/Store1"
INTERFACE = "org.tankd.Store1"
KEY_VALUE = "org.tankd.Store1.KeyValue"
ERROR = "org.tankd.Error."

log = logging.getLogger("tank_store")


class StoreError(Exception):
    """What tankd-store said; .name is the error's name without its prefix."""

    def __init__(self, name, sentence):
        super().__init__(sentence)
        self.name = name


class TimedOut(StoreError):
    """The write was accepted; .durable tells whether it is on disk. It may still count."""

    def __init__(self, sentence, durable=False):
        super().__init__("TimedOut", sentence)
        self.durable = durable


class AlreadyRegistered(Exception):
    pass


def _error(reply):
    """Behind the sentence an error may carry more: of TimedOut whether the write is durable."""
    name, body = reply.get_error_name(), reply.get_body()
    parts = body.unpack() if body is not None else ()
    sentence = parts[0] if parts else name
    if name == ERROR + "TimedOut":
        return TimedOut(sentence, bool(parts[1]) if len(parts) > 1 else False)
    return StoreError(name[len(ERROR):] if name.startswith(ERROR) else name, sentence)


def _is_away(e):
    """The daemon, or the bus, may come back."""
    return not e.name or e.name == "Unavailable" or e.name.startswith("org.freedesktop.DBus.Error.")


def _ay(data):
    return GLib.Variant.new_from_bytes(GLib.VariantType("ay"), GLib.Bytes.new(data), True)


def _bytes(variant):
    return variant.get_data_as_bytes().get_data() or b""


class Change:
    """One key's change: event is "set", "removed" or "expired"; old and new are None where there
    was, or is, nothing."""

    __slots__ = ("revision", "event", "key", "old", "new")

    def __init__(self, revision, event, key, old, new):
        self.revision, self.event, self.key, self.old, self.new = revision, event, key, old, new

    def __repr__(self):  # for logs: no values
        return "<%s at %d>" % (self.event, self.revision)


class _Bus:
    """A connection to the system bus that is made anew when it was lost."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None

    def get(self):
        with self.lock:
            if self.connection is None or self.connection.is_closed():
                address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None)
                try:
                    self.connection = Gio.DBusConnection.new_for_address_sync(
                        address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
                        Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
                except GLib.Error as e:
                    raise StoreError("Unavailable", e.message) from None
            return self.connection

    def call(self, interface, method, arguments, timeout=None):
        """timeout: seconds; the daemon's own is shorter and says more."""
        ms = -1 if timeout is None else int(timeout * 1000) + 10000
        message = Gio.DBusMessage.new_method_call(BUS_NAME, PATH, interface, method)
        message.set_body(arguments)
        try:
            reply, _ = self.get().send_message_with_reply_sync(
                message, Gio.DBusSendMessageFlags.NONE, ms)
        except GLib.Error as e:
            raise StoreError("", e.message) from None
        if reply.get_message_type() == Gio.DBusMessageType.ERROR:
            raise _error(reply)
        return reply.get_body()

    def property(self, name):
        reply = self.call("org.freedesktop.DBus.Properties", "Get",
                          GLib.Variant("(ss)", (INTERFACE, name)))
        return reply.get_child_value(0).get_variant().unpack()

    def close(self):
        with self.lock:
            if self.connection is not None and not self.connection.is_closed():
                self.connection.close_sync(None)
            self.connection = None


class Batch:
    """Operations that are sent together, in their order; each succeeds or fails by itself."""

    def __init__(self, store):
        self._store = store
        self.pending = []

    def op(self, op, key, value=None):
        if op not in ("add", "remove"):
            raise ValueError("Unsupported operation: %s" % op)
        if not key:
            raise ValueError("Key is required for %s operation" % op.upper())
        self.pending.append((op, key, "" if value is None else value))

    def add(self, key, value=None):
        self.op("add", key, value)

    def remove(self, key):
        self.op("remove", key)

    def flush(self):
        """Sends what is pending, and returns the errors of those that were refused: they are not
        tried again. When nothing could be sent, all of it stays for the next time."""
        sent, self.pending = self.pending, []
        try:
            results = self._store.write(sent)
        except StoreError:
            self.pending = sent + self.pending
            raise
        errors = [(op, key, error) for (op, key, _), error in zip(sent, results) if error]
        for op, _, error in errors:
            log.error("store %s: %s was refused: %s", self._store.name, op, error.name)
        return errors


class Store:
    _registered = set()
    _registered_lock = threading.Lock()

    def __init__(self, name, text=True):
        with self._registered_lock:
            if name in self._registered:
                raise AlreadyRegistered("Store already registered for %s" % name)
            self._registered.add(name)
        self.name, self.text = name, text
        self._bus = _Bus()
        self._lock = threading.RLock()
        self._subscribers, self._ready_callbacks = [], []
        self._snapshot, self._revisions = {}, {}
        self._ready = False
        self._follower = None
        self._schedules = []

    def close(self):
        for schedule in self._schedules:
            schedule.stop()
        if self._follower:
            self._follower.stop()
            self._follower = None
        self._bus.close()
        with self._registered_lock:
            self._registered.discard(self.name)

    # ---- what goes over the bus ----

    def _in(self, value):
        return value.encode() if isinstance(value, str) else bytes(value)

    def _out(self, data):
        return data.decode("utf-8", "surrogateescape") if self.text else data

    def _options(self, wait, timeout, ttl=None, if_revision=None):
        options = {"wait": GLib.Variant("b", wait)}
        if timeout is not None:
            options["timeout"] = GLib.Variant("t", int(timeout * 1e6))
        if ttl is not None:
            options["ttl"] = GLib.Variant("t", int(ttl * 1e6))
        if if_revision is not None:
            options["if-revision"] = GLib.Variant("t", if_revision)
        return GLib.Variant("a{sv}", options)

    def _call(self, method, *arguments, timeout=None):
        variants = [GLib.Variant("s", self.name)] + list(arguments)
        return self._bus.call(KEY_VALUE, method, GLib.Variant.new_tuple(*variants), timeout)

    def _set(self, key, value, wait, timeout=None, ttl=None, if_revision=None):
        reply = self._call("Set", _ay(self._in(key)), _ay(self._in(value)),
                           self._options(wait, timeout, ttl, if_revision), timeout=timeout)
        return reply.get_child_value(0).get_uint64()

    def _remove(self, key, wait, timeout=None, if_revision=None):
        reply = self._call("Remove", _ay(self._in(key)),
                           self._options(wait, timeout, None, if_revision), timeout=timeout)
        return reply.get_child_value(0).get_boolean()

    # ---- the Pepr store's calls ----

    def get_item(self, key):
        """The value, or None. An empty value is not None."""
        reply = self._call("Get", _ay(self._in(key)))
        if not reply.get_child_value(0).get_boolean():
            return None
        return self._out(_bytes(reply.get_child_value(1)))

    def set_item(self, key, value, ttl=None, if_revision=None):
        """Accepted when it returns. ttl: seconds behind which it is gone."""
        return self._set(key, value, False, None, ttl, if_revision)

    def set_item_and_wait(self, key, value, timeout=15, ttl=None, if_revision=None):
        """Durable when it returns the key's revision; else TimedOut."""
        return self._set(key, value, True, timeout, ttl, if_revision)

    def remove_item(self, key, if_revision=None):
        """Whether there was one. Removing what is not there succeeds."""
        return self._remove(key, False, None, if_revision)

    def remove_item_and_wait(self, key, timeout=15, if_revision=None):
        return self._remove(key, True, timeout, if_revision)

    def clear(self, timeout=15):
        """Removes all keys of this store; durable when it returns how many there were."""
        reply = self._call("Clear", self._options(True, timeout), timeout=timeout)
        return reply.get_child_value(0).get_uint64()

    def touch(self, key, ttl):
        """Keeps a key alive for another ttl seconds."""
        self._call("Touch", _ay(self._in(key)), GLib.Variant("t", int(ttl * 1e6)))

    def write(self, operations, timeout=15):
        """("add", key, value) and ("remove", key, …), in order; a list of None or StoreError."""
        parts = []
        for op, key, value in operations:
            fields = {"key": _ay(self._in(key))}
            if op == "add":
                fields["value"] = _ay(self._in(value))
            parts.append(GLib.Variant.new_tuple(
                GLib.Variant("s", "set" if op == "add" else "remove"),
                GLib.Variant("a{sv}", fields)))
        array = GLib.Variant.new_array(GLib.VariantType("(sa{sv})"), parts)
        reply = self._call("Write", array, self._options(True, timeout), timeout=timeout)
        return [StoreError(name[len(ERROR):], sentence) if name else None
                for name, sentence, _ in reply.get_child_value(0).unpack()]

    def batch(self):
        return Batch(self)

    # ---- following ----

    def subscribe(self, callback):
        """callback(snapshot, changes), at once with what is there and no changes, then for each
        revision that changes a key. Returns what ends it."""
        entry = [callback, False]
        with self._lock:
            self._subscribers.append(entry)
            follower = self._follow()
        follower.wake()

        def unsubscribe():
            with self._lock:
                if entry in self._subscribers:
                    self._subscribers.remove(entry)
        return unsubscribe

    def on_ready(self, callback):
        """callback(snapshot), once: when the data is there, also if it was there before."""
        with self._lock:
            self._ready_callbacks.append(callback)
            follower = self._follow()
        follower.wake()

    def _follow(self):
        if not self._follower:
            self._follower = _Follower(self)
        return self._follower

    def _tell(self, callback, *arguments):
        try:
            callback(*arguments)
        except Exception as e:  # whoever it was: the others shall not miss it
            log.error("store %s: a callback failed: %s", self.name, type(e).__name__)

    def _tell_new(self):
        """In the follower's thread: those who have nothing yet get what is there."""
        with self._lock:
            if not self._ready:
                return
            ready, self._ready_callbacks = self._ready_callbacks, []
            fresh = [entry for entry in self._subscribers if not entry[1]]
            for entry in fresh:
                entry[1] = True
        for callback in ready:
            self._tell(callback, dict(self._snapshot))
        for entry in fresh:
            self._tell(entry[0], dict(self._snapshot), [])

    def _tell_changes(self, changes):
        for change in changes:
            if change.new is None:
                self._snapshot.pop(change.key, None)
            else:
                self._snapshot[change.key] = change.new
        with self._lock:
            told = [entry for entry in self._subscribers if entry[1]]
        for entry in told:
            if entry in self._subscribers:
                self._tell(entry[0], dict(self._snapshot), list(changes))

    # ---- schedules ----

    def on_schedule(self, name, every, unit, run, start_time=None, completions=None, clock=None):
        """run() every so many seconds, minutes or hours (at least 10 s), completions times or for
        ever; what is left, and when it ran, is kept in the store NAME-schedule."""
        schedule = Schedule(self, name, every, unit, run, start_time, completions, clock)
        self._schedules.append(schedule)
        schedule.start()
        return schedule


class _Follower:
    """The thread that keeps a store's snapshot, with a main loop of its own for the signals."""

    RETRY_MS = 500

    def __init__(self, store):
        self.store = store
        self.database = self.revision = None
        self.subscription = self.watched = None
        self.context = GLib.MainContext.new()
        self.loop = GLib.MainLoop.new(self.context, False)
        self.retry = False
        self.thread = threading.Thread(target=self._run, name="tank-store", daemon=True)
        self.thread.start()

    def stop(self):
        self._later(self.loop.quit)
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def wake(self):
        self._later(self._look)

    def _later(self, function, ms=0):
        source = GLib.timeout_source_new(ms) if ms else GLib.idle_source_new()
        source.set_callback(lambda *_: function() and False)
        source.attach(self.context)

    def _run(self):
        self.context.push_thread_default()
        try:
            self.loop.run()
        finally:
            self.context.pop_thread_default()

    def _watch(self, bus):
        if self.watched is bus:
            return
        self.watched = bus
        bus.signal_subscribe(BUS_NAME, KEY_VALUE, "Changed", PATH, None,
                             Gio.DBusSignalFlags.NONE, self._on_changed)
        bus.signal_subscribe("org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged",
                             "/org/freedesktop/DBus", BUS_NAME, Gio.DBusSignalFlags.NONE,
                             self._on_owner)
        bus.connect("closed", self._on_closed)

    def _on_changed(self, _bus, _sender, _path, _interface, _signal, parameters):
        stores = parameters.unpack()[2]
        if not stores or self.store.name in stores:
            self._look()

    def _on_owner(self, *_):
        self._look()

    def _on_closed(self, *_):
        self._try_again()

    def _try_again(self):
        if not self.retry:
            self.retry = True
            self._later(self._look, self.RETRY_MS)

    def _look(self):
        self.retry = False
        try:
            self._watch(self.store._bus.get())
            if self.revision is not None:
                self._read_changes()
            if self.revision is None:
                self._read_all()
                self._read_changes()
        except StoreError as e:
            if not _is_away(e):
                log.error("store %s: cannot be followed: %s", self.store.name, e)
            self._try_again()
        self.store._tell_new()

    def _read_all(self):
        store = self.store
        snapshot, revisions, token, first = {}, {}, "", None
        database = store._bus.property("DatabaseId")
        while True:
            options = {"durable": GLib.Variant("b", True)}
            if token:
                options["continue"] = GLib.Variant("s", token)
            reply = store._call("List", GLib.Variant("a{sv}", options))
            entries = reply.get_child_value(0)
            for i in range(entries.n_children()):
                entry = entries.get_child_value(i)
                key = store._out(_bytes(entry.get_child_value(0)))
                snapshot[key] = store._out(_bytes(entry.get_child_value(1)))
                revisions[key] = entry.get_child_value(2).get_uint64()
            for i in range(reply.get_child_value(3).n_children()):
                log.error("store %s: the value of %r cannot be read: remove it, and set it anew",
                          store.name, _bytes(reply.get_child_value(3).get_child_value(i)))
            token = reply.get_child_value(1).get_string()
            if first is None:
                first = reply.get_child_value(2).get_uint64()
            if not token:
                break
        changes = self._difference(store._snapshot, snapshot, first) if store._ready else []
        store._snapshot, store._revisions = snapshot, revisions
        self.database, self.revision = database, first
        if changes:  # of which nobody can tell any more what was in between
            store._tell_changes(changes)
        store._ready = True
        store._tell_new()

    @staticmethod
    def _difference(old, new, revision):
        return ([Change(revision, "removed", k, v, None) for k, v in old.items() if k not in new] +
                [Change(revision, "set", k, old.get(k), v) for k, v in new.items()
                 if old.get(k) != v])

    def _read_changes(self):
        store, more = self.store, True
        while more:
            try:
                reply = store._bus.call(KEY_VALUE, "GetChanges", GLib.Variant(
                    "(ssta{sv})", (self.database, store.name, self.revision, {})))
            except StoreError as e:
                if e.name in ("Compacted", "FailedPrecondition"):
                    self.revision = None  # nothing to go on from
                    return
                raise
            self._take(reply.get_child_value(0))
            more = reply.get_child_value(1).get_boolean()
            self.revision = reply.get_child_value(2).get_uint64()

    def _take(self, changes):
        """Those of one revision together."""
        store, group = self.store, []
        for i in range(changes.n_children()):
            c = changes.get_child_value(i)
            parts = [c.get_child_value(k) for k in range(7)]
            key = store._out(_bytes(parts[2]))
            change = Change(parts[0].get_uint64(), parts[1].get_string(), key,
                            store._out(_bytes(parts[4])) if parts[3].get_boolean() else None,
                            store._out(_bytes(parts[6])) if parts[5].get_boolean() else None)
            if change.revision <= store._revisions.get(key, 0):
                continue  # a later page of the list showed it already
            if group and group[0].revision != change.revision:
                store._tell_changes(group)
                group = []
            group.append(change)
        if group:
            store._tell_changes(group)


class Schedule:
    UNITS = {"second": 1, "seconds": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600}

    def __init__(self, store, name, every, unit, run, start_time, completions, clock):
        if unit not in self.UNITS:
            raise ValueError("invalid unit: %s" % unit)
        self.duration = every * self.UNITS[unit] * 1000  # ms
        if self.duration < 10000:
            raise ValueError("%d %s is too short: 10 seconds is the smallest interval"
                             % (every, unit))
        self.name, self.run_once = name, run
        self.start_time, self.completions = start_time, completions
        self.last = None
        self.clock = clock or time.time
        self.state = _ScheduleState(store)
        self.stopped = threading.Event()
        self.thread = None

    def start(self):
        saved = self.state.load(self.name)
        if saved:
            self.completions, self.last = saved["completions"], saved["lastTimestamp"]
            self.start_time = saved["startTime"]
        else:
            self._save()
        if self.clock is time.time:
            self.thread = threading.Thread(target=self._wait, name="schedule", daemon=True)
            self.thread.start()

    def stop(self):
        self.stopped.set()
        if self.thread and threading.current_thread() is not self.thread:
            self.thread.join()

    def next_time(self):
        if self.last is not None:
            return self.last + self.duration / 1000
        return self.start_time if self.start_time is not None else self.clock()

    def tick(self):
        """Runs it if it is time. Runs that were missed are not made up for."""
        if self.stopped.is_set() or self.clock() < self.next_time():
            return False
        try:
            self.run_once()
        except Exception as e:
            log.error("schedule %s failed: %s", self.name, type(e).__name__)
        self.last, self.start_time = self.clock(), None
        if self.completions is not None:
            self.completions -= 1
            if self.completions <= 0:
                self.state.remove(self.name)
                self.stopped.set()
                return True
        self._save()
        return True

    def _save(self):
        self.state.save(self.name, {"name": self.name, "completions": self.completions,
                                    "startTime": self.start_time, "lastTimestamp": self.last})

    def _wait(self):
        while not self.stopped.wait(max(0, self.next_time() - self.clock())):
            try:
                self.tick()
            except StoreError as e:
                log.error("schedule %s cannot be kept: %s", self.name, e)
                self.stopped.wait(1)


class _ScheduleState:
    """In a store of its own, so that neither is in the other's way."""

    def __init__(self, store):
        self.call = lambda method, *a: store._bus.call(
            KEY_VALUE, method,
            GLib.Variant.new_tuple(GLib.Variant("s", store.name + "-schedule"), *a))
        self.options = GLib.Variant("a{sv}", {})

    def load(self, name):
        reply = self.call("Get", _ay(name.encode()))
        found = reply.get_child_value(0).get_boolean()
        return json.loads(_bytes(reply.get_child_value(1))) if found else None

    def save(self, name, state):
        self.call("Set", _ay(name.encode()), _ay(json.dumps(state).encode()), self.options)

    def remove(self, name):
        self.call("Remove", _ay(name.encode()), self.options)
