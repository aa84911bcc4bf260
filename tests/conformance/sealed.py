# SPDX-License-Identifier: Apache-2.0
"""Secrets and configs: values that come back byte by byte, and stand in the clear nowhere."""

import base64
import contextlib
import json
import os
import random
import shutil
import signal
import threading

from client import ADMIN, on_disk, refused, scenario, SECRETS, stands, Store, together, Watcher
from daemon import Daemon

NO_FILES = "there is no key file, and no database"


@contextlib.contextmanager
def private(started=True):
    """A daemon of the scenario's own, on disk."""
    with Daemon("disk") as d:
        if started:
            d.start()
        s = Store(d, "default")
        try:
            yield d, s
        finally:
            s.close()


def key_file(d):
    return os.path.join(d.state, "store", "secrets.key")


# ---- what is kept, and shown ----

@scenario
def i1_create_get_list_update_delete(s):
    inner = s.another(s.namespace + "-prod")
    changed = inner.set_secret("db-credentials", {"password": b"one"}, create_namespace=True)[3]
    assert changed == "created"
    stands(inner.get("secret", "db-credentials"), data={"password": {"redacted": True}})
    assert len(inner.list("secret")) == 1
    assert inner.set_secret("db-credentials", {"password": b"two"})[3] == "updated"
    assert inner.reveal("db-credentials") == {"password": b"two"}
    inner.delete("secret", "db-credentials")
    refused("NotFound", inner.reveal, "db-credentials")


@scenario
def i2_a_namespace_that_is_not_there(s):
    nowhere = s.another(s.namespace + "-nowhere")
    e = refused("NotFound", nowhere.set_secret, "a", {"k": b"v"})
    assert nowhere.namespace in str(e), e


@scenario
def i3_configs_are_objects_like_any(s):
    inner = s.another(s.namespace + "-prod")
    inner.create("config", "app-config", {"create_namespace": True}, data={"logLevel": "info"})
    inner.update("config", "app-config", data={"logLevel": "debug"})
    stands(inner.get("config", "app-config"), data={"logLevel": "debug"})
    assert len(inner.list("config")) == 1
    inner.delete("config", "app-config")


@scenario
def i4_nor_one_for_configs(s):
    nowhere = s.another(s.namespace + "-nowhere")
    e = refused("NotFound", nowhere.create, "config", "app-config", data={"a": "b"})
    assert nowhere.namespace in str(e), e


@scenario
def i5_setting_what_is_there(s):
    _, generation, revision, _ = s.set_secret("a", {"k": b"v"})
    assert tuple(s.set_secret("a", {"k": b"v"}))[1:] == (generation, revision, "unchanged")
    assert s.revision() == revision
    assert s.set_secret("a", {"k": b"w"})[3] == "updated"
    assert len(s.history("secret", "a")) == 2
    s.apply("config", "a", data={"k": "v"})
    assert s.apply("config", "a", data={"k": "v"})[3] == "unchanged"


@scenario
def x27_values_are_bytes(s):
    dice = random.Random(27)
    data = {"password": b"password", "binary": dice.randbytes(100_000), "empty": b"", "nul": b"\0",
            "lines": b"a\n\n", "like-base64": base64.b64encode(b"password")}
    s.set_secret("b", data)
    assert s.reveal("b") == data
    s.apply("secret", "y", data={"plain": "password",
                                 "said-so": {"base64": base64.b64encode(b"\xff").decode()}})
    assert s.reveal("y") == {"plain": b"password", "said-so": b"\xff"}
    large = {"a": dice.randbytes(2 ** 20)}
    s.set_secret("large", large)
    assert s.reveal("large") == large
    refused("TooLarge", s.set_secret, "large", {"a": b"v", "b": bytes(2 ** 20)})
    refused("InvalidArgument", s.set_secret, "b", {"a b": b""})


@scenario
def x28_nothing_is_expanded(s):
    data = {"a": b"pa$$word${HOME}", "b": b"{{secret:x/y}} %s \\n `id` $(id)"}
    s.set_secret("a", data)
    s.apply("secret", "y", data={k: v.decode() for k, v in data.items()})
    assert s.reveal("a") == data == s.reveal("y")


@scenario
def x30_what_is_no_value_is_kept(s):
    s.apply("secret", "a", type="login", labels={"app": "web"}, annotations={"rotation": "30d"},
            data={"k": "v"})
    uid = s.get("secret", "a")["meta"]["uid"]
    s.set_secret("a", {"k": b"w"})
    found = s.get("secret", "a")
    stands(found, type="login", labels={"app": "web"}, annotations={"rotation": "30d"})
    assert found["meta"]["uid"] == uid and found["meta"]["generation"] == 2
    # What is shown can be brought back, and changes nothing.
    del found["meta"]
    assert s.call("Apply", "sa{sv}", json.dumps(found), s.options())[3] == "unchanged"
    # As another secret its values are not there to be kept.
    refused("InvalidArgument", s.call, "Apply", "sa{sv}", json.dumps({**found, "name": "b"}),
            s.options())
    assert s.names("secret") == ["a"]


# ---- where no value stands ----

def nowhere(d, word):
    found = d.files_with(word)
    assert not found, found


@on_disk("there are no files")
def x26_values_stand_in_no_file(s):
    d, value = s.daemon, b"hunter2-%d-never-in-clear" % random.randrange(2 ** 64)
    name = f"found-{random.randrange(2 ** 32)}"  # so that looking for something finds it
    w = Watcher(s, namespace=s.namespace)
    _, _, first, _ = s.set_secret(name, {"password": value}, labels={"app": name})
    s.set_secret(name, {"password": value, "more": 2 * value})
    s.rollback("secret", name, first)
    s.delete("secret", name)
    s.rollback("secret", name, first)
    assert s.reveal(name) == {"password": value}
    w.until(5)
    said = [json.dumps(e[4]) for e in w.events]
    said += [json.dumps(s.version("secret", name, first)), json.dumps(s.get("secret", name))]
    said += [str(refused("InvalidArgument", s.set_secret, name, {"password": value, "a b": b""}))]
    said += [str(s.call("GetMetrics", "", interface=ADMIN))]
    assert not [t for t in said if value.decode() in t]
    w.close()
    d.ctl("store", "backup", d.path("x26.backup"))
    d.ctl("store", "export", d.path("x26.lines"))
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGTERM):
        nowhere(d, value)
        kinds = {os.path.splitext(path)[1] for path in d.files_with(name.encode())}
        assert {".backup", ".lines"} < kinds and kinds & {".log", ".sst"}, kinds
        d.restart(how)
        assert s.reveal(name) == {"password": value}
    with open(f"/proc/{d.process.pid}/limits", encoding="utf-8") as f:
        assert [line.split()[4:6] for line in f if line.startswith("Max core")] == [["0", "0"]]
    with open(d.log, encoding="utf-8") as f:
        assert f"was shown the secret {s.namespace}/{name}" in f.read()
    os.unlink(d.path("x26.backup"))
    os.unlink(d.path("x26.lines"))


# ---- keys ----

def rotate(s):
    return s.call("RotateKey", "a{sv}", s.options(), interface=SECRETS)


@scenario
def x31_rotated_while_everything_goes_on(s):
    for i in range(50):
        s.set_secret(f"s-{i}", {"k": b"%d" % i})
    before, over = s.property("ActiveKey", SECRETS), threading.Event()

    def use(i, store):
        if i == 0:
            try:
                key, rewrapped, failed = rotate(store)
                assert key != before and rewrapped >= 50 and failed == 0, (rewrapped, failed)
            finally:
                over.set()
            return
        n = 0
        while not over.is_set() or n < 20:
            assert store.reveal(f"s-{n % 50}")["k"] == b"%d" % (n % 50)
            store.set_secret(f"new-{i}-{n % 10}", {"k": b"%d" % n})
            assert store.reveal(f"new-{i}-{n % 10}") == {"k": b"%d" % n}
            n += 1

    together(s, 4, use)
    assert [str(k) for k in s.property("Keys", SECRETS)] == [s.property("ActiveKey", SECRETS)]
    for i in range(50):
        assert s.reveal(f"s-{i}") == {"k": b"%d" % i}


@on_disk(NO_FILES)
def x31_under_a_lost_key(_):
    """Lost is that record, and nothing else; it can be replaced and deleted."""
    with private() as (d, s):
        for name in ("lost", "gone"):
            s.set_secret(name, {"k": b"v"}, labels={"a": "b"})
        shutil.copy(key_file(d), d.path("old"))
        rotate(s)
        assert os.stat(key_file(d)).st_mode & 0o777 == 0o600
        d.end()
        shutil.copy(d.path("old"), key_file(d))  # which opens nothing any more
        d.start()
        e = refused("AuthenticationFailed", s.reveal, "lost")
        assert "which is not here" in str(e), e
        assert s.names("secret") == ["gone", "lost"]
        stands(s.get("secret", "lost"), labels={"a": "b"})
        s.set_secret("other", {"k": b"w"})
        assert s.reveal("other") == {"k": b"w"}
        assert s.set_secret("lost", {"k": b"x"})[3] == "updated"
        assert s.reveal("lost") == {"k": b"x"}
        assert s.delete("secret", "gone")[0]


@on_disk(NO_FILES)
def x32_one_key_made_once_and_missed(_):
    with private() as (d, s):
        with open(key_file(d), "rb") as f:
            made = f.read()
        status = os.stat(key_file(d))
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, 0)
        assert len(base64.b64decode(made)) == 32
        s.set_secret("a", {"k": b"v"})
        d.restart()
        with open(key_file(d), "rb") as f:
            assert f.read() == made
        assert s.reveal("a") == {"k": b"v"}
        d.end()

        def does_not_start(part, *options):
            status, said = d.run(*options)
            assert status == 78 and part in said, (status, said)
        os.chmod(key_file(d), 0o640)
        does_not_start("has mode 0640")
        os.chmod(key_file(d), 0o600)
        os.chown(key_file(d), 65534, 0)
        does_not_start("is owned by uid 65534")
        os.rename(key_file(d), d.path("kept"))
        does_not_start("bring it back")
        assert not os.path.exists(key_file(d))
        os.symlink(d.path("kept"), key_file(d))
        does_not_start("is a symbolic link")
        os.unlink(key_file(d))
        does_not_start("must be an absolute path", "--key-file", "relative")
        for text in (b"not-base64!", base64.b64encode(bytes(16)), b"", base64.b64encode(bytes(64))):
            fd = os.open(key_file(d), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with open(fd, "wb") as f:
                f.write(text)
            status, said = d.run()
            assert status == 78 and "secrets.key" in said, said
        with open(key_file(d), "wb") as f:
            f.write(made)
        d.start()
        assert s.reveal("a") == {"k": b"v"}


@scenario
def also_tankctl_prints_a_value_as_it_is(s):
    s.set_secret("a", {"k": b"\0\xff\n"})
    out = s.daemon.ctl("secret", "get", "a", "k", "--reveal", "-n", s.namespace, text=False)
    assert out == b"\0\xff\n"
