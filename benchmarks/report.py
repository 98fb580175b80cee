"""Tables and plots of measurements: `python -m benchmarks.report results.json [--plot decode.svg]`."""

from __future__ import annotations

import argparse
import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

from flashlower.rewrites.schedule.targets import TARGETS

OURS = "flashlower"

LARGE = 500e6
"""Bytes of K and V from which on a call should be as fast as the memory."""

PLOTTED = ("decode", "ragged")
"""The suites of the plot."""

READING = "memory"
"""The bound that the plot compares with: contiguous K and V."""

Row = dict[str, Any]


def tables(results: Row) -> str:
    """Markdown: times a case, and how flashlower compares with the best of the others."""
    machine = results["machine"]
    lines = [f"{machine['name']}, torch {machine['torch']}, triton {machine['triton']}"]
    if "copy_bytes_per_second" in machine:
        lines[0] += f", copy {machine['copy_bytes_per_second'] / 1e12:.2f} TB/s"
    for suite in dict.fromkeys(row["suite"] for row in results["rows"]):
        rows = [row for row in results["rows"] if row["suite"] == suite]
        if any("format" in row for row in rows):
            lines += ["", *_formats(suite, rows)]
            continue
        peers = list(dict.fromkeys(row["peer"] for row in rows if not _is_bound(row)))
        bounds = list(dict.fromkeys(row["peer"] for row in rows if _is_bound(row)))
        titles = ["case", *peers, "best other / best ours", *bounds]
        lines += ["", f"{suite}: microseconds" if "seconds" in rows[0] else f"{suite}: relative error", ""]
        lines += ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
        cases = {case: [row for row in rows if row["case"] == case] for case in dict.fromkeys(r["case"] for r in rows)}
        for case, of_case in cases.items():
            found = {row["peer"]: row for row in of_case}
            ratio = _ratio(of_case)
            cells = [*(_cell(found.get(peer)) for peer in peers), "-" if ratio is None else f"{ratio:.2f}"]
            lines.append(f"| {case} | " + " | ".join([*cells, *(_cell(found.get(bound)) for bound in bounds)]) + " |")
        lines += _summary(list(cases.values()), machine)
    return "\n".join(lines)


def _summary(cases: list[list[Row]], machine: Row) -> list[str]:
    """How flashlower compares with the best of the others over all cases of a suite, and with the memory."""
    lines: list[str] = []
    for what, ours, others in (
        ("Best of ours against the best of the others", False, False),
        ("Ours in pages against the best of the others", True, False),
        ("Ours in pages against the best of the others in pages", True, True),
    ):
        ratios = [r for rows in cases if (r := _ratio(rows, ours_in_pages=ours, others_in_pages=others)) is not None]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            lines.append(f"- {what}: geometric mean {mean:.3f}, least {min(ratios):.3f}")
    for name, paged in ((f"{OURS} paged", True), (OURS, False)):
        shares = [share for rows in cases if (share := _shares(rows, name, paged, machine)) is not None]
        if shares:
            speeds, parts, reached = ([share[i] for share in shares if share[i] is not None] for i in range(3))
            line = f"- {name}, K and V of {LARGE / 1e6:.0f} MB and more: {_range(speeds, '.2f')} TB/s"
            line += f", {_range(parts, '.1%')} of the data sheet" if parts else ""
            lines.append(
                line + (f", {_range(reached, '.1%')} of what a kernel that only reads does" if reached else "")
            )
    return ["", *lines] if lines else []


def _range(values: list[Any], form: str) -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low.removesuffix('%')} to {high}"


def _shares(rows: list[Row], name: str, paged: bool, machine: Row) -> tuple[float, float | None, float | None] | None:
    """TB/s of a large case, and its shares of the data sheet and of the memory row, where these are known."""
    (ours, *_) = [row for row in rows if row["peer"] == name] or [{}]
    if "seconds" not in ours or ours["kv_bytes"] < LARGE:
        return None
    speed = ours["kv_bytes"] / ours["seconds"]
    sheet = [t.bandwidth_gb_s * 1e9 for t in TARGETS.values() if t.name in machine["name"].lower().split()]
    bound = [row["seconds"] for row in rows if _is_bound(row) and row["paged"] == paged]
    return speed / 1e12, speed / sheet[0] if sheet else None, bound[0] / ours["seconds"] if bound else None


def _is_bound(row: Row) -> bool:
    """Whether a row is no attention, but what the memory of the machine allows."""
    return row.get("bound", False)


def _formats(suite: str, rows: list[Row]) -> list[str]:
    """A table of formats by cases: speed relative to bf16, the faster of paged and contiguous, and the error."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    bf16 = {
        case: min(
            row.get("seconds", math.inf)
            for row in rows
            if row["case"] == case and "format" not in row and row["peer"].startswith(OURS)
        )
        for case in cases
    }
    timed = any("seconds" in row for row in rows)
    what = "speed relative to flashlower on bf16 (microseconds, relative error)" if timed else "relative error"
    lines = [f"{suite}: {what}", "", "| format | " + " | ".join(cases) + " |", "|---" * (len(cases) + 1) + "|"]
    if timed:
        lines.append("| bf16 | " + " | ".join(f"1.00 ({bf16[case] * 1e6:.1f})" for case in cases) + " |")
    names = dict.fromkeys((row["format"], row["peer"]) for row in rows if "format" in row)
    for form, peer in names:
        found = {row["case"]: row for row in rows if (row.get("format"), row["peer"]) == (form, peer)}
        cells = [_relative_cell(found.get(case), bf16[case]) for case in cases]
        lines.append(f"| {form}{'' if peer == OURS else f', by {peer}'} | " + " | ".join(cells) + " |")
    return lines


def _relative_cell(row: Row | None, bf16: float) -> str:
    if row is None or "seconds" not in row:
        return _cell(row)
    return f"{bf16 / row['seconds']:.2f} ({row['seconds'] * 1e6:.1f}, {row['relative_error']:.1e})"


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    if "error" in row:
        return "failed"
    return f"{row['seconds'] * 1e6:.1f}" if "seconds" in row else f"{row['relative_error']:.1e}"


def _ratio(rows: list[Row], *, ours_in_pages: bool = False, others_in_pages: bool = False) -> float | None:
    """The best time of the others by the best of ours in one case; of those in pages alone, if so wanted."""
    timed = [row for row in rows if "seconds" in row and not _is_bound(row)]
    ours = [r["seconds"] for r in timed if r["peer"].startswith(OURS) and r["paged"] >= ours_in_pages]
    others = [r["seconds"] for r in timed if not r["peer"].startswith(OURS) and r["paged"] >= others_in_pages]
    return min(others) / min(ours) if ours and others else None


def plot(results: Row, path: Path) -> None:
    """
    The decode shapes (needs matplotlib): bytes of K and V against time, and against the speed relative to a kernel that
    only reads them, where that was measured.
    """
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "flashlower"
    pyplot: Any = import_module("matplotlib.pyplot")
    rows = [row for row in results["rows"] if "seconds" in row and row["suite"] in PLOTTED]
    reading = {row["case"]: row for row in rows if row["peer"] == READING}
    figure, (times, speeds) = pyplot.subplots(1, 2, figsize=(10, 4.5))
    line = sorted({(row["kv_bytes"] / 1e6, row["seconds"] * 1e6) for row in reading.values()})
    if line:
        times.plot(*zip(*line), "k--", linewidth=1, label="only reading")
    speeds.axhline(1, color="k", linestyle="--", linewidth=1)
    for peer, marker in zip(dict.fromkeys(row["peer"] for row in rows if not _is_bound(row)), "os^vD*xP"):
        found = [row for row in rows if row["peer"] == peer]
        style = {"label": peer, "markersize": 5, "alpha": 0.8}
        times.plot([r["kv_bytes"] / 1e6 for r in found], [r["seconds"] * 1e6 for r in found], marker, **style)
        beside = [(r["kv_bytes"] / 1e6, reading[r["case"]]["seconds"] / r["seconds"]) for r in found if reading]
        if beside:
            speeds.plot(*zip(*beside), marker, **style)
    times.set(yscale="log", ylabel="time of a call, µs", title=results["machine"]["name"])
    speeds.set(ylabel="speed relative to only reading", ylim=(0, 1.05), title="decoding, bfloat16")
    for axes in (times, speeds):
        axes.set(xscale="log", xlabel="K and V read, MB")
        axes.grid(alpha=0.3)
    times.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what benchmarks.attention wrote; several are joined")
    parser.add_argument("--plot", type=Path, help="where to write a plot of bytes against time")
    args = parser.parse_args()
    parts = [json.loads(path.read_text()) for path in args.results]
    results = {"machine": parts[0]["machine"], "rows": [row for part in parts for row in part["rows"]]}
    print(tables(results))
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
