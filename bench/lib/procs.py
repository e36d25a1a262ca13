"""Processes that the benchmark starts, what the kernel says of them, and how they end.

Each process leads a session of its own, so that all its children are found by their group and
nothing else is ever signalled.
"""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20
STOP_SECONDS = 3


def files_max():
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_files_max(wanted=65536):
    """10,000 callers need two descriptors each in some programs; root may have them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            return resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (ValueError, OSError):
            continue


class Failed(Exception):
    """Something did not do what it has to; the text says what."""


class EndBySignal:
    """The first SIGINT, SIGTERM or SIGHUP ends the program, but not between the start of a process and
    the note of it; those that follow do nothing, since they would cut short what ends the processes."""

    def __init__(self):
        self.seen, self.held = None, False

    def listen(self):
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(kind, self.note)

    def note(self, number, _frame):
        if self.seen is None:
            self.seen = signal.Signals(number).name
            if not self.held:
                self.leave()

    def leave(self):
        sys.exit(f"bench: ended by {self.seen}")

    @contextlib.contextmanager
    def hold(self):
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.seen:
            self.leave()


END_BY_SIGNAL = EndBySignal()


class Group:
    """A process that was started, with all its children."""

    def __init__(self, name, process, log):
        self.name, self.process, self.log = name, process, log

    def pids(self):
        return [pid for pid, group in groups_of_processes() if group == self.process.pid]

    def check(self):
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{self.name} ended with {self.process.returncode}: {' / '.join(said)}")


class Stage:
    """The processes, ports and files of one scenario; leaving it ends and removes them."""

    def __init__(self, cpus=None):
        # Which cores the client, the chain and the backend may use; None is all of them.
        self.cpus = cpus or {}
        self.groups = []
        self.temporary = tempfile.TemporaryDirectory(prefix="mesh-bench-")
        self.folder = pathlib.Path(self.temporary.name)
        self.folder.chmod(0o755)  # nginx's worker may be another user

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for group in self.groups:
            signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for group in self.groups:
            try:
                group.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
        for group in self.groups:
            signal_group(group, signal.SIGKILL)
            group.process.wait()
        self.temporary.cleanup()

    def pinned(self, role, words):
        cores = self.cpus.get(role)
        return ["taskset", "-c", cores, *map(str, words)] if cores else [str(w) for w in words]

    def start(self, name, words, role="chain", **more):
        """Starts a process whose output goes to a file of the stage."""
        log = self.folder / f"{name}-{len(self.groups)}.log"
        with log.open("wb") as output, END_BY_SIGNAL.hold():
            process = subprocess.Popen(
                self.pinned(role, words), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, **more)
            group = Group(name, process, log)
            self.groups.append(group)
        return group

    def run(self, words, seconds, role="client"):
        """Runs a process to its end and returns what it printed."""
        return self.wait(self.start(pathlib.Path(str(words[0])).name, words, role), seconds)

    def wait(self, group, seconds):
        """Waits for a process that ends by itself, and returns what it printed."""
        try:
            group.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{group.name} did not end within {seconds:.0f} s") from error
        finally:
            self.end(group)
        said = group.log.read_text(errors="replace")
        if group.process.returncode:
            raise Failed(f"{group.name}: {said.strip()[-400:]}")
        return said

    def end(self, group, kind=signal.SIGTERM):
        """Ends one process before the others."""
        signal_group(group, kind)
        try:
            group.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        signal_group(group, signal.SIGKILL)
        group.process.wait()
        self.groups.remove(group)

    def said(self, group, pattern):
        """Waits for a line of a process's output, and returns what the pattern caught."""
        def look():
            group.check()
            return re.search(pattern, group.log.read_text(errors="replace"))
        return until(look, f"{group.name} did not say {pattern}")[1]

    def listening(self, group, port, address="127.0.0.1"):
        def look():
            group.check()
            return accepts(port, address)
        until(look, f"{group.name} does not listen on {address}:{port}")


def signal_group(group, kind):
    try:
        os.killpg(group.process.pid, kind)
    except ProcessLookupError:
        pass


def until(holds, complaint, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise Failed(f"{complaint} within {seconds} s")
        time.sleep(0.02)
    return found


def accepts(port, address="127.0.0.1"):
    with socket.socket() as probe:
        if probe.connect_ex((address, port)):
            return False
        # A connection to a port nobody listens on can be given that very port, and meet itself.
        return probe.getsockname() != probe.getpeername()


def free_port():
    """A port that the system gave and that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stat_fields(text):
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets."""
    return text.rsplit(")", 1)[1].split()


def groups_of_processes():
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = pathlib.Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(entry.name), int(stat_fields(text)[2])


def stat_cpu_seconds(text):
    """User and system time of a process, and of its children that it waited for."""
    fields = stat_fields(text)
    return sum(map(int, fields[11:15])) / TICKS


def status_kib(text, field):
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def cpu_seconds(groups):
    return sum(
        stat_cpu_seconds(pathlib.Path(f"/proc/{pid}/stat").read_text())
        for group in groups for pid in group.pids())


def memory_kib(group, field="VmRSS"):
    """Memory of all processes of a group; VmRSS is now, VmHWM is the most there ever was."""
    return sum(
        status_kib(pathlib.Path(f"/proc/{pid}/status").read_text(), field)
        for pid in group.pids())
