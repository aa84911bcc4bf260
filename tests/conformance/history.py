# SPDX-License-Identifier: Apache-2.0
"""What an object was: versions, incarnations, going back, and what is not kept."""

import re

from client import ADMIN, on_disk, real_usec, refused, Refused, scenario, stands, until

FOREVER = 2 ** 64 - 1  # for both: no rule of its own


@scenario
def b1_the_newest_first(s):
    versions = [("1.0.0", "app:v1"), ("2.0.0", "app:v2"), ("3.0.0", "app:v3")]
    for version, image in versions:
        s.apply("service", "versioned-service", version=version, image=image)
    listed = s.history("service", "versioned-service")
    assert [str(e[1]) for e in listed] == ["updated", "updated", "created"]
    for entry, (version, image) in zip(listed, reversed(versions)):
        stands(s.version("service", "versioned-service", entry[0]), version=version, image=image)


@scenario
def b2_each_version_by_its_id(s):
    revisions = [int(s.apply("service", "a", x=x, parts=[{"x": x}])[2]) for x in range(5)]
    for x, revision in enumerate(revisions):
        found = s.version("service", "a", revision)
        stands(found, kind="service", name="a", x=x, parts=[{"x": x}])
        assert found["meta"]["revision"] == revision
    refused("NotFound", s.version, "service", "a", s.revision() + 1000)
    refused("NotFound", s.version, "service", "b", revisions[0])


@scenario
def h1_generation_and_times(s):
    before = real_usec()
    uid, generation, revision, _ = s.apply("service", "web", image="a", scale=1)
    meta = s.get("service", "web")["meta"]
    assert (meta["uid"], meta["generation"], meta["revision"]) == (uid, 1, revision) and \
        generation == 1 and meta["created"] == meta["updated"], meta
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", meta["created"]), meta
    assert s.apply("service", "web", image="a", scale=3)[1] == 2
    after = s.get("service", "web")["meta"]
    assert after["created"] == meta["created"] and after["updated"] > meta["updated"], after
    s.apply("service", "db", image="a")
    assert s.names("service") == ["db", "web"]
    (_, _, _, _, when, who), *_ = s.history("service", "web")
    assert before <= when <= real_usec() and who == 0, (when, who)


@scenario
def h2_by_id_and_by_fields(s):
    for name, service, phase in (("i-1", "web", "Running"), ("i-2", "web", "Failed"),
                                 ("i-3", "db", "Running")):
        s.apply("instance", name, serviceId=service, phase=phase, restarts=0)
    uid = s.get("instance", "i-1")["meta"]["uid"]
    assert s.resolve(f"tank://instance/{s.namespace}/id/{uid}")[2] == "i-1"
    assert s.count("instance", fields="serviceId=web") == 2
    assert s.names("instance", fields="phase=Running") == ["i-1", "i-3"]
    s.update("instance", "i-1", serviceId="web", phase="Running", restarts=1, ip="10.0.0.2")
    stands(s.get("instance", "i-1"), restarts=1, ip="10.0.0.2")
    assert s.names("instance", fields="ip=10.0.0.2") == ["i-1"]


@scenario
def h3_any_type(s):
    s.create("policy", "dev", description="a", rules=[{"verbs": ["get"]}])
    s.update("policy", "dev", description="b", rules=[])
    stands(s.get("policy", "dev"), description="b", rules=[])
    assert len(s.list("policy")) == 1 and s.delete("policy", "dev")[0]
    assert s.list("policy") == []


@scenario
def x9_incarnations_and_going_back(s):
    first, _, one, _ = s.apply("widget", "a", x=1)
    _, _, two, _ = s.apply("widget", "a", x=2)
    _, gone = s.delete("widget", "a")
    before = s.revision()
    # Undeleted: another incarnation, and a version of it.
    second, generation, back, changed = s.rollback("widget", "a", one)
    assert changed == "created" and second != first and back == before + 1 and generation == 1
    stands(s.get("widget", "a"), x=1)
    assert s.rollback("widget", "a", one)[3] == "unchanged"
    _, _, again, changed = s.rollback("widget", "a", two, if_revision=back)
    assert changed == "updated" and again == back + 1
    refused("Conflict", s.rollback, "widget", "a", one, if_revision=back)
    refused("FailedPrecondition", s.rollback, "widget", "a", gone)
    listed = s.history("widget", "a")
    assert [(int(r), str(op), str(uid)) for r, op, uid, *_ in listed] == [
        (again, "updated", second), (back, "created", second), (gone, "deleted", first),
        (two, "updated", first), (one, "created", first)], listed
    assert all(e[4] > 0 for e in listed)  # the end has a time, too
    refused("NotFound", s.version, "widget", "a", gone)


@scenario
def x10_what_changed_from_one_version_to_another(s):
    full = {"containers": [{"name": "main", "image": "a:1"}, {"name": "side", "image": "b"}],
            "labels": {"app": "web"}, "deep": {"a": {"b": [1, 2, 3]}}, "gone": True}
    _, _, one, _ = s.apply("widget", "a", **full)
    _, _, two, _ = s.apply("widget", "a", containers=[{"name": "main", "image": "a:2"}, {
        "name": "side", "image": "b"}], labels={"app": "web", "tier": "db"},
        deep={"a": {"b": [1, 5, 3]}}, new="text")
    stands(s.version("widget", "a", one), **full)
    told = s.daemon.ctl("history", "widget", "a", "-n", s.namespace, "--diff", str(one), str(two))
    for path in ("containers[main].image", "labels.tier", "deep.a.b[1]", "gone", "new"):
        assert path in told, told
    for path in ("side", "containers[main].name", "labels.app", "deep.a.b[0]", "meta"):
        assert path not in told, told


# ---- what is kept ----

def keep(s, kind, versions=FOREVER, age=FOREVER):
    s.call("SetRetention", "stt", kind, versions, age, interface=ADMIN)


def compact(s):
    s.call("Compact", "a{sv}", s.options(), interface=ADMIN)


@scenario
def x8_so_many_versions_are_kept(s):
    keep(s, "kept", versions=3, age=0)
    for x in range(20):
        s.apply("kept", "a", x=x)
        s.apply("others", "a", x=x)
    compact(s)
    until(lambda: len(s.history("kept", "a")) == 3, "three versions")
    assert [s.version("kept", "a", e[0])["x"] for e in s.history("kept", "a")] == [19, 18, 17]
    assert len(s.history("others", "a")) == 20
    keep(s, "kept")


@scenario
def x8_versions_are_kept_so_long(s):
    keep(s, "aged", versions=0, age=1_000_000)
    s.apply("aged", "gone", x=1)
    s.delete("aged", "gone")
    s.apply("aged", "stays", x=1)
    s.apply("aged", "stays", x=2)

    def over():
        compact(s)
        try:
            s.history("aged", "gone")
            return False
        except Refused as e:
            assert e.name == "NotFound", e
            return len(s.history("aged", "stays")) == 1
    until(over, "the end of what was replaced")
    stands(s.get("aged", "stays"), x=2)  # however old it is
    keep(s, "aged")


@on_disk("the store is restarted")
def x8_what_is_given_up_stays_so(s):
    keep(s, "kept", versions=2, age=0)
    for x in range(9):
        s.apply("kept", "a", x=x)
    compact(s)
    s.daemon.restart()
    assert [s.version("kept", "a", e[0])["x"] for e in s.history("kept", "a")] == [8, 7]
    rules = s.call("GetRetention", "", interface=ADMIN)
    assert ("kept", 2, 0) in [(str(k), int(v), int(a)) for k, v, a in rules], rules
    keep(s, "kept")
