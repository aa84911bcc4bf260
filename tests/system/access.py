#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""access.py members TABLE PROGRAM…: what of the interfaces of these programs (--introspect) has no
rule in TABLE, and the other way round.
access.py judge TABLE root|member|other [RIGHT…] <ANSWERS: whether each call of "bus-attack.py knock"
was answered as its rule says, for such a caller whom polkit grants these rights. Ends with 1 when
something is not as it should be, and says what."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

GROUP_RIGHTS = {"inspect", "manage", "attach"}


def read_table(path):
    rules = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if words and not words[0].startswith("#"):
                interface, kind, member, right = words
                assert (interface, member) not in rules, line
                rules[(interface, member)] = (kind, right)
    return rules


def members(rules, programs):
    found = {}
    for program in programs:
        text = subprocess.run([program, "--introspect"], check=True, capture_output=True,
                              text=True).stdout
        for part in re.split(r"(?=<!DOCTYPE)", text):
            if "<node" not in part:
                continue
            for interface in ET.fromstring(part).iter("interface"):
                for m in interface:
                    if interface.get("name").startswith("org.tankd.") and m.tag in (
                            "method", "property"):
                        found[(interface.get("name"), m.get("name"))] = m.tag
    wrong = [f"{i} {m}: no rule says who may" for i, m in found if (i, m) not in rules]
    wrong += [f"{i} {m}: a rule, and no such member" for i, m in rules if (i, m) not in found]
    wrong += [f"{i} {m}: is a {kind}" for (i, m), kind in found.items()
              if rules.get((i, m), (kind,))[0] != kind]
    return wrong


def allowed(right, who, granted):
    if who == "root":
        return True
    if who == "member" and (right in GROUP_RIGHTS or right == "group"):
        return True
    return right in granted


def judge(rules, who, granted):
    wrong, seen = [], set()
    for line in sys.stdin:
        answer, what, where, text = line.rstrip("\n").split("\t")
        interface, _, member = what.partition(" ")
        denied = answer.endswith(".AccessDenied")
        if interface.startswith("org.freedesktop.DBus."):
            # Of no right: neither the bus nor a daemon answers others.
            if not denied and not allowed("group", who, granted):
                wrong.append(f"{what} at {where} answered {who}")
            continue
        if (interface, member) not in rules:
            if interface:
                wrong.append(f"{what}: no rule says who may")
            continue
        _, right = rules[(interface, member)]
        seen.add((interface, member))
        if not allowed(right, who, granted):
            if not denied:
                wrong.append(f"{what} is for {right}, and answered {who} with {answer}: {text}")
        elif answer == "org.freedesktop.DBus.Error.AccessDenied" or f"'{right}'" in text:
            wrong.append(f"{what} is refused to {who}: {text}")
    for (interface, member), (kind, _) in rules.items():
        # Pods and containers have properties alone, which are read through another interface.
        if kind == "method" and (interface, member) not in seen:
            wrong.append(f"{interface} {member} was never called")
    return wrong


def main():
    verb, table, *words = sys.argv[1:]
    rules = read_table(table)
    wrong = members(rules, words) if verb == "members" else judge(rules, words[0], set(words[1:]))
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


main()
