#!/usr/bin/env python3
"""Measures the mesh beside other ways from a caller to a service, interleaved in one run.

Usage: bench/run.py [scenario...] [--peers NAME,NAME...] [--rounds N] [--json FILE]; --list names
all. Starts what it measures, checks that every chain delivers what was sent, and ends what it
started. Machines differ and are noisy: only the ratios within one run mean something.
"""

import argparse
import contextlib
import datetime
import pathlib
import random
import shlex
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import backends, catalogue, report, scenarios, targets, tools as tools_of  # noqa: E402
from lib.procs import END_BY_SIGNAL, Failed, raise_files_max  # noqa: E402
from lib.session import Session  # noqa: E402
from lib.tools import ROOT, Tools  # noqa: E402

QUICK_PEERS = ["direct", "mesh"]


def add_options(parser):
    """Those that bench/curves.py has too."""
    parser.add_argument("--peers", help="names, separated by commas; + adds to the default ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--pin", action="store_true", help="client and chain on cores of their own")
    parser.add_argument("--seed", type=int, help="of the order of peers")
    parser.add_argument("--mesh", default=str(ROOT / "target/release/mesh"))
    parser.add_argument("--load", default=str(ROOT / "target/release/bench-load"))
    parser.add_argument("--ingress-args", default="", help="more options for mesh server")
    parser.add_argument("--agent-args", default="", help="more options for mesh client")
    parser.add_argument("--quick", action="store_true", help="1 round of 1 s, direct and mesh only")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", help="all, unless some are named")
    add_options(parser)
    parser.add_argument("--json", help="file for all figures of all rounds")
    parser.add_argument("--targets", action="store_true", help="print what is met and missed")
    parser.add_argument("--list", action="store_true", help="print scenarios and peers, and end")
    return parser.parse_args()


def choose(names, known, what):
    for name in names:
        if name not in known:
            raise SystemExit(f"{name} is no {what}; there are {', '.join(known)}")
    return [known[name] for name in names]


def chosen_peers(text, quick, more=()):
    names = list(QUICK_PEERS if quick else catalogue.DEFAULT)
    names += [name for name in more if not quick]
    if text and text.startswith("+"):
        names += text[1:].split(",")
    elif text:
        names = text.split(",")
    return choose(names, catalogue.BY_NAME, "peer")


def present(peers, say):
    """Those whose programs are there; says of the others how to get them."""
    found = []
    for peer in peers:
        lacking = Tools.missing(peer.needs)
        if lacking:
            ways = "; ".join(sorted({tools_of.HOW_TO_GET[name] for name in lacking}))
            say(f"left out: {peer.name}, since {' and '.join(lacking)} is not here; try: {ways}")
        else:
            found.append(peer.name)
    return found


def facts(chosen, tools, seed):
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"), "machine": tools_of.machine(),
        "commit": tools_of.commit(), "versions": tools_of.versions(tools), "seed": seed,
        "rounds": chosen.rounds, "seconds": chosen.seconds, "pin": chosen.pin,
        "ingress_args": chosen.ingress_args, "agent_args": chosen.agent_args}


def print_list():
    print("scenarios:")
    for scenario in scenarios.ALL:
        print(f"  {scenario.name:16} {scenario.title}")
    print("peers (those in brackets only when named):")
    for peer in catalogue.ALL:
        name = peer.name if peer.default else f"({peer.name})"
        print(f"  {name:16} {peer.about}")


def measure_all(session, wanted):
    results, broken = {}, False
    for scenario in wanted:
        lacking = Tools.missing(scenario.needs)
        if lacking:
            ways = "; ".join(tools_of.HOW_TO_GET[name] for name in lacking)
            print(f"{scenario.name}: left out, since {' and '.join(lacking)} is not here; "
                  f"try: {ways}\n", flush=True)
            continue
        results[scenario.name] = session.run(scenario)
        print("\n".join(report.table(scenario, results[scenario.name])), flush=True)
        broken |= any(name.startswith(("mesh", "direct"))
                      for name in results[scenario.name]["failed"])
    return results, broken


@contextlib.contextmanager
def prepared(chosen, peers):
    """A session with its files, and what is to be said of this run."""
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1
    for path, package in ((chosen.mesh, "mesh"), (chosen.load, "bench-load")):
        if not pathlib.Path(path).exists():
            raise SystemExit(f"{path} is not there; build it: cargo build --release -p {package}")
    raise_files_max()
    END_BY_SIGNAL.listen()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 32)
    with tempfile.TemporaryDirectory(prefix="mesh-bench-files-") as files:
        pathlib.Path(files).chmod(0o755)
        backends.make_files(files)
        tools = Tools(chosen.mesh, chosen.load, files, shlex.split(chosen.ingress_args),
                      shlex.split(chosen.agent_args))
        about = facts(chosen, tools, seed)
        print("\n".join(report.heading(about)), flush=True)
        yield Session(tools, peers, chosen.rounds, chosen.seconds, chosen.pin, seed, say), about


def say(text):
    """What is going on, for somebody who watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


def main():
    chosen = arguments()
    if chosen.list:
        return print_list()
    every = scenarios.QUICK if chosen.quick else list(scenarios.BY_NAME)
    wanted = choose(chosen.scenario or every, scenarios.BY_NAME, "scenario")
    # Some targets are about TLS.
    more = ["mesh-wss"] if chosen.targets else []
    peers = present(chosen_peers(chosen.peers, chosen.quick, more), print)
    with prepared(chosen, peers) as (session, about):
        results, broken = measure_all(session, wanted)
    if chosen.json:
        report.write(chosen.json, about, results)
    if chosen.targets:
        print("\n".join(targets.lines(results)))
    return 1 if broken else 0


def end_with(main_of):
    try:
        sys.exit(main_of())
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")


if __name__ == "__main__":
    end_with(main)
