"""A thousand changed records, loaded and published, into warehouses of three sizes."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.lab import DONE, MB, MONTH, SIGHTGLASS, Corpus, Figure, Goal, Lab, cogniac, counted, serving
from bench.measure import Cost, middle
from etl.publish.layout import LAKE, VERSIONS

RECORDS = 73_000
"""Of one month; they hold 0.2 million detections."""
MONTHS = (1, 10, 100)
CHANGES = 1000
MOST = 1000
"""Megabytes."""


WHAT = {
    "run": f"{CHANGES:,} changed records, run with publishing",
    "publish": f"{CHANGES:,} changed records, `sightglass publish` alone",
    "nothing": "`sightglass publish` with nothing changed",
}


def increments(lab: Lab) -> Iterator[Figure]:
    """Yield runs that publish too, and publishing alone; every turn goes through all sizes."""
    before = lab.corpus(lab.size(RECORDS, 2 * CHANGES), days=MONTH, changes=CHANGES)
    homes = {months: warehouse(lab, before, months) for months in MONTHS}
    found: dict[int, list[dict[str, Cost]]] = {months: [] for months in MONTHS}
    with serving(lab, "bench.server", before.changed.folder, 0) as url:
        for _ in range(lab.repeat):
            for months, home in homes.items():
                found[months].append(turn(lab, url, home))
                said = ", ".join(f"{name} {cost.seconds:.2f} s" for name, cost in found[months][-1].items())
                lab.note(f"{months * before.detections:,} detections: {said}")
    for name, title in WHAT.items():
        costs = {months: middle([each[name] for each in turns]) for months, turns in found.items()}
        for months, cost in costs.items():
            lab.enter(f"{title}, {months * before.detections:,} detections", cost, 0)
        yield from figures(title, costs, before.detections)


def figures(title: str, costs: dict[int, Cost], a_month: int) -> Iterator[Figure]:
    """Yield the time in larger warehouses against that in the smallest, and the memory in the largest.

    `sightglass publish` has no goal there: it reads every file of the lake again, to find damage.
    """
    least, *larger = costs
    for months in larger:
        yield Figure(
            f"{title}, {months * a_month:,} detections against {least * a_month:,}",
            f"{costs[months].seconds:.2f} s, {costs[months].peak / MB:,.0f} MB",
            f"{costs[least].seconds:.2f} s, {costs[least].peak / MB:,.0f} MB",
            costs[months].seconds / costs[least].seconds,
            Goal(2.5, at_most=True) if title == WHAT["run"] and months == larger[-1] else None,
        )
    last = costs[larger[-1]].peak / MB
    yield Figure(f"{title}, peak memory", f"{last:,.0f} MB", "", last, Goal(1000, at_most=True, unit="MB"))


def warehouse(lab: Lab, before: Corpus, months: int) -> Path:
    """Return the home of a published warehouse of so many months; only made where the cache has none."""
    template = lab.cache / "template" / before.folder.name
    if not (template / DONE).exists():
        lab.note(f"loading {before.records:,} records as template")
        shutil.rmtree(template, ignore_errors=True)
        with serving(lab, "bench.server", before.folder, 0) as url:
            settings = {**cogniac(url, template), "SIGHTGLASS_RAW_DAYS": 0}
            counted(lab.cost([SIGHTGLASS, "run", "--json"], **settings), before.records)
        (template / DONE).touch()
    name = f"warehouse-{before.folder.name}-{months}"
    return lab.prepared(name, "bench.warehouses", template, months, done=DONE)


def turn(lab: Lab, url: str, home: Path) -> dict[str, Cost]:
    """Return what it costs to publish nothing, to load and publish the changes, and to publish them alone."""
    own, published = lab.folder("home"), lab.folder("published")
    _publish_as_there(home, own)
    shutil.copyfile(home / "warehouse.duckdb", own / "warehouse.duckdb")
    publish = [SIGHTGLASS, "publish", "--home", own]
    # Makes bi.duckdb anew, which names its folder, and tables whose declaration was another in the cache.
    lab.cost(publish)
    _publish_as_there(own, published)
    # Else what is measured waits until all of the copy is on the disk: a warehouse that is there already is.
    os.sync()
    nothing = lab.cost(publish)
    # What the first run of a day does besides is not measured: here no run was ever summed up in eight years.
    settings = {**cogniac(url, own), "SIGHTGLASS_RUN_DAYS": "forever"}
    run = lab.cost([SIGHTGLASS, "run", "--json"], **settings)
    changed = sum(each["updated"] for each in run.told["streams"] if each["stream"] == "detections")
    if changed != CHANGES or run.told["published"] is None:
        raise RuntimeError(f"the run updated {changed} of {CHANGES} records, and was {run.told['status']}")
    _publish_as_there(published, own)
    alone = lab.cost(publish)
    for folder in (own, published):
        shutil.rmtree(folder)
    return {"run": run, "publish": alone, "nothing": nothing}


def _publish_as_there(home: Path, own: Path) -> None:
    """Let a folder have published what another has.

    Its files are never written again once they have their name, so links are as good.
    """
    shutil.rmtree(own / VERSIONS, ignore_errors=True)
    shutil.copytree(home / VERSIONS, own / VERSIONS, copy_function=os.link, symlinks=True)
    (own / LAKE).unlink(missing_ok=True)
    (own / LAKE).symlink_to((home / LAKE).readlink())
