"""Figures of several rounds put together, printed, and written down."""

import json
import statistics


def spread(values):
    """Median, least and most."""
    return statistics.median(values), min(values), max(values)


def figure(rounds, name):
    """One figure over all rounds that have it, or None."""
    values = [one[name] for one in rounds if one.get(name) is not None]
    return spread(values) if values else None


def ratios(rounds, base, name):
    """Round by round, as both were measured one after the other: median, least and most."""
    values = [one[name] / other[name] for one, other in zip(rounds, base)
              if one.get(name) is not None and other.get(name)]
    return spread(values) if values else None


def number(value, digits):
    return f"{value:,.{digits}f}"


def with_spread(found, digits):
    if found is None:
        return "-"
    middle, least, most = found
    if least == most:
        return number(middle, digits)
    return f"{number(middle, digits)} ({number(least, digits)}..{number(most, digits)})"


def table(scenario, results, base="nginx"):
    """One scenario as lines of text: a row for each peer."""
    against = results["peers"].get(base) if scenario.ratio else None
    heads = ["", *(heading for _, heading, _ in scenario.columns)]
    heads += [f"{scenario.ratio} / {base}"] if against else []
    rows = [heads]
    for peer, rounds in results["peers"].items():
        row = [peer, *(with_spread(figure(rounds, name), digits)
                       for name, _, digits in scenario.columns)]
        if against:
            row.append(with_spread(ratios(rounds, against, scenario.ratio), 2))
        rows.append(row)
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in rows if scenario.columns]
    lines += [memory_line(peer, rounds) for peer, rounds in results["peers"].items()
              if memory_line(peer, rounds)]
    lines += [f"{peer}: FAILED: {reason}" for peer, reason in results["failed"].items()]
    return [f"{scenario.name}: {scenario.title}", *("  " + line for line in lines), ""]


def memory_line(peer, rounds):
    """The memory of each program at the end of the last round, and the most it ever had."""
    last = rounds[-1] if rounds else {}
    parts = [f"{name.split('.')[1]} {last[name] / 1024:.1f} "
             f"(peak {last[name.replace('rss', 'peak')] / 1024:.1f})"
             for name in last if name.startswith("rss_kib.")]
    return f"{peer}: MiB of memory: {', '.join(parts)}" if parts else ""


def linux_of(machine):
    """The kernel, and how its TCP decides what a path takes."""
    control = machine.get("congestion_control")
    return f"Linux {machine['kernel']}" + (f" with {control}" if control else "")


def heading(facts):
    machine = facts["machine"]
    return [
        f"{facts['date']}, {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_mib']} MiB, {linux_of(machine)}, "
        f"load average {machine['load_average']} at the start",
        f"commit {facts['commit']}; seed {facts['seed']}; {facts['rounds']} rounds of "
        f"{facts['seconds']} s; {'pinned' if facts['pin'] else 'not pinned'}",
        *(f"  {name}: {text}" for name, text in facts["versions"].items()), ""]


def write(path, facts, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(facts | {"scenarios": results}, file, indent=1)
        file.write("\n")
