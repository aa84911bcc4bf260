# SPDX-License-Identifier: Apache-2.0
"""Changes: watched, caught up with, taken up again behind a restart; never with a gap."""

from client import boot_usec, in_time, on_disk, refused, scenario, stands, together, Watcher


def short(events):
    return [(operation, name) for _, operation, _, name, _ in events]


@scenario
def d1_created_updated_deleted(s):
    w = Watcher(s, type="service", namespace=s.namespace)

    def longest():
        """Of the times from the beginning of a write to its event."""
        w.events, took = [], []
        s.apply("gadget", "other", x=boot_usec())
        for write, fields in ((s.create, {"image": "a"}), (s.update, {"image": "b"}),
                              (s.delete, {})):
            begun = boot_usec()
            write("service", "watched-service", **fields)
            w.until(len(took) + 1)
            took.append(boot_usec() - begun)
        assert [e[1:4] for e in w.events] == [
            (operation, "service", "watched-service")
            for operation in ("created", "updated", "deleted")], w.events
        return max(took)
    in_time(longest, 1_000_000)
    w.close()


@scenario
def d2_with_the_document_of_any_type(s):
    parts = {"id": "test-scaling-op", "current": 1, "target": 5, "step": 2, "interval": 1,
             "mode": "gradual"}
    w = Watcher(s, type="scaling_operation", namespace=s.namespace)
    s.create("scaling_operation", "up", phase="in_progress", **parts)
    s.update("scaling_operation", "up", phase="completed", **parts)
    s.delete("scaling_operation", "up")
    w.until(3)
    for event, phase in zip(w.events, ("in_progress", "completed", "completed")):
        stands(event[4], phase=phase, **parts)
    w.close()


@scenario
def x15_who_does_not_read_misses_nothing(s):
    """Ten thousand changes while a follower's signals lie unread: each is told, in order."""
    w = Watcher(s, type="widget", namespace=s.namespace)
    wanted = []
    for i in range(10):
        documents = [s.document("widget", f"w-{n}", x=i) for n in range(1000)]
        revision, _ = s.transaction(*[("apply", {"document": d}) for d in documents])
        wanted += [(int(revision), f"w-{n}") for n in range(1000)]
    w.until(10000)
    assert [(e[0], e[3]) for e in w.events] == wanted
    w.close()
    s.call("Delete", "sssa{sv}", "namespace", "", s.namespace, s.options(cascade=True))
    s.make_namespace()


@scenario
def x16_what_stands_and_then_what_follows(s):
    """While others write: what the list shows and the changes behind its revision are all there
    is, once each."""
    for i in range(20):
        s.apply("widget", f"w-{i}", x=0)

    seen = []

    def write_or_read(i, store):
        if i < 3:
            for x in range(1, 41):
                store.apply("widget", f"w-{(x * 7 + i) % 23}", x=x * 10 + i)
                if x % 10 == 0:
                    store.delete("widget", f"w-{(x + i) % 23}")
            return
        for _ in range(5):  # of pages, with a revision of their own
            listed, revision = store.query(limit=3)
            seen.append((dict(listed), revision))

    together(s, 4, write_or_read)
    final = dict(s.query()[0])
    for stood, revision in seen:
        w = Watcher(s, since=revision, type="widget", namespace=s.namespace)
        w.read()
        last = revision
        for at, operation, _, name, document in w.events:
            path = f"{s.namespace}/{name}"
            assert at > revision and at >= last
            assert (operation == "created") == (path not in stood), (at, operation, name)
            last = at
            if operation == "deleted":
                assert stood.pop(path) == document["x"]
            else:
                stood[path] = document["x"]
        assert stood == final
        w.close()


@on_disk("the store is killed and started anew")
def x16_from_where_it_was(s):
    w = Watcher(s, type="widget", namespace=s.namespace)
    s.apply("widget", "a", x=1)
    w.until(1)
    # The signal of this one is heard and not followed: what is read is asked of the new store, when
    # that has said something itself.
    w.hear(s.apply("widget", "b", x=1)[2])
    s.daemon.restart()
    w.hear(s.apply("widget", "c", x=1)[2])
    w.until(3)
    assert short(w.events) == [("created", n) for n in "abc"], w.events
    w.close()


@scenario
def x16_what_is_given_up_is_told(s):
    since = s.revision()
    s.apply("widget", "a", x=1)
    s.apply("widget", "a", x=2)
    s.call("Compact", "a{sv}", s.options(), interface="org.tankd.Store1.Admin")
    w = Watcher(s, since=since)
    refused("Compacted", w.read)
    w.since = s.revision()
    w.read()
    w.since = w.since + 1000
    refused("FailedPrecondition", w.read)
    w.since, w.database = s.revision(), "0" * 32
    refused("FailedPrecondition", w.read)
    w.close()


@scenario
def x17_what_ceases_to_match_is_deleted(s):
    def color(name, value, **fields):
        s.apply("widget", name, labels={"color": value}, **fields)
    color("a", "blue")
    color("b", "red")
    w = Watcher(s, type="widget", namespace=s.namespace, labels="color in (blue,green)")
    p = Watcher(s, namespace=s.namespace, prefix="b")
    color("a", "green", x=1)   # matches still
    color("a", "red", x=2)     # does not any more
    color("a", "red", x=3)
    color("b", "blue", x=4)    # begins to
    s.delete("widget", "a")
    s.delete("widget", "b")
    w.until(4)
    assert short(w.events) == [("updated", "a"), ("deleted", "a"), ("created", "b"),
                               ("deleted", "b")], w.events
    # The last one that did.
    assert w.events[1][4]["x"] == 1 and w.events[1][4]["labels"] == {"color": "green"}
    assert short(p.until(2)) == [("updated", "b"), ("deleted", "b")]
    w.close()
    p.close()


@scenario
def x18_events_are_in_the_order_of_revisions(s):
    w = Watcher(s, type="widget", namespace=s.namespace)
    told = [[], []]

    def write(i, store):
        for x in range(500):
            told[i].append((int(store.apply("widget", f"w-{i}-{x % 50}", x=x)[2]), x))

    together(s, 2, write)
    w.until(1000)
    assert [e[0] for e in w.events] == sorted({e[0] for e in w.events})
    assert [(e[0], e[4]["x"]) for e in w.events] == sorted(told[0] + told[1])
    w.close()


@on_disk("the store is killed and started anew")
def x19_what_was_acknowledged_is_there(s):
    for i in range(5):
        _, _, revision, _ = s.apply("widget", "a", x=i)
        key = s.kv_set(b"k", b"%d" % i)
        s.daemon.restart()
        found = s.get("widget", "a")
        assert (found["x"], found["meta"]["revision"]) == (i, revision), (i, found)
        assert s.kv_get(b"k") == b"%d" % i and s.revision() >= key
