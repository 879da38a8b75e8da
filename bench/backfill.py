"""A range read with many requests in flight, where each answer takes its time, next to the vendor's SDK."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from bench.lab import SIGHTGLASS, Corpus, Figure, Goal, Lab, cogniac, said, serving
from bench.measure import PYTHON, CommandError, Cost

RECORDS = 60_000
LATENCY_S = 0.05
IN_FLIGHT = 16
PAGE = 100

COUNT = (
    "import duckdb, json, sys; print(json.dumps({'results': duckdb.connect(sys.argv[1], read_only=True)"
    ".execute('SELECT count(*) FROM cogniac.results').fetchall()[0][0]}))"
)


def backfill(lab: Lab) -> Iterator[Figure]:
    """Whole processes of both; the SDK yields its records and does nothing else."""
    title = f"backfill at {LATENCY_S * 1000:.0f} ms a request, {IN_FLIGHT} in flight"
    try:
        lab.cost([SIGHTGLASS, "backfill", "--help"])
    except CommandError:
        yield Figure(title, "not measured: there is no command `sightglass backfill` yet", "", None, Goal(7))
        return
    corpus = lab.corpus(lab.size(RECORDS), applications=1)
    pages = -(-corpus.records // PAGE)
    with serving(lab, "bench.server", corpus.folder, LATENCY_S) as url:
        costs = lab.by_turns(
            corpus.records,
            {"sightglass": partial(ours, lab, url, corpus), "sdk": partial(sdk, lab, url, corpus)},
        )
        alone, paging = (
            lab.cost([PYTHON, "-m", "bench.alone", stage, corpus.folder, url, IN_FLIGHT])
            for stage in ("requests", "extract")
        )
    lab.enter("the same pages, requests alone", alone, corpus.records)
    lab.enter("the same pages, our extract stage alone", paging, corpus.records)
    own, other = costs["sightglass"], costs["sdk"]
    yield Figure(
        f"{title}, {pages:,} pages",
        said(own, corpus.records),
        f"SDK {said(other, corpus.records)}",
        other.seconds / own.seconds,
        Goal(7),
    )
    least = pages * LATENCY_S / IN_FLIGHT
    yield Figure(
        f"the same, of what {IN_FLIGHT} in flight can give",
        f"{own.seconds:.2f} s",
        f"{least:.2f} s of waiting; requests alone {alone.told['seconds']:.2f} s",
        least / own.seconds,
    )
    yield Figure(
        "our extract stage alone, which is what the SDK does",
        said(paging, corpus.records),
        f"SDK {said(other, corpus.records)}",
        other.seconds / paging.seconds,
    )
    yield Figure(
        f"the same without its start, of what {IN_FLIGHT} in flight can give",
        f"{paging.told['seconds']:.2f} s",
        f"{least:.2f} s of waiting",
        least / paging.told["seconds"],
        Goal(0.8),
    )


def ours(lab: Lab, url: str, corpus: Corpus) -> Cost:
    """Return the cost of `sightglass backfill` into a new warehouse."""
    since, until = (f"{datetime.fromtimestamp(each, UTC):%Y-%m-%dT%H:%M:%SZ}" for each in corpus.range)
    home = lab.folder("home")
    settings = {**cogniac(url, home), "SIGHTGLASS_CONCURRENCY": IN_FLIGHT}
    cost = lab.cost([SIGHTGLASS, "backfill", "cogniac", "--since", since, "--until", until], **settings)
    found = lab.cost([PYTHON, "-c", COUNT, home / "warehouse.duckdb"]).told["results"]
    if found != corpus.records:
        raise RuntimeError(f"the backfill brought {found} of {corpus.records} records")
    return cost


def sdk(lab: Lab, url: str, corpus: Corpus) -> Cost:
    """Return the cost of the SDK's generator over the same range, in full pages."""
    asked = json.dumps({"application_id": corpus.applications[0], "range": corpus.range})
    cost = lab.cost([PYTHON, "-m", "bench.peers.sdk", url, asked])
    if cost.told["records"] != corpus.records:
        raise RuntimeError(f"the SDK yielded {cost.told['records']} of {corpus.records} records")
    return cost
