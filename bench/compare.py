#!/usr/bin/env python3
"""Measures the mesh beside a chain of two nginx, interleaved in one run.

Needs nginx, wrk, curl and, for `syscalls`, strace. Build first: cargo build --release --bin mesh
Usage: compare.py [http|fairness|idle|syscalls]... [--rounds N] [--mesh PATH]

Machines differ and are noisy: only the ratios within one run mean something. The figure for `http`
is the CPU time of all processes of the chain, divided by requests (or GiB). Everything runs on
loopback, and everything that was started is stopped again.
"""

import argparse
import http.client
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time

BACKEND, HOP2, HOP1, TRAFFIC, HEALTH, TUNNELS, PACED = range(23100, 23107)
HOST = "localhost"
COUNTED = ("sendto", "recvfrom", "epoll_wait")
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_max_body_size 0; client_body_temp_path {folder}/{name}.body; proxy_temp_path {folder}/{name}.temp;
  {body}
}}
"""
SERVICE = """server {{ listen 127.0.0.1:{port}; root {folder}; location = /small {{
  return 200 "a small answer of about sixty bytes, as many services give it..\\n"; }} }}"""
PROXY = """upstream next {{ server 127.0.0.1:{next}; keepalive 512; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://next; proxy_http_version 1.1;
  proxy_set_header Connection ""; proxy_set_header Host $host; proxy_buffering off;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_request_buffering off; }} }}"""


class Stage:
    """The processes of one measurement."""

    def __init__(self, mesh):
        self.mesh, self.started = mesh, []
        self.folder = tempfile.TemporaryDirectory()
        for name, size in {"10k": 10 << 10, "100m": 100 << 20}.items():
            (pathlib.Path(self.folder.name) / name).write_bytes(os.urandom(size))
        os.chmod(self.folder.name, 0o755)

    def run(self, *words):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def nginx(self, name, body):
        path = pathlib.Path(self.folder.name) / f"{name}.conf"
        path.write_text(NGINX.format(folder=self.folder.name, name=name, body=body))
        return self.run("nginx", "-c", str(path))

    def service(self):
        self.nginx("service", SERVICE.format(port=BACKEND, folder=self.folder.name))
        wait(BACKEND)

    def nginx_chain(self):
        second = self.nginx("hop2", PROXY.format(port=HOP2, next=BACKEND))
        first = self.nginx("hop1", PROXY.format(port=HOP1, next=HOP2))
        wait(HOP1), wait(HOP2)
        return [pid for process in (first, second) for pid in family(process.pid)]

    def mesh_chain(self, tunnels=TUNNELS):
        server = self.run(
            self.mesh, "server", "--bind=127.0.0.1", f"--alb-port={TRAFFIC}", "--log-level=error",
            f"--health-port={HEALTH}", f"--websocket-port={TUNNELS}")
        wait(TUNNELS)
        agent = self.run(
            self.mesh, "client", f"--ingress-endpoint=ws://127.0.0.1:{tunnels}", f"--host={HOST}",
            f"--local-endpoint=http://127.0.0.1:{BACKEND}", "--health-check-path=/small",
            "--log-level=error")
        until(lambda: get(TRAFFIC, "/small")[0] == 200)
        return [server.pid, agent.pid]

    def stop(self):
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.wait()
        self.folder.cleanup()


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("it did not start")
        time.sleep(0.05)


def wait(port):
    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    until(listens)


def get(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path, headers={"Host": HOST})
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""


def family(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [pid, *map(int, found.split())]


def cpu_seconds(pids):
    def of(pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return sum(map(of, pids))


def memory_kib(pid, field="VmRSS"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1])


def wrk(port, path, connections, seconds=4):
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://{HOST}:{port}{path}"]
    said = subprocess.run(words, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    return int(re.search(r"(\d+) requests in", said)[1]), float(re.search(r"sec:\s+([\d.]+)", said)[1])


def bulk(port, _path, _connections):
    begun, count = time.monotonic(), 10
    for _ in range(count):
        subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://{HOST}:{port}/100m"], check=True)
    return count * 100 / 1024, count * 100 / (time.monotonic() - begun)


def http_chains(stage, rounds):
    stage.service()
    chains = {"nginx": (HOP1, stage.nginx_chain()), "mesh": (TRAFFIC, stage.mesh_chain())}
    for path in ["/small", "/10k", "/100m"]:
        answers = {get(port, path) for port in (BACKEND, HOP1, TRAFFIC)}
        assert len(answers) == 1 and answers.pop()[0] == 200, path
    cases = [
        ("GET small, 50 connections", "us/request", "1/s", wrk, "/small", 50, 1e6),
        ("GET small, 1 connection", "us/request", "1/s", wrk, "/small", 1, 1e6),
        ("GET 10 KiB, 50 connections", "us/request", "1/s", wrk, "/10k", 50, 1e6),
        ("GET 100 MiB, one by one", "s/GiB", "MiB/s", bulk, "/100m", 1, 1),
    ]
    seen = {}
    for _ in range(rounds):
        for case in cases:
            for name, (port, pids) in chains.items():
                before = cpu_seconds(pids)
                count, rate = case[3](port, case[4], case[5])
                cost = (cpu_seconds(pids) - before) / count * case[6]
                seen.setdefault((case[0], name), []).append((cost, rate))
    for label, unit, rate_unit, *_ in cases:
        cost, rate = ({name: statistics.median(one[at] for one in seen[label, name])
                       for name in chains} for at in (0, 1))
        spread = [one[0] / other[0] for one, other in zip(seen[label, "mesh"], seen[label, "nginx"])]
        print(f"{label:28} CPU {unit}: mesh {cost['mesh']:.2f}, nginx {cost['nginx']:.2f}, "
              f"ratio {cost['mesh'] / cost['nginx']:.2f} ({min(spread):.2f} to {max(spread):.2f}); "
              f"{rate_unit}: mesh {rate['mesh']:.0f}, nginx {rate['nginx']:.0f}")
    peaks = [memory_kib(pid, "VmHWM") for pid in chains["mesh"][1]]
    print(f"peak memory: ingress {peaks[0]} KiB, agent {peaks[1]} KiB")


def pace(listener, target, bytes_per_second):
    """Forwards one tunnel; towards the target only so many bytes per second."""
    def forward(source, sink, rate):
        due = time.perf_counter()
        while chunk := source.recv(8192):
            if rate:
                due = max(due, time.perf_counter() - 0.002) + len(chunk) / rate
                while (left := due - time.perf_counter()) > 0.0005:
                    time.sleep(left)
            sink.sendall(chunk)
    while True:
        agent, _ = listener.accept()
        ingress = socket.create_connection(("127.0.0.1", target))
        for one in (agent, ingress):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for way in ((agent, ingress, bytes_per_second), (ingress, agent, None)):
            threading.Thread(target=forward, args=way, daemon=True).start()


def fairness(stage, _rounds):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    listener.bind(("127.0.0.1", PACED))
    listener.listen()
    threading.Thread(target=pace, args=(listener, TUNNELS, 50e6 / 8), daemon=True).start()
    stage.service()
    stage.mesh_chain(PACED)
    for _ in range(8):
        stage.run("curl", "-s", "-o", "/dev/null", f"http://{HOST}:{TRAFFIC}/100m")
    time.sleep(2)
    connection, took = http.client.HTTPConnection("127.0.0.1", TRAFFIC), []
    for _ in range(400):
        begun = time.perf_counter()
        connection.request("GET", "/small", headers={"Host": HOST})
        connection.getresponse().read()
        took.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.02)
    took.sort()
    print(f"small GETs beside 8 downloads on a 50 Mbit/s tunnel: p50 {took[200]:.1f} ms, "
          f"p99 {took[396]:.1f} ms, worst {took[-1]:.1f} ms")


def idle(stage, _rounds, count=8000):
    stage.service()
    server, _ = stage.mesh_chain()
    before, connections = memory_kib(server), []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", TRAFFIC))
        connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(4096)
        connections.append(connection)
    grown = memory_kib(server) - before
    print(f"{count} idle connections, each after one request: {grown * 1024 / count:.0f} bytes of "
          f"the ingress each; {memory_kib(server)} KiB in all")


def syscalls(stage, _rounds):
    stage.service()
    pids = stage.mesh_chain()
    files = [os.path.join(stage.folder.name, name) for name in ("ingress", "agent")]
    traces = [subprocess.Popen(["strace", "-c", "-f", "-p", str(pid), "-o", file],
                               stderr=subprocess.DEVNULL) for pid, file in zip(pids, files)]
    time.sleep(0.5)
    requests, _ = wrk(TRAFFIC, "/small", 50, 3)
    for trace in traces:
        trace.send_signal(2)
        trace.wait()
    for name, file in zip(("ingress", "agent"), files):
        rows = [line.split() for line in pathlib.Path(file).read_text().splitlines()]
        calls = {row[-1]: row[3] for row in rows if row and row[-1] in COUNTED}
        calls = {call: int(count) / requests for call, count in calls.items()}
        print(f"{name}: per request " + ", ".join(f"{calls[c]:.2f} {c}" for c in sorted(calls)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["http"],
                        choices=["http", "fairness", "idle", "syscalls"])
    parser.add_argument("--rounds", type=int, default=5)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--mesh", default=str(root / "target/release/mesh"))
    arguments = parser.parse_args()
    scenes = {"http": http_chains, "fairness": fairness, "idle": idle, "syscalls": syscalls}
    for what in arguments.what:
        stage = Stage(arguments.mesh)
        try:
            scenes[what](stage, arguments.rounds)
        finally:
            stage.stop()


if __name__ == "__main__":
    main()
