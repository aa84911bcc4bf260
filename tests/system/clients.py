#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clients.py NAMESPACE keeps clients of tank open and tells whether anybody noticed anything.

One command a line on standard input, one line as the answer: "ok", or what is wrong. Everything
that is awaited has TANK_TEST_SECONDS.

  exec NAME POD        tankctl exec -i: a shell that answers each line with "got LINE"
  attach NAME POD      tankctl attach, on a terminal of its own; the pod answers as above
  logs NAME POD        tankctl logs -f; lines come from the pod's fifo, or from whom attaches
  ask WORD [CLIENT…]   WORD goes into every session, terminal and fifo; every client that can hear
                       it has the answer, once, in order. Those that are named may have it later:
                       at the next question
  blind WORD…          as ask, each of them, while no log can be written: who follows a log may
                       miss any of them
  counted              (after another ask) who follows missed some, and was told how many
  kill NAME SIGNAL     to the client
  ended NAME CODE…     the client ends with one of these (128+N for a signal), and is forgotten
  close                every client ends as it should
  kill-shim POD        SIGKILL to the shim of its one container
  lost POD             runs again, restarted once, because its shim was lost; of each pod there is
                       one shim and one writable layer
  remember             the processes of this tank and what its pods look like
  same [POD…]          they are what they were, but for these pods; asked again after a forced pass
  again POD…           remember anew what these pods look like, and every process
  tty NAME YES|NO      whether the terminal of an attached client is in raw mode

The fifo of a pod is $MARK/feed.POD.
"""

import fcntl
import glob
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time

SECONDS = max(60, float(os.environ.get("TANK_TEST_SECONDS", "20")))
MARK = os.environ["MARK"]
INSTANCE = os.environ.get("TANK_INSTANCE", "")
HOST_NAME = "tank-" + INSTANCE if INSTANCE else "tank"
SHELL = 'while read -r line; do echo "got $line"; done; exit 21'


class Wrong(Exception):
    pass


class Client:
    def __init__(self, kind, name, namespace, pod):
        self.kind, self.name, self.pod = kind, name, pod
        self.seen = b""
        self.expected = []
        self.blind = []
        self.slave = None
        words = {"exec": ["exec", "-i", "-n", namespace, pod, "--", "sh", "-c", SHELL],
                 "attach": ["attach", "-n", namespace, pod],
                 "logs": ["logs", "-f", "--tail", "1", "-n", namespace, pod]}[kind]
        (self.open_terminal if kind == "attach" else self.open_pipes)(["tankctl"] + words)
        os.set_blocking(self.output, False)

    def open_pipes(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.input = self.process.stdin.fileno()
        self.output = self.process.stdout.fileno()

    def open_terminal(self, argv):
        master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.modes = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, preexec_fn=take)
        self.input = self.output = master

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def read(self):
        try:
            self.seen += os.read(self.output, 1 << 16)
        except (BlockingIOError, OSError):
            pass

    def heard(self, words=None):
        """The answers that were asked for since this client is there."""
        wanted = set(self.expected if words is None else words)
        lines = re.findall(rb"got (\S+)\r?\n", self.seen)
        return [w for w in (line.decode() for line in lines) if w in wanted]

    def release(self):
        if self.slave is None:
            self.process.stdin.close()
            self.process.stdout.close()
        else:
            os.close(self.input)
            os.close(self.slave)


def stat_of(pid):
    """Start time and name: a number alone may be somebody else's by now."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        text = f.read()
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return None if rest[0] in "ZX" else (int(pid), int(rest[19]), name)


def is_ours(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        cgroup = re.search(r"^0::(.*)$", f.read(), re.M)
    if cgroup and re.search(rf"/{re.escape(HOST_NAME)}[-/]", cgroup.group(1)):
        return True
    if "/tank-shim" not in os.readlink(f"/proc/{pid}/exe"):
        return False
    with open(f"/proc/{pid}/environ", "rb") as f:
        return f"TANK_INSTANCE={INSTANCE}".encode() in f.read().split(b"\0")


def processes():
    """Shims and whatever runs in containers."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if is_ours(pid):
                found.add(stat_of(pid))
        except OSError:
            continue  # a kernel thread, or gone meanwhile
    return found - {None}


def shim_of(namespace, pod):
    """From the records of the runs."""
    for path in glob.glob(os.environ["TANK_RUN_DIR"] + "/pods/*/main/*/record"):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                record = dict(e.split("=", 1) for e in f.read().split("\0") if "=" in e)
        except FileNotFoundError:
            continue
        if (record["namespace"], record["pod"]) == (namespace, pod) and record["state"] != "exited":
            return int(record["shim_pid"])
    raise Wrong(f"{pod} has no run")


class Matrix:
    def __init__(self, namespace):
        self.namespace = namespace
        self.clients = {}
        self.feeds = {}
        self.before = None

    # ---- clients

    def open(self, kind, name, pod):
        if name in self.clients:
            raise Wrong(f"{name} is open already")
        self.clients[name] = Client(kind, name, self.namespace, pod)

    def pump(self, seconds):
        by_fd = {c.output: c for c in self.clients.values()}
        for fd in select.select(list(by_fd), [], [], seconds)[0]:
            by_fd[fd].read()

    def until(self, condition, why):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(why())
            self.pump(0.05)

    def feed(self, pod):
        path = f"{MARK}/feed.{pod}"
        if pod not in self.feeds and os.path.exists(path):
            self.feeds[pod] = os.open(path, os.O_RDWR)  # never without a writer
        return self.feeds.get(pod)

    def send(self, word):
        asked = set()
        for c in self.clients.values():
            if c.kind == "logs":
                fd = self.feed(c.pod)
                if fd is not None and c.pod not in asked:
                    os.write(fd, word.encode() + b"\n")
                    asked.add(c.pod)
            else:
                os.write(c.input, word.encode() + b"\n")
                if c.kind == "attach":
                    asked.add(c.pod)
        return [c for c in self.clients.values() if c.kind == "exec" or c.pod in asked]

    def ask(self, word, *later):
        for c in self.send(word):
            c.expected.append(word)
        self.hear([c for c in self.clients.values() if c.name not in later])

    def blind(self, *words):
        for word in words:
            for c in self.send(word):
                (c.blind if c.kind == "logs" else c.expected).append(word)
        self.hear([c for c in self.clients.values() if c.kind != "logs"])

    def counted(self):
        for c in self.clients.values():
            got = c.heard(c.blind)
            told = sum(map(int, re.findall(rb"(\d+) records are missing here", c.seen)))
            if c.kind == "logs" and (got != [w for w in c.blind if w in got] or
                                     len(got) + told != len(c.blind) or not told):
                raise Wrong(f"{c.name} has {len(got)} of {len(c.blind)}, was told of {told}")

    def hear(self, now):
        self.until(lambda: all(c.expected == c.heard() for c in now),
                   lambda: "; ".join(f"{c.kind} {c.name} should have heard {c.expected[-3:]}, "
                                     f"has {c.heard()[-3:]}: {c.seen[-200:]}"
                                     for c in now if c.expected != c.heard()))

    def ended(self, name, *codes):
        c = self.clients[name]
        self.until(lambda: c.process.poll() is not None, lambda: f"{name} did not end")
        c.read()
        code = c.process.returncode
        code = 128 - code if code < 0 else code
        if str(code) not in codes:
            raise Wrong(f"{name} ended with {code}, not {'/'.join(codes)}: {c.seen[-300:]}")
        if c.slave is not None and code != 137 and termios.tcgetattr(c.slave) != c.modes:
            raise Wrong(f"{name} did not put the terminal back")
        del self.clients[name]
        c.release()

    def close(self):
        for c in list(self.clients.values()):
            if c.kind == "exec":
                c.process.stdin.close()
                c.process.stdin = open(os.devnull, "wb")
            elif c.kind == "attach":
                os.write(c.input, b"\x10\x11")
            else:
                c.process.terminate()
            self.ended(c.name, *{"exec": ["21"], "attach": ["0"], "logs": ["0", "143"]}[c.kind])

    # ---- tank

    def kill_shim(self, pod):
        os.kill(shim_of(self.namespace, pod), signal.SIGKILL)

    def lost(self, pod):
        def state():
            out = subprocess.run(["tankctl", "get", "pod", pod, "-n", self.namespace, "-o", "json"],
                                 stdout=subprocess.PIPE, check=True)
            c = json.loads(out.stdout)["status"]["containers"][0]
            layers = len(os.listdir(os.environ["TANK_STATE_DIR"] + "/containers"))
            shims = sum(name == "tank-shim" for _, _, name in processes())
            return (c["state"], c["restarts"], [r["kind"] for r in c["results"]],
                    layers - len(self.before[0]), shims - len(self.before[0]))

        self.until(lambda: state() == ("running", 1, ["shim-lost"], 0, 0),
                   lambda: f"{pod}: {state()}")

    def pods(self):
        out = subprocess.run(["tankctl", "get", "pods", "-n", self.namespace, "-o", "json"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if out.returncode != 0:
            raise Wrong(f"tankctl get: {out.stdout.decode().strip()}")
        rows = {}
        for pod in json.loads(out.stdout):
            status = pod["status"]
            rows[pod["name"]] = (status["state"], [
                (c["state"], c["pid"], c["restarts"], c["started_at"])
                for c in status["containers"]])
        return rows

    def look(self):
        return self.pods(), processes()

    def remember(self):
        self.before = self.look()

    def compare(self, others):
        try:
            pods, now = self.look()
        except Wrong as e:
            return str(e)
        expected = self.before[0]
        for name in sorted(set(pods) | set(expected)):
            if name not in others and pods.get(name) != expected.get(name):
                return f"pod {name} was {expected.get(name)}, is {pods.get(name)}"
        if others:
            return None
        # not by name: a shell may only now become what it was to execute
        gone = {p[:2] for p in self.before[1]} - {p[:2] for p in now}
        new = {p[:2] for p in now} - {p[:2] for p in self.before[1]}
        if gone or new:
            names = {p[:2]: p[2] for p in self.before[1] | now}
            return f"processes gone: {[(p, names[p]) for p in gone]}, new: " \
                   f"{[(p, names[p]) for p in new]}"
        return None

    def same(self, *others):
        self.until(lambda: self.compare(others) is None, lambda: self.compare(others) or "late")
        # what only waits for a pass of the reconciler would happen now
        subprocess.run(["busctl", "--system", "call", "org.tankd.Reconcile1",
                        "/org/tankd/Reconcile1", "org.tankd.Reconcile1", "Sync"],
                       stdout=subprocess.DEVNULL, check=True)
        wrong = self.compare(others)
        if wrong:
            raise Wrong("after a forced pass " + wrong)

    def again(self, *pods):
        old, _ = self.before
        new, now = self.look()
        self.before = ({**old, **{p: new[p] for p in pods}}, now)

    def do(self, words):
        verb, rest = words[0], words[1:]
        if verb in ("exec", "attach", "logs"):
            self.open(verb, *rest)
        elif verb == "kill":
            self.clients[rest[0]].process.send_signal(int(rest[1]))
        elif verb == "tty":
            c = self.clients[rest[0]]
            self.until(lambda: c.is_raw() == (rest[1] == "YES"), lambda: "the terminal is not so")
        elif verb == "kill-shim":
            self.kill_shim(*rest)
        elif verb in ("lost", "ask", "ended", "close", "remember", "same", "again",
                      "blind", "counted"):
            getattr(self, verb)(*rest)
        else:
            raise Wrong(f"{verb}?")


def main():
    matrix = Matrix(sys.argv[1])
    for line in sys.stdin:
        try:
            matrix.do(shlex.split(line))
            answer = "ok"
        except Exception as e:  # pylint: disable=broad-except # all of it is the answer
            answer = f"{line.strip()}: {type(e).__name__} {e}".replace("\n", " ")
        print(answer, flush=True)
    for c in matrix.clients.values():
        c.process.kill()
        c.process.wait()


main()
