#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls METHOD of the store's Admin with a descriptor: peer.py METHOD socket|pipe|file [BYTES SECONDS].
Prints "calling", and then the error, or "ok". Of a socket it reads nothing, or BYTES each SECONDS."""

import os
import socket
import sys
import threading

import dbus

STORE = "org.tankd.Store1"
method, kind = sys.argv[1:3]
ours = None
if kind == "socket":
    ours, given = socket.socketpair()
    fd = given.detach()
elif kind == "pipe":
    other, fd = os.pipe() if method != "Import" else os.pipe()[::-1]
else:
    fd = os.open("/tmp", os.O_RDWR | os.O_TMPFILE)

bus = dbus.SystemBus(private=True)
given = dbus.types.UnixFd(fd)
os.close(fd)
print("calling", flush=True)


def read(size, seconds):
    over = threading.Event()
    while not over.wait(seconds):
        ours.recv(size)


if len(sys.argv) > 3:
    threading.Thread(target=read, args=(int(sys.argv[3]), float(sys.argv[4])), daemon=True).start()
try:
    bus.call_blocking(STORE, "/org/tankd/Store1", STORE + ".Admin", method, "ha{sv}", [given, {}],
                      timeout=600)
    print("ok", flush=True)
except dbus.DBusException as e:
    print(e.get_dbus_name(), e.get_dbus_message(), flush=True)
