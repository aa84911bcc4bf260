# SPDX-License-Identifier: Apache-2.0
"""Lists and counts: where, which, in which order, of which revision, and for how long."""

import dbus.lowlevel

from client import (boot_usec, in_time, PATH, refused, Refused, scenario, STORE, until,
                    worked_usec)


@scenario
def x1_neighbours(s):
    spaces = [s.beside(name) for name in ("prod", "prod-2", "production")]
    for i, space in enumerate(spaces):
        space.apply("widget", "w", x=i)
        space.apply("widget-x", "w")
        space.apply("widge", "w")
    for i, space in enumerate(spaces):
        assert space.query() == ([(space.namespace + "/w", i)], s.revision())
        assert space.count() == 1 and space.count("") == 3
        space.delete("widget", "w")
        assert space.query()[0] == []


@scenario
def x2_a_namespace_called_all(s):
    everything = s.beside("all")
    everything.apply("widget", "a", x=1)
    s.apply("widget", "b", x=2)
    assert everything.query()[0] == [("all/a", 1)]
    assert len(everything.history("widget", "a")) == 1
    everything.delete("widget", "a")


@scenario
def x17_wildcards(s):
    s.apply("widget", "a", x=1)
    s.apply("gadget", "b", x=2)
    here = s.namespace + "/"
    assert (here + "a", 1) in s.query("widget", "")[0]
    assert s.query("")[0] == [(here + "b", 2), (here + "a", 1)]
    assert ("/" + s.namespace, None) in s.query("", "")[0]
    for kind, namespace in (("*", ""), ("widget", "*"), ("widget", "ALL")):
        refused("InvalidArgument", s.query, kind, namespace)
        refused("InvalidArgument", s.count, kind, namespace)


# Of what make_slow() made, a count with it takes long: each term looks at the whole list.
SLOW = {"fields": ",".join(f"list[*]!=n{i}" for i in range(8))}


def make_slow(s):
    many = list(range(5000))
    s.transaction(*[("apply", {"document": s.document("widget", f"w-{i}", list=many)})
                    for i in range(100)])


@scenario
def x21_given_up_in_time(s):
    make_slow(s)

    def late():
        begun = boot_usec()
        refused("TimedOut", s.count, deadline=begun + 30_000, **SLOW)
        return boot_usec() - begun - 30_000
    in_time(late, 100_000)
    refused("TimedOut", s.query, deadline=boot_usec())
    assert s.count() == 100


def place(s):
    """Whether there is one for a long count. A call that comes late says nothing: the next one has
    twice the time."""
    for n in range(10):
        try:
            s.count(deadline=boot_usec() + (20_000 << n), **SLOW)
            return True
        except Refused as e:
            assert e.name in ("Busy", "TimedOut"), e
            if "before this began" not in str(e):
                return e.name == "TimedOut"
    raise AssertionError("each call came late")


@scenario
def x21_given_up_when_the_caller_leaves(s):
    """All the places of long lists are taken; when those who asked leave, others are served."""
    make_slow(s)

    def ask(callers):
        for caller in callers:
            for _ in range(8):
                m = dbus.lowlevel.MethodCallMessage(STORE, PATH, STORE, "Count")
                m.append("widget", s.namespace, s.options(**SLOW), signature="ssa{sv}")
                caller.bus.send_message(m)
            caller.bus.flush()
        for caller in callers:
            caller.revision()  # in order: when this is answered, those are under way or refused

    def freed():
        callers = [s.another() for _ in range(8)]
        ask(callers)
        for _ in range(100):
            if not place(s):
                break
            ask(callers)  # some were done before the last ones came
        else:
            raise AssertionError("the places were never taken")
        for caller in callers:
            caller.close()
        begun, work, took = boot_usec(), worked_usec(s.daemon.process.pid), []

        def is_free():
            # Before the look, which is a count itself.
            took[:] = worked_usec(s.daemon.process.pid) - work, boot_usec() - begun
            return place(s)
        until(is_free, "a place")
        # What it worked until then: all that was asked for would be some seconds, even once. The
        # clock on the wall has a wide bound, as it also tells what others do on the machine.
        assert took[0] < 2_000_000, took
        return max(took[0], took[1] // 20)
    in_time(freed, 100_000)


@scenario
def x22_queries(s):
    for name, x, labels in (("a", 3, {"app": "web"}), ("b", 1, {"app": "web", "tier": "db"}),
                            ("c", 2, {"app": "api"}), ("d", 4, {})):
        s.apply("widget", name, x=x, labels=labels, parts=[{"image": name}, {"image": "all"}])
    s.apply("widget", "b", x=5, labels={"app": "web", "tier": "db"})
    for options, names in (
            ({"labels": "app=web"}, "ab"), ({"labels": "app!=web"}, "cd"), ({"labels": "app"}, "abc"),
            ({"labels": "!app"}, "d"), ({"labels": "app in (api,x)"}, "c"),
            ({"labels": "app notin (api)"}, "abd"), ({"labels": "app=web,tier=db"}, "b"),
            ({"fields": "x=3"}, "a"), ({"fields": "parts[0].image=d"}, "d"),
            ({"fields": "parts[*].image=all"}, "acd"), ({"fields": "meta.generation!=1"}, "b"),
            ({"fields": 'labels["app"]=api'}, "c"), ({"labels": "app", "fields": "x!=3"}, "bc"),
            ({"sort": "name"}, "abcd"), ({"sort": "-name"}, "dcba"), ({"sort": "created"}, "abcd"),
            ({"sort": "-updated"}, "bdca"), ({"sort": "revision"}, "acdb")):
        for limit in (1, 2, 1000):
            assert "".join(s.names(limit=limit, **options)) == names, (options, limit)
        if "sort" not in options:
            assert s.count(**options) == len(names)
    for options in ({"labels": "a=b c"}, {"fields": "a["}, {"sort": "size"}, {"continue": "2.1"}):
        refused("InvalidArgument", s.query, **options)
    refused("TooLarge", s.query, labels="a," * 40 + "a")
    assert "column 5" in str(refused("InvalidArgument", s.query, labels="a=b c"))


@scenario
def x22_pages_are_of_one_revision(s):
    """However much is written in between: none is missing, none there twice, none newer."""
    for sort in ("name", "-name", "created", "-revision"):
        for i in range(40):
            s.apply("widget", f"w-{i:02}", x=i, labels={"a": "b"})
        wanted, before = s.query(sort=sort)

        def write(n):
            s.delete("widget", f"w-{n % 40:02}")
            s.apply("widget", f"w-{(n + 1) % 40:02}", x=1000 + n)
            s.delete("widget", f"w-{(n + 2) % 40:02}")
            s.apply("widget", f"w-{(n + 2) % 40:02}", x=2000 + n)
            s.apply("widget", f"v-{n:02}", x=3000)
            s.apply("widget", f"z-{n:02}", x=3000)

        for limit in (1, 7):
            for options in ({}, {"labels": "a=b"}, {"fields": "x!=-1"}):
                asked = {"revision": before, "sort": sort, "limit": limit, **options}
                assert s.query(between=write, **asked) == (wanted, before), asked
        assert s.query(sort=sort)[0] != wanted
        assert s.count(revision=before) == 40
        for name in s.names():
            s.delete("widget", name)
    refused("FailedPrecondition", s.query, revision=s.revision() + 1)

