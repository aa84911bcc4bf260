# SPDX-License-Identifier: Apache-2.0
"""Quotas: how many objects and bytes a namespace may hold."""

import json

import dbus

from client import ADMIN, refused, Refused, scenario, STORE, together


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
        return verb, given

    def used(what):
        return int(s.property("Statistics", ADMIN)[f"namespace_{what}.{s.namespace}"])

    def write(i, store):
        try:
            for n in range(10):
                store.create("widget", f"w-{i}-{n}")
        except Refused as e:
            assert e.name == "LimitExceeded", e.name

    # However many write at once: as many as may be, and not one more.
    quota(objects=25)
    together(s, 8, write)
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
