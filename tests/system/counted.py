#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""counted.py LINES: standard input is what an attached client saw of "ready" and the numbers up to
LINES, in lines of a terminal. Every byte must be there, in order, or counted in a line of tank's
that says how many were dropped. Prints how many that were; exits with 1 when it is not so."""

import re
import sys

NOTICE = re.compile(rb"\r\n\[tank: (\d+) bytes of output dropped\]\r\n")


def main():
    whole = b"ready\r\n" + b"".join(b"%d\r\n" % i for i in range(1, int(sys.argv[1]) + 1))
    at = dropped = 0
    for i, part in enumerate(NOTICE.split(sys.stdin.buffer.read())):
        if i % 2:
            at += int(part)
            dropped += int(part)
        elif whole[at : at + len(part)] != part:
            print(f"counted.py: not what was written, from byte {at} on: {part[:80]!r}")
            return 1
        else:
            at += len(part)
    print(dropped)
    if at != len(whole):
        print(f"counted.py: {at} bytes of {len(whole)}")
    return int(at != len(whole))


sys.exit(main())
