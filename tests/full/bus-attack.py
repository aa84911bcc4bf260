#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# A client of the bus that keeps to no rule, for the system tests: no library would send what this
# sends. Each verb prints what came back, one line a call, for the tests to judge.
#
#   bus-attack.py junk DESTINATION PATH INTERFACE MEMBER…   every kind of wrong argument
#   bus-attack.py call COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many calls at once, then all answers: counted by kind
#   bus-attack.py deaf COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many calls, no answer is ever read; waits to be killed
#   bus-attack.py gone COUNT DESTINATION PATH INTERFACE MEMBER [STRING…]
#                                       so many connections, each of which leaves after its call

import array
import collections
import os
import socket
import struct
import sys

MEBI = 1024 * 1024


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
        path = os.environ["DBUS_SYSTEM_BUS_ADDRESS"].split("unix:path=")[1].split(",")[0]
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

    def send(self, destination, path, interface, member, signature="", body=b"", fds=()):
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
        message = pad(message + encoded, 8) + body
        if fds:
            self.socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                             array.array("i", fds))])
        else:
            self.socket.sendall(message)
        return self.serial

    def receive(self):
        """(type, reply serial, error name)"""
        while True:
            if len(self.buffer) >= 16:
                kind, body, fields = self.buffer[1], *struct.unpack_from("<I4xI", self.buffer, 4)
                size = 16 + fields + (-fields % 8) + body
                if len(self.buffer) >= size:
                    message, self.buffer = self.buffer[:size], self.buffer[size:]
                    return self.parse(message, kind, fields)
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
        at, serial, error = 16, 0, ""
        while at < 16 + fields:
            at += -at % 8
            code, kind_of = message[at], message[at + 2:at + 3]
            at += 4
            if kind_of == b"u":
                value, at = struct.unpack_from("<I", message, at)[0], at + 4
            elif kind_of == b"g":
                value, at = "", at + message[at] + 2
            else:
                n = struct.unpack_from("<I", message, at)[0]
                value, at = message[at + 4:at + 4 + n].decode(), at + 5 + n
            if code == 5:
                serial = value
            elif code == 4:
                error = value
        return kind, serial, error

    def answer(self, serial):
        while True:
            kind, to, error = self.receive()
            if to == serial:
                return "ok" if kind == 2 else error


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
    yield "200 descriptors", "s", string("x"), 200
    yield "not UTF-8", "s", string(b"\xff\xfe\xfd"), 0
    yield "a length beyond the end", "s", struct.pack("<I", 0x7fffffff) + b"x\0", 0


def dictionary(first, *keys):
    """A string, and options that are all true."""
    entries = b""
    for key in keys:
        entries = pad(entries, 8) + string(key) + b"\1b\0"
        entries = pad(entries, 4) + struct.pack("<I", 1)
    head = pad(string(first), 4) + struct.pack("<I", len(entries))
    return pad(head, 8) + entries


def junk(destination, path, interface, members):
    null = os.open("/dev/null", os.O_RDONLY)
    for member in members:
        for name, signature, body, n_fds in junk_of():
            bus = Bus()
            bus.socket.settimeout(20)
            try:
                result = bus.answer(bus.send(destination, path, interface, member, signature, body,
                                             [null] * n_fds))
            except ConnectionError:
                result = "disconnected"
            except TimeoutError:
                result = "NO ANSWER"
            print(f"{member}: {name}: {result}", flush=True)
            bus.socket.close()


def strings(words):
    body = b""
    for word in words:
        body = pad(body, 4) + string(word)
    return "s" * len(words), body


def call(count, target, words):
    bus = Bus()
    signature, body = strings(words)
    answers = collections.Counter()
    due = 0
    for _ in range(count):
        bus.send(*target, signature, body)
        due += 1
        while due > 64:
            kind, to, error = bus.receive()
            if to:
                answers["ok" if kind == 2 else error] += 1
                due -= 1
    while due:
        kind, to, error = bus.receive()
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


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "junk":
        junk(args[0], args[1], args[2], args[3:])
    else:
        count, target, words = int(args[0]), args[1:5], args[5:]
        {"call": call, "deaf": deaf, "gone": gone}[verb](count, target, words)


main()
