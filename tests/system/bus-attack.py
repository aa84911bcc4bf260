#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# A client of the bus that keeps to no rule, for the system tests: no library would send what this
# sends. Each verb prints what came back, one line a call, for the tests to judge.
#
#   bus-attack.py survey NAME…          every object and member of the services, by introspection:
#                                       NAME UNIQUE PATH INTERFACE KIND MEMBER SIGNATURE, tab-separated
#   bus-attack.py knock [WORD…] <SURVEY every member of a survey, with well-typed arguments (empty, or
#                                       WORDs for the first strings), by both names, and what every
#                                       object has: "ANSWER<tab>INTERFACE MEMBER<tab>NAME PATH<tab>TEXT"
#   bus-attack.py junk <SURVEY          every method of a survey with every kind of wrong argument
#   bus-attack.py call COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many calls, 64 at once: the answers counted by kind
#   bus-attack.py deaf COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many calls, no answer is ever read; waits to be killed
#   bus-attack.py gone COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many connections, each of which leaves after its call
#   bus-attack.py squat NAME…           takes the names, says so, and keeps them until it is killed

import array
import collections
import os
import socket
import struct
import sys
import xml.etree.ElementTree

MEBI = 1024 * 1024
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"


def pad(data, n):
    return data + b"\0" * (-len(data) % n)


def string(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def variants(depth):
    """A string, wrapped in so many variants."""
    body = b""
    for _ in range(depth):
        body += b"\1v\0"
    body += b"\1s\0"
    return pad(body, 4) + string("deep")


class Bus:
    def __init__(self):
        address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS
        path = address.split("unix:path=")[1].split(",")[0]
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        uid = str(os.geteuid()).encode().hex()
        self.socket.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\n")
        self.line()
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self.line()
        self.socket.sendall(b"BEGIN\r\n")
        self.serial = 0
        self.buffer = b""
        self.send("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        self.answer(self.serial)

    def line(self):
        data = b""
        while not data.endswith(b"\r\n"):
            data += self.socket.recv(1)
        return data

    def encode(self, destination, path, interface, member, signature="", body=b"", fds=()):
        self.serial += 1
        fields = [(1, b"o", string(path)), (3, b"s", string(member)),
                  (6, b"s", string(destination))]
        if interface:
            fields.append((2, b"s", string(interface)))
        if signature:
            raw = signature.encode()
            fields.append((8, b"g", bytes([len(raw)]) + raw + b"\0"))
        if fds:
            fields.append((9, b"u", struct.pack("<I", len(fds))))
        encoded = b""
        for code, kind, value in fields:
            encoded = pad(encoded, 8) + bytes([code, 1]) + kind + b"\0" + value
        message = struct.pack("<BBBBIII", ord("l"), 1, 0, 1, len(body), self.serial, len(encoded))
        return pad(message + encoded, 8) + body

    def send(self, destination, path, interface, member, signature="", body=b"", fds=()):
        message = self.encode(destination, path, interface, member, signature, body, fds)
        if fds:
            self.socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                             array.array("i", fds))])
        else:
            self.socket.sendall(message)
        return self.serial

    def receive(self):
        """(type, reply serial, error name, first string of the body when there is one)"""
        while True:
            if len(self.buffer) >= 16:
                kind, body, fields = self.buffer[1], *struct.unpack_from("<I4xI", self.buffer, 4)
                size = 16 + fields + (-fields % 8) + body
                if len(self.buffer) >= size:
                    message, self.buffer = self.buffer[:size], self.buffer[size:]
                    return self.parse(message, kind, fields)
            self.fill()

    def fill(self):
        data, ancillary, _, _ = self.socket.recvmsg(MEBI, socket.CMSG_SPACE(4 * 256))
        for level, what, value in ancillary:
            if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                for fd in array.array("i", value[:len(value) - len(value) % 4]):
                    os.close(fd)
        if not data:
            raise ConnectionError("disconnected")
        self.buffer += data

    @staticmethod
    def parse(message, kind, fields):
        at, serial, error, signature, text = 16, 0, "", "", ""
        while at < 16 + fields:
            at += -at % 8
            code, kind_of = message[at], message[at + 2:at + 3]
            at += 4
            if kind_of == b"u":
                value, at = struct.unpack_from("<I", message, at)[0], at + 4
            elif kind_of == b"g":
                value, at = message[at + 1:at + 1 + message[at]].decode(), at + message[at] + 2
            else:
                n = struct.unpack_from("<I", message, at)[0]
                value, at = message[at + 4:at + 4 + n].decode(), at + 5 + n
            if code == 5:
                serial = value
            elif code == 4:
                error = value
            elif code == 8:
                signature = value
        if signature.startswith("s"):
            at += -at % 8
            n = struct.unpack_from("<I", message, at)[0]
            text = message[at + 4:at + 4 + n].decode()
        return kind, serial, error, text

    def answer(self, serial):
        return self.answer_with_text(serial)[0]

    def answer_with_text(self, serial):
        while True:
            kind, to, error, text = self.receive()
            if to == serial:
                return ("ok" if kind == 2 else error), text

    def ask_bus(self, member, *words):
        return self.answer_with_text(self.send("org.freedesktop.DBus", "/org/freedesktop/DBus",
                                               "org.freedesktop.DBus", member, *strings(words)))


# ---- well-typed arguments ----------------------------------------------------------------------

ALIGNED = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "s": 4, "o": 4,
           "g": 1, "a": 4, "(": 8, "{": 8, "v": 1, "h": 4}


def first_type(signature):
    """The first complete type of a signature, and the rest."""
    if signature[0] == "a":
        inner, rest = first_type(signature[1:])
        return "a" + inner, rest
    if signature[0] not in "({":
        return signature[0], signature[1:]
    depth = 0
    for i, c in enumerate(signature):
        depth += (c in "({") - (c in ")}")
        if depth == 0:
            return signature[:i + 1], signature[i + 1:]
    raise ValueError(signature)


def well_typed(signature, words=()):
    """A body of that signature in which all is empty or 0, but for the first strings."""
    body, words = b"", list(words)
    while signature:
        one, signature = first_type(signature)
        body = pad(body, ALIGNED[one[0]])
        if one[0] == "(":
            body += well_typed(one[1:-1])
        elif one == "s":
            body += string(words.pop(0) if words else "")
        elif one == "o":
            body += string("/")
        elif one == "g":
            body += b"\0\0"
        elif one == "v":
            body = pad(body + b"\1u\0", 4) + struct.pack("<I", 0)
        elif one[0] == "a":
            body = pad(body + struct.pack("<I", 0), ALIGNED[one[1]])
        else:
            body += b"\0" * ALIGNED[one]
    return body


# ---- what there is -----------------------------------------------------------------------------

STANDARD = "org.freedesktop.DBus."


def introspect(bus, name, path):
    return bus.answer_with_text(bus.send(name, path, STANDARD + "Introspectable", "Introspect"))


def survey(names):
    bus = Bus()
    for name in names:
        _, unique = bus.ask_bus("GetNameOwner", name)
        own = "/" + "/".join(name.split(".")[:3])
        paths = ["/"] if introspect(bus, name, "/")[0] == "ok" else [own]
        for path in paths:
            answer, text = introspect(bus, name, path)
            if answer != "ok":
                continue
            root = xml.etree.ElementTree.fromstring(text)
            for node in root.findall("node"):
                paths.append(path.rstrip("/") + "/" + node.get("name"))
            print(name, unique, path, "-", "object", "-", "", sep="\t")
            for interface in root.findall("interface"):
                for member in interface:
                    signature = "".join(a.get("type") for a in member.findall("arg")
                                        if a.get("direction", "in") == "in")
                    if member.tag in ("method", "property"):
                        print(name, unique, path, interface.get("name"), member.tag,
                              member.get("name"), member.get("type") or signature, sep="\t")


def read_survey():
    for line in sys.stdin:
        yield line.rstrip("\n").split("\t")


# What every object has, beside its own: some of it is in no introspection.
ALWAYS = [("Introspectable", "Introspect", ()), ("Properties", "GetAll", ("",)),
          ("Properties", "GetAll", ("org.tankd.Store1",)), ("Peer", "Ping", ()),
          ("Peer", "GetMachineId", ()), ("ObjectManager", "GetManagedObjects", ())]


def knock(words):
    bus = Bus()
    null = os.open("/dev/null", os.O_RDWR)

    def one(names, path, interface, member, signature="", body=b""):
        for name in names:
            answer, text = bus.answer_with_text(
                bus.send(name, path, interface, member, signature, body,
                         [null] * signature.count("h")))
            print(answer, f"{interface} {member}", f"{name} {path}",
                  text.replace("\n", " ") if answer != "ok" else "", sep="\t", flush=True)

    for name, unique, path, interface, kind, member, signature in read_survey():
        names = (name, unique)
        if kind == "object":
            for standard, always, arguments in ALWAYS:
                one(names, path, STANDARD + standard, always, *strings(arguments))
        elif kind == "method":
            one(names, path, interface, member, signature, well_typed(signature, words))
            one(names, path, "", member, signature, well_typed(signature, words))
        else:
            one(names, path, STANDARD + "Properties", "Get", *strings((interface, member)))
            setting = strings((interface, member))[1]
            setting += b"\1" + signature.encode()[:1] + b"\0"
            if len(signature) == 1:
                setting = pad(setting, ALIGNED[signature]) + well_typed(signature)
                one(names, path, STANDARD + "Properties", "Set", "ssv", setting)


# ---- junk --------------------------------------------------------------------------------------

def junk_of():
    """(name, signature, body, number of descriptors)"""
    yield "nothing", "", b"", 0
    yield "a number", "u", struct.pack("<I", 7), 0
    yield "an empty string", "s", string(""), 0
    yield "64 KiB of slashes", "s", string("/" * 65536), 0
    yield "4 MiB", "s", string("a" * (4 * MEBI)), 0
    yield "4 MiB of brackets", "s", string("[" * (4 * MEBI)), 0
    three = pad(pad(string("b" * MEBI), 4) + string("b" * MEBI), 4) + string("b" * MEBI)
    yield "three strings of 1 MiB", "sss", three, 0
    yield "an open object", "sa{sv}", dictionary('{"kind":'), 0
    yield "a text that is no object", "sa{sv}", dictionary("[" * 100000), 0
    yield "an unknown option", "sa{sv}", dictionary("{}", "no-such-option"), 0
    yield "an option twice", "sa{sv}", dictionary("{}", "dry-run", "dry-run"), 0
    yield "100,000 options", "sa{sv}", dictionary("{}", *["x"] * 100000), 0
    yield "60 variants", "v", variants(60), 0
    yield "bytes", "ay", struct.pack("<I", 4) + b"\xff\0\xfe\0", 0
    yield "16 descriptors", "s", string("x"), 16
    yield "253 descriptors", "s", string("x"), 253
    yield "not UTF-8", "s", string(b"\xff\xfe\xfd"), 0
    yield "a length beyond the end", "s", struct.pack("<I", 0x7fffffff) + b"x\0", 0


def dictionary(first, *keys):
    """A string, and options that are all true."""
    entries = bytearray()
    for key in keys:
        entries += b"\0" * (-len(entries) % 8) + string(key) + b"\1b\0"
        entries += b"\0" * (-len(entries) % 4) + struct.pack("<I", 1)
    head = pad(string(first), 4) + struct.pack("<I", len(entries))
    return pad(head, 8) + entries


def junk():
    null = os.open("/dev/null", os.O_RDONLY)
    kinds = list(junk_of())
    members = [("Properties", m) for m in ("Get", "GetAll", "Set")]
    bus = None
    for name, _, path, interface, kind, member, _ in read_survey():
        if kind == "object":
            calls = [(STANDARD + i, m) for i, m in members]
        elif kind == "method" and not interface.startswith(STANDARD):
            calls = [(interface, member)]
        else:
            continue
        for interface, member in calls:
            for what, signature, body, n_fds in kinds:
                bus = bus or Bus()
                bus.socket.settimeout(20)
                try:
                    result = bus.answer(bus.send(name, path, interface, member, signature, body,
                                                 [null] * n_fds))
                except ConnectionError:
                    result, bus = "disconnected", None
                except TimeoutError:
                    result, bus = "NO ANSWER", None
                print(f"{path} {interface} {member}: {what}: {result}", flush=True)


def strings(words):
    body = b""
    for word in words:
        body = pad(body, 4) + string(word)
    return "s" * len(words), body


def call(count, target, words):
    """Patches one message's number, so that the bus is what is slow."""
    bus = Bus()
    message = bytearray(bus.encode(*target, *strings(words)))
    answers, first, sent, due = collections.Counter(), bus.serial, 0, 0
    while sent < count or due:
        batch = b""
        while sent < count and due < 64:
            struct.pack_into("<I", message, 8, first + sent)
            batch += message
            sent, due = sent + 1, due + 1
        bus.socket.sendall(batch)
        kind, to, error, _ = bus.receive()
        if to:
            answers["ok" if kind == 2 else error] += 1
            due -= 1
    for kind, n in sorted(answers.items()):
        print(f"{n} {kind}")


def deaf(count, target, words):
    bus = Bus()
    signature, body = strings(words)
    bus.socket.settimeout(5)
    sent = 0
    try:
        for sent in range(count):
            bus.send(*target, signature, body)
    except (TimeoutError, ConnectionError, BrokenPipeError):
        pass
    print(f"sent {sent + 1}", flush=True)
    sys.stdin.read()


def gone(count, target, words):
    signature, body = strings(words)
    for _ in range(count):
        bus = Bus()
        bus.send(*target, signature, body)
        bus.socket.close()
    print(f"gone {count}")


def squat(names):
    bus = Bus()
    for name in names:
        body = pad(string(name), 4) + struct.pack("<I", 0)
        answer, text = bus.answer_with_text(bus.send(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
            "RequestName", "su", body))
        print(f"{name}: {answer} {text}", flush=True)
    sys.stdin.read()


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb in ("survey", "knock", "squat"):
        {"survey": survey, "knock": knock, "squat": squat}[verb](args)
    elif verb == "junk":
        junk()
    else:
        count, target, words = int(args[0]), args[1:5], args[5:]
        {"call": call, "deaf": deaf, "gone": gone}[verb](count, target, words)


main()
