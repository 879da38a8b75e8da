"""`python -m bench`: measure, print one table, and keep it in `bench/results.md`."""

import argparse
import compileall
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import backfill, clusters, increments, loads, receives, scaling, stages, starts, videos
from bench.lab import ROOT, Figure, Lab
from bench.measure import CommandError
from bench.table import printed, results

RESULTS = ROOT / "bench" / "results.md"

FIGURES: dict[str, Callable[[Lab], Iterator[Figure]]] = {
    "first-load": loads.first_load,
    "backfill": backfill.backfill,
    "memory": loads.memory,
    "stages": stages.stages,
    "videos": videos.videos,
    "starts": starts.starts,
    "increments": increments.increments,
    "again": loads.again,
    "listen": receives.receives,
    "tenants": scaling.tenants,
    "sizes": scaling.sizes,
    "five-years": scaling.five_years,
    "cluster": clusters.clusters,
}


def main() -> int:
    """Measure what the options ask for; 1 where a figure could not be measured."""
    given = options()
    given.cache.mkdir(parents=True, exist_ok=True)
    compileall.compile_dir(ROOT / "etl", quiet=1)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=given.cache))
    lab = Lab(given.scale, given.repeat, given.cache, scratch)
    figures: list[Figure] = []
    load = os.getloadavg()[0]
    broken = 0
    try:
        for name in given.only or FIGURES:
            lab.note(f"-- {name}")
            try:
                figures += FIGURES[name](lab)
            except (CommandError, RuntimeError, OSError) as error:
                broken += 1
                figures.append(Figure(name, "not measured", str(error).splitlines()[-1][:160], None))
            for leftover in scratch.iterdir():
                shutil.rmtree(leftover, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.stdout.write(printed(figures) + "\n")
    kept = given.results or (None if given.only else RESULTS)
    if kept:
        kept.write_text(results(figures, lab, load), encoding="utf-8")
        lab.note(f"kept in {kept}")
    return 1 if broken else 0


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; 0.1 for a quick look")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each contender; the median counts")
    parser.add_argument("--only", nargs="+", choices=FIGURES, metavar="NAME", help=f"of {', '.join(FIGURES)}")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "sightglass-bench",
        help="folder for prepared pages and warehouses, and for scratch space (%(default)s)",
    )
    parser.add_argument(
        "--results", type=Path, help=f"file to keep them in ({RESULTS}, unless --only is given)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
