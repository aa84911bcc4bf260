#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""winsize.py COUNT COMMAND… runs COMMAND so many times, each on a terminal of another size, and
expects it to print that size, "ROWS COLS", and nothing else, and to exit with 0."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios


def once(rows, cols, argv):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def take():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, preexec_fn=take)
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 4096):
            seen += data
    except OSError:
        pass  # EIO: nobody has the other end open any more
    os.close(master)
    return process.wait(), seen.decode(errors="replace").split()


def main():
    wrong = 0
    for i in range(int(sys.argv[1])):
        rows, cols = 2 + i * 7 % 501, 2 + i * 13 % 997  # busybox takes 1 for none
        code, words = once(rows, cols, sys.argv[2:])
        if code != 0 or words != [str(rows), str(cols)]:
            print(f"{i}: {rows} {cols} became {words}, exit status {code}")
            wrong += 1
    print(f"{wrong} wrong")
    return wrong != 0


sys.exit(main())
