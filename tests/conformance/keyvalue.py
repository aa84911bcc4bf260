# SPDX-License-Identifier: Apache-2.0
"""Key-value data over the bus: leases, limits, durability, and what a PeprStore held."""

import json
import subprocess
import time

import dbus

from client import (boot_usec, in_time, KEY_VALUE, on_disk, real_usec, refused, scenario, until,
                    Watcher)
from daemon import built


def write(s, *operations, **options):
    """(verb, {part: value}); the names of the errors, "" where there is none."""
    words = dbus.Array([dbus.Struct((verb, s.options(**parts)), signature=None)
                        for verb, parts in operations], signature="(sa{sv})")
    return [str(r[0]).removeprefix("org.tankd.Error.")
            for r in s.kv("Write", "a(sa{sv})a{sv}", words, **options)]


# ---- leases ----

@scenario
def x25_expired_within_a_second(s):
    """What is kept alive is in clock.py, where no lease ends by itself."""
    since = s.revision()
    w = Watcher(s, interface=KEY_VALUE)
    s.kv_set(b"long", b"v", ttl=3_600_000_000)
    s.kv_set(b"ever", b"v")

    def longest():
        """Of the times from the end of a lease to its being told."""
        before, told, read = s.revision(), {}, 0
        for key in (b"short", b"other"):
            s.kv_set(key, b"v", ttl=3_600_000_000)
        # The short times are given at last: whatever took its time before.
        ends = {key: int(s.kv("Touch", "ayt", key, ttl))
                for key, ttl in ((b"short", 300_000), (b"other", 900_000))}

        def look():
            nonlocal read
            if w.heard > max(read, before):
                read = w.heard
                for key in s.kv_expired(before):
                    told.setdefault(key, real_usec())
            return told.keys() == ends.keys()
        until(look, "the ends of both")
        assert all(told[key] >= ends[key] for key in ends), (told, ends)
        return max(told[key] - ends[key] for key in ends)
    in_time(longest, 1_000_000)
    assert s.kv_get(b"short") is None and s.kv_get(b"other") is None
    assert s.kv_get(b"long") == s.kv_get(b"ever") == b"v"
    assert {c[4] for c in s.kv_changes(since) if c[1] == "expired"} == {None}
    w.close()


# ---- what is seen when ----

@scenario
def x39_others_see_it_at_once(s):
    other = s.another()

    def middle():
        took = []
        for i in range(20):
            s.kv_set(b"k", b"%d" % i, wait=False)
            begun = boot_usec()
            assert other.kv_get(b"k") == b"%d" % i  # the first time that it is asked
            took.append(boot_usec() - begun)
        return sorted(took)[10]
    in_time(middle, 50_000)
    other.close()


@scenario
def x41_what_is_told_when_time_is_over(s):
    e = refused("TimedOut", s.kv_set, b"k", b"v", timeout=0)
    assert e.detail == (0,), e.detail  # is not durable, as far as is known
    s.kv_set(b"k", b"w", timeout=30_000_000)
    past = boot_usec() - 1
    e = refused("TimedOut", s.kv_set, b"k", b"x", deadline=past)
    assert s.kv_get(b"k") == b"w"


# ---- how much ----

@scenario
def x42_as_much_as_that(s):
    values = {b"key-%05d" % i: b"%05d" % i + bytes(415) for i in range(10_000)}
    assert sum(map(len, values.values())) > 4 * 2 ** 20
    keys = sorted(values)
    for first in range(0, len(keys), 5000):
        assert set(write(s, *[("set", {"key": k, "value": values[k]})
                              for k in keys[first:first + 5000]])) == {""}
    found, token = {}, ""
    while True:
        page, token, *_ = s.kv("List", "a{sv}", **({"continue": token} if token else {}))
        found.update((bytes(k), bytes(v)) for k, v, *_ in page)
        if not token:
            break
    assert found == values
    large = bytes(range(256)) * 4096
    s.kv_set(b"large", large)
    assert s.kv_get(b"large") == large
    refused("TooLarge", s.kv_set, b"large", large + b"x")
    # What is too much is refused by itself.
    assert write(s, ("set", {"key": b"a", "value": b"1"}),
                 ("set", {"key": b"b", "value": large + b"x"}),
                 ("set", {"key": b"k" * 1025, "value": b""}),
                 ("set", {"key": b"c", "value": b"1"})) == ["", "TooLarge", "TooLarge", ""]
    assert s.kv_get(b"a") == s.kv_get(b"c") == b"1" and s.kv_get(b"b") is None
    assert s.kv_get(b"large") == large
    assert int(s.kv("Clear", "a{sv}")[0]) == 10_003


# ---- what a PeprStore held ----

def importing(s, data, *capabilities):
    """The words of an import of an object with that data."""
    path = s.daemon.path(s.namespace + ".json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "pepr.dev/v1", "kind": "PeprStore",
                   "metadata": {"name": "pepr-1-store", "uid": s.namespace}, "data": data}, f)
    words = ["kv", "import", "--from-pepr", path]
    for name in capabilities:
        words += ["--capability", name]
    return words


def pairs(s, name):
    listed, token, *_ = s.another(name).kv("List", "a{sv}")
    assert not token
    return {bytes(k).decode(): bytes(v).decode() for k, v, *_ in listed}


@scenario
def p9_both_forms_of_keys_are_brought(s):
    a, b, ctl = s.namespace, s.namespace + "-pepr", s.daemon.ctl
    words = importing(s, {
        "__pepr_do_not_delete__": "k-thx-bye",
        a + "-old": "1", a + "-v2-https://new": "2", a + "-both": "old", a + "-v2-both": "new",
        b + "-v2-keep": "3", b + "-older": "", "unnamed-v2-x": "4", a: "5"}, a, b)
    s.another("unnamed").kv_set(b"x", b"mine")
    out = ctl(*words)
    assert f"{a}: 3 keys imported" in out and f"{b}: 2 keys imported" in out, out
    assert pairs(s, a) == {"both": "new", "https://new": "2", "old": "1"}
    assert pairs(s, b) == {"keep": "3", "older": ""}
    assert pairs(s, "unnamed") == {"x": "mine"}  # nobody named it
    # Nothing there, nothing done.
    before = s.revision()
    assert "0 keys" in ctl(*importing(s, {}, a + "-none")) or s.revision() == before
    # A capability that was not named keeps its keys.
    s.kv("Clear", "a{sv}")
    s.another("pepr-import").kv("Remove", "aya{sv}", a.encode())
    out = ctl(*importing(s, {b + "-v2-keep": "3", a + "-v2-k": "1"}, a))
    assert f'"{b}-v2-keep" is left out' in out, out


@scenario
def x43_once_and_dry(s):
    name, ctl, before = s.namespace, s.daemon.ctl, s.revision()
    words = importing(s, {name + "-v2-a": "1", name + "-b": "2"}, name)
    out = ctl(*words, "--dry-run")
    assert f'{name}: would set "a" (1 bytes)' in out and s.revision() == before, out
    ctl(*words)
    assert pairs(s, name) == {"a": "1", "b": "2"}
    # Again: nothing, also over what was set since.
    s.kv_set(b"a", b"newer")
    before = s.revision()
    assert f"{name}: imported already" in ctl(*words)
    assert s.revision() == before and pairs(s, name) == {"a": "newer", "b": "2"}
    assert name in pairs(s, "pepr-import")
    ctl("kv", "import", "--from-pepr", "/dev/null", "--capability", name, status=1)


@on_disk("the store is killed and started anew")
def x43_killed_in_the_middle(s):
    """All keys of a capability or none, and at last all of them."""
    name = s.namespace
    for n, pause in enumerate((0.0, 0.005, 0.01, 0.02, 0.04, 0.08)):
        capability = f"{name[:40]}-{n}"
        data = {f"{capability}-v2-key-{i}": f"{i}" * 20 for i in range(900)}
        words = importing(s, data, capability)
        with subprocess.Popen([built("tankctl/tankctl"), *words], env=s.daemon.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as import_:
            time.sleep(pause)  # to another place of it; not to wait for something
            s.daemon.kill()
            s.daemon.start()
            import_.wait()
        assert len(pairs(s, capability)) in (0, 900)
        s.daemon.ctl(*words)
        found = pairs(s, capability)
        assert found == {f"key-{i}": f"{i}" * 20 for i in range(900)}
        assert "imported already" in s.daemon.ctl(*words)
