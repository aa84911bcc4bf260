#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether standard input is OpenMetrics text; says the first line that is not.

The rules are those of the specification that concern counters, gauges and histograms: metadata stands
before its samples, families are not interleaved, names and units fit their types, no sample is there
twice, buckets are cumulative and agree with the count, and the text ends with "# EOF"."""

import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?!$)|$)')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


class Wrong(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Wrong(why)


class Family:
    def __init__(self, name):
        self.name, self.type, self.unit, self.help = name, None, None, None
        self.samples = {}

    def describe(self, what, text):
        need(not self.samples, "metadata stands before the samples")
        need(getattr(self, what) is None, f"a second {what}")
        if what == "type":
            need(text in SUFFIXES, f"the type '{text}'")
        if what == "unit":
            need(self.name.endswith("_" + text), "the name does not end with its unit")
        if what == "help":
            need(text.endswith(".") and "\\" not in text, "help is a sentence")
        setattr(self, what, text)

    def add(self, name, labels, value):
        need(self.type and self.help, "a sample without TYPE and HELP")
        suffix = name[len(self.name):]
        need(suffix in SUFFIXES[self.type], f"the suffix '{suffix}' of a {self.type}")
        need((suffix == "_bucket") == ("le" in labels), "buckets, and only they, have le")
        key = (suffix, tuple(sorted(labels.items())))
        need(key not in self.samples, "this sample is there already")
        number = float(value)
        need(self.type == "gauge" or number >= 0, "it counts, and is negative")
        need(suffix not in ("_bucket", "_count") or number.is_integer(), "a count is no integer")
        self.samples[key] = number

    def finish(self):
        need(self.samples, f"{self.name} has no samples")
        need(self.help, f"{self.name} has no help")
        if self.type != "histogram":
            return
        groups = {}
        for (suffix, labels), value in self.samples.items():
            rest = tuple(l for l in labels if l[0] != "le")
            group = groups.setdefault(rest, {"_bucket": []})
            if suffix == "_bucket":
                group[suffix].append((float(dict(labels)["le"]), value))
            else:
                group[suffix] = value
        for rest, group in groups.items():
            buckets = group["_bucket"]
            need(buckets == sorted(buckets), f"buckets of {rest} are not in order")
            counts = [count for _, count in buckets]
            need(counts == sorted(counts), f"buckets of {rest} are not cumulative")
            need(buckets and buckets[-1][0] == float("inf"), f"no bucket +Inf of {rest}")
            need(group.get("_count") == counts[-1], f"count of {rest} is not that of +Inf")
            need("_sum" in group, f"no sum of {rest}")


def family_of(name, families):
    for end in ["", "_total", "_bucket", "_count", "_sum"]:
        if name.endswith(end) and name[:len(name) - len(end)] in families:
            return name[:len(name) - len(end)]
    raise Wrong("a sample of no family")


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        need(m, f"labels '{text}'")
        need(m[1] not in labels, "a label twice")
        labels[m[1]], at = m[2], m.end()
    return labels


def check_line(line, families, current):
    m = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)", line)
    if m:
        name = m[2]
        if name != current:
            need(name not in families, f"{name} is interleaved with others")
            families[name] = Family(name)
        families[name].describe(m[1].lower(), m[3])
        return name
    m = SAMPLE.fullmatch(line)
    need(m and NUMBER.fullmatch(m[3]), "neither metadata nor a sample")
    name = family_of(m[1], families)
    need(name == current, f"{name} is interleaved with others")
    families[name].add(m[1], read_labels(m[2] or ""), m[3])
    return name


def check(text):
    families, current = {}, None
    need(text.endswith("\n# EOF\n"), "the end is not # EOF")
    for number, line in enumerate(text.split("\n")[:-2], 1):
        try:
            current = check_line(line, families, current)
        except Wrong as e:
            raise Wrong(f"line {number}: {e}: {line}") from None
    for family in families.values():
        family.finish()
    need(families, "there is nothing")


try:
    check(sys.stdin.read())
except Wrong as e:
    sys.exit(str(e))
