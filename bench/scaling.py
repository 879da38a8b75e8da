"""How far one machine goes: tenants side by side, bytes of a million detections, years of increments."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from bench.increments import CHANGES
from bench.lab import MB, SIGHTGLASS, Figure, Lab, cogniac, counted, serving
from bench.measure import PYTHON, Cost

TENANTS = 50
OF_A_TENANT = 2_000
LATENCY = 0.05
"""Seconds that a request takes."""
EVERY_SECONDS = 600
"""How often cron starts the run of a tenant."""
FULL = 0.7
"""Part of the time in which a core may be at work: runs of tenants do not come evenly."""
MILLION = 1_000_000
RECORDS = 400_000
MONTHS = 60


def tenants(lab: Lab) -> Iterator[Figure]:
    """Yield what it costs to run many tenants side by side, each with a warehouse of its own."""
    count = lab.size(TENANTS, 4)
    corpus = lab.corpus(OF_A_TENANT, applications=1, changes=CHANGES)
    homes = [lab.folder("tenant") for _ in range(count)]
    few = 2 * (os.cpu_count() or 1)
    found = {}
    with serving(lab, "bench.server", corpus.folder, LATENCY) as url:
        found["first load", few] = side_by_side(lab, url, homes, few)
        for at_once in (few, count):
            found["nothing new", at_once] = side_by_side(lab, url, homes, at_once)
    with serving(lab, "bench.server", corpus.changed.folder, LATENCY) as url:
        found[f"{CHANGES:,} changed records each", few] = side_by_side(lab, url, homes, few)
    for (what, at_once), cost in found.items():
        title = f"{count} tenants, {what}, {at_once} at once"
        lab.enter(title, cost, 0)
        each = cost.cpu_s / count
        yield Figure(
            title,
            f"{cost.seconds:.1f} s, {each:.2f} s of CPU each, {cost.peak / MB:,.0f} MB together",
            f"a core carries {FULL * EVERY_SECONDS / each:,.0f} such every {EVERY_SECONDS // 60} minutes",
            None,
        )


def side_by_side(lab: Lab, url: str, homes: list[Path], at_once: int) -> Cost:
    """Return what a run of each of these warehouses costs together, so many of them at a time."""
    names = lab.scratch / "homes"
    names.write_text("".join(f"{home}\n" for home in homes))
    run = [SIGHTGLASS, "run", "--quiet", "--home", "{}"]
    settings = cogniac(url, lab.scratch)
    return lab.cost(["xargs", "-a", names, "-P", at_once, "-I", "{}", *run], **settings)


def sizes(lab: Lab) -> Iterator[Figure]:
    """Yield the bytes that a million detections take, by what holds them."""
    corpus = lab.corpus(lab.size(RECORDS))
    home = lab.folder("home")
    with serving(lab, "bench.server", corpus.folder, 0) as url:
        settings = {**cogniac(url, home), **_formats()}
        counted(lab.cost([SIGHTGLASS, "run", "--json"], **settings), corpus.records)
    for what, told in bytes_of(home).items():
        yield Figure(
            f"{what}, by a million detections",
            f"{told * MILLION / corpus.detections / MB:,.2f} MB",
            f"of the API's {corpus.bytes * MILLION / corpus.detections / MB:,.0f} MB of JSON",
            told / corpus.bytes,
        )
    shutil.rmtree(home)


def _formats() -> dict[str, str]:
    """Return the settings that have metadata of a table format written, where its extra is there."""
    return {"SIGHTGLASS_LAKE_FORMAT": "delta"} if find_spec("deltalake") else {}


def bytes_of(home: Path) -> dict[str, int]:
    """Return the bytes of a warehouse's folder, by what they are for; a file with many names counts once."""
    found = {"log (raw/)": 0, "warehouse.duckdb": 0, "lake": 0, "bi.duckdb": 0, "metadata of the lake": 0}
    seen = set[int]()
    for path in home.rglob("*"):
        held = path.lstat()
        if not path.is_file() or held.st_ino in seen:
            continue
        seen.add(held.st_ino)
        place = path.relative_to(home).parts
        if place[0] == "raw":
            what = "log (raw/)"
        elif path.suffix == ".parquet" and "_delta_log" not in place:
            what = "lake"
        elif place[0] in ("warehouse.duckdb", "bi.duckdb"):
            what = place[0]
        elif place[0] == "delta":
            what = "metadata of Delta"
        elif place[0] == "versions":
            what = "metadata of the lake"
        else:
            continue
        found[what] = found.get(what, 0) + held.st_size
    return found


def five_years(lab: Lab) -> Iterator[Figure]:
    """Yield what years of increments leave: files, metadata, and how long a publish and an answer take."""
    for months in (lab.size(MONTHS, 12) // 10, lab.size(MONTHS, 12)):
        cost = lab.cost([PYTHON, "-m", "bench.five_years", lab.folder("home"), months, 1])
        told = cost.told
        lab.enter(f"{months} months of increments", cost, told["rows"])
        yield Figure(
            f"one table after {months} months of 2 million rows (a hundredth of each), published daily",
            f"{told['partitions']:,} partitions, {told['most_files']:,} files at the most, "
            f"a commit of {told['commit_bytes'] / 1000:,.0f} KB",
            f"published in {told['last_s']:.2f} s ({told['first_s']:.2f} s at first), "
            f"{told['written']:.1f} files each; a day is read in {told['day_s'] * 1000:.0f} ms, "
            f"all in {told['all_s'] * 1000:.0f} ms",
            None,
        )
