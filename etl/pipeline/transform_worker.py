"""The transform stage in a process of its own, for all but small loads.

Python runs one thread at a time. What makes rows keeps it busy, and whoever asks an API or waits for DuckDB
then waits for it hundreds of times a second. So the rows of a large load are made elsewhere, from the log.
"""

import os
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket, socketpair
from threading import Lock

from etl import plugins, schema
from etl.compute import pc
from etl.errors import EnvironmentFaultError
from etl.extract.forgotten import Forgotten, load
from etl.extract.log import Log, Part
from etl.extract.log_reader import DamagedPartError, read
from etl.extract.log_writer import Received
from etl.extract.stream import SETTLE_QUARANTINE, Action, Delivery
from etl.pipeline.areas import own_areas
from etl.pipeline.hand_over import receive, send
from etl.setting import declared
from etl.sources import source_module
from etl.transform.batch import Transformer
from etl.transform.forgetting import Forgetter
from etl.transform.part_rows import (
    Contribution,
    PartRows,
    RowSet,
    StreamBatch,
    Tables,
    stream_batch,
)
from etl.values import Cursor

NAMED_AT_ONCE = 2
"""Parts that the process knows of: while the rows of one are fetched, it works on the next."""

START = f"""
import os, sys
sys.path.insert(0, sys.argv[1])
import etl
del sys.path[0]
from {__name__} import serve_parent
serve_parent(*sys.argv[2:])
os._exit(0)  # at once: nobody need wait until Python has let go of all that it held
"""
"""Its program: the package `etl` is that of this process, though PYTHONPATH may hold another."""


class PartTransformer:
    """Makes rows of parts; what becomes of one follows from it alone, whoever has made the others."""

    def __init__(self, log: Log, source: str, forgotten: Forgotten | None = None) -> None:
        """Leave out whom the folder of the warehouse says, unless others are given."""
        self._log = log
        self._declared = schema.source(source)
        self.transformer = Transformer(source_module(source), self._declared)
        # What the log holds of whom is to be forgotten is an old copy of it that was brought back.
        left_out = load(log.folder.parents[1]) if forgotten is None else forgotten
        self._forgetter = Forgetter(self._declared, left_out)

    def rows(self, part: Part) -> PartRows:
        """Return the rows, and all else, in a part; DamagedPartError where it is not as it was written."""
        self.transformer.forget()
        head, received = read(self._log, part)
        delivered: list[list[Delivery]] = [[] for _ in head.streams]
        for each in received:
            delivered[each.by] += self._forgetter.bundle(each.bundle)[0]
        batches, rows = [stream_batch(each) for each in head.streams], RowSet()
        for batch, some in zip(batches, delivered, strict=True):
            self._take(batch, batch.take(some), rows)
        # In one piece each, they are handed on and read by DuckDB with least effort.
        whole = {
            name: {table: each.combine_chunks() for table, each in rows.joined(name).items()}
            for name in rows.tables
        }
        size = sum(each.nbytes for tables in whole.values() for each in tables.values())
        rows = RowSet({name: [tables] for name, tables in whole.items()}, rows.numbers)
        return PartRows(head, batches, rows, not all(map(_settles, received)), size)

    def _take(self, batch: StreamBatch, deliveries: Sequence[Delivery], rows: RowSet) -> None:
        """Make rows of what a stream has delivered."""
        for name, made in self.transformer.transform(deliveries).items():
            offset = rows.add(name, made.tables, made.ordinals)
            numbers = [(offset, offset + made.ordinals)]
            batch.contributions[name] = Contribution(made.fetched, made.rejected, numbers)
            if name == batch.name:
                batch.see(self._newest(made.tables, batch))

    def _newest(self, tables: Tables, batch: StreamBatch) -> Cursor | None:
        """Return the newest version of a record, if it is a time before the end of its stream.

        None where records have no version.
        """
        found = self._declared.version_of(batch.name)
        if found is None:
            return None
        versions = tables[found[0].name][found[1]].drop_null()
        if batch.end is not None:
            versions = versions.cast("int64")
            versions = versions.filter(pc.less_equal(versions, batch.end))
        newest: Cursor | None = pc.max(versions).as_py()
        return newest


def _settles(received: Received) -> bool:
    """Whether somebody has settled a refusal by hand, which is no run."""
    return all(isinstance(each, Action) and each.name == SETTLE_QUARANTINE for each in received.bundle)


class TransformWorker:
    """Makes rows of the parts of one run, in their order; once it is started, in a process of its own.

    That process ends with this one, however this one ends.
    """

    def __init__(self, log: Log, source: str) -> None:
        self._log = log
        self._source = source
        self._here = PartTransformer(log, source)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket | None = None
        self._is_refused = False
        """Whether the machine has no room for another process: the rows are made here."""
        self._unknown: list[str] = []
        self._lost: EnvironmentFaultError | None = None
        """Why a part could not be named to the process."""
        self._lock = Lock()
        self._expected: deque[Part] = deque()
        """Parts whose rows will be asked for, and that were not named to the process yet."""
        self._named: deque[Part] = deque()
        """Parts whose rows the process makes, or has made and not got rid of."""

    def unknown(self) -> list[str]:
        """Return the undeclared fields met so far, as `Transformer.unknown` gives them."""
        return sorted({*self._here.transformer.unknown(), *self._unknown})

    def expect(self, part: Part) -> None:
        """Let the process make the rows of a part before they are asked for; in the order of `rows`."""
        with self._lock:
            self._expected.append(part)
            self._name_next()

    def rows(self, part: Part) -> PartRows:
        """Return the rows, and all else, in a part.

        Raises EnvironmentFaultError where the process was killed, or the part is not as it was written.
        """
        with self._lock:
            channel = self._channel
            if part not in self._expected and part not in self._named:
                self._expected.append(part)
            if not channel:
                self._expected.remove(part)
        try:
            return self._rows_there(channel) if channel else self._here.rows(part)
        except DamagedPartError as error:
            raise EnvironmentFaultError(f"the log was altered while it was written: {error}") from error

    def _rows_there(self, channel: socket) -> PartRows:
        with self._lock:
            # Once one could not be named, what comes back would be taken for the rows of another.
            self._lost = self._lost or self._name_next()
        if self._lost:
            raise self._lost
        made = receive(channel)
        with self._lock:
            self._named.popleft()
            self._name_next()
        if isinstance(made, Exception):
            raise made
        rows: PartRows
        rows, self._unknown = made
        return rows

    def _name_next(self) -> EnvironmentFaultError | None:
        """Name the next parts to the process; the error where that cannot be: it will come again."""
        while self._channel and self._expected and len(self._named) < NAMED_AT_ONCE:
            if error := send(self._channel, self._expected[0]):
                return error
            self._named.append(self._expected.popleft())
        return None

    def start(self) -> bool:
        """Start the process, unless it is there, or the machine refuses it; whether it starts now."""
        if self._process or self._is_refused:
            return False
        try:
            with ExitStack() as stack:
                ours, its = map(stack.enter_context, socketpair())
                self._process = self._started(its.fileno())
                with self._lock:
                    self._channel = ours.dup()
        except OSError:
            self._is_refused = True
        return not self._is_refused

    def _started(self, number: int) -> "subprocess.Popen[bytes]":
        told = [str(Path(__file__).parents[2]), self._source, str(self._log.folder), str(number)]
        return subprocess.Popen(  # noqa: S603 -- our own module
            [sys.executable, "-P", "-c", START, *told],
            pass_fds=[number],
            env=_without_credentials(os.environ),
            process_group=0,  # ^C is for us alone
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End the process."""
        if self._channel:
            self._channel.close()
        if self._process:
            self._process.wait()


def _without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for who asks nobody.

    Without credentials, and without proxies, which can hold some.
    """
    own = [each for area in own_areas() for each in declared(area).values() if each.is_credential]
    kept = {name for setting in own for name in setting.names}
    found = {
        name: value
        for name, value in environ.items()
        if name not in kept and not name.lower().endswith("_proxy")
    }
    if plugins.installed():
        # The module of another package may be where this process alone looks.
        found["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return found


def serve_parent(source: str, folder: str, number: str) -> None:
    """Make rows of the parts that the process which started this one names, until it can name no more."""
    channel = socket(fileno=int(number))
    transformer = PartTransformer(Log(Path(folder)), source)
    while isinstance(part := receive(channel), Part):
        made: tuple[PartRows, list[str]] | Exception
        try:
            made = transformer.rows(part), transformer.transformer.unknown()
        except Exception as error:  # noqa: BLE001 -- raised where the rows are waited for
            # Handed over, an error forgets where it came from.
            error.add_note("".join(traceback.format_tb(error.__traceback__)))
            made = error
        if send(channel, made):
            return
