#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The scenarios of a store of desired state, against whatever tankd-store is on the bus of
DBUS_SYSTEM_BUS_ADDRESS. Each scenario has a namespace of its own and needs nothing but an empty one,
so that they run against a database of any kind. Names the scenarios that hold; ends with 1 at the
first that does not. Words are names of scenarios to run: all without any."""

import json
import sys
import threading
import time
import traceback

import dbus
import dbus.lowlevel

STORE = "org.tankd.Store1"
PATH = "/org/tankd/Store1"
ERROR = "org.tankd.Error."
SCENARIOS = []


def scenario(f):
    SCENARIOS.append(f)
    return f


class Refused(Exception):
    def __init__(self, reply):
        sentence, *detail = reply.get_args_list()
        super().__init__(str(sentence))
        self.name = reply.get_error_name().removeprefix(ERROR)
        self.detail = tuple(int(x) for x in detail)


class Store:
    """A connection of its own, and one namespace."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.bus = dbus.SystemBus(private=True)

    def call(self, method, signature, *arguments, interface=STORE):
        """What an error has behind its sentence is lost by the library's own calls."""
        m = dbus.lowlevel.MethodCallMessage(STORE, PATH, interface, method)
        m.append(*arguments, signature=signature)
        replies = []
        self.bus.send_message_with_reply(
            m, replies.append, 60, require_main_loop=False).block()
        reply = replies[0]
        if isinstance(reply, dbus.lowlevel.ErrorMessage):
            raise Refused(reply)
        results = reply.get_args_list()
        return results[0] if len(results) == 1 else results

    def property(self, name):
        return self.call("Get", "ss", STORE, name, interface=dbus.PROPERTIES_IFACE)

    def revision(self):
        return int(self.property("Revision"))

    def document(self, kind, name, **fields):
        return json.dumps({"kind": kind, "name": name, "namespace": self.namespace, **fields})

    @staticmethod
    def options(**given):
        kinds = {"if_revision": dbus.UInt64, "deadline": dbus.UInt64, "limit": dbus.UInt32,
                 "create_namespace": dbus.Boolean, "cascade": dbus.Boolean,
                 "dry_run": dbus.Boolean, "documents": dbus.Boolean, "revision": dbus.UInt64}
        return dbus.Dictionary(
            {k.replace("_", "-"): kinds.get(k, dbus.String)(v) for k, v in given.items()},
            signature="sv")

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

    def get(self, kind, name):
        return json.loads(self.call("Get", "sss", kind, self.namespace, name))

    def is_there(self, kind, name):
        try:
            self.get(kind, name)
            return True
        except Refused as e:
            assert e.name == "NotFound", e
            return False

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

    def history(self, kind, name):
        return self.call("History", "sssa{sv}", kind, self.namespace, name, self.options())[0]

    def version(self, kind, name, revision):
        return json.loads(self.call("GetVersion", "ssst", kind, self.namespace, name, revision))

    def transaction(self, *operations, **options):
        """Operations: (verb, {part: value})."""
        words = dbus.Array(
            [dbus.Struct((verb, self.options(**parts)), signature=None)
             for verb, parts in operations], signature="(sa{sv})")
        return self.call("Transaction", "a(sa{sv})a{sv}", words, self.options(**options))

    def changes(self, since):
        found = []
        while True:
            page, more, revision = self.call(
                "GetChanges", "sta{sv}", self.property("DatabaseId"), since, self.options())
            found += [(int(c[0]), str(c[1]), str(c[2]), str(c[4])) for c in page
                      if c[3] == self.namespace or c[2] == "namespace"]
            if not more:
                return found
            since = revision


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


# ---- one object ---------------------------------------------------------------------------------

@scenario
def a1_create_get_update_list_delete(s):
    first = {"image": "nginx:latest", "port": 80}
    second = {"image": "nginx:1.19", "port": 8080}
    s.create("service", "test-service", **first)
    stands(s.get("service", "test-service"), name="test-service", **first)
    s.update("service", "test-service", **second)
    stands(s.get("service", "test-service"), **second)
    assert len(s.list("service")) == 1
    existed, _ = s.delete("service", "test-service")
    assert existed
    refused("NotFound", s.get, "service", "test-service")


@scenario
def a2_types_beside_each_other(s):
    s.create("service", "test-service", scale=1)
    s.create("instance", "test-instance", serviceId="test-service", phase="Running")
    stands(s.get("service", "test-service"), name="test-service", scale=1)
    stands(s.get("instance", "test-instance"), serviceId="test-service", phase="Running")
    assert [d["name"] for d in s.list("service")] == ["test-service"]
    assert len(s.list("instance")) == 1
    s.update("service", "test-service", scale=2)
    stands(s.get("service", "test-service"), scale=2)
    s.delete("service", "test-service")
    refused("NotFound", s.get, "service", "test-service")
    assert s.list("service") == []


@scenario
def a3_no_namespace_is_default(s):
    name = s.namespace
    s.call("Create", "sa{sv}", json.dumps({"kind": "service", "name": name}), s.options())
    found = json.loads(s.call("Get", "sss", "service", "default", name))
    assert found["namespace"] == "default"
    s.call("Delete", "sssa{sv}", "service", "default", name, s.options())


@scenario
def b1_b2_history(s):
    versions = [("1.0.0", "app:v1"), ("2.0.0", "app:v2"), ("3.0.0", "app:v3")]
    for version, image in versions:
        s.apply("service", "versioned-service", version=version, image=image)
    listed = s.history("service", "versioned-service")
    assert len(listed) == 3
    for entry, (version, image) in zip(listed, reversed(versions)):
        stands(s.version("service", "versioned-service", entry[0]), version=version, image=image)
    refused("NotFound", s.version, "service", "versioned-service", s.revision() + 1000)


# ---- transactions -------------------------------------------------------------------------------

@scenario
def c1_c2_c3_transactions(s):
    s.transaction(*[("create", {"document": s.document(
        "service", f"service-{i}", image=f"image-{i}:latest")}) for i in (1, 2, 3)])
    for i in (1, 2, 3):
        stands(s.get("service", f"service-{i}"), name=f"service-{i}", image=f"image-{i}:latest")
    e = refused("AlreadyExists", s.transaction,
                ("create", {"document": s.document("service", "will-rollback")}),
                ("create", {"document": s.document("service", "service-1")}))
    assert e.detail == (1, s.get("service", "service-1")["meta"]["revision"]), e.detail
    refused("NotFound", s.get, "service", "will-rollback")
    s.transaction(("create", {"document": s.document("service", "tx-service")}),
                  ("create", {"document": s.document("instance", "tx-instance")}))
    assert s.is_there("service", "tx-service") and s.is_there("instance", "tx-instance")


@scenario
def x12_one_revision_events_grouped_and_in_order(s):
    s.apply("gadget", "old", x=1)
    s.apply("gizmo", "gone")
    before = s.revision()
    revision, results = s.transaction(
        ("create", {"document": s.document("widget", "new")}),
        ("update", {"document": s.document("gadget", "old", x=2)}),
        ("delete", {"type": "gizmo", "namespace": s.namespace, "name": "gone"}))
    assert revision == before + 1 == s.revision()
    assert [str(r[3]) for r in results] == ["created", "updated", "deleted"]
    assert s.changes(before) == [(revision, "created", "widget", "new"),
                                 (revision, "updated", "gadget", "old"),
                                 (revision, "deleted", "gizmo", "gone")]
    # One that is aborted: no event, no version, no revision.
    versions = len(s.history("gadget", "old"))
    refused("NotFound", s.transaction,
            ("apply", {"document": s.document("gadget", "old", x=3)}),
            ("create", {"document": s.document("widget", "newer")}),
            ("update", {"document": s.document("widget", "never")}))
    assert s.revision() == revision and s.changes(revision) == []
    assert len(s.history("gadget", "old")) == versions
    assert s.apply("widget", "next")[2] == revision + 1


@scenario
def x14_a_conflict_within_a_transaction_is_typed(s):
    _, _, stood, _ = s.apply("widget", "guard", x=1)
    _, _, stands_at, _ = s.apply("widget", "guard", x=2)
    parts = {"type": "widget", "namespace": s.namespace, "name": "guard"}
    e = refused("Conflict", s.transaction,
                ("apply", {"document": s.document("widget", "a")}),
                ("check", {**parts, "if_revision": stood}))
    assert e.detail == (1, stands_at), e.detail
    e = refused("Conflict", s.transaction,
                ("check", {**parts, "name": "missing", "if_revision": stood}))
    assert e.detail == (0, 0), e.detail
    assert not s.is_there("widget", "a")
    s.transaction(("check", {**parts, "if_revision": stands_at}),
                  ("check", {**parts, "name": "missing", "if_revision": 0}),
                  ("apply", {"document": s.document("widget", "a")}))
    assert s.is_there("widget", "a")


# ---- who was first ------------------------------------------------------------------------------

@scenario
def x5_compare_and_swap(s):
    _, _, r, _ = s.apply("widget", "a", x=1)
    _, _, now, _ = s.update("widget", "a", {"if_revision": r}, x=2)
    e = refused("Conflict", s.update, "widget", "a", {"if_revision": r}, x=3)
    assert e.detail == (0, now), e.detail
    e = refused("Conflict", s.apply, "widget", "a", {"if_revision": 0}, x=3)
    assert e.detail == (0, now), e.detail
    e = refused("AlreadyExists", s.create, "widget", "a")
    assert e.detail == (0, now), e.detail
    e = refused("Conflict", s.delete, "widget", "a", if_revision=r)
    assert e.detail == (0, now), e.detail
    stands(s.get("widget", "a"), x=2)
    s.delete("widget", "a", if_revision=now)
    e = refused("Conflict", s.apply, "widget", "a", {"if_revision": now}, x=4)
    assert e.detail == (0, 0), e.detail
    # What is not there is not updated, and deleting it is success.
    refused("NotFound", s.update, "widget", "a", x=4)
    assert s.delete("widget", "a")[0] == 0
    assert s.apply("widget", "a", {"if_revision": 0}, x=5)[3] == "created"


def together(n, f):
    """f(i, store) in a thread of its own for each i, each with a connection of its own."""
    failures = []

    def run(i, store):
        try:
            f(i, store)
        except Exception:
            failures.append(traceback.format_exc())

    def start(i, namespace):
        t = threading.Thread(target=run, args=(i, Store(namespace)))
        t.start()
        return t

    def with_namespace(namespace):
        for t in [start(i, namespace) for i in range(n)]:
            t.join()
        assert not failures, failures[0]
    return with_namespace


@scenario
def x6_unconditional_writes_never_conflict(s):
    revisions = []
    s.apply("widget", "a", x=-1)
    before = s.revision()

    def write(i, store):
        revisions.append(int(store.apply("widget", "a", x=i)[2]))

    together(20, write)(s.namespace)
    assert sorted(revisions) == list(range(before + 1, before + 21)), revisions

    s.apply("counter", "c", n=0)

    def increment(_, store):
        while True:
            document = store.get("counter", "c")
            try:
                store.update("counter", "c", {"if_revision": document["meta"]["revision"]},
                             n=document["n"] + 1)
                return
            except Refused as e:
                assert e.name == "Conflict", e

    together(16, increment)(s.namespace)
    stands(s.get("counter", "c"), n=16)


@scenario
def x7_what_changes_nothing_is_nothing(s):
    uid, generation, revision, _ = s.apply("widget", "a", x=1, labels={"k": "v"})
    for write in (s.apply, s.update):
        answer = write("widget", "a", labels={"k": "v"}, x=1)
        assert tuple(answer) == (uid, generation, revision, "unchanged")
    assert s.revision() == revision and s.changes(revision) == []
    assert len(s.history("widget", "a")) == 1


# ---- namespaces and deadlines -------------------------------------------------------------------

@scenario
def namespaces_with_their_contents(s):
    inner = Store(s.namespace + "-inner")
    refused("NotFound", inner.apply, "widget", "a")
    before = s.revision()
    _, _, revision, _ = inner.apply("widget", "a", {"create_namespace": True})
    assert revision == before + 1
    assert inner.changes(before) == [(revision, "created", "namespace", inner.namespace),
                                     (revision, "created", "widget", "a")]
    for i in range(5):
        inner.apply("gadget", f"g-{i}")
    parts = ("namespace", "", inner.namespace)
    refused("FailedPrecondition", s.call, "Delete", "sssa{sv}", *parts, s.options())
    before = s.revision()
    existed, revision = s.call("Delete", "sssa{sv}", *parts, s.options(cascade=True))
    assert existed and revision == before + 1
    gone = inner.changes(before)
    assert len(gone) == 7 and all(c[:2] == (revision, "deleted") for c in gone), gone
    assert gone[-1][2] == "namespace"  # nothing ever stands in none
    assert inner.list("gadget") == [] and not inner.is_there("widget", "a")
    for name in ("default", "system"):
        refused("FailedPrecondition", s.call, "Delete", "sssa{sv}", "namespace", "", name,
                s.options(cascade=True))
    refused("InvalidArgument", s.delete, "widget", "a", cascade=True)


@scenario
def expired_requests_do_nothing(s):
    before = s.revision()
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    s.apply("widget", "there")
    for past in (0, now - 1):
        options = {"deadline": past}
        refused("TimedOut", s.apply, "widget", "a", options)
        refused("TimedOut", s.create, "widget", "a", options)
        refused("TimedOut", s.update, "widget", "there", options, x=1)
        refused("TimedOut", s.delete, "widget", "there", deadline=past)
        refused("TimedOut", s.transaction,
                ("apply", {"document": s.document("widget", "a")}), deadline=past)
    assert s.revision() == before + 1
    s.apply("widget", "a", {"deadline": now + 3_600_000_000})
    assert s.is_there("widget", "a")


# ---- lists and counts ---------------------------------------------------------------------------

def beside(s, name):
    """The same connection, another namespace."""
    other = Store(name)
    other.call("Apply", "sa{sv}", json.dumps({"kind": "namespace", "name": name}), s.options())
    return other


@scenario
def x1_neighbours(s):
    spaces = [beside(s, name) for name in ("prod", "prod-2", "production")]
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
    everything = beside(s, "all")
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


@scenario
def x21_given_up_in_time(s):
    many = list(range(5000))
    for first in range(0, 300, 50):
        s.transaction(*[("apply", {"document": s.document("widget", f"w-{i}", list=many)})
                        for i in range(first, first + 50)])
    slow = {"fields": "list[*]=none"}
    begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    refused("TimedOut", s.count, deadline=begun + 30_000, **slow)
    late = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 - begun - 30_000
    print(f"# given up {late / 1000:.1f} ms behind the deadline")
    assert s.count(**slow) == 0
    refused("TimedOut", s.query, deadline=begun)
    s.delete("widget", "w-0")


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


@scenario
def x24_quotas(s):
    """What would be too much is refused before any of it, with what is under way counted, and makes
    no room by being refused; what grows nothing passes."""
    def quota(**bounds):
        s.call("Apply", "sa{sv}", json.dumps(
            {"kind": "namespace", "name": s.namespace, "quota": bounds}), s.options())

    def operation(verb, name, **fields):
        given = {"type": "widget", "namespace": s.namespace, "name": name}
        if verb != "delete":
            given = {"document": s.document("widget", name, **fields)}
        return verb, s.options(**given)

    def used(what):
        numbers = s.call("Get", "ss", STORE + ".Admin", "Statistics",
                         interface=dbus.PROPERTIES_IFACE)
        return int(numbers[f"namespace_{what}.{s.namespace}"])

    def write(i, store):
        try:
            for n in range(10):
                store.create("widget", f"w-{i}-{n}")
        except Refused as e:
            assert e.name == "LimitExceeded", e.name

    # However many write at once: as many as may be, and not one more.
    quota(objects=25)
    together(8, write)(s.namespace)
    assert s.count() == used("objects") == 25
    assert "25 of 25 objects" in str(refused("LimitExceeded", s.create, "gadget", "other"))
    before = s.revision()
    names = s.names()
    refused("LimitExceeded", s.transaction, operation("delete", names[0]),
            operation("create", "x"), operation("create", "y"))
    assert s.revision() == before and s.names() == names
    s.transaction(operation("create", "x"), operation("delete", names[0]))
    s.apply("widget", "x", x=1)

    # Bytes: a version that is larger, also one that comes back.
    large = s.revision()
    s.apply("widget", "x")
    quota(size=used("bytes") + 4)
    refused("LimitExceeded", s.apply, "widget", "x", x="12345")
    refused("LimitExceeded", s.call, "Rollback", "sssta{sv}", "widget", s.namespace, "x",
            dbus.UInt64(large), s.options())
    s.delete("widget", names[1])
    s.apply("widget", "x", x="12345")

    # Lowered below what stands: it stays, and only less goes.
    quota(objects=1, size=10)
    assert s.count() == used("objects") == 24
    refused("LimitExceeded", s.create, "widget", "more")
    s.apply("widget", "x")
    for name in s.names():
        s.delete("widget", name)
    assert used("objects") == used("bytes") == 0

    # One object, and one key, have bounds of their own.
    quota()
    refused("TooLarge", s.create, "widget", "large", x="x" * (1 << 20))
    refused("TooLarge", s.call, "Set", "sayaya{sv}", s.namespace, b"k" * 1025, b"", s.options(),
            interface=STORE + ".KeyValue")


def main():
    wanted = sys.argv[1:]
    for f in SCENARIOS:
        name = f.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        store = Store("c-" + name[:50])
        store.call("Apply", "sa{sv}", json.dumps({"kind": "namespace", "name": store.namespace}),
                   store.options())
        try:
            f(store)
        except (AssertionError, Refused):
            traceback.print_exc()
            print(f"not ok {name}")
            sys.exit(1)
        print(f"ok {name}")


if __name__ == "__main__":
    main()
