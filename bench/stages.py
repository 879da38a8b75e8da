"""What each stage takes by itself, next to the whole run: what bounds it, and where its time can be."""

import shutil
from collections.abc import Iterator
from functools import partial

from bench.lab import MB, SIGHTGLASS, Figure, Lab, cogniac, counted, serving
from bench.measure import PYTHON
from etl.publish.layout import BI, LAKE, VERSIONS

RECORDS = 100_000
ALONE = {
    "requests": "bound: plain requests for the pages, one after the other",
    "decode": "bound: msgspec typed decode",
    "columns": "bound: Arrow columns from decoded objects",
    "insert": "bound: DuckDB insert of the finished Arrow tables",
    "extract": "our extract stage alone",
    "log": "our log alone",
    "transform": "our transform stage alone",
}
NEEDS_URL = ("requests", "extract")


def stages(lab: Lab) -> Iterator[Figure]:
    """Yield a line for each stage: its own time, the whole run's, and their ratio."""
    corpus = lab.corpus(lab.size(RECORDS))
    home = lab.folder("home")
    with serving(lab, "bench.server", corpus.folder, 0) as url:
        whole = counted(lab.cost([SIGHTGLASS, "run", "--json"], **cogniac(url, home)), corpus.records)
        lab.enter("whole run", whole, corpus.records)
        commands = {
            stage: [PYTHON, "-m", "bench.alone", stage, corpus.folder, *([url] * (stage in NEEDS_URL))]
            for stage in ALONE
        }
        contenders = {f"alone: {stage}": partial(lab.cost, command) for stage, command in commands.items()}
        taken = lab.by_turns(corpus.records, contenders)
    for stage, title in ALONE.items():
        told = taken[f"alone: {stage}"].told
        seconds = told["seconds"]
        yield Figure(
            title,
            f"whole run {whole.seconds:.2f} s, {whole.cpu_s:.2f} s of CPU",
            f"{seconds:.2f} s, {told['cpu_s']:.2f} s of CPU, {corpus.records / seconds:,.0f} records/s, "
            f"{corpus.bytes / seconds / MB:,.0f} MB/s",
            whole.seconds / seconds,
        )
    for name in (BI, LAKE):
        (home / name).unlink()
    shutil.rmtree(home / VERSIONS)
    again = lab.cost([SIGHTGLASS, "publish", "--home", home])
    lab.enter("our publish stage alone", again, corpus.records)
    yield Figure(
        "our publish stage alone, everything anew, its start included",
        f"whole run {whole.seconds:.2f} s",
        f"{again.seconds:.2f} s, {corpus.records / again.seconds:,.0f} records/s",
        whole.seconds / again.seconds,
    )
