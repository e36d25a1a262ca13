#!/usr/bin/env python3
"""Counts the instructions of each scenario of mesh-micro, and compares with those on record.

Usage: bench/micro/count.py [scenario...] [--record]. Each scenario runs under callgrind with a lot
of operations and with three lots; the difference is what operations cost, without start and end.
The same program gives the same counts, however busy the machine is, so a few percent mean
something.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = ROOT / "bench/micro/counts.json"
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/mesh-micro"

# What a count may be above the recorded one.
LIMIT_PERCENT = 5
# The same where compiler, C library or processor are others than those of the record. They move
# counts by some percent, each its own way, and hide what is less than this.
LIMIT_ELSEWHERE_PERCENT = 25
# Runs at the same time.
JOBS = 2
# A run takes seconds.
TIMEOUT_SECONDS = 120

# Without ERMS and FSRM the C library copies by loads and stores. It would copy more than some
# kilobytes by `rep movsb` else, which callgrind counts as an instruction for each byte; and how many
# kilobytes, and when it goes past the caches, would depend on the processor.
TUNABLES = "glibc.cpu.hwcaps=-ERMS,-FSRM:glibc.cpu.x86_non_temporal_threshold=0x10000000"
HOW_TO_RECORD = "bench/micro/count.py --record"


def per_operation(lot, few, many):
    """What one operation costs, by the counts of a lot and of three lots."""
    return round((many - few) / (2 * lot))


def collected(said):
    """The count that callgrind ends with."""
    found = re.findall(r"Collected\s*:\s*(\d+)", said)
    if not found:
        raise ValueError(f"callgrind counted nothing: {said.strip()[-500:]}")
    return int(found[-1])


def percent(now, before):
    """By how much a count differs from the one before."""
    return 100 * (now - before) / before


def differences(here, there):
    """In what two surroundings differ, in words."""
    return [f"{name} is {here.get(name)}, recorded with {there.get(name)}"
            for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]


def allowance(here, there):
    """What a count may be above one that was recorded there, in percent; None where the two have
    nothing to do with each other."""
    if here.get("target") != there.get("target"):
        return None
    return LIMIT_ELSEWHERE_PERCENT if differences(here, there) else LIMIT_PERCENT


def is_required():
    """Whether nothing may be missing here: where `CI` is set."""
    return bool(os.environ.get("CI"))


def gone(names, recorded):
    """Recorded scenarios that there are no more."""
    return sorted(recorded.keys() - names)


def judge(counts, recorded, limit=LIMIT_PERCENT):
    """Each scenario with its count, the recorded one, the difference and a remark; and those that
    are at fault."""
    rows, faults = [], []
    for name, count in counts.items():
        before = recorded.get(name)
        if before is None:
            rows.append((name, count, None, None, "not recorded"))
            faults.append(name)
            continue
        change = percent(count, before)
        remark = ""
        if change > limit:
            remark = f"more than {limit} % above"
            faults.append(name)
        elif change < -limit:
            remark = "record it, so that it stays"
        rows.append((name, count, before, change, remark))
    return rows, faults


def table(rows):
    lines = [f"{'instructions per operation':<28}{'now':>12}{'recorded':>12}{'':>9}"]
    for name, count, before, change, remark in rows:
        recorded = "" if before is None else f"{before:,}"
        difference = "" if change is None else f"{change:+.1f} %"
        line = f"{name:<28}{count:>12,}{recorded:>12}{difference:>9}  {remark}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def surroundings():
    """What counts depend on besides the code."""
    said = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, capture_output=True, text=True)
    fields = dict(line.split(": ", 1) for line in said.stdout.splitlines() if ": " in line)
    # Searching memory chooses by it when it runs.
    features = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return {
        "rustc": f"{fields['release']} ({fields['commit-hash'][:9]})",
        "target": fields["host"],
        "C library": " ".join(platform.libc_ver()),
        "AVX2": "there" if re.search(r"\bavx2\b", features) else "missing",
    }


def run(name, operations):
    """The instructions of one run."""
    # Nothing else of the environment: it lies on the stack, and moves what is above it.
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(PROGRAM), name,
         str(operations)],
        env={"PATH": os.environ.get("PATH", os.defpath), "GLIBC_TUNABLES": TUNABLES},
        capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode != 0:
        raise ValueError(f"{name} failed: {done.stderr.strip()[-2000:]}")
    return collected(done.stderr)


def count_all(lots):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        runs = {name: [pool.submit(run, name, times * lot) for times in (1, 3)]
                for name, lot in lots.items()}
        return {name: per_operation(lots[name], *[each.result() for each in both])
                for name, both in runs.items()}


def all_lots():
    """All scenarios, each with its lot."""
    said = subprocess.run([PROGRAM, "list"], check=True, capture_output=True, text=True).stdout
    return {name: int(lot) for name, lot in (line.split() for line in said.splitlines())}


def those(lots, names):
    """The scenarios to run: those that are named, or all."""
    for name in names:
        if name not in lots:
            raise ValueError(f"there is no scenario {name!r}, but: {', '.join(lots)}")
    return {name: lot for name, lot in lots.items() if not names or name in names}


def compare(counts, here, names):
    """Prints what changed; the exit code. `names` are those of all scenarios."""
    if not RECORD.exists():
        print(table(judge(counts, {})[0]))
        print(f"Nothing is recorded; {HOW_TO_RECORD} does it.", file=sys.stderr)
        return 1
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    allowed = allowance(here, recorded["with"])
    rows, faults = judge(counts, recorded["counts"], float("inf") if allowed is None else allowed)
    print(table(rows))
    missing = gone(names, recorded["counts"])
    different = " and ".join(differences(here, recorded["with"]))
    if allowed is None:
        print(f"There is nothing to compare with, because {different}.")
    elif different:
        print(f"Up to {allowed} % are no fault, because {different}.")
    if faults:
        print(f"{', '.join(faults)}: more instructions than recorded, or never recorded. If that is "
              f"meant, run {HOW_TO_RECORD} and say why in the commit.", file=sys.stderr)
    if missing:
        print(f"{', '.join(missing)}: recorded, and not there any more; run {HOW_TO_RECORD}.",
              file=sys.stderr)
    return int(bool(faults or missing) or (allowed is None and is_required()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help="these alone")
    parser.add_argument("--record", action="store_true", help="write bench/micro/counts.json anew")
    options = parser.parse_args()
    if options.record and options.scenarios:
        parser.error("--record is about all scenarios: they belong to one compiler")
    if shutil.which("valgrind") is None:
        print("Instructions are not counted, because valgrind is missing (apt-get install valgrind).")
        return int(options.record or is_required())
    build = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "mesh-micro"]
    subprocess.run(build, cwd=ROOT, check=True)
    here = surroundings()
    try:
        lots = all_lots()
        counts = count_all(those(lots, options.scenarios))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.record:
        text = json.dumps({"with": here, "counts": counts}, indent=2)
        RECORD.write_text(text + "\n", encoding="utf-8")
        print(table(judge(counts, counts)[0]))
        return 0
    return compare(counts, here, lots.keys())


if __name__ == "__main__":
    sys.exit(main())
