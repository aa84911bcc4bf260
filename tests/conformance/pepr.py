# SPDX-License-Identifier: Apache-2.0
"""Key-value data through examples/tank_store.py, a client in the manner of the Pepr store: what that
store's tests promise, and what it fails. What the example logs is looked at: nothing, unless it is
the scenario's subject."""

import functools
import logging
import os
import random
import threading
import time

from tank_store import AlreadyRegistered, Schedule, Store, StoreError, TimedOut

import client
from daemon import SECONDS

CHANGED = threading.Condition()
logged = []


class Logged(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())


def until_true(predicate, what):
    end = time.monotonic() + SECONDS
    with CHANGED:
        while not predicate():
            left = end - time.monotonic()
            assert left > 0, "waited in vain for " + what
            CHANGED.wait(min(left, 0.05))


def told(function):
    """A callback that wakes until_true()."""
    def callback(*arguments):
        function(*arguments)
        with CHANGED:
            CHANGED.notify_all()
    return callback


def follow(store, function):
    """Subscribes, and returns when the first snapshot was told."""
    first = []

    def callback(snapshot, changes):
        first.append(True)
        function(snapshot, changes)
    store.subscribe(told(callback))
    until_true(lambda: first, "the snapshot")


logging.getLogger("tank_store").addHandler(Logged())
logging.getLogger("tank_store").propagate = False


def quiet(f):
    @functools.wraps(f)
    def run(s):
        logged.clear()
        f(s)
        assert not logged, logged
    return run


def journey(f):
    return client.scenario(quiet(f))


class Opened:
    """A store that is empty at the beginning and closed at the end."""

    def __init__(self, name="hello", **options):
        self.store = Store(name, **options)

    def __enter__(self):
        self.store.clear()
        return self.store

    def __exit__(self, *_):
        self.store.close()


def refused(error, part, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except error as e:
        assert part in str(e), "refused with: %s" % e
        return e
    raise AssertionError("not refused: %s" % (arguments,))


# ---- P1-P3: the journeys of the seed page ----

@journey
def p1_on_ready(_):
    with Opened() as store:
        ready = []

        def on_ready(_):
            key, value = "https://onReady", "yep"
            store.clear()
            store.set_item_and_wait(key, value)
            store.set_item_and_wait(key, value)
            ready.append(store.get_item(key))
            store.clear()
            ready.append(store.get_item(key))
        store.on_ready(told(on_ready))
        until_true(lambda: len(ready) == 2, "the ready callback")
        assert ready == ["yep", None], ready
        assert not logged, logged


@journey
def p2_async(_):
    with Opened() as store:
        store.set_item("https://async", "yep")
        until_true(lambda: store.get_item("https://async") == "yep", "the key")
        store.remove_item("https://async")
        until_true(lambda: store.get_item("https://async") is None, "its end")


@journey
def p3_sync(_):
    with Opened() as store:
        store.set_item_and_wait("https://sync", "yep")
        assert store.get_item("https://sync") == "yep"
        assert store.remove_item_and_wait("https://sync")
        assert store.get_item("https://sync") is None


# ---- P4-P12: what upstream's tests promise ----

@journey
def p4_random_keys(_):
    seed = int(os.environ.get("TANK_TEST_SEED", random.randrange(2 ** 32)))
    print("# seed", seed, flush=True)
    dice = random.Random(seed)
    with Opened(text=False) as store:
        assert store.get_item("never") is None
        for _ in range(100):
            key = dice.randbytes(dice.randint(1, 1024))
            value = dice.randbytes(dice.randint(0, 2000))
            store.set_item(key, value)
            assert store.get_item(key) == value
            store.remove_item(key)
            assert store.get_item(key) is None


@journey
def p5_urls(_):
    with Opened() as store:
        for key in ("https://google.com", "sso-client-http://bin", "sftp://here:22", "!", "key1"):
            store.set_item(key, " ")
            assert store.get_item(key) == " "


@journey
def p6_subscribe(_):
    with Opened() as store:
        seen, ready = [], []
        store.on_ready(told(ready.append))
        unsubscribe = store.subscribe(told(lambda snapshot, changes: seen.append(snapshot)))
        until_true(lambda: ready and seen, "the first data")
        assert ready == [{}] and seen == [{}], (ready, seen)
        store.set_item("a", "1")
        store.set_item("b", "2")
        store.remove_item("a")
        until_true(lambda: len(seen) == 4, "three updates")
        assert seen[1:] == [{"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}], seen
        unsubscribe()
        unsubscribe()
        after = []
        store.subscribe(told(lambda snapshot, changes: after.append(snapshot)))
        store.set_item("c", "3")
        until_true(lambda: {"b": "2", "c": "3"} in after, "the other subscriber")
        assert len(seen) == 4 and len(ready) == 1


@journey
def p7_escape(_):
    with Opened() as store:
        store.set_item("a/b~c", "1")
        store.set_item("a~1b~0c", "2")
        assert store.get_item("a/b~c") == "1" and store.get_item("a~1b~0c") == "2"


@journey
def p8_batch(_):
    with Opened() as store:
        batch = store.batch()
        batch.add("with", "value")
        batch.add("without")
        batch.remove("missing")
        refused(ValueError, "Key is required", batch.remove, "")
        refused(ValueError, "replace", batch.op, "replace", "k")
        assert batch.flush() == [] and batch.pending == []
        assert store.get_item("with") == "value" and store.get_item("without") == ""

        batch.add("k" * 1025, "never")
        batch.add("good", "1")
        errors = batch.flush()
        assert [(op, e.name) for op, _, e in errors] == [("add", "TooLarge")], errors
        assert batch.pending == [] and store.get_item("good") == "1"
        assert len(logged) == 1 and "TooLarge" in logged.pop()

        batch.add("later", "1")
        batch.remove("with")
        kept = list(batch.pending)
        write, store.write = store.write, lambda *_: (_ for _ in ()).throw(
            StoreError("Unavailable", "away"))
        refused(StoreError, "away", batch.flush)
        assert batch.pending == kept and batch.pending is not kept
        store.write = write
        assert batch.flush() == [] and store.get_item("later") == "1"
        assert store.get_item("with") is None


@journey
def p10_nothing_told(s):
    with Opened() as store:
        secret = "the-value-%d" % random.randrange(2 ** 64)
        seen = []

        def bad(snapshot, changes):
            seen.append(changes)
            raise ValueError(secret)
        follow(store, bad)
        store.set_item("k", secret)
        until_true(lambda: any(seen), "the change")
        assert secret not in repr(seen) and secret not in "".join(logged), (seen, logged)
        assert logged
        logged.clear()
        told_of = [path for path in s.daemon.files_with(secret.encode())
                   if not path.startswith(s.daemon.state)]
        assert not told_of, told_of


@journey
def p11_registered_once(_):
    with Opened():
        refused(AlreadyRegistered, "Store already registered for hello", Store, "hello")
    Store("hello").close()


@journey
def p12_schedules(_):
    with Opened() as store:
        now, runs = [1000.0], []

        def schedule(**changes):
            arguments = dict(every=10, unit="seconds", run=lambda: runs.append(now[0]),
                             start_time=None, completions=3, clock=lambda: now[0])
            arguments.update(changes)
            return store.on_schedule("job", **arguments)
        first = schedule()
        assert first.duration == 10000
        assert Schedule(store, "m", 2, "minutes", None, None, None, None).duration == 120000
        assert Schedule(store, "h", 1, "hour", None, None, None, None).duration == 3600000
        refused(ValueError, "smallest interval", schedule, every=8)
        refused(ValueError, "invalid unit", schedule, unit="fortnights")
        assert first.tick() and not first.tick()
        now[0] += 10
        assert first.tick() and first.completions == 1

        again = schedule()  # as behind a restart: what was kept goes before what is said
        assert (again.completions, again.last, again.start_time) == (1, 1010.0, None)
        now[0] += 9
        assert not again.tick()
        now[0] += 1
        assert again.tick() and again.completions == 0 and not again.tick()
        assert len(runs) == 3
        left = Store("hello-schedule")
        assert left.get_item("job") is None
        left.close()

        later = schedule(start_time=5000.0)
        assert not later.tick()
        now[0] = 5000.0
        assert later.tick()
        later.state.remove("job")


# ---- X33-X41: what upstream fails ----

@journey
def x33_order(_):
    with Opened() as store:
        for value in ("a", "b", "a"):
            store.set_item("k", value)
        store.set_item("other", "v")
        store.remove_item("other")
        store.set_item("other", "v")
        assert store.get_item("k") == "a" and store.get_item("other") == "v"


@journey
def x34_remove_missing(_):
    with Opened() as store:
        assert not store.remove_item("never") and not store.remove_item_and_wait("never")
        assert store.write([("add", "a", "1"), ("remove", "never", ""), ("add", "b", "2")]) == [
            None, None, None]
        assert store.get_item("a") == "1" and store.get_item("b") == "2"


@journey
def x35_clear(_):
    with Opened("hello-pepr") as other:
        other.set_item("stays", "1")
        with Opened() as store:
            for n in (0, 1, 2, 1000):
                store.write([("add", "key-%d" % i, "v") for i in range(n)])
                assert store.clear() == n
                assert store.get_item("key-0") is None
        assert other.get_item("stays") == "1"


@journey
def x36_empty_is_not_absent(_):
    with Opened() as store:
        store.set_item("empty", "")
        assert store.get_item("empty") == "" and store.get_item("absent") is None


@journey
def x37_stores_apart(_):
    with Opened() as hello, Opened("hello-pepr") as pepr:
        seen = []
        hello.subscribe(told(lambda snapshot, _: seen.append(snapshot)))
        pepr.set_item("v2-x", "pepr's")
        hello.set_item("pepr-v2-x", "hello's")
        until_true(lambda: {"pepr-v2-x": "hello's"} in seen, "the change")
        assert all(set(s) <= {"pepr-v2-x"} for s in seen), seen
        assert pepr.get_item("pepr-v2-x") is None and hello.get_item("v2-x") is None


@journey
def x39_own_writes(_):
    with Opened() as store:
        for i in range(100):
            store.set_item("k", str(i))
            assert store.get_item("k") == str(i)
        # Another connection sees what was accepted at once, too.
        seen = []
        thread = threading.Thread(target=lambda: seen.append(Reader().get("k")))
        store.set_item("k", "last")
        thread.start()
        thread.join()
        assert seen == ["last"], seen


class Reader:
    """Another client of the store that this process has open."""

    def get(self, key):
        name = "hello"
        Store._registered.discard(name)
        try:
            other = Store(name)
            try:
                return other.get_item(key)
            finally:
                other._bus.close()
        finally:
            Store._registered.add(name)


@journey
def x40_subscribers(_):
    with Opened() as store:
        store.set_item_and_wait("there", "1")
        good, ready = [], []

        def bad(*_):
            raise RuntimeError("a bad one")
        store.subscribe(bad)
        store.on_ready(bad)
        store.subscribe(told(lambda snapshot, changes: good.append((snapshot, changes))))
        until_true(lambda: good, "the snapshot")
        assert good[0][0] == {"there": "1"} and good[0][1] == []
        store.on_ready(told(ready.append))  # late
        until_true(lambda: ready, "the late ready callback")
        assert ready == [{"there": "1"}]

        store.set_item("there", "2")
        store.set_item("k", "")
        store.remove_item("there")
        until_true(lambda: len(good) == 4, "the changes")
        assert [[(c.event, c.key, c.old, c.new) for c in changes] for _, changes in good[1:]] == [
            [("set", "there", "1", "2")], [("set", "k", None, "")],
            [("removed", "there", "2", None)]], good
        assert all("failed: RuntimeError" in line for line in logged) and logged
        logged.clear()


@journey
def x40_continuous(_):
    """A change every 10 ms, for as long as the test can wait: told while they come."""
    with Opened() as store:
        seen, behind = [], 0
        follow(store, lambda _, changes: seen.extend(c.new for c in changes))
        for i in range(200):
            store.set_item("k", str(i))
            time.sleep(0.01)  # the load, not a wait for something
            behind = max(behind, i + 1 - len(seen))
        until_true(lambda: len(seen) == 200, "all of them")
        assert seen == [str(i) for i in range(200)]
        assert behind < 150, "told %d changes late" % behind


@journey
def x41_timeout(_):
    with Opened() as store:
        e = refused(TimedOut, "may still count", store.set_item_and_wait, "k", "v", timeout=0)
        assert e.durable is False
        assert store.get_item("k") == "v"
        store.set_item_and_wait("k", "v")  # rests upon it


@journey
def x25_time_to_live(_):
    with Opened() as store:
        changes = []
        follow(store, lambda _, more: changes.extend(more))
        store.set_item_and_wait("lease", "v", ttl=3600)
        store.set_item_and_wait("stays", "v")
        store.touch("lease", 0.3)  # at last: whatever took its time before
        until_true(lambda: store.get_item("lease") is None, "the end of the lease")
        until_true(lambda: any(c.event == "expired" for c in changes), "the event")
        assert [(c.event, c.key, c.old, c.new) for c in changes] == [
            ("set", "lease", None, "v"), ("set", "stays", None, "v"),
            ("expired", "lease", "v", None)], changes
        assert store.get_item("stays") == "v"


@client.on_disk("the store is killed and started anew")
@quiet
def x16_keys_are_followed_across_a_restart(s):
    with Opened() as store:
        seen = []
        follow(store, lambda _, changes: seen.extend(c.new for c in changes))
        store.set_item_and_wait("k", "before")
        until_true(lambda: seen == ["before"], "the first change")
        s.daemon.restart()
        assert store.get_item("k") == "before"
        store.set_item_and_wait("k", "after")
        until_true(lambda: seen == ["before", "after"], "the change behind the restart")
        logged.clear()
