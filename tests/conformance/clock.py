# SPDX-License-Identifier: Apache-2.0
"""A wall clock that is set, back and ahead: what is in order stays in order. Times are attributes:
of versions, of what is sorted by them, of leases, and of what is kept for so long."""

import contextlib
import os
import signal
import struct

from client import (ADMIN, boot_usec, in_time, KEY_VALUE, on_disk, real_usec, scenario, Store,
                    until, Watcher)
from daemon import built, Daemon

HOUR, YEAR = 3600, 365 * 86400
SHIM = built("tests/fake/wall-clock.so")


class Clock:
    """tests/fake/wall-clock.c, in a store of its own."""

    def __init__(self, daemon):
        self.path = daemon.path("clock")
        self.set(0)
        assert os.path.exists(SHIM), f"{SHIM} is not built: make check-bus does it"
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        self.environment = {"LD_PRELOAD": os.path.abspath(SHIM), "WALL_CLOCK_FILE": self.path,
                            "ASAN_OPTIONS": sanitizer + ":verify_asan_link_order=0"}

    def set(self, seconds):
        """So much ahead of the machine's."""
        fd = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o644)
        os.pwrite(fd, struct.pack("=q", seconds * 1_000_000), 0)
        os.close(fd)
        self.seconds = seconds

    def is_at(self, usec):
        return abs(usec - self.seconds * 1_000_000 - real_usec()) < 60_000_000


@contextlib.contextmanager
def clocked(s):
    with Daemon(s.daemon.backend) as d:
        clock = Clock(d)
        d.start(**clock.environment)
        store = Store(d, "default")
        try:
            yield store, clock
        finally:
            store.close()


def expired(store, since, *keys):
    """Waits for their ends, and no others."""
    def ended():
        store.revision()  # it looks at the clock when it is called
        return store.kv_expired(since) == set(keys)
    until(ended, f"the ends of {keys}")


@scenario
def also_order_is_not_of_the_wall_clock(s):
    moves = (0, -HOUR, -YEAR, YEAR, 2 * YEAR, -HOUR, 0)
    with clocked(s) as (store, clock):
        store.call("SetRetention", "stt", "", 0, 0, interface=ADMIN)  # what is kept by age is below
        w, revisions, first = Watcher(store, type="widget"), [], store.revision()
        for i, seconds in enumerate(moves):
            clock.set(seconds)
            revisions.append(int(store.apply("widget", "a", x=i)[2]))
            revisions.append(int(store.create("widget", f"w-{i}", x=i)[2]))
            revisions.append(store.kv_set(b"k", b"%d" % i))
        assert revisions == list(range(first + 1, first + 1 + len(revisions))), revisions
        # Changes and versions are in the order of the writes, whatever time they tell.
        w.until(2 * len(moves))
        assert [(e[3], e[4]["x"]) for e in w.events] == [
            (name, i) for i in range(len(moves)) for name in ("a", f"w-{i}")]
        listed = store.history("widget", "a")
        assert [int(e[0]) for e in listed] == sorted(revisions[0::3], reverse=True)
        for entry, seconds in zip(reversed(listed), moves):
            clock.seconds = seconds
            assert clock.is_at(int(entry[4])), (entry, seconds)
        assert [c[4] for c in store.kv_changes(first)] == [b"%d" % i for i in range(len(moves))]
        # Sorted by revision as they were made; by time as the clock was then.
        names = [f"w-{i}" for i in range(len(moves))]
        by_revision = [n for n in store.names(sort="revision") if n != "a"]
        assert by_revision == names, by_revision
        by_time = [n for n in store.names(sort="created") if n != "a"]
        assert by_time == [f"w-{i}" for i in sorted(range(len(moves)), key=lambda i: (
            store.get("widget", f"w-{i}")["meta"]["created"]))], by_time
        # Pages of one list, while the clock is set.
        wanted = store.query(sort="created")
        assert store.query(sort="created", limit=1,
                           between=lambda n: clock.set(moves[n % len(moves)])) == wanted
        # Behind a restart in the past.
        clock.set(-YEAR)
        stands = store.revision()
        if s.daemon.backend == "disk":
            store.daemon.restart()
        assert int(store.rollback("widget", "a", revisions[0])[2]) == stands + 1
        assert not store.call("Verify", "a{sv}", store.options(), interface=ADMIN)[0]
        w.close()


@scenario
def x25_what_is_kept_alive(s):
    """It ends when what it was given at last is over, be that later or earlier, and not before; and
    that is told."""
    with clocked(s) as (store, clock):
        since, w = store.revision(), Watcher(store, interface=KEY_VALUE)
        for key in (b"left", b"kept", b"cut"):
            store.kv_set(key, b"v", ttl=6 * HOUR * 1_000_000)
        clock.set(3 * HOUR)
        for key, hours in ((b"kept", 9), (b"cut", 1)):
            end = int(store.kv("Touch", "ayt", key, hours * HOUR * 1_000_000))
            assert store.kv_expiry(key) == end and clock.is_at(end - hours * HOUR * 1_000_000)
        for hour, *keys in ((5, b"cut"), (7, b"cut", b"left"), (13, b"cut", b"left", b"kept")):
            clock.set(hour * HOUR)
            for key in (b"left", b"kept", b"cut"):
                assert store.kv_get(key) == (None if key in keys else b"v"), (hour, key)
            expired(store, since, *keys)
            w.hear(store.kv_changes(since)[-1][0])
        w.close()


@on_disk("the store is killed and started anew")
def x25_a_lease_survives_a_restart(s):
    """What ended while nobody was there is told within a second of the start, what ends behind it
    within a second of its end."""
    with clocked(s) as (store, clock):
        def longest():
            clock.set(0)
            since = store.revision()
            for key, hours in ((b"over", 1), (b"short", 3), (b"long", 24)):
                store.kv_set(key, b"v", ttl=hours * HOUR * 1_000_000)
            ends = [store.kv_expiry(key) for key in (b"short", b"long")]
            store.daemon.end(signal.SIGKILL)
            clock.set(2 * HOUR)
            store.daemon.start(**clock.environment)
            began = [boot_usec()]
            assert store.kv_get(b"over") is None and store.kv_get(b"short") == b"v"
            assert [store.kv_expiry(key) for key in (b"short", b"long")] == ends
            expired(store, since, b"over")
            began.append(boot_usec())
            clock.set(4 * HOUR)
            expired(store, since, b"over", b"short")
            began.append(boot_usec())
            assert store.kv_get(b"short") is None and store.kv_get(b"long") == b"v"
            return max(b - a for a, b in zip(began, began[1:]))
        in_time(longest, 1_000_000)


@scenario
def also_leases_end_by_the_wall_clock(s):
    """As they have to, where they outlive the machine's restarts; a key is gone when the clock says
    so, and does not come back."""
    with clocked(s) as (store, clock):
        since = store.revision()
        store.kv_set(b"hour", b"v", ttl=HOUR * 1_000_000)
        store.kv_set(b"day", b"v", ttl=24 * HOUR * 1_000_000)
        store.kv_set(b"ever", b"v")
        clock.set(-HOUR)
        assert store.kv_get(b"hour") == b"v"
        clock.set(2 * HOUR)
        assert store.kv_get(b"hour") is None and store.kv_get(b"day") == b"v"
        expired(store, since, b"hour")
        clock.set(0)
        assert store.kv_get(b"hour") is None and store.kv_get(b"day") == b"v"
        # Given while the clock is ahead, it ends by that clock, unless it is given anew.
        clock.set(YEAR)
        expired(store, since, b"hour", b"day")
        store.kv_set(b"ahead", b"v", ttl=HOUR * 1_000_000)
        clock.set(0)
        store.kv("Touch", "ayt", b"ahead", 60_000_000)
        assert clock.is_at(int(store.kv("Get", "ay", b"ahead")[3]) - 60_000_000)
        clock.set(HOUR)
        assert store.kv_get(b"ahead") is None and store.kv_get(b"ever") == b"v"


@scenario
def also_what_is_kept_for_so_long(s):
    """A version that was replaced in what is the future now stays until then, and nothing that
    stands ever goes."""
    with clocked(s) as (store, clock):
        store.call("SetRetention", "stt", "aged", 0, HOUR * 1_000_000, interface=ADMIN)

        def kept():
            store.call("Compact", "a{sv}", store.options(), interface=ADMIN)
            return [store.version("aged", "a", e[0])["x"] for e in store.history("aged", "a")]
        store.apply("aged", "a", x=1)
        store.apply("aged", "a", x=2)
        assert kept() == [2, 1]
        clock.set(-YEAR)
        assert kept() == [2, 1]
        clock.set(2 * HOUR)
        assert kept() == [2]
        clock.set(YEAR)
        store.apply("aged", "a", x=3)
        clock.set(0)
        assert kept() == [3, 2]
        store.apply("aged", "a", x=4)
        assert kept() == [4, 3, 2]
        clock.set(YEAR + 2 * HOUR)
        assert kept() == [4]
        clock.set(-YEAR)
        assert store.get("aged", "a")["x"] == 4 and kept() == [4]
        assert not store.call("Verify", "a{sv}", store.options(), interface=ADMIN)[0]
