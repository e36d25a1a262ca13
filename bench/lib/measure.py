"""One measurement of one chain: a load, and what the chain spent on it."""

import json
import pathlib
import random
import re
import signal
import time

from lib import peers
from lib.backends import HOST, ask
from lib.procs import Failed, cpu_seconds, files_max, memory_kib, until

SCRIPT = pathlib.Path(__file__).with_name("wrk.lua")
GIB = 1 << 30
# Only these calls are worth a figure of their own; the rest is in `calls`.
CALLS = {"sendto", "recvfrom", "epoll_wait", "read", "write", "readv", "writev", "sendmsg",
         "recvmsg", "epoll_ctl", "splice", "futex", "epoll_pwait"}


class Run:
    """What a measurement needs to know beside the chain."""

    def __init__(self, stage, tools, seconds, backend):
        self.stage, self.tools, self.seconds, self.backend = stage, tools, seconds, backend

    def load(self, *words, longest=60):
        """Runs a subcommand of bench/load to its end: figures by name."""
        said = self.stage.run([self.tools.load, *words], self.seconds + longest)
        return json_line(said)

    def background(self, *words):
        """Starts a subcommand of bench/load that runs until it is told to stop."""
        return self.stage.start("background", [self.tools.load, *words], "client")

    def finish(self, group):
        """Stops it: it prints its figures when its time is over or SIGINT comes."""
        group.check()
        self.stage.end(group, signal.SIGINT)
        return json_line(group.log.read_text())


def json_line(said):
    """The last line that is JSON."""
    for line in reversed(said.strip().splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Failed(f"no figures in: {said.strip()[-300:]}")


class Meter:
    """CPU time of the chain over a `with` block."""

    def __init__(self, chain):
        self.chain = chain

    def __enter__(self):
        self.before, self.begun = cpu_seconds(self.chain.groups), time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begun
        self.cpu = cpu_seconds(self.chain.groups) - self.before


def memory(chain):
    """Memory of each program of the chain, now and at most so far."""
    figures = {}
    for group in chain.groups:
        for kind, field in (("rss_kib", "VmRSS"), ("peak_kib", "VmHWM")):
            name = f"{kind}.{group.name}"
            figures[name] = max(figures.get(name, 0), memory_kib(group, field))
    return figures


def per_request(meter, requests):
    return {"cpu_us": meter.cpu / requests * 1e6} if meter.chain.groups and requests else {}


def per_gib(meter, count):
    return {"cpu_s_gib": meter.cpu / count * GIB} if meter.chain.groups and count else {}


def wrk(run, chain, path, connections, close=False):
    """Closed loop: each connection asks as soon as it was answered."""
    scheme = "https" if chain.tls else "http"
    words = ["wrk", "-t1", f"-c{connections}", f"-d{run.seconds}s", "--timeout", "10s",
             "-s", SCRIPT, "-H", f"Host: {HOST}"]
    if close:
        words += ["-H", "Connection: close"]
    words.append(f"{scheme}://127.0.0.1:{chain.port}{path}")
    with Meter(chain) as meter:
        seen = json_line(run.stage.run(words, run.seconds + 30))
    if seen["errors"] or seen["bad_statuses"]:
        raise Failed(f"wrk saw {seen['errors']} socket errors, {seen['bad_statuses']} bad statuses"
                     f" in {seen['requests']} requests")
    if not seen["requests"]:
        raise Failed("wrk got no answer at all")
    figures = {name: seen[name] for name in ("p50_ms", "p99_ms", "p999_ms")}
    figures["rate"] = seen["requests"] / seen["seconds"]
    return figures | per_request(meter, seen["requests"]) | memory(chain)


def bulk(run, chain, way, streams, *more):
    """Whole bodies one after the other on each stream, until the time is over."""
    words = [way, f"--to=127.0.0.1:{chain.port}", f"--streams={streams}",
             f"--seconds={run.seconds}", *more]
    with Meter(chain) as meter:
        seen = run.load(*words)
    figures = {"mib_s": seen["bytes"] / seen["seconds"] / (1 << 20)}
    return figures | per_gib(meter, seen["bytes"]) | memory(chain)


def beside(run, chain, rate, *background):
    """Small requests at a fixed rate while something else keeps the chain busy."""
    other = run.background(*background, f"--to=127.0.0.1:{chain.port}", "--seconds=600")
    # The measurement is of the steady state: it begins when the other load has filled its windows.
    time.sleep(min(2.0, run.seconds))
    with Meter(chain) as meter:
        seen = run.load("get", f"--to=127.0.0.1:{chain.port}", "--path=/small", "--connections=16",
                        f"--rate={rate}", f"--seconds={run.seconds}")
    busy = run.finish(other)
    figures = latencies(seen) | {"rate": seen["requests"] / seen["seconds"]}
    figures["beside_mib_s"] = busy["bytes"] / busy["seconds"] / (1 << 20)
    if chain.groups:
        figures["cpu_share"] = meter.cpu / meter.seconds
    return figures | memory(chain)


def latencies(seen):
    return {name: seen[name] for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms")}


def messages(run, chain, *words):
    """Server-sent events or WebSocket messages."""
    talk = run.background(*words, f"--to=127.0.0.1:{chain.port}", f"--seconds={run.seconds}")
    wait_until_ready(talk, "not all connections were ready", 30)
    with Meter(chain) as meter:
        said = run.stage.wait(talk, run.seconds + 30)
    seen = json_line(said)
    figures = latencies(seen) | {"rate": seen["messages"] / seen["seconds"]}
    return figures | per_request(meter, seen["messages"]) | memory(chain)


def wait_until_ready(group, complaint, seconds):
    until(lambda: group.check() or "ready" in group.log.read_text(), complaint, seconds)


def idle_connections(run, chain, count):
    """Memory that callers' connections take which have asked once and now wait.

    Some programs need two descriptors for each, or refuse to begin without them.
    """
    count = min(count, files_max() // 2 - 500)
    before = memory(chain)
    holder = run.background("idle", f"--to=127.0.0.1:{chain.port}", f"--connections={count}")
    wait_until_ready(holder, f"{count} connections were not open", 240)
    after = memory(chain)
    run.finish(holder)
    return after | growth(before, after, count) | {"connections": count}


def idle_tunnels(run, chain, count):
    """Memory that tunnels take at the side that agents dial."""
    before = memory(chain)
    agents = add_agents(run, chain, count, 1)
    after = memory(chain)
    for agent in agents:
        run.stage.end(agent)
    return {"bytes_each": growth(before, after, count)[f"bytes_each.{chain.groups[0].name}"]}


def at_rest(run, chain):
    """Memory of programs that have started and answered a little."""
    time.sleep(run.seconds)
    return memory(chain)


def growth(before, after, count):
    grown = {name: (after[name] - before[name]) * 1024 / count for name in before
             if name.startswith("rss_kib")}
    each = {name.replace("rss_kib", "bytes_each"): value for name, value in grown.items()}
    return each | ({"bytes_each": sum(grown.values())} if grown else {})


def hosts_of(agent, hosts):
    return [f"h{agent * hosts + number}.bench.localhost" for number in range(hosts)]


def add_agents(run, chain, count, hosts):
    """Starts agents, a few at a time, and waits until all their hosts are served."""
    agents = []
    for number in range(count):
        agents.append(chain.add_agent(hosts_of(number, hosts)))
        if number % 8 == 7 or number == count - 1:
            for recent in range(number - number % 8, number + 1):
                served(chain, hosts_of(recent, hosts)[-1])
    return agents


def served(chain, host):
    def look():
        try:
            return ask(chain.port, "GET", "/small", host=host, tls=chain.tls)[0] == 200
        except Failed:
            return False
    until(look, f"{host} is not served", 60)


def fleet(run, chain, count, hosts):
    """Small requests over many hosts of many agents."""
    agents = add_agents(run, chain, count, hosts)
    with Meter(type(chain)(chain.port, chain.groups + agents)) as meter:
        seen = run.load("get", f"--to=127.0.0.1:{chain.port}", "--path=/small", "--connections=64",
                        f"--hosts={count * hosts}", f"--seconds={run.seconds}")
    figures = latencies(seen) | {"rate": seen["requests"] / seen["seconds"]} | memory(chain)
    figures |= per_request(meter, seen["requests"])
    for agent in agents:
        run.stage.end(agent)
    return figures


# What `cross` compares: a name, how many workers, and by what the hosts take turns.
CROSSINGS = (("1", 1, "each"), ("2", 2, "each"), ("3", 3, "away"), ("stay", 3, "never"))


def cross(run, chain, connections):
    """What it costs that callers ask for hosts of agents at other workers.

    Six agents are spread over the workers. With two workers each connection asks for the hosts by
    turns, so every second request comes to a worker that has not got its agent. With three, each
    connection belongs to one worker by its first request, and asks for hosts at the other two by
    turns from then on: every request crosses, which is two moves, there and back. Beside it are
    three workers of which each connection asks for one host alone: what several workers cost
    without crossing.
    """
    figures = {}
    for one in random.sample(CROSSINGS, len(CROSSINGS)):
        figures |= crossing(run, one, connections)
    for name, *_ in CROSSINGS[1:]:
        figures[f"times.{name}"] = figures[f"cpu_us.{name}"] / figures["cpu_us.1"]
    figures["times"] = figures["cpu_us.3"] / figures["cpu_us.stay"]
    return figures


def crossing(run, what, connections):
    """The ingress's CPU time per request with so many workers, and how often callers moved."""
    (name, workers, turns), stage, tools, count = what, run.stage, run.tools, 6
    ingress, port, tunnels = peers.start_ingress(stage, tools, f"--workers={workers}")
    health = int(stage.said(ingress, r"listening health \S*:(\d+)"))
    chain, agents = peers.Chain(port, [ingress]), []
    for number in range(count):
        agents.append(peers.start_agent(stage, tools, run.backend, f"ws://127.0.0.1:{tunnels}",
                                        hosts_of(number, 1)))
        # One after the other, so that each is at a worker of its own.
        served(chain, *hosts_of(number, 1))
    with Meter(chain) as meter:
        seen = run.load("get", f"--to=127.0.0.1:{port}", "--path=/small", f"--hosts={count}",
                        f"--connections={connections}", f"--turns={turns}", f"--seconds={run.seconds}")
    moves = counted(ask(health, "GET", "/metrics")[1].decode(), "mesh_moves_total")
    for group in (*agents, ingress):
        stage.end(group)
    cost = per_request(meter, seen["requests"])["cpu_us"]
    return {f"cpu_us.{name}": cost, f"moves.{name}": moves / seen["requests"]}


def counted(page, name):
    """The sum of a counter in Prometheus' text over all its labels."""
    return sum(float(line.split()[-1]) for line in page.splitlines()
               if re.match(rf"{name}[ {{]", line))


def system_calls(run, chain, connections):
    """System calls of each program per request, under strace, which slows everything."""
    traces = []
    for group in chain.groups:
        file = run.stage.folder / f"strace-{group.name}"
        attach = [word for pid in group.pids() for word in ("-p", str(pid))]
        traces.append((group.name, file, run.stage.start(
            f"strace-{group.name}", ["strace", "-c", "-f", "-o", file, *attach], "client")))
    for _, _, trace in traces:
        until(lambda t=trace: t.check() or "attached" in t.log.read_text(), "strace did not attach")
    requests = round(wrk_requests(run, chain, connections))
    figures = {}
    for name, file, trace in traces:
        run.stage.end(trace, signal.SIGINT)
        counts = strace_counts(file.read_text())
        figures[f"calls.{name}"] = sum(counts.values()) / requests
        for call in CALLS & counts.keys():
            figures[f"{call}.{name}"] = counts[call] / requests
    figures["calls"] = sum(value for name, value in figures.items() if name.startswith("calls."))
    return figures


def wrk_requests(run, chain, connections):
    bare = type(chain)(chain.port, [], tls=chain.tls)
    return wrk(run, bare, "/small", connections)["rate"] * run.seconds


def strace_counts(text):
    """Calls by name in the table of `strace -c`: % time, seconds, usecs/call, calls, [errors], name."""
    counts = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) in (5, 6) and words[3].isdigit() and words[-1] != "total":
            counts[words[-1]] = counts.get(words[-1], 0) + int(words[3])
    return counts
