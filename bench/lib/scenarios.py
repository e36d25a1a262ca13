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
# The load program speaks no TLS; wrk does.
PLAIN = ("mesh-tls",)
# What the cipher costs is asked where CPU time is.
WITHOUT_TLS = ("mesh-wss", *PLAIN)
SHORT = ("/small", "/10k")
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
    skip: tuple = WITHOUT_TLS
    needs: tuple = ("nginx",)
    # What has to come through undamaged first; a large body would grow heaps and take long on a
    # narrow link.
    checked: tuple = ("/small", "/10k", "/100m")
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
    more.setdefault("skip", PLAIN)
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
    return bulk(name, title, way, 1, ratio="mib_s", checked=SHORT, skip=WITHOUT_TLS,
                link=Link(bytes_per_second=25_000_000, round_trip_ms=milliseconds))


def memory_only(name, title, act, columns=(EACH,), **more):
    return Scenario(name, title, act, columns, "bytes_each", rounds=1, checked=SHORT, **more)


# Those that one server routes to many agents by host.
HOSTED = ("mesh", "frp")
ALL = [
    http("get-1", "small GET, 1 connection, everything on one core", "/small", 1, one_core=True),
    http("get-50", "small GET, 50 connections", "/small", 50),
    http("get-512", "small GET, 512 connections", "/small", 512),
    http("get-10k", "10 KiB GET, 50 connections", "/10k", 50),
    http("get-new", "small GET, a new connection for each, 50 at once", "/small", 50, close=True),
    bulk("down-1", "100 MiB downloads, 1 stream", "download", 1),
    bulk("down-8", "100 MiB downloads, 8 streams", "download", 8),
    bulk("up-1", "100 MiB uploads, 1 stream", "upload", 1),
    bulk("up-8", "100 MiB uploads, 8 streams", "upload", 8),
    beside("beside-bulk", "400 small GET/s beside an endless download", 400, "download"),
    beside("beside-slow", "400 small GET/s beside a reader of 2 MiB/s", 400,
           "download", f"--reader-rate={2 << 20}"),
    beside("narrow", "50 small GET/s beside 8 downloads on a link of 50 Mbit/s", 50,
           "download", "--streams=8", link=NARROW, checked=SHORT),
    far("far-down-100", "one download, 100 ms there and back, 200 Mbit/s", "download", 100),
    far("far-up-100", "one upload, 100 ms there and back, 200 Mbit/s", "upload", 100),
    far("far-down-300", "one download, 300 ms there and back, 200 Mbit/s", "download", 300),
    far("far-up-300", "one upload, 300 ms there and back, 200 Mbit/s", "upload", 300),
    messages("sse", "500 subscribers, 10 server-sent events/s to each", "sse",
             "--connections=500"),
    messages("ws", "WebSocket, 50 connections, 64 bytes there and back", "ws",
             "--connections=50", "--size=64"),
    memory_only("idle", "10,000 idle connections of callers, or as many as the system allows",
                lambda run, chain: measure.idle_connections(run, chain, 10_000),
                [EACH, ("connections", "connections", 0)], skip=("direct", *WITHOUT_TLS)),
    memory_only("tunnels", "200 idle tunnels, memory of the end that is dialled",
                lambda run, chain: measure.idle_tunnels(run, chain, 200), peers=HOSTED),
    Scenario("fleet", "200 agents with 10 hosts each, small GET over all, 64 connections",
             lambda run, chain: measure.fleet(run, chain, 200, 10), HTTP, "cpu_us",
             peers=HOSTED, rounds=1),
    Scenario("cross", "CPU of an ingress with several workers whose callers cross, small GET",
             lambda run, chain: measure.cross(run, chain, 50),
             [("cpu_us.1", "1 worker: CPU us", 2),
              ("cpu_us.2", "2, half cross", 2), ("moves.2", "moves", 2), ("times.2", "/ 1 worker", 2),
              ("cpu_us.stay", "3, none crosses", 2), ("times.stay", "/ 1 worker", 2),
              ("cpu_us.3", "3, all cross", 2), ("moves.3", "moves", 2), ("times.3", "/ 1 worker", 2),
              ("times", "3, all / none cross", 2)], "times", peers=("mesh",)),
    Scenario("calls", "system calls per request, small GET, 50 connections",
             lambda run, chain: measure.system_calls(run, chain, 50),
             [("calls", "calls each", 2)], "calls", needs=("nginx", "wrk", "strace"),
             skip=("direct", *WITHOUT_TLS), rounds=1),
    Scenario("start", "memory after the first requests", measure.at_rest, [], "", rounds=1, checked=SHORT,
             skip=("direct", *WITHOUT_TLS)),
]
BY_NAME = {scenario.name: scenario for scenario in ALL}
# One of each kind, for a look whether the benchmark itself works.
QUICK = ["get-1", "get-50", "get-new", "down-8", "up-1", "beside-slow", "narrow", "far-down-100",
         "sse", "ws", "start"]
