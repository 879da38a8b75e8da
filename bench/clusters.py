"""A rebuild by one machine, and by a cluster: `python -m bench.clusters STEP ...` is one process of it."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path

import pyarrow as pa

from bench.lab import MB, ROOT, SIGHTGLASS, Figure, Lab, cogniac, said, serving
from bench.measure import PYTHON, Cost
from etl.compute import pc
from etl.errors import EnvironmentFaultError
from etl.pipeline.remote.flatten import flatten_parts
from etl.pipeline.remote.job import rebuild_remotely
from etl.pipeline.remote.load import load_bucket

SIZES = (20_000, 100_000)
BUCKETS = 8
WORKERS = 2
STAGED = "bucket.arrow"
"""What belongs to one bucket."""
SAIL = ROOT / ".venv" / "spark"
"""Sail, and the client that asks it, which `make setup` installs."""


def clusters(lab: Lab) -> Iterator[Figure]:
    """Yield both at two sizes, and what the steps of a worker take, of which clusters are reckoned."""
    for size in map(lab.size, SIZES):
        corpus = lab.corpus(size)
        raw = _log(lab, corpus.folder)
        costs = lab.by_turns(
            corpus.records,
            {
                "one_machine": partial(_one_machine, lab, raw),
                "Sail": partial(_cluster, lab, raw),
            },
        )
        staged = lab.folder("staged")
        flatten, load = (
            lab.cost([PYTHON, "-m", "bench.clusters", step, raw, staged]) for step in ("flatten", "load")
        )
        lab.enter("flatten in one process", flatten, corpus.records)
        lab.enter(f"load one of {BUCKETS} buckets", load, corpus.records // BUCKETS)
        single, sail = costs["one_machine"], costs["Sail"]
        yield Figure(
            f"rebuild of {corpus.records:,} records, Sail with {WORKERS} workers",
            said(sail, corpus.records),
            f"one machine {said(single, corpus.records)}",
            single.seconds / sail.seconds,
        )
        whole = flatten.told["seconds"] + BUCKETS * load.told["seconds"]
        yield Figure(
            "the same, workers of which each has a core, from which the cluster wins",
            f"flatten {flatten.told['seconds']:.1f} s, {BUCKETS} buckets of {load.told['seconds']:.1f} s",
            f"one machine {single.seconds:.1f} s",
            ceil(whole / single.seconds),
        )
        yield Figure(
            "the same, memory of a worker",
            f"flatten {flatten.peak / MB:,.0f} MB, load {load.peak / MB:,.0f} MB",
            f"one machine {single.peak / MB:,.0f} MB",
            None,
        )


def _log(lab: Lab, pages: Path) -> Path:
    """Return the log of a first load."""
    home = lab.folder("home")
    with serving(lab, "bench.server", pages, 0) as url:
        lab.cost([SIGHTGLASS, "run", "--json"], **cogniac(url, home), SIGHTGLASS_RAW_DAYS="forever")
    return home / "raw"


def _one_machine(lab: Lab, raw: Path) -> Cost:
    command = [SIGHTGLASS, "rebuild", "--into", lab.folder("into"), "--json"]
    return lab.cost(command, SIGHTGLASS_HOME=raw.parent)


def _cluster(lab: Lab, raw: Path) -> Cost:
    if not SAIL.is_dir():
        raise RuntimeError(f"{SAIL} holds no Sail; `make setup` does this")
    command = [PYTHON, "-m", "bench.clusters", "sail", raw, lab.folder("out")]
    return lab.cost(command, PYTHONPATH=os.pathsep.join([str(ROOT), str(SAIL)]))


def sail(raw: str, out: str) -> dict[str, object]:
    """Have Sail do it, which is served by this process."""
    os.environ |= {
        "SAIL_MODE": "local-cluster",
        "SAIL_CLUSTER__WORKER_INITIAL_COUNT": str(WORKERS),
        "SAIL_CLUSTER__WORKER_MAX_COUNT": str(WORKERS),
    }
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 -- after its settings

    from etl.pipeline.remote.cluster import cluster  # noqa: PLC0415

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    with cluster(f"sc://{host}:{port}") as engine:
        report = rebuild_remotely((raw, out), engine, datetime.now(UTC), BUCKETS)
    return {"rows": sum(report.rows.values())}


def flatten(raw: str, staged: str) -> dict[str, object]:
    """Make rows of all parts, and keep what belongs to the first bucket."""
    kept: list[pa.RecordBatch] = []
    took: list[float] = []

    def stage(parts: pa.Table) -> Iterable[str]:
        began = time.perf_counter()
        made = flatten_parts(iter(parts.to_batches()))
        kept.extend(batch.filter(pc.equal(batch["bucket"], 0)) for batch in made)
        took.append(time.perf_counter() - began)
        return []

    with suppress(EnvironmentFaultError):
        # Nothing is loaded here, which is noticed.
        rebuild_remotely((raw, f"{staged}/out"), stage, datetime.now(UTC), BUCKETS)
    with pa.OSFile(f"{staged}/{STAGED}", "wb") as file, pa.ipc.new_file(file, kept[0].schema) as writer:
        writer.write_table(pa.Table.from_batches(kept))
    return {"seconds": took[0]}


def load(_raw: str, staged: str) -> dict[str, object]:
    """Make the tables of the first bucket."""
    with pa.OSFile(f"{staged}/{STAGED}") as file:
        rows = pa.ipc.open_file(file).read_all()
    began = time.perf_counter()
    load_bucket(tuple(rows[name][0] for name in ("task", "source", "bucket")), rows)
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    step = {"sail": sail, "flatten": flatten, "load": load}[sys.argv[1]]
    sys.stdout.write(json.dumps(step(*sys.argv[2:])) + "\n")
