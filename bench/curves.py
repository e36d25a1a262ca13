#!/usr/bin/env python3
"""Measures how cost grows, and draws it: SVG plots and figures into docs/performance/.

Usage: bench/curves.py [connections|body|agents|hosts|round-trip]... [--rounds N] [--peers ...]
Every point is measured as bench/run.py measures: checked, interleaved, medians of rounds.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import run as command  # noqa: E402
from lib import backends, measure, report, svg  # noqa: E402
from lib.peers import Link  # noqa: E402
from lib.scenarios import BULK, HTTP, SHORT, Scenario  # noqa: E402
from lib.tools import ROOT  # noqa: E402

SIZES = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20]
BODIES = {f"body-{size}": size for size in SIZES}
# One server of these has many agents by host.
HOSTED = ("mesh", "frp")


@dataclasses.dataclass
class Curve:
    title: str
    x_title: str
    xs: list
    # The scenario at one place of the axis.
    scenario: Callable
    # Figure, axis title, end of the file's name.
    plots: list
    peers: str = "nginx,haproxy,mesh,rathole,bore,frp,chisel,wstunnel,piko"


CPU = ("cpu_us", "CPU microseconds of the chain for each request", "cpu")
RATE = ("rate", "requests/s", "rate")


def with_connections(count):
    return Scenario(f"connections-{count}", f"small GET, {count} connections",
                    lambda run, chain: measure.wrk(run, chain, "/small", count), HTTP, "cpu_us",
                    needs=("nginx", "wrk"), checked=SHORT)


def with_body(size):
    return Scenario(f"body-{size}", f"GET of {size} bytes, 16 connections",
                    lambda run, chain: measure.wrk(run, chain, f"/body-{size}", 16), HTTP,
                    "cpu_us", needs=("nginx", "wrk"), checked=(f"/body-{size}",))


def with_agents(count):
    return Scenario(f"agents-{count}", f"{count} agents, one host each",
                    lambda run, chain: measure.fleet(run, chain, count, 1), HTTP, "cpu_us",
                    peers=HOSTED, checked=SHORT)


def with_hosts(count):
    # An ingress takes 64 hosts of one agent unless it is told otherwise.
    agents = max(1, count // 50)
    return Scenario(f"hosts-{count}", f"{count} hosts of {agents} agents",
                    lambda run, chain: measure.fleet(run, chain, agents, count // agents), HTTP,
                    "cpu_us", peers=HOSTED, checked=SHORT)


def with_round_trip(milliseconds):
    link = Link(bytes_per_second=25_000_000, round_trip_ms=milliseconds)
    return Scenario(f"round-trip-{milliseconds}", f"one download, {milliseconds} ms",
                    lambda run, chain: measure.bulk(run, chain, "download", 1), BULK, "mib_s",
                    link=link, checked=SHORT)


CURVES = {
    "connections": Curve("Small GET over connections", "connections of callers",
                         [1, 4, 16, 64, 256, 1024], with_connections, [CPU, RATE]),
    "body": Curve("GET over the size of the body, 16 connections", "bytes of the body", SIZES,
                  with_body, [CPU, RATE]),
    "agents": Curve("Small GET over all hosts of many agents, 64 connections",
                    "agents, each with one host", [1, 10, 50, 100, 200], with_agents, [CPU],
                    "mesh,frp"),
    "hosts": Curve("Small GET over many hosts, 50 for each agent, 64 connections", "hosts",
                   [1, 10, 50, 500, 2000], with_hosts, [CPU], "mesh,frp"),
    "round-trip": Curve("One download on a link of 200 Mbit/s", "milliseconds there and back",
                        [1, 10, 50, 100, 300], with_round_trip, [("mib_s", "MiB/s", "rate")],
                        "direct,nginx,haproxy,mesh,rathole,bore,frp,chisel,wstunnel,piko"),
}


def measured(curve, session):
    """Every round of every peer at every place: [(x, results)]."""
    found = []
    for x in curve.xs:
        scenario = curve.scenario(x)
        results = session.run(scenario)
        print("\n".join(report.table(scenario, results)), flush=True)
        found.append((x, results))
    return found


def series(found, name):
    """Points of each peer, as svg.chart takes them."""
    lines = {}
    for x, results in found:
        for peer, rounds in results["peers"].items():
            if spread := report.figure(rounds, name):
                lines.setdefault(peer, []).append((x, *spread))
    return lines


def draw(name, curve, found, about, folder):
    machine = about["machine"]
    note = f"{about['date']}, {machine['cores']} cores of {machine['cpu']}"
    for figure, y_title, kind in curve.plots:
        lines = series(found, figure)
        if lines:
            text = svg.chart(curve.title, curve.x_title, y_title, lines, note)
            (folder / f"{name}-{kind}.svg").write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("curve", nargs="*", help=f"of {', '.join(CURVES)}; all, unless named")
    parser.add_argument("--out", default=str(ROOT / "docs/performance"), help="folder to write to")
    command.add_options(parser)
    chosen = parser.parse_args()
    curves = dict(zip(chosen.curve or CURVES,
                      command.choose(chosen.curve or list(CURVES), CURVES, "curve")))
    folder = pathlib.Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, curve in curves.items():
        peers = command.present(
            command.chosen_peers(chosen.peers or curve.peers, chosen.quick), print)
        with command.prepared(chosen, peers) as (session, about):
            backends.make_files(session.tools.files, BODIES)
            found = measured(curve, session)
        draw(name, curve, found, about, folder)
        with open(folder / f"{name}.json", "w", encoding="utf-8") as file:
            json.dump(about | {"curve": curve.title, "points": found}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    command.end_with(main)
