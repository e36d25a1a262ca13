#!/usr/bin/env python3
"""Writes the results of a run into docs/performance.md, between its two marks.

Usage: bench/document.py [run.json]... [--check]. Without names: docs/performance/run*.json. What a
later file has measured too is taken from the first. Beside the marks it writes the counts on record,
where the text has them as "`few`: 20,000 instructions". --check fails if the document says anything else.
"""

import argparse
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import report, targets  # noqa: E402
from lib.scenarios import BY_NAME  # noqa: E402
from lib.tools import ROOT  # noqa: E402

DOCUMENT = ROOT / "docs/performance.md"
COUNTS = ROOT / "bench/micro/counts.json"
BEGIN = "<!-- Written by bench/document.py from here -->"
END = "<!-- to here -->"


def row(cells):
    return f"| {' | '.join(cells)} |"


def table_of_targets(scenarios):
    yield row(["target", "measured", "wanted", ""])
    yield row(["---"] * 4)
    for what, value, limit, more in targets.all_targets(targets.Results(scenarios)):
        seen = "-" if value is None else f"{value:,.2f}"
        word = targets.verdict(value, limit, more)
        yield row([what, seen, f"{'≥' if more else '≤'} {limit:,g}",
                   f"**{word}**" if word == "missed" else word])


def table_of(scenario, results, base="nginx"):
    """A scenario with a row for each peer."""
    against = results["peers"].get(base) if scenario.ratio else None
    heads = [scenario.name, *(heading for _, heading, _ in scenario.columns)]
    heads += [f"{scenario.ratio} / {base}"] if against else []
    yield f"**{scenario.title}**"
    yield ""
    yield row(heads)
    yield row(["---"] * len(heads))
    for peer, rounds in results["peers"].items():
        cells = [peer, *(report.with_spread(report.figure(rounds, name), digits)
                         for name, _, digits in scenario.columns)]
        if against:
            cells.append(report.with_spread(report.ratios(rounds, against, scenario.ratio), 2))
        yield row(cells)
    yield from ("\n" + f"{peer}: failed, {reason}" for peer, reason in results["failed"].items())
    yield ""


def said_of(name, facts):
    machine = facts["machine"]
    return (f"[{name}](performance/{name}): {facts['date']}, {machine['cores']} cores of "
            f"{machine['cpu']}, {report.linux_of(machine)}, load average {machine['load_average']} "
            f"at the start; commit {facts['commit']}; medians of {facts['rounds']} rounds of "
            f"{facts['seconds']} s with the least and the most.")


def versions_of(runs):
    """The programs with the numbers that they say of themselves, as far as they do."""
    said = {name: str(text) for _, run in runs for name, text in run["versions"].items()}
    numbers = {name: re.search(r"\d+\.\d+[\w.+-]*", text) for name, text in sorted(said.items())}
    known = ", ".join(f"{name} {number[0]}" for name, number in numbers.items() if number)
    return f"Versions, as the programs tell them: {known}."


def results_of(runs):
    """All of it as Markdown, of (file name, contents)."""
    scenarios = {}
    for _, run in runs:
        scenarios = run["scenarios"] | scenarios
    lines = [""]
    for name, run in runs:
        lines += [said_of(name, run), ""]
    lines += [versions_of(runs), ""]
    lines += ["### Targets", "", *table_of_targets(scenarios), "", "### Figures", ""]
    for name, scenario in BY_NAME.items():
        if name in scenarios and scenario.columns:
            lines += table_of(scenario, scenarios[name])
    return "\n".join(lines)


def put_into(document, results):
    before, rest = document.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{results}\n{END}{after}"


def with_counts(document, counts):
    """The document with the counts on record. A name that is none of theirs is a KeyError."""
    return re.sub(r"`([\w-]+)`: [\d,]+ instructions",
                  lambda told: f"`{told[1]}`: {counts[told[1]]:,} instructions", document)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="*", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="write nothing")
    chosen = parser.parse_args()
    paths = chosen.run or sorted((ROOT / "docs/performance").glob("run*.json"))
    runs = [(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    if not runs:
        raise SystemExit("there is no run to write of; bench/run.py --json makes one")
    old = DOCUMENT.read_text(encoding="utf-8")
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))["counts"]
    new = with_counts(put_into(old, results_of(runs)), counts)
    if chosen.check and new != old:
        raise SystemExit("docs/performance.md does not say what was measured; run bench/document.py")
    if not chosen.check:
        DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
