#!/usr/bin/env python3
"""Runs the programs under what their units let them call, without systemd.

Usage: systemd/tests/sandbox.py [folder of the programs]. The kernel enforces SystemCallFilter= and
RestrictAddressFamilies= of each unit here as systemd has it do that; what a group of calls is,
systemd-analyze says.
"""

import contextlib
import ctypes
import http.server
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

UNITS = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = UNITS.parent / "target/debug"

# From linux/seccomp.h, linux/filter.h and linux/prctl.h.
ALLOW = 0x7FFF0000
REFUSE = 0x00050000
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_AT, ARGUMENT_AT = 0, 16
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
EPERM, EAFNOSUPPORT = 1, 97

LIBC = ctypes.CDLL(None, use_errno=True)


def output_of(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout


def settings(unit, key):
    text = (UNITS / unit).read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def members(name):
    """The calls of a group such as @timer, or the call itself."""
    if not name.startswith("@"):
        return {name}
    lines = output_of("systemd-analyze", "syscall-filter", name).splitlines()[1:]
    words = [line.strip() for line in lines]
    return set().union(*(members(word) for word in words if word and not word.startswith("#")))


def allowed_calls(unit):
    """systemd.exec(5): the first list is of what is allowed, and @default always is."""
    allowed = members("@default")
    for words in settings(unit, "SystemCallFilter"):
        names = set().union(*(members(word) for word in words.lstrip("~").split()))
        allowed = allowed - names if words.startswith("~") else allowed | names
    return allowed


def numbers():
    """The numbers of all calls on this machine, as its compiler knows them."""
    text = output_of("cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null")
    return {name: int(number)
            for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.MULTILINE)}


def filter_of(unit):
    """The program for the kernel."""
    known = numbers()
    families = [getattr(socket, name) for words in settings(unit, "RestrictAddressFamilies")
                for name in words.split()]
    assert families, f"{unit} restricts no address families"
    steps = [(LOAD, 0, 0, NUMBER_AT)]
    sockets = [(LOAD, 0, 0, ARGUMENT_AT)]
    for family in families:
        sockets += [(IF_EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW)]
    sockets += [(RETURN, 0, 0, REFUSE | EAFNOSUPPORT)]
    steps += [(IF_EQUAL, 0, len(sockets), known["socket"]), *sockets]
    for name in sorted(allowed_calls(unit) & known.keys()):
        steps += [(IF_EQUAL, 0, 1, known[name]), (RETURN, 0, 0, ALLOW)]
    steps += [(RETURN, 0, 0, REFUSE | EPERM)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def confine(program):
    """What a child does before it becomes the program."""
    buffer = ctypes.create_string_buffer(program)
    count = len(program) // 8
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", count, ctypes.addressof(buffer)))

    def enter():
        if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")

    enter.keeps = buffer
    return enter


@contextlib.contextmanager
def running(words, unit):
    """A program under the filter of a unit, which leaves with 0 when it is asked to."""
    process = subprocess.Popen(words, preexec_fn=confine(filter_of(unit)), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, f"{words[0]} ended with {process.returncode}:\n{log}"
    finally:
        if process.poll() is None:
            process.kill()
            print(process.communicate()[1], file=sys.stderr)


class Service(http.server.BaseHTTPRequestHandler):
    """Answers everything."""

    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@contextlib.contextmanager
def serving():
    """A local service, which no unit confines, and its port."""
    with http.server.ThreadingHTTPServer(("localhost", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ports(process, count):
    """The ports that it says it listens on, by their names."""
    found = {}
    for line in process.stdout:
        _, name, address = line.split()
        found[name] = address.rsplit(":", 1)[1]
        if len(found) == count:
            return found
    raise AssertionError(f"it ended before it listened:\n{process.communicate()[1]}")


def refuses_what_is_not_allowed():
    """That the filter is there at all."""
    for unit in ("mesh-ingress.service", "mesh-agent.service"):
        enter = confine(filter_of(unit))
        words = [sys.executable, "-c", "import os; os.chown('/tmp', -1, -1)"]
        done = subprocess.run(words, preexec_fn=enter, capture_output=True, text=True, check=False)
        assert "PermissionError" in done.stderr, f"{unit} lets files be given away: {done.stderr}"


def serves_a_request(programs, folder):
    """An ingress, an agent that looks up names, an access log, and a request through all."""
    log = folder / "access.log"
    any_port = ["--alb-port", "0", "--websocket-port", "0", "--health-port", "0"]
    server = [programs / "mesh", "server", *any_port, "--access-log", "json", "--access-log-file", log,
              "--drain-timeout", "1"]
    with serving() as port, running(server, "mesh-ingress.service") as ingress:
        at = ports(ingress, 3)
        local = f"http://localhost:{port}"
        client = [programs / "mesh-agent", "--ingress-endpoint", f"ws://localhost:{at['tunnels']}",
                  "--local-endpoint", local, "--host", "sandbox.test", "--health-port", "0"]
        with running(client, "mesh-agent.service") as agent:
            own = ports(agent, 1)["health"]
            wait = [programs / "mesh-agent", "health", "--url", f"http://127.0.0.1:{own}/health"]
            due = time.monotonic() + 60
            while subprocess.run(wait, capture_output=True, check=False).returncode != 0:
                assert agent.poll() is None and time.monotonic() < due, "the agent is not well"
            url = f"http://127.0.0.1:{at['traffic']}/health"
            asked = urllib.request.Request(url, headers={"Host": "sandbox.test"})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                assert answer.status == 200
    assert "sandbox.test" in log.read_text(), "nothing is in the access log"


def main():
    programs = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS
    if shutil.which("systemd-analyze") is None:
        print("the sandbox is not tried: there is no systemd-analyze (Debian: apt-get install systemd)")
        return
    refuses_what_is_not_allowed()
    with tempfile.TemporaryDirectory() as folder:
        serves_a_request(programs, pathlib.Path(folder))
    print("the programs run under what their units let them call")


main()
