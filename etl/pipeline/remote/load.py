"""The second step: what came of all parts for one bucket to the tables of that bucket, as files."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from etl import schema
from etl.errors import EnvironmentFaultError, SightglassError
from etl.extract.log import Part
from etl.extract.log_reader import DamagedPartError
from etl.load.commit import Committer, Share
from etl.load.database import LIMITS, SPILL
from etl.load.duckdb_errors import first_line, most_memory
from etl.load.refreshing import Departure
from etl.load.tables import prepare
from etl.load.warehouse import Warehouse
from etl.pipeline.log_applier import PartApplier
from etl.pipeline.rebuild import replay
from etl.pipeline.remote.buckets import CONTROL, Spread, unpacked
from etl.pipeline.remote.places import Place, place_of
from etl.pipeline.remote.tables import REFUSED, has_rows, write
from etl.pipeline.remote.task import (
    DAMAGED,
    TOLD,
    UNDONE,
    Departed,
    Key,
    Loaded,
    Task,
    WorkerError,
    Written,
    told,
)
from etl.redact import Redactor
from etl.schema import SYSTEM, Source, Table
from etl.transform.part_rows import PartRows

SHARE = "share"


def load_bucket(key: tuple[pa.Scalar, ...], staged: pa.Table) -> pa.Table:
    """Return what became of a bucket, a row of `TOLD`, of all its rows of `STAGED`, in whatever order.

    Its tables are put where the task says. `key` is task, source and bucket. Raises WorkerError.
    """
    text, source, bucket = (each.as_py() for each in key)
    try:
        task = told(text)
        loaded = _Bucket(task, schema.source(source), bucket, staged).load()
    except SightglassError as error:
        raise WorkerError(error) from error
    except duckdb.Error as error:
        why = (
            f"bucket {bucket} of {source} cannot be loaded: {first_line(error)}; give the workers more memory"
        )
        raise WorkerError(EnvironmentFaultError(f"{why}, or choose more --buckets")) from error
    return pa.Table.from_pylist([{"told": loaded.text()}], schema=TOLD)


class BucketApplier(PartApplier):
    """Applies what of the parts of a source belongs to one bucket."""

    def __init__(
        self, warehouse: Warehouse, source: str, read: Callable[[Part], PartRows], share: Share
    ) -> None:
        self._share = share
        self.number = 0
        """The last part of the batch that is applied."""
        # Secrets never come to workers: who has some looks at what was refused when all is there.
        super().__init__(warehouse, source, Redactor(()), read)

    def new_committer(self, run_id: str) -> Committer:
        """Return what commits on behalf of a run."""
        committer = super().new_committer(run_id)
        committer.share = self._share
        return committer

    def commit(self, parts: Sequence[tuple[Part, PartRows]], *, moves_cursors: bool) -> Part:
        """Commit the parts as one batch, where they concern the bucket."""
        part, _ = parts[-1]
        self.number = part.number
        if any(rows.streams for _, rows in parts):
            super().commit(parts, moves_cursors=moves_cursors)
        return part


class _Bucket:
    """One bucket of a source, or what was refused of all of them."""

    def __init__(self, task: Task, source: Source, bucket: int, staged: pa.Table) -> None:
        self._task = task
        self._source = source
        self._bucket = bucket
        # Each share for itself, when it is its turn: together they are large.
        self._shares = staged[SHARE]
        about = staged.drop_columns([SHARE]).to_pylist()
        self._rows = {row["number"]: {**row, "place": place} for place, row in enumerate(about)}
        self._verdicts = {each.key: each.may_go for each in task.verdicts if each.source == source.name}
        self._departed: list[Departed] = []

    def load(self) -> Loaded:
        """Make the tables, and put them where they belong."""
        parts = [
            Part(number, row["run_id"], Path(), row["state"] == UNDONE)
            for number, row in sorted(self._rows.items())
        ]
        damaged: list[str] = []
        with in_memory(self._source) as warehouse, TemporaryDirectory(prefix="sightglass-") as folder:
            bad = replay(self._applier(warehouse), parts, damaged)
            files = list(self._written(warehouse, Path(folder)))
        unknown = {name for row in self._rows.values() for name in json.loads(row["unknown"])}
        return Loaded(
            self._source.name,
            self._bucket,
            len(parts),
            files,
            self._departed,
            sorted(bad),
            damaged,
            sorted(unknown),
        )

    def _applier(self, warehouse: Warehouse) -> BucketApplier:
        keeps = partial(Spread(self._source, self._task.buckets).kept, bucket=self._bucket)

        def may_go(each: Departure, most: float) -> bool:
            key: Key = (applier.number, each.stream, each.partition, each.table)
            self._departed.append(Departed(key, each.gone, each.stored, most))
            # As nearly always; what all buckets say together shows whether it is so.
            return self._verdicts.get(key, True)

        applier = BucketApplier(warehouse, self._source.name, self._read, Share(keeps, may_go))
        return applier

    def _read(self, part: Part) -> PartRows:
        """Return what of a part belongs to the bucket; DamagedPartError where the part is damaged."""
        row = self._rows[part.number]
        share: bytes = self._shares[row["place"]].as_py()
        if row["state"] == DAMAGED:
            raise DamagedPartError(share.decode())
        return unpacked(share)

    def _written(self, warehouse: Warehouse, folder: Path) -> Iterator[Written]:
        place = place_of(self._task.out)
        tables, name = [*self._source.tables.values()], f"{self._bucket:05}"
        if self._bucket == CONTROL:
            tables, name = [REFUSED], self._source.name
        for table in tables:
            path = f"{table.schema}/{table.name}/{name}.parquet"
            # One file of each table is there, that readers find its columns.
            if self._bucket <= 0 or has_rows(warehouse.connection, table):
                rows = write(warehouse.connection, table, folder / "rows.parquet")
                yield self._put(place, table, path, rows, folder / "rows.parquet")

    def _put(self, place: Place, table: Table, path: str, rows: int, content: Path) -> Written:
        place.put(f"{self._task.folder}/{path}", content)
        return Written(table.qualified, path, rows, content.stat().st_size)


@contextmanager
def in_memory(source: Source) -> Iterator[Warehouse]:
    """Provide a warehouse of one source that is in memory alone; what does not fit is spilled."""
    with TemporaryDirectory(prefix="sightglass-") as folder:
        memory = most_memory()
        given = {"memory_limit": f"{memory}MB", "temp_directory": str(Path(folder) / SPILL)}
        with closing(duckdb.connect(config={**LIMITS, **given})) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET threads = 1")
            prepare(connection, source, schema.source(SYSTEM))
            warehouse = Warehouse(connection)
            # Tried again in memory, half of a commit could be there twice: all is given at once.
            warehouse.memory = memory
            yield warehouse
