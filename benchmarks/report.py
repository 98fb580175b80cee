"""Tables and plots of measurements: `python -m benchmarks.report results.json [--plot decode.svg]`."""

from __future__ import annotations

import argparse
import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

OURS = "flashlower"


def tables(results: dict[str, Any]) -> str:
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
        peers = list(dict.fromkeys(row["peer"] for row in rows))
        lines += ["", f"{suite}: microseconds" if "seconds" in rows[0] else f"{suite}: relative error", ""]
        lines += ["| case | " + " | ".join(peers) + " | best other / best ours |", "|---" * (len(peers) + 2) + "|"]
        ratios: list[float] = []
        for case in dict.fromkeys(row["case"] for row in rows):
            found = {row["peer"]: row for row in rows if row["case"] == case}
            ratio = _ratio(found)
            ratios += [] if ratio is None else [ratio]
            cells = [_cell(found.get(peer)) for peer in peers]
            lines.append(f"| {case} | " + " | ".join([*cells, "-" if ratio is None else f"{ratio:.2f}"]) + " |")
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            lines += ["", f"Geometric mean {mean:.3f}, least {min(ratios):.2f}."]
    return "\n".join(lines)


def _formats(suite: str, rows: list[dict[str, Any]]) -> list[str]:
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


def _relative_cell(row: dict[str, Any] | None, bf16: float) -> str:
    if row is None or "seconds" not in row:
        return _cell(row)
    return f"{bf16 / row['seconds']:.2f} ({row['seconds'] * 1e6:.1f}, {row['relative_error']:.1e})"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if "error" in row:
        return "failed"
    return f"{row['seconds'] * 1e6:.1f}" if "seconds" in row else f"{row['relative_error']:.1e}"


def _ratio(found: dict[str, dict[str, Any]]) -> float | None:
    ours = [r["seconds"] for name, r in found.items() if name.startswith(OURS) and "seconds" in r]
    others = [r["seconds"] for name, r in found.items() if not name.startswith(OURS) and "seconds" in r]
    return min(others) / min(ours) if ours and others else None


def plot(results: dict[str, Any], path: Path) -> None:
    """The bytes of K and V against time, with the line that memory bandwidth draws (needs matplotlib)."""
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "flashlower"
    pyplot: Any = import_module("matplotlib.pyplot")
    rows = [row for row in results["rows"] if "seconds" in row]
    figure, axes = pyplot.subplots(figsize=(7, 5))
    for peer, marker in zip(dict.fromkeys(row["peer"] for row in rows), "os^vD*xP"):
        points = [(row["kv_bytes"] / 1e6, row["seconds"] * 1e6) for row in rows if row["peer"] == peer]
        axes.plot(*zip(*points), marker, label=peer, markersize=5, alpha=0.8)
    sizes = [row["kv_bytes"] / 1e6 for row in rows]
    bandwidth = results["machine"]["copy_bytes_per_second"]
    ends = [min(sizes), max(sizes)]
    axes.plot(ends, [size * 1e12 / bandwidth for size in ends], "k--", label=f"copy, {bandwidth / 1e12:.2f} TB/s")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="K and V read, MB",
        ylabel="time of a call, µs",
        title=results["machine"]["name"],
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
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
