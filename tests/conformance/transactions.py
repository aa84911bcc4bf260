# SPDX-License-Identifier: Apache-2.0
"""Transactions: all or nothing, under one revision."""

from client import refused, scenario, stands


@scenario
def c1_three_at_once(s):
    s.transaction(*[("create", {"document": s.document(
        "service", f"service-{i}", image=f"image-{i}:latest")}) for i in (1, 2, 3)])
    for i in (1, 2, 3):
        stands(s.get("service", f"service-{i}"), name=f"service-{i}", image=f"image-{i}:latest")


@scenario
def c2_one_that_fails_takes_all_with_it(s):
    s.create("service", "service-1")
    e = refused("AlreadyExists", s.transaction,
                ("create", {"document": s.document("service", "will-rollback")}),
                ("create", {"document": s.document("service", "service-1")}))
    assert e.detail == (1, s.get("service", "service-1")["meta"]["revision"]), e.detail
    refused("NotFound", s.get, "service", "will-rollback")


@scenario
def c3_types_together(s):
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

