# SPDX-License-Identifier: Apache-2.0
"""References and names: which object is meant, and what can be called how."""

import json
import urllib.parse

from client import refused, scenario, stands


@scenario
def e1_every_form(s):
    for written, meant in (
            ("rune://secret/default/db-credentials", ("secret", "default", "db-credentials", "")),
            ("rune://configmap/default/app-config/value",
             ("config", "default", "app-config", "value")),
            ("secret:db-credentials.default.rune", ("secret", "default", "db-credentials", "")),
            ("configmap:app.default.rune/value", ("config", "default", "app", "value")),
            ("tank://config/prod/app/a%2Fb", ("config", "prod", "app", "a/b")),
            ("secret:db-credentials", ("secret", "default", "db-credentials", "")),
            ("secret:db-credentials/username",
             ("secret", "default", "db-credentials", "username")),
            ("secret:db.prod.tank/p/q", ("secret", "prod", "db", "p/q"))):
        assert s.resolve(written) == meant, (written, s.resolve(written))
    assert s.resolve("secret:db", s.namespace) == ("secret", s.namespace, "db", "")


@scenario
def e2_what_is_none(s):
    for written in ("rune:///missing", ":no-type", "secret:", "rune://type/ns/id/", "", "db", "/x",
                    "secret:/k", "rune://secret/default"):
        assert "character" in str(refused("InvalidArgument", s.resolve, written)), written


@scenario
def e3_what_it_names_is_created(s):
    kind, _, name, _ = s.resolve("service:test-service", s.namespace)
    s.create(kind, name, scale=1)
    stands(s.get("service", "test-service"), name="test-service", namespace=s.namespace)
    s.create("instance", "i-1")
    uid = s.get("instance", "i-1")["meta"]["uid"]
    assert s.resolve(f"rune://instance/{s.namespace}/id/{uid}") == (
        "instance", s.namespace, "i-1", "")


@scenario
def f1_names(s):
    legal = ["valid-name-123", "n", "invalid--name", "0", "a" * 63]  # two dashes are legal here
    for name in legal:
        s.create("widget", name)
    assert sorted(s.names()) == sorted(legal)
    for name in ("", "a" * 64, "a" * 68, "-invalid", "invalid-", "Invalid", "invalid@name", "a.b",
                 "a_b", "ä", "a b", "a/b", "100%", "*"):
        refused("InvalidArgument", s.create, "widget", name)
        refused("InvalidArgument", s.get, "widget", name)
        refused("InvalidArgument", s.delete, "widget", name)


@scenario
def x3_names_and_keys_come_back_as_they_were(s):
    """What is no name is refused everywhere; a key is any text, and read back as it was."""
    for name in ("a/b", "a%2Fb", "a b", "ä", "a\tb", "a" * 64):
        refused("InvalidArgument", s.apply, "widget", name)
        refused("InvalidArgument", s.apply, name, "a")
        refused("InvalidArgument", s.another(name).apply, "widget", "a")
        refused("InvalidArgument", s.history, "widget", name)
    for key in ("a/b", "100%", "%2F", "a b", "ä", "k", "k" * 200, "//", "?x=1#f", "id", ".."):
        reference = f"tank://secret/{s.namespace}/n/" + urllib.parse.quote(key, safe="")
        assert s.resolve(reference) == ("secret", s.namespace, "n", key), key
    before = s.revision()
    keys = [b"a/b", b"100%", b"a b", "ä".encode(), b"k", b"k" * 1024, b"\0", b"\xff\xfe", b"/"]
    for key in keys:
        s.kv_set(key, b"v" + key[:9])
        assert s.kv_get(key) == b"v" + key[:9]
    listed, *_ = s.kv("List", "a{sv}")
    assert [bytes(e[0]) for e in listed] == sorted(keys)
    assert [(c[2], c[4]) for c in s.kv_changes(before)] == [(k, b"v" + k[:9]) for k in keys]
    for key, name in ((b"", "InvalidArgument"), (b"k" * 1025, "TooLarge")):
        refused(name, s.kv_set, key, b"")


@scenario
def x4_references_by_id(s):
    s.create("service", "a", x=1)
    uid = s.get("service", "a")["meta"]["uid"]
    base = f"rune://service/{s.namespace}"
    kind, namespace, name, key = s.resolve(f"{base}/id/{uid}/logs")
    assert key == "logs"
    stands(json.loads(s.call("Get", "sss", kind, namespace, name)), x=1)
    refused("NotFound", s.resolve, f"{base}/id/{'0' * 32}")
    s.delete("service", "a")
    refused("NotFound", s.resolve, f"{base}/id/{uid}")
    for written in (base + "/n?x=1", base + "/n#f", "rune://u@service/default/n",
                    "rune://service:80/default/n", base + "/n/k/more", base + "/",
                    "rune://service//n", base + "/../x"):
        refused("InvalidArgument", s.resolve, written)


# ---- what a document may hold ----

@scenario
def j4_unknown_fields_of_known_types(s):
    containers = [{"name": "main", "image": {"rootfs": "/"}}]
    document = json.loads(s.document("pod", "p", containers=containers))
    e = refused("InvalidArgument", s.call, "Create", "sa{sv}",
                json.dumps({**document, "badField": 1}), s.options())
    assert "badField" in str(e), e
    # Of a type that nobody knows all fields are its own.
    s.create("thing", "p", badField=1, engine="vault", rotation="30d")
    stands(s.get("thing", "p"), badField=1, engine="vault", rotation="30d")


@scenario
def j9_nothing_is_made_up_and_nothing_lost(s):
    fields = {"scale": 0, "none": {}, "list": [], "text": "", "no": False,
              "ports": [{"name": "http", "port": 80}], "deep": {"a": {"b": [{"c": 1}]}},
              "large": 2 ** 53 + 1, "negative": -1, "labels": {"a.b/c": "d"}}
    s.create("service", "full", **fields)
    found = s.get("service", "full")
    del found["meta"]
    assert found == {"kind": "service", "name": "full", "namespace": s.namespace, **fields}


@scenario
def j10_placeholders_are_text(s):
    texts = ["{{configmap:app-settings/log-level}}", "prefix-{{secret:a/b}}-suffix",
             "{{secret:a/user}}:{{secret:a/password}}", "{{unclosed", "$HOME ${HOME} $$", "%s\\n",
             "my-namespace.config-name/key"]
    s.create("service", "a", env={f"v{i}": text for i, text in enumerate(texts)})
    assert list(s.get("service", "a")["env"].values()) == texts
