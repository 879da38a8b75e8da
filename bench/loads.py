"""The first load: how fast, next to dlt; how much memory, and how both grow; and what loading again adds."""

from collections.abc import Iterator
from functools import partial

from bench.lab import MB, SIGHTGLASS, Corpus, Figure, Goal, Lab, cogniac, counted, said, serving
from bench.measure import PYTHON, Cost

RECORDS = 100_000
TIMES = 4
AGAIN = 20

DLT = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
"""Parquet files for the loader are asked for in the peer itself."""
TWO_WORKERS = {"NORMALIZE__WORKERS": 2, "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": 10_000}
"""dlt's page on performance names this too; which way is faster depends on the machine, so both are measured.
Larger buffers, the strategy `upsert` and more load workers made no difference."""


def ours(lab: Lab, url: str, corpus: Corpus) -> Cost:
    """Return the cost of `sightglass run` into a new warehouse, publishing included."""
    settings = cogniac(url, lab.folder("home"))
    return counted(lab.cost([SIGHTGLASS, "run", "--json"], **settings), corpus.records)


def dlts(lab: Lab, url: str, corpus: Corpus, **more: object) -> Cost:
    """Return the cost of the same by dlt: Parquet loader files, merge by key, nested tables."""
    folder = lab.folder("dlt")
    command = [PYTHON, "-m", "bench.peers.dlt_cogniac", url, folder, *corpus.applications]
    cost = lab.cost(command, **DLT, **more)
    if (cost.told["results"], cost.told["detections"]) != (corpus.records, corpus.detections):
        raise RuntimeError(f"dlt loaded {cost.told} of {corpus}")
    return cost


def first_load(lab: Lab) -> Iterator[Figure]:
    """Whole runs of both, from nothing, without latency."""
    corpus = lab.corpus(lab.size(RECORDS))
    with serving(lab, "bench.server", corpus.folder, 0) as url:
        costs = lab.by_turns(
            corpus.records,
            {
                "sightglass": partial(ours, lab, url, corpus),
                "dlt": partial(dlts, lab, url, corpus),
                "dlt, two workers": partial(dlts, lab, url, corpus, **TWO_WORKERS),
            },
        )
    own = costs.pop("sightglass")
    name, other = min(costs.items(), key=lambda each: each[1].seconds)
    yield Figure(
        f"first load of {corpus.records:,} records ({corpus.bytes / MB:,.0f} MB)",
        said(own, corpus.records),
        f"{name} {said(other, corpus.records)}",
        other.seconds / own.seconds,
        Goal(6),
    )
    least = min(each.cpu_s for each in costs.values())
    yield Figure("the same, CPU", f"{own.cpu_s:.1f} s", f"dlt {least:.1f} s", least / own.cpu_s, Goal(4.5))


def memory(lab: Lab) -> Iterator[Figure]:
    """Peak memory and time of a first load, and of one that is four times as large."""
    small, large = lab.corpus(lab.size(RECORDS)), lab.corpus(lab.size(TIMES * RECORDS))
    with (
        serving(lab, "bench.server", small.folder, 0) as url_of_small,
        serving(lab, "bench.server", large.folder, 0) as url_of_large,
    ):
        costs = lab.by_turns(
            0,
            {
                "small load": partial(ours, lab, url_of_small, small),
                "large load": partial(ours, lab, url_of_large, large),
            },
        )
    few, many = costs["small load"], costs["large load"]
    sizes = f"{large.records:,} against {small.records:,} records"
    peaks = f"{many.peak / MB:,.0f} MB", f"{few.peak / MB:,.0f} MB"
    yield Figure("peak memory of a first load", *peaks, many.peak / MB, Goal(450, at_most=True, unit="MB"))
    yield Figure(f"peak memory, {sizes}", *peaks, many.peak / few.peak, Goal(1.1, at_most=True))
    times = f"{many.seconds:.2f} s", f"{few.seconds:.2f} s"
    yield Figure(f"time, {sizes}", *times, many.seconds / few.seconds, Goal(4.4, at_most=True))


def again(lab: Lab) -> Iterator[Figure]:
    """Yield the size of the warehouse after the same records were read over and over."""
    corpus = lab.corpus(lab.size(RECORDS))
    home = lab.folder("home")
    sizes = []
    with serving(lab, "bench.server", corpus.folder, 0) as url:
        settings = {**cogniac(url, home), "SIGHTGLASS_OVERLAP": 10**9, "SIGHTGLASS_RAW_DAYS": 0}
        for turn in range(1 + AGAIN):
            cost = lab.cost([SIGHTGLASS, "run", "--json"], **settings)
            counted(cost, 0 if turn else corpus.records)
            read = sum(each["fetched"] for each in cost.told["streams"] if each["stream"] == "detections")
            if read < corpus.records:
                raise RuntimeError(f"load {turn} read {read} of {corpus.records} records")
            sizes.append((home / "warehouse.duckdb").stat().st_size)
            lab.enter(f"load {turn} of the same records, {sizes[-1] / MB:,.1f} MB", cost, corpus.records)
    yield Figure(
        f"warehouse.duckdb after {AGAIN} more loads of the same {corpus.records:,} records",
        f"{sizes[-1] / MB:,.1f} MB",
        f"{sizes[0] / MB:,.1f} MB after the first",
        sizes[-1] / sizes[0],
        Goal(1.3, at_most=True),
    )
