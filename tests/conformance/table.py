# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md: where each numbered scenario is shown. It is checked, so that it stays true:
each number has a line, each scenario of this suite stands there, and what a line names exists."""

import os
import re

from client import SCENARIOS

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
# Some numbers were never given.
COUNTS = {"A": 4, "B": 2, "C": 3, "D": 2, "E": 4, "F": 1, "G": 12, "H": 3, "I": 6, "J": 13, "P": 12,
          "X": 43}
NOT_GIVEN = {"X11", "X13", "X20", "X29", "X38"}
ELSEWHERE = ("not the store's: ", "not done: ")


def id_of(name):
    match = re.match(r"([a-z]\d+)_", name)
    return match.group(1).upper() if match else "-"


def rows():
    found = {}
    with open(os.path.join(TOP, "docs/conformance.md"), encoding="utf-8") as f:
        for line in f:
            match = re.match(r"\| ([A-Z]\d+|-) \| (.+) \| (.+) \|$", line)
            if match and match.group(1) != "-":
                assert match.group(1) not in found, f"{match.group(1)} is there twice"
                found[match.group(1)] = match.group(3)
            elif match:
                found["-"] = found.get("-", "") + match.group(3)
    return found


def check_place(number, place, functions):
    path, _, word = place.partition(": ")
    if "/" not in path:
        assert place in functions, f"{number}: there is no scenario {place}"
        return
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        assert word and word in f.read(), f"{number}: {path} has no {word}"


def check():
    functions = {f"{f.__module__}.{f.__name__}": id_of(f.__name__) for f, _ in SCENARIOS}
    assert len(functions) == len(SCENARIOS), "two scenarios have one name"
    wanted = {f"{letter}{n}" for letter, last in COUNTS.items() for n in range(1, last + 1)}
    found = rows()
    numbers = set(found) - {"-"}
    assert numbers == wanted - NOT_GIVEN, numbers ^ (wanted - NOT_GIVEN)
    told = set()
    for number, where in found.items():
        places = re.findall(r"`([^`]+)`", where)
        assert places or where.startswith(ELSEWHERE), f"{number}: where?"
        for place in places:
            check_place(number, place, functions)
            if place in functions:
                assert functions[place] == number, f"{place} stands at {number}"
                told.add(place)
    assert told == set(functions), f"not in the table: {set(functions) - told}"
