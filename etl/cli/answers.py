"""The answer of `sightglass sql` as CSV, JSON, Parquet or Arrow: streamed, whatever its size."""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import click
import duckdb
import msgspec
import pyarrow as pa

from etl.cli.cells import rows
from etl.cli.output import JSON_ESCAPES, is_unicode, shown
from etl.errors import EnvironmentFaultError
from etl.publish.arrow_types import NOT_IN_PARQUET, arrow_reader, distinct
from etl.publish.files import replaced
from etl.publish.snapshot import refuse_own

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a text begins that a spreadsheet works out; the last ones are the same signs in full width."""
INNER_FORMULA = re.compile(r'([;\t|\r\n][\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])')
"""Where within a text one begins, for spreadsheets that tell cells apart by such as a semicolon."""
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
QUOTED = re.compile(r'[",\n\r]')
"""What a cell of CSV cannot hold unless it is quoted."""
SEPARATING = re.compile(r'[",\n\r;\t|]')
"""The same, where the reader may tell cells apart by something else than commas."""
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

TORN = b"\xff\xff\xff\xff\x08\0\0\0"
"""The beginning of a message of Arrow: a stream that ends so is none, as one that just ends is to readers."""

ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """In which form an answer is wanted."""

    as_csv: bool
    for_spreadsheet: bool
    null: str
    """What stands for NULL in CSV."""
    parquet: Path | None
    as_arrow: bool
    as_json: bool

    @property
    def is_table(self) -> bool:
        """Whether it is to be a drawn table: on a terminal, where nothing else is asked for."""
        return not self._asked() and sys.stdout.isatty()

    def refuse_unfit(self) -> None:
        """Raise UsageError where it is two forms, or none for a terminal."""
        if self._asked() > 1:
            raise click.UsageError("an answer has one form: --csv, --json, --parquet or --arrow")
        if self.as_arrow and sys.stdout.isatty():
            raise click.UsageError("Arrow is for programs, not for a terminal: add `> FILE` or `| program`")
        if self.parquet == Path("-"):
            raise click.UsageError("--parquet needs the name of a file; a stream is printed by --arrow")
        if self.null and (self.parquet is not None or self.as_arrow or self.as_json):
            raise click.UsageError("--null goes only with CSV")
        if QUOTED.search(self.null):
            raise click.UsageError("--null must hold no comma, quotation mark or line break")

    def give(self, relation: duckdb.DuckDBPyRelation, home: Path) -> None:
        """Print the answer, or write it into its file."""
        if self.parquet is not None:
            write_parquet(relation, self.parquet.absolute(), home)
        elif self.as_arrow:
            print_arrow(relation)
        elif self.as_json:
            print_json(relation)
        else:
            print_csv(relation, self.null, for_spreadsheet=self.for_spreadsheet)

    def _asked(self) -> int:
        return sum(
            (self.as_csv or self.for_spreadsheet, self.parquet is not None, self.as_arrow, self.as_json)
        )


def print_json(relation: duckdb.DuckDBPyRelation) -> None:
    """Print one object, row by row: an answer may be larger than memory."""
    names, answer = distinct(relation.columns), rows(relation)
    sys.stdout.write(f'{{"columns": {_json(names)}, "rows": [')
    for number, row in enumerate(answer):
        sys.stdout.write(", " * bool(number) + _json(dict(zip(names, row, strict=True))))
    sys.stdout.write("]}\n")


def print_csv(relation: duckdb.DuckDBPyRelation, null: str, *, for_spreadsheet: bool) -> None:
    """Print a line of names, then one for each row; a terminal gets nothing that steers it.

    NULL is `null`, without quotes; a text that reads the same has them.
    """
    safe = shown if sys.stdout.isatty() else str
    for line in csv_lines(relation, null, safe, for_spreadsheet=for_spreadsheet):
        sys.stdout.write(line)


def csv_lines(
    relation: duckdb.DuckDBPyRelation,
    null: str = "",
    safe: Callable[[str], str] = str,
    *,
    for_spreadsheet: bool = False,
) -> Iterator[str]:
    """Yield the lines of an answer as CSV; `safe` makes of each text what may be shown."""
    cell, quoted = (_harmless, SEPARATING) if for_spreadsheet else (cell_of, QUOTED)
    for row in chain([distinct(relation.columns)], rows(relation)):
        # An empty line is none to many readers.
        is_lone = len(row) == 1 and not null
        cells = [
            null if value is None and not is_lone else safe(_quoted(cell(value), null, quoted))
            for value in row
        ]
        yield ",".join(cells) + "\n"


def write_parquet(relation: duckdb.DuckDBPyRelation, path: Path, home: Path) -> None:
    """Write the answer into a file of Parquet: aside, then brought in by rename.

    EnvironmentFaultError where it cannot be written.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 -- short queries do without

    try:
        refuse_own(home, path)
        reader = arrow_reader(relation, NOT_IN_PARQUET)
        with (
            replaced(path) as aside,
            pq.ParquetWriter(aside, reader.schema, compression="zstd") as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write {path}: {error.strerror or error}; name another FILE"
        ) from error


def print_arrow(relation: duckdb.DuckDBPyRelation) -> None:
    """Print the answer as a stream of Arrow's own format, whose end is torn where not all was printed."""
    reader = arrow_reader(relation)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as stream:
        sink = _open_stream(stream, reader.schema)
        try:
            for batch in reader:
                sink.write_batch(batch)
        except BaseException:
            with suppress(OSError):
                stream.write(TORN)
            raise
        sink.close()


def _open_stream(stream: BinaryIO, schema: pa.Schema) -> pa.RecordBatchStreamWriter:
    return pa.ipc.new_stream(stream, schema)


def _json(value: object) -> str:
    """Return the value as JSON that standard output can carry, and that does nothing to a terminal."""
    text = ENCODER.encode(value).decode().translate(JSON_ESCAPES)
    return text if is_unicode() else BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _quoted(cell: str, null: str, quoted: re.Pattern[str]) -> str:
    """Return the cell with quotes where it needs them, and where it would read as NULL."""
    return f'"{cell.replace(chr(34), 2 * chr(34))}"' if cell == null or quoted.search(cell) else cell


def cell_of(value: object) -> str:
    """Return the value as a cell of CSV: what is neither text nor a number is written as JSON."""
    if value is None:
        return ""
    if isinstance(value, str | Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", "Infinity").replace("nan", "NaN")
    return ENCODER.encode(value).decode()


def _harmless(value: object) -> str:
    """Return the same for a spreadsheet, which takes text that begins so for a formula.

    A number stays one.
    """
    cell = cell_of(value)
    is_formula = cell.startswith(FORMULA) and not NUMBER.fullmatch(cell)
    return "'" * is_formula + INNER_FORMULA.sub(r"\1'", cell)
