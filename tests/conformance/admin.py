# SPDX-License-Identifier: Apache-2.0
"""The database as a whole: copies of it while it is used, text out of it and back, and damage."""

import contextlib
import glob
import os
import random
import shutil
import socket
import threading

import dbus

from client import ADMIN, on_disk, refused, scenario, Store, together
from daemon import Daemon


def over_socket(s, method, transfer, **options):
    """One end goes to the store; transfer(file) works at the other one meanwhile."""
    ours, theirs = socket.socketpair()
    file = ours.makefile("rwb")

    def run():
        try:
            transfer(file)
        except BrokenPipeError:
            pass  # it was enough for an error
        finally:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        return s.call(method, "ha{sv}", dbus.types.UnixFd(theirs.fileno()), s.options(**options),
                      interface=ADMIN)
    finally:
        theirs.close()
        thread.join()
        with contextlib.suppress(OSError):
            file.close()
        ours.close()


def to_file(s, method, path, **options):
    with open(path, "wb") as out:
        return over_socket(s, method, lambda f: shutil.copyfileobj(f, out), **options)


def from_file(s, path, **options):
    def write(f):
        with open(path, "rb") as lines:
            shutil.copyfileobj(lines, f)
        f.flush()
    return tuple(int(n) for n in over_socket(s, "Import", write, **options))


def rows(path):
    """Of a backup: what is behind its head of three lines."""
    with open(path, "rb") as f:
        return f.read().split(b"\n", 3)[3]


@scenario
def a4_the_backend_is_what_was_asked_for(s):
    assert s.property("Backend") == {"disk": "rocksdb", "memory": "memory"}[s.daemon.backend]


@scenario
def x23_a_backup_while_others_write(s):
    """What is restored is the store as it was at the revision that the backup tells."""
    for i in range(50):
        s.apply("widget", f"w-{i}", x=i)
    backup, over, told = s.daemon.path("x23.backup"), threading.Event(), []

    def write(i, store):
        if i == 0:
            told.append(int(to_file(store, "Backup", backup)[0]))
            over.set()
            return
        n = 0
        while not over.is_set() or n < 30:
            store.apply("widget", f"w-{(n * 7 + i) % 60}", x=1000 + n)
            store.kv_set(b"k-%d" % (n % 9), b"%d" % n)
            n += 1

    together(s, 4, write)
    revision = told[0]
    stood, _ = s.query(revision=revision)
    histories = {name: [(int(e[0]), str(e[1]), str(e[2])) for e in s.history("widget", name)
                        if e[0] <= revision] for name in s.names(revision=revision)}
    with Daemon("disk") as d:
        status, said = d.run("--restore", backup)
        assert status == 0, said
        d.start()
        other = Store(d, s.namespace)
        assert other.revision() == revision
        assert other.property("DatabaseId") != s.property("DatabaseId")
        assert other.query()[0] == stood
        assert {name: [(int(e[0]), str(e[1]), str(e[2])) for e in other.history("widget", name)]
                for name in histories} == histories
        to_file(other, "Backup", d.path("again"))
        assert rows(d.path("again")) == rows(backup)
        problems, _ = other.call("Verify", "a{sv}", other.options(), interface=ADMIN)
        assert not problems, problems
        other.close()
        status, said = d.run("--restore", backup, "--data-dir", os.path.join(d.state, "store"))
        assert status == 1, said  # what stands there is left alone
    os.unlink(backup)


@scenario
def x23_text_out_and_back(s):
    for i in range(20):
        s.apply("widget", f"w-{i}", x=i, labels={"a": "b"}, text="\u00e4\n")
    stood, lines = s.list("widget"), s.daemon.path("x23.lines")
    assert int(to_file(s, "Export", lines, namespace=s.namespace)[0]) == 21
    assert from_file(s, lines) == (0, 0, 21)
    s.call("Delete", "sssa{sv}", "namespace", "", s.namespace, s.options(cascade=True))
    before = s.revision()
    assert from_file(s, lines, dry_run=True) == (21, 0, 0) and s.revision() == before
    assert from_file(s, lines) == (21, 0, 0)
    back = s.list("widget")
    for d in stood + back:
        del d["meta"]
    assert back == stood
    # One bad line, and nothing is done.
    with open(lines, "a", encoding="utf-8") as f:
        f.write('{"kind":"widget"}\n')
    s.delete("widget", "w-3")
    before = s.revision()
    assert "line 22" in str(refused("InvalidArgument", from_file, s, lines))
    assert s.revision() == before
    os.unlink(lines)


@on_disk("there is no file with a byte to flip")
def x23_a_flipped_byte_is_found(_):
    dice = random.Random(23)
    with Daemon("disk") as d:
        d.start()
        s = Store(d, "default")
        for i in range(100):
            s.apply("widget", f"w-{i}", x=i, text=dice.randbytes(200).hex())
        to_file(s, "Backup", d.path("good"))
        s.close()
        for _ in range(2):  # the log becomes a table
            d.end()
            d.start()
        d.end()
        assert d.run("--verify")[0] == 0
        tables = glob.glob(os.path.join(d.state, "store", "**", "*.sst"), recursive=True)
        assert tables
        for path in (max(tables, key=os.path.getsize), d.path("good")):
            with open(path, "r+b") as f:
                at = os.path.getsize(path) // 3
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 0x10]))
        status, said = d.run("--verify")
        assert status == 1 and "nothing is wrong" not in said, (status, said)
        status, said = d.run("--restore", d.path("good"), "--data-dir", d.path("other"))
        assert status == 1 and "damaged" in said, (status, said)
