"""What the mesh is meant to reach, each beside what was measured in the same run."""

import statistics

from lib.catalogue import TUNNELS
from lib.report import figure, ratios

MIB = 1024


class Results:
    """The figures of a run, looked up by scenario and peer; None for what was not measured."""

    def __init__(self, scenarios):
        self.scenarios = scenarios

    def rounds(self, scenario, peer):
        return self.scenarios.get(scenario, {}).get("peers", {}).get(peer) or []

    def value(self, scenario, name, peer="mesh"):
        found = figure(self.rounds(scenario, peer), name)
        return found and found[0]

    def ratio(self, scenario, name, peer="mesh", base="nginx", base_scenario=None):
        found = ratios(self.rounds(scenario, peer),
                       self.rounds(base_scenario or scenario, base), name)
        return found and found[0]

    def over_best(self, scenario, name, others):
        """The mesh's figure over the best of those others that were measured."""
        values = [value for peer in others if (value := self.value(scenario, name, peer))]
        own = self.value(scenario, name)
        return own / max(values) if values and own else None

    def added(self, scenario, name):
        """What the mesh adds to the direct way, over what nginx adds, round by round."""
        found = [(own[name] - bare[name]) / (other[name] - bare[name])
                 for own, bare, other in zip(*(self.rounds(scenario, peer)
                                               for peer in ("mesh", "direct", "nginx")))
                 if other[name] > bare[name]]
        return statistics.median(found) if found else None

    def most(self, kind):
        """The largest figure of that kind, of any of the mesh's programs in any scenario."""
        values = [value for scenario in self.scenarios for peer in ("mesh", "mesh-wss", "mesh-tls")
                  for one in self.rounds(scenario, peer) for name, value in one.items()
                  if name.startswith(kind)]
        return max(values, default=None)


def scaled(value, by):
    return None if value is None else value / by


def all_targets(results):
    """(what, measured or None, limit, whether more is better)."""
    r = results
    yield "small GET, 50 connections: CPU / nginx", r.ratio("get-50", "cpu_us"), 0.40, False
    yield ("small GET, 50 connections: rate / best other chain or tunnel",
           r.over_best("get-50", "rate", ["nginx", "haproxy", *TUNNELS]), 1.0, True)
    yield "10 KiB GET: CPU / nginx", r.ratio("get-10k", "cpu_us"), 0.65, False
    yield "new connection for each: CPU / nginx", r.ratio("get-new", "cpu_us"), 0.55, False
    yield "one connection: p50 added / nginx", r.added("get-1", "p50_ms"), 0.80, False
    for name in ("down-1", "down-8", "up-1", "up-8"):
        yield f"{name}: CPU per GiB / nginx", r.ratio(name, "cpu_s_gib"), 0.85, False
        yield f"{name}: MiB/s / best tunnel", r.over_best(name, "mib_s", TUNNELS), 1.0, True
    for name, figure_of in (("get-50", "cpu_us"), ("get-10k", "cpu_us"),
                            ("down-1", "cpu_s_gib"), ("down-8", "cpu_s_gib"),
                            ("up-1", "cpu_s_gib"), ("up-8", "cpu_s_gib")):
        yield (f"{name}, wss: CPU / plain",
               r.ratio(name, figure_of, peer="mesh-wss", base="mesh"), 1.6, False)
    yield "peak memory of a program, MiB", scaled(r.most("peak_kib"), MIB), 16, False
    for name in ("beside-bulk", "beside-slow"):
        yield f"{name}: p99 / nginx", r.ratio(name, "p99_ms"), 1.0, False
    yield "narrow: p99 of small GET, ms", r.value("narrow", "p99_ms"), 40, False
    for name in ("far-down-100", "far-up-100"):
        yield f"{name}: MiB/s / direct", r.ratio(name, "mib_s", base="direct"), 0.9, True
    yield ("cross: CPU of an ingress of 3 workers, all requests cross / none does",
           r.value("cross", "times"), 1.15, False)
    yield "bytes for an idle connection", r.value("idle", "bytes_each"), 1024, False
    yield "bytes for an idle tunnel", r.value("tunnels", "bytes_each"), 32 << 10, False
    yield ("memory of the agent at rest, MiB",
           scaled(r.value("start", "rss_kib.agent"), MIB), 6, False)
    yield ("memory of the ingress at rest, MiB",
           scaled(r.value("start", "rss_kib.ingress"), MIB), 8, False)


def verdict(value, limit, more_is_better):
    if value is None:
        return "not measured"
    met = value >= limit if more_is_better else value <= limit
    return "met" if met else "missed"


def lines(results):
    rows = [("target", "measured", "wanted", "")]
    for what, value, limit, more in all_targets(Results(results)):
        seen = "-" if value is None else f"{value:,.2f}"
        sign = ">=" if more else "<="
        rows.append((what, seen, f"{sign} {limit:,g}", verdict(value, limit, more)))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows]
