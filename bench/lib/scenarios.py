"""What is measured: each scenario is a load on every chain, with the figures worth printing."""

import dataclasses
from typing import Callable

from lib import measure
from lib.peers import Link

# Columns of the report: the figure, its heading, digits after the point.
RATE = ("rate", "1/s", 0)
CPU = ("cpu_us", "CPU us each", 2)
P50, P99, P999 = (("p50_ms", "p50 ms", 3), ("p99_ms", "p99 ms", 3), ("p999_ms", "p99.9 ms", 3))
MIB = ("mib_s", "MiB/s", 1)
CPU_GIB = ("cpu_s_gib", "CPU s/GiB", 3)
EACH = ("bytes_each", "bytes each", 0)
BESIDE = ("beside_mib_s", "bulk MiB/s", 1)
HTTP = [RATE, CPU, P50, P99, P999]
BULK = [MIB, CPU_GIB]
LATENCY = [P50, P99, P999, RATE, BESIDE]
# Mbit/s and ms of the links that are played.
NARROW = Link(bytes_per_second=50_000_000 // 8)


@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    measure: Callable
    columns: list
    # The figure whose ratio to nginx's is printed.
    ratio: str
    backend: str = "files"
    link: Link | None = None
    # All of it on one core: how long a request takes when nothing runs beside it.
    one_core: bool = False
    # Only these peers; all where empty.
    peers: tuple = ()
    skip: tuple = ("mesh-tls",)
    needs: tuple = ("nginx",)
    # Figures of memory and counting do not gain by many rounds.
    rounds: int | None = None


def http(name, title, path, connections, close=False, **more):
    def act(run, chain):
        return measure.wrk(run, chain, path, connections, close)
    return Scenario(name, title, act, HTTP, "cpu_us", needs=("nginx", "wrk"), skip=(), **more)


def bulk(name, title, way, streams, **more):
    backend = "files" if way == "download" else "load"

    def act(run, chain):
        return measure.bulk(run, chain, way, streams)
    return Scenario(name, title, act, BULK, more.pop("ratio", "cpu_s_gib"), backend=backend, **more)


def beside(name, title, rate, *background, **more):
    def act(run, chain):
        return measure.beside(run, chain, rate, *background)
    return Scenario(name, title, act, LATENCY, "p99_ms", **more)


def messages(name, title, *words, **more):
    def act(run, chain):
        return measure.messages(run, chain, *words)
    return Scenario(name, title, act, HTTP, "cpu_us", backend="load", **more)


def far(name, title, way, milliseconds):
    # 200 Mbit/s, so that the window of one stream decides and not the machine.
    return bulk(name, title, way, 1, ratio="mib_s",
                link=Link(bytes_per_second=25_000_000, round_trip_ms=milliseconds))


HOSTED = ("mesh", "frp")
ALL = [
    http("get-1", "small GET, 1 connection, everything on one core", "/small", 1, one_core=True),
    http("get-50", "small GET, 50 connections", "/small", 50),
    http("get-512", "small GET, 512 connections", "/small", 512),
    http("get-10k", "10 KiB GET, 50 connections", "/10k", 50),
    http("get-new", "small GET, a new connection for each, 50 at once", "/small", 50, close=True),
    Scenario("calls", "system calls per request, small GET, 50 connections",
             lambda run, chain: measure.system_calls(run, chain, 50),
             [("calls", "calls each", 2)], "calls", needs=("nginx", "wrk", "strace"),
             skip=("direct", "mesh-tls"), rounds=1),
]
BY_NAME = {scenario.name: scenario for scenario in ALL}
