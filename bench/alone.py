"""One stage of the pipeline by itself: `python -m bench.alone STAGE CORPUS [URL [IN_FLIGHT]]`.

Prints how many seconds the stage took, and of CPU, without what had to be made ready for it.
"""

import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import msgspec
import pyarrow as pa

from bench.lab import SECOND, Corpus, cogniac, read_corpus
from etl import schema
from etl.cli import settings_for
from etl.extract.log import Log, Run, StreamHead
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import Checkpoint, Page, SourceContext
from etl.extract.stream_reader import StreamReader
from etl.load.database import LIMITS
from etl.load.relation import MARK, is_marked
from etl.load.tables import prepare
from etl.sources import source_module
from etl.transform.batch import Transformer
from etl.transform.flatten import RECORD, WHOLE, flatten
from etl.transform.shape import tree

BATCH_RECORDS = 8_000
PAGE = 100
STREAM = "detections"
OURS = (RECORD, WHOLE)
"""Columns by which the load stage finds its way; they reach no table."""


class Body(msgspec.Struct):
    """A page as it comes."""

    data: list[msgspec.Raw]


def bodies(corpus: Corpus) -> Iterator[tuple[str, bytes]]:
    """Yield the pages of all applications, each with its application, as the server sends them."""
    for application_id in corpus.applications:
        text = (corpus.folder / f"{application_id}.records").read_bytes()
        index = memoryview((corpus.folder / f"{application_id}.index").read_bytes()).cast("q")[1::2]
        begins = [*index, len(text)]
        for first in range(0, len(begins) - 1, PAGE):
            last = min(first + PAGE, len(begins) - 1)
            yield application_id, b'{"data":[' + text[begins[first] : begins[last] - 1] + b"]}"


def pages(corpus: Corpus) -> list[Page]:
    """Return the same, taken apart into records."""
    decoder = msgspec.json.Decoder(Body)
    return [
        Page(STREAM, decoder.decode(body).data, {"application_id": application_id})
        for application_id, body in bodies(corpus)
    ]


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items, so many at a time."""
    return (items[first : first + size] for first in range(0, len(items), size))


def transformed(corpus: Corpus) -> list[dict[str, Any]]:
    """Finished Arrow tables by name, a batch at a time."""
    transformer = Transformer(source_module("cogniac"), schema.source("cogniac"))
    return [
        transformer.transform(some)[STREAM].tables for some in batches(pages(corpus), BATCH_RECORDS // PAGE)
    ]


def decode(corpus: Corpus) -> Callable[[], object]:
    """Decode by msgspec alone: every page to typed objects of the declared fields, at one go."""
    kind: Any = tree(schema.source("cogniac").of_stream(STREAM)).type()
    decoder: Any = msgspec.json.Decoder(msgspec.defstruct("Typed", [("data", list[kind])]))
    ready = list(bodies(corpus))
    # What a page became is dropped before the next: a bound keeps nothing.
    return lambda: sum(len(decoder.decode(body).data) for _, body in ready)


def columns(corpus: Corpus) -> Callable[[], object]:
    """Arrow alone: columns of all tables from objects that are decoded and completed."""
    tables = schema.source("cogniac").of_stream(STREAM)
    source = source_module("cogniac")
    root = tree(tables)
    decoder = msgspec.json.Decoder(root.type())
    ready = []
    for page in pages(corpus):
        for raw in page.records:
            record = decoder.decode(raw)
            source.ENRICH[STREAM].record(record, page.context)
            for detection in record.detections:
                _as_objects(detection, root)
            record.added_focus_box = None
            record.added_other_media = []
            ready.append(record)
    return lambda: [flatten(some, tables, root) for some in batches(ready, BATCH_RECORDS)]


def _as_objects(detection: Any, root: Any) -> None:  # noqa: ANN401 -- types made from the schema
    kind: Any = root.places["detections"].places["+boxes"].type()
    if detection.added_boxes is not None:
        detection.added_boxes = msgspec.convert(detection.added_boxes, list[kind])


def transform(corpus: Corpus) -> Callable[[], object]:
    """Our whole transform stage: records to Arrow tables, refusals and undeclared fields included."""
    transformer = Transformer(source_module("cogniac"), schema.source("cogniac"))
    ready = pages(corpus)
    return lambda: [transformer.transform(some) for some in batches(ready, BATCH_RECORDS // PAGE)]


def insert(corpus: Corpus) -> Callable[[], object]:
    """DuckDB alone: the finished tables appended, a transaction for each batch.

    The history of records that are new follows from their rows.
    """
    declared = schema.source("cogniac")
    folder = tempfile.mkdtemp()
    connection = duckdb.connect(f"{folder}/alone.duckdb", config=LIMITS)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")
    prepare(connection, declared)
    ready = transformed(corpus)

    def append() -> None:
        for tables in ready:
            connection.begin()
            for name, rows in tables.items():
                _append(
                    connection, name, rows.select([each for each in rows.schema.names if each not in OURS])
                )
            connection.commit()
        connection.close()

    return append


def _append(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("rows", rows)
    declared = schema.source("cogniac")
    more = "'run' AS _run_id, now() AS _loaded_at"
    if is_marked(declared, declared.tables[name]):
        more += f", true AS {MARK}"
    connection.execute(f"INSERT INTO cogniac.{name} BY NAME SELECT *, {more} FROM rows")
    connection.unregister("rows")


def log(corpus: Corpus) -> Callable[[], object]:
    """Our log: the records compressed, on disk, and sealed."""
    kept = Log(Path(tempfile.mkdtemp()))
    writer = LogWriter(kept, Run("alone", 0, "0"), "2026-01-01", 0)
    heads, ready = [StreamHead(STREAM, "", 0)], pages(corpus)

    def keep() -> None:
        for some in batches(ready, BATCH_RECORDS // PAGE):
            writer.seal(heads, [Received(0, 0, some)], sealed_at=0, ends_batch=True)

    return keep


def extract(corpus: Corpus, url: str, in_flight: str = "8") -> Callable[[], object]:
    """Our extract stage over the times of all records: streams side by side, nothing done with them."""
    home = Path(tempfile.mkdtemp())
    asking = {**cogniac(url, home), "SIGHTGLASS_CONCURRENCY": in_flight}
    settings = settings_for({}, asking, Path("/dev/null"))
    session: Any = source_module("cogniac").connect(settings)
    now = datetime.now(UTC)
    start, end = (seconds * SECOND for seconds in corpus.range)
    checkpoint = Checkpoint(None, start, end)

    def read() -> None:
        for group in session.streams(SourceContext(lambda: now, lambda *_, **__: [], now)):
            with StreamReader(group, lambda _: checkpoint, settings.concurrency) as reading:
                for _ in reading:
                    pass

    return read


def requests(corpus: Corpus, url: str, in_flight: str = "1") -> Callable[[], object]:
    """Return the pages alone, by cursor-free requests of equal size, so many in flight.

    What the server can give.
    """
    parts, local = urlsplit(url), threading.local()
    asked = []
    for application_id in corpus.applications:
        times = memoryview((corpus.folder / f"{application_id}.index").read_bytes()).cast("q")[0::2]
        for first in range(0, len(times), PAGE):
            start = f"{(times[first] - 1) / 1_000_000:.6f}"
            asked.append(f"/1/applications/{application_id}/detections?limit={PAGE}&start={start}")

    def size(target: str) -> int:
        # By the cheapest client there is: it must not be what limits the server.
        if not hasattr(local, "connection"):
            local.connection = HTTPConnection(parts.hostname or "", parts.port)
        local.connection.request("GET", target)
        return len(local.connection.getresponse().read())

    def ask() -> int:
        with ThreadPoolExecutor(int(in_flight)) as pool:
            return sum(pool.map(size, asked))

    return ask


STAGES: dict[str, Callable[..., Callable[[], object]]] = {
    each.__name__: each for each in (decode, columns, transform, insert, log, extract, requests)
}


def main(stage: str, folder: str, *more: str) -> None:
    """Make ready, then take the time."""
    work = STAGES[stage](read_corpus(Path(folder)), *more)
    # What was made ready must not be walked through by every collection while the time is taken.
    gc.freeze()
    began, cpu = time.perf_counter(), time.process_time()
    work()
    took = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    sys.stdout.write(json.dumps(took))


if __name__ == "__main__":
    main(*sys.argv[1:])
