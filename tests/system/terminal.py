#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""terminal.py ROWSxCOLS SCRIPT COMMAND… runs COMMAND on a terminal of its own.

SCRIPT is lines of "expect REGEX", "send TEXT" (with \\n, \\x03), "resize ROWSxCOLS", "signal N",
"type N" (N times "x"), "run COMMAND" (of a shell, beside; it must succeed), "stopped" (COMMAND was stopped by a signal,
and the terminal's modes are put back), "close" (the terminal is gone; no more is read, or looked
at); each expect has a minute, or TANK_TEST_SECONDS. Prints what the terminal showed; exits with COMMAND's status,
99 when an expect was not met, 98 when the terminal's modes were not put back.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

SECONDS = max(60, float(os.environ.get("TANK_TEST_SECONDS", "20")))


def set_size(fd, text):
    rows, cols = (int(x) for x in text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Terminal:
    def __init__(self, size, argv):
        self.master, slave = pty.openpty()
        set_size(slave, size)
        self.modes = termios.tcgetattr(slave)
        self.seen = b""
        self.at = 0
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.closerange(3, 256)
            os.execvp(argv[0], argv)
        self.slave = slave  # kept, so that the modes can be looked at afterwards

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.master, 65536)
        return True

    def expect(self, pattern):
        deadline = time.monotonic() + SECONDS
        while True:
            found = re.search(pattern.encode(), self.seen[self.at:])
            if found:
                self.at += found.end()
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                return False

    def type(self, left):
        while left > 0 and select.select([], [self.master], [], SECONDS)[1]:
            left -= os.write(self.master, b"x" * min(left, 100))
        return left == 0

    def stopped(self):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                return os.WIFSTOPPED(status) and termios.tcgetattr(self.slave) == self.modes
        return False

    def close(self):
        os.close(self.slave)
        os.close(self.master)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code

    def wait(self):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0):
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return 97


def main():
    terminal = Terminal(sys.argv[1], sys.argv[3:])
    code = 0
    for line in sys.argv[2].splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "expect":
            if not terminal.expect(rest):
                print(f"terminal.py: not seen: {rest}", file=sys.stderr)
                code = 99
                break
        elif word == "send":
            os.write(terminal.master, rest.encode().decode("unicode_escape").encode())
        elif word == "type":
            if not terminal.type(int(rest)):
                print("terminal.py: COMMAND takes no more", file=sys.stderr)
                code = 99
                break
        elif word == "resize":
            set_size(terminal.master, rest)
        elif word == "signal":
            os.kill(terminal.pid, int(rest))
        elif word == "run":
            subprocess.run(rest, shell=True, check=True, stdout=subprocess.DEVNULL)
        elif word == "stopped":
            if not terminal.stopped():
                print("terminal.py: not stopped, or its modes were not put back", file=sys.stderr)
                code = 99
                break
        elif word == "close":
            return terminal.close()
        elif word:
            raise SystemExit(f"terminal.py: {word}?")
    if code:
        os.kill(terminal.pid, signal.SIGKILL)
        os.waitpid(terminal.pid, 0)
    else:
        code = terminal.wait()
        if termios.tcgetattr(terminal.slave) != terminal.modes:
            print("terminal.py: the terminal's modes were not put back", file=sys.stderr)
            code = 98
    sys.stdout.buffer.write(terminal.seen)
    sys.stdout.flush()
    return code if code >= 0 else 128 - code


sys.exit(main())
