# SPDX-License-Identifier: Apache-2.0
"""Objects: what is created, replaced and deleted, under which conditions, and in which namespace."""

import json

from client import boot_usec, refused, Refused, scenario, stands, together


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


@scenario
def x6_unconditional_writes_never_conflict(s):
    revisions = []
    s.apply("widget", "a", x=-1)
    before = s.revision()

    def write(i, store):
        revisions.append(int(store.apply("widget", "a", x=i)[2]))

    together(s, 20, write)
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

    together(s, 16, increment)
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
def also_namespaces_with_their_contents(s):
    inner = s.another(s.namespace + "-inner")
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
def x21_expired_requests_do_nothing(s):
    before = s.revision()
    now = boot_usec()
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

