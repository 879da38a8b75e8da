"""The first step: parts of logs to rows, and these to the buckets that they belong to."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl import schema
from etl.errors import SightglassError
from etl.extract.log import Part
from etl.extract.log_reader import DamagedPartError
from etl.extract.stream import Page
from etl.pipeline.remote.buckets import CONTROL, Spread, packed, shares
from etl.pipeline.remote.places import Logs
from etl.pipeline.remote.task import DAMAGED, STAGED, UNDONE, WHOLE, Task, WorkerError, told
from etl.pipeline.transform_worker import PartTransformer
from etl.sources import source_module
from etl.transform.batch import RejectedRecord, Transformer

Row = tuple[Any, ...]


def flatten_parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield what of each part belongs to which bucket, of rows of `PARTS` rows of `STAGED`.

    What comes of a part depends on nothing but that part. Raises WorkerError.
    """
    flattener: _Flattener | None = None
    try:
        for batch in batches:
            for given in batch.to_pylist():
                flattener = flattener or _Flattener(told(given["task"]))
                columns = zip(*flattener.rows(given), strict=True)
                arrays = [pa.array(each, field.type) for each, field in zip(columns, STAGED, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=STAGED)
    except SightglassError as error:
        raise WorkerError(error) from error
    finally:
        if flattener:
            flattener.logs.__exit__()


class _Flattener:
    """Flattens parts of the logs of one rebuild."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.logs = Logs(task.raw)
        self._sources: dict[str, _SourceFlattener] = {}

    def rows(self, given: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows of one part."""
        name, about = given["source"], (given["number"], given["run_id"])
        if name not in self._sources:
            self._sources[name] = _SourceFlattener(self.logs, name, self._task.buckets)
        of_source, task = self._sources[name], self._task.text()
        part = Part(*about, Path(given["entry"]), given["is_undone"])
        try:
            found = [] if part.is_undone else [*of_source.shares(part, given["entry"])]
            state, other = (WHOLE, b"") if found else (UNDONE, b"")
        except DamagedPartError as error:
            # All buckets are told: everywhere the rest of its run is left out.
            found, state, other = [], DAMAGED, self.logs.named(str(error)).encode()
        if not found:
            found = [(bucket, other) for bucket in (*range(of_source.spread.buckets), CONTROL)]
        unknown = json.dumps(of_source.unknown())
        for bucket, share in found:
            yield task, name, bucket, *about, state, unknown if bucket == CONTROL else "[]", share


class _SourceFlattener:
    """Flattens parts of the log of one source."""

    def __init__(self, logs: Logs, name: str, buckets: int) -> None:
        self._logs = logs
        self._source = schema.source(name)
        self._transformer = PartTransformer(logs.log(name), name)
        self._alone = Transformer(source_module(name), self._source)
        self.spread = Spread(self._source, buckets)

    def unknown(self) -> list[str]:
        """Return the undeclared fields met so far."""
        return self._transformer.transformer.unknown()

    def shares(self, part: Part, entry: str) -> Iterator[tuple[int, bytes]]:
        """Yield the share of each bucket in a part, as bytes; DamagedPartError where it is damaged."""
        fetched = self._logs.fetched(part, entry)
        try:
            rows = self._transformer.rows(fetched)
        finally:
            self._logs.let_go(fetched)
        for bucket, share in shares(rows, self.spread, self._tables_alone):
            yield bucket, packed(share)

    def _tables_alone(self, stream: str, reject: RejectedRecord) -> Mapping[str, Any]:
        """Return the tables that a refused record gives by itself; none where it is refused still."""
        self._alone.forget()
        (made,) = self._alone.transform([Page(stream, [reject.content], reject.context)]).values()
        return {} if made.rejected else made.tables
