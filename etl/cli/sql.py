"""`sightglass sql`: query what is published."""

import csv
import json
import math
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import click
import duckdb
import pyarrow as pa

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import distinct
from etl.config import Settings
from etl.errors import SettingsError
from etl.publish.bi import open_bi

AT_ONCE = 10_000

WRITING = frozenset({"ATTACH", "COPY", "EXPORT", "INSTALL"})
"""Words that write files wherever they stand: EXPLAIN ANALYZE does what it explains, WITH can hold COPY."""

READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
"""What may be asked; DESCRIBE, SHOW and SUMMARIZE count as SELECT."""


@click.command("sql")
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; the default where output is no terminal.")
@json_option
@takes_settings
def command(settings: Settings, query: str, *, as_csv: bool, as_json: bool) -> None:
    """Print the answer to an SQL query, whether or not a run works; nothing can be changed by it.

    \b
    sightglass sql "SELECT subject_uid, count(*) FROM cogniac.detections GROUP BY ALL"
    """  # noqa: D301 -- click reads the backspace: do not rewrap what follows
    connection = open_bi(settings)
    try:
        _answer(connection, query, as_csv=as_csv, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader has enough, `head` for one
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise SettingsError(f"the query failed: {error}") from error
    finally:
        connection.close()


def _answer(connection: duckdb.DuckDBPyConnection, query: str, *, as_csv: bool, as_json: bool) -> None:
    for statement in connection.extract_statements(query):
        if statement.type not in READING:
            raise _changes(statement.type.name)
    for word in _keywords(query) & WRITING:
        raise _changes(word)
    if not as_csv and not as_json and sys.stdout.isatty():
        click.echo(str(connection.sql(query) or ""), nl=False)
        return
    relation = connection.sql(query)
    if relation is None:
        raise SettingsError("the query failed: it asks for nothing")
    batches = relation.to_arrow_reader(AT_ONCE)
    names = distinct(batches.schema.names)
    rows = (
        [_plain(value) for value in row]
        for batch in batches
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    if as_json:
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"columns": names, "rows": objects})
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)


def _changes(what: str) -> SettingsError:
    return SettingsError(f"the query failed: {what} changes something; only reading is allowed")


def _keywords(query: str) -> set[str]:
    """The keywords of a query in capitals: what is quoted or commented is none."""
    text = query.encode()  # the places of tokens are counted in bytes
    tokens = duckdb.tokenize(query)
    # A token ends where the next begins, white space included.
    edges = [*(place for place, _ in tokens), len(text)]
    return {
        text[start:end].decode().strip().upper()
        for (_, kind), (start, end) in zip(tokens, pairwise(edges), strict=True)
        if kind == duckdb.token_type.keyword
    }


def _cell(value: object) -> object:
    """The value as a cell of CSV: what is neither text nor NULL is written as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: object) -> object:
    """The value as JSON and CSV can hold it: times in ISO 8601, UTC."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time | UUID | Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
