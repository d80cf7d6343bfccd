"""Draw charts and write tables of the results in docs/performance/: ``make bench-pictures``.

The charts are stored in docs/performance/, the tables are written to docs/performance.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from benchmarks.figures import FOLDER, write_table

COLOURS = {"ours, events": "#0a7d4f", "ours, polling": "#7fc8a9", "bare aiohttp": "#444444"}
OTHERS = ("#c0504d", "#e08e45", "#d9b44a", "#4f81bd")


def main() -> None:
    mpl.rcParams.update(
        {"svg.hashsalt": "fixed", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
    )
    for name in ("end-*", "cost", "start"):
        for file in sorted(FOLDER.glob(f"{name}.json")):
            kept = json.loads(file.read_text())
            write_table(file.stem, kept["rows"], kept)
    for name in ("airflow", "prefect"):
        kept = json.loads((FOLDER / f"{name}.json").read_text())
        for part, rows in zip(("each", "at-once"), kept["comparisons"].values(), strict=True):
            write_table(f"{name}-{part}", rows, kept)
    for file in sorted(FOLDER.glob("end-*.json")):
        draw_end(file)
    draw_bars("cost", ["CPU s/1,000 run-s", "server's", "KB/run"], "seconds", "{} s")
    draw_bars("start", ["runs/s", "CPU ms/run"], "at once", "{} at once")


def draw_end(file: Path) -> None:
    """Draw the share of finished runs that are detected within a number of milliseconds."""
    kept = json.loads(file.read_text())
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    others = iter(OTHERS)
    for name, late in kept["late_ms"].items():
        shares = [100 * (place + 1) / len(late) for place in range(len(late))]
        axes.step([max(ms, 0.5) for ms in late], shares, where="post", label=name,
                  color=COLOURS.get(name) or next(others))  # fmt: skip
    axes.set(xscale="log", ylim=(0, 102), ylabel="% of the ends detected")
    axes.set_xlabel("milliseconds after the last step's end")
    number, generation = kept["runs_at_once"], kept.get("generation", "1")
    which = f"{kept['load']} run{'s' if number > 1 else ''} at once, Mastra {generation}.x"
    axes.set_title(f"{number:,} {which}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    write(figure, file.stem)


def draw_bars(name: str, columns: list[str], group: str, label: str) -> None:
    """Draw a bar chart for each column, with a bar for each contender and group."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        return
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    figure, all_axes = plt.subplots(
        1, len(columns), figsize=(3.2 * len(columns), 2.8), layout="constrained", sharey=True
    )
    names = [f"{row['contender']}, {label.format(row[group])}" for row in rows]
    colours = [COLOURS.get(row["contender"], COLOURS["bare aiohttp"]) for row in rows]
    for row, place in zip(rows, range(len(rows)), strict=True):
        if row["contender"] == "ours, start":
            colours[place] = COLOURS["ours, events"]
    for axes, column in zip(all_axes, columns, strict=True):
        bars = axes.barh(names, [row[column] for row in rows], color=colours)
        axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=8)
        axes.set_title(column)
        axes.margins(x=0.2)
        axes.spines["right"].set_visible(False)
    all_axes[0].invert_yaxis()
    write(figure, name)


def write(figure: Any, name: str) -> None:
    file = FOLDER / f"{name}.svg"
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    print(f"  {file.relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    main()
