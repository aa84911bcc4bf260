#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls the store over one connection: one-connection.py PIPE. Each line that comes through PIPE is
JSON, [METHOD, SIGNATURE, [ARGUMENT, …]]; for each a line is printed, the error or "ok", once it is
answered. "many N" in front of the JSON: N calls at once, one line."""

import json
import sys

import dbus
import dbus.lowlevel

STORE = "org.tankd.Store1"
bus = dbus.SystemBus(private=True)


def send(method, signature, arguments, replies):
    m = dbus.lowlevel.MethodCallMessage(STORE, "/org/tankd/Store1", STORE, method)
    m.append(*arguments, signature=signature)
    return bus.send_message_with_reply(m, replies.append, 60, require_main_loop=False)


def name(reply):
    if isinstance(reply, dbus.lowlevel.ErrorMessage):
        return f"{reply.get_error_name()} {reply.get_args_list()[0]}"
    return "ok"


with open(sys.argv[1], encoding="utf-8") as pipe:
    print("ready", bus.get_unique_name(), flush=True)
    for line in pipe:
        n, words = 1, line
        if line.startswith("many "):
            _, n, words = line.split(" ", 2)
        replies = []
        pending = [send(*json.loads(words), replies) for _ in range(int(n))]
        for p in pending:
            p.block()
        print(*sorted({name(r) for r in replies}), flush=True)
