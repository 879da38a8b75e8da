"""What was measured as text: a table of figures, and one of all processes."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.lab import MB, Figure, Lab

HEADS = ("figure", "ours", "theirs", "ratio or value", "goal", "met")
PACKAGES = ("sightglass-etl", "duckdb", "pyarrow", "polars", "msgspec", "dlt", "cogniac")


def rows_of(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """Return the cells of the table of figures."""
    return [
        (
            each.name,
            each.ours,
            each.theirs,
            "-" if each.value is None else f"{each.value:,.2f} {each.goal.unit if each.goal else 'x'}",
            str(each.goal or "-"),
            "-"
            if each.goal is None
            else "no"
            if each.value is None or not each.goal.met(each.value)
            else "yes",
        )
        for each in figures
    ]


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the cells as text with columns of one width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def printed(figures: Iterable[Figure]) -> str:
    """Return the table of figures for a terminal."""
    return aligned([HEADS, *rows_of(figures)])


def markdown(rows: Iterable[tuple[str, ...]], heads: Sequence[str]) -> str:
    """Return a table of these cells in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def results(figures: Sequence[Figure], lab: Lab, load: float) -> str:
    """Return the page that is kept: the machine and how busy it was before, versions, figures, processes."""
    measured = [
        (
            each.name,
            f"{each.rows:,}" if each.rows else "",
            f"{each.cost.seconds:.2f}",
            f"{each.rows / each.cost.seconds:,.0f}" if each.rows else "",
            f"{each.cost.cpu_s:.2f}",
            f"{each.cost.peak / MB:,.0f}",
        )
        for each in lab.parts
    ]
    return f"""# Measured

{datetime.now(UTC):%Y-%m-%d}, {machine()}; load average before the start {load:.1f}.
{", ".join(f"{name} {version(name)}" for name in PACKAGES)}.
Scale {lab.scale:g}; each process is the median of {lab.repeat} turns, in which all that is compared
takes part in order; pages are generated beforehand and served over loopback by a process of its own.
Made by `make bench`.

{markdown(rows_of(figures), HEADS)}

Every process by itself; peak and CPU time are those of all its processes together.

{markdown(measured, ("process", "rows", "seconds", "rows/s", "CPU seconds", "peak MB"))}
"""


def machine() -> str:
    """Return what this was measured on."""
    memory = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({model}), {int(memory) * 1024 / 1e9:.0f} GB of memory, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )
