"""`sightglass sql`: query what is published."""

import csv
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise
from logging import WARNING

import click
import duckdb
import pyarrow as pa

from etl.cli import json_option, takes_settings
from etl.cli.cells import rows
from etl.cli.output import distinct, json_text, shown, tell
from etl.config import Settings
from etl.errors import ConfigError
from etl.publish.bi import open_bi

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a text begins that a spreadsheet works out; the last ones are the same signs in full width."""
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

WRITING = frozenset({"ATTACH", "COPY", "EXPORT", "INSTALL"})
"""Words that write files wherever they stand: EXPLAIN ANALYZE does what it explains, WITH can hold COPY."""

READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
"""What may be asked; DESCRIBE, SHOW and SUMMARIZE count as SELECT."""


@click.command("sql")
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; the default where output is no terminal.")
@click.option(
    "--spreadsheet",
    "for_spreadsheet",
    is_flag=True,
    help="Print CSV whose texts no spreadsheet works out: an apostrophe stands before such as =1+1.",
)
@json_option
@takes_settings
def command(settings: Settings, query: str, *, as_csv: bool, for_spreadsheet: bool, as_json: bool) -> None:
    """Print the answer to an SQL query, whether or not a run works; nothing can be changed by it.

    \b
    sightglass sql "SELECT subject_uid, count(*) FROM cogniac.detections GROUP BY ALL"
    """  # noqa: D301 -- click reads the backspace: do not rewrap what follows
    is_table = not (as_csv or for_spreadsheet or as_json) and sys.stdout.isatty()
    try:
        with open_bi(settings, partial(tell, level=WARNING)) as connection:
            relation = _asked(connection, query)
            if is_table:
                click.echo(shown(str(relation or ""), kept="\n"), nl=False)
            elif relation is None:
                raise ConfigError("the query failed: it asks for nothing")
            elif as_json:
                _print_json(relation)
            else:
                _print_csv(relation, _harmless if for_spreadsheet else _cell)
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader has enough, `head` for one
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise _failed(error) from error


def _asked(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation | None:
    """Return what is to be answered; ConfigError where the query does more than ask."""
    for statement in connection.extract_statements(query):
        if statement.type not in READING:
            raise _changes(statement.type.name)
    for word in _keywords(query) & WRITING:
        raise _changes(word)
    relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
    return relation


def _print_json(relation: duckdb.DuckDBPyRelation) -> None:
    """Print one object, row by row: an answer may be larger than memory."""
    names, answer = distinct(relation.columns), rows(relation)
    sys.stdout.write(f'{{"columns": {json_text(names)}, "rows": [')
    for number, row in enumerate(answer):
        sys.stdout.write(", " * bool(number) + json_text(dict(zip(names, row, strict=True))))
    sys.stdout.write("]}\n")


def _print_csv(relation: duckdb.DuckDBPyRelation, cell: Callable[[object], object]) -> None:
    """Print a line of names, then one for each row; a terminal gets nothing that steers it."""
    safe = shown if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in chain([distinct(relation.columns)], rows(relation)):
        writer.writerow(value if value is None else safe(str(value)) for value in map(cell, row))


def _failed(error: Exception) -> ConfigError:
    """Return the first line of what DuckDB says of a query.

    Where in it something is wrong is added as notes.
    """
    line, *more = str(error).split("\n")
    failed = ConfigError(f"the query failed: {line}")
    for each in filter(None, more):
        failed.add_note(each)
    return failed


def _changes(what: str) -> ConfigError:
    return ConfigError(f"the query failed: {what} changes something; only reading is allowed")


def _keywords(query: str) -> set[str]:
    """Return the keywords of a query in capitals: what is quoted or commented is none."""
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
    """Return the value as a cell of CSV: what is neither text nor NULL is written as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(value: object) -> object:
    """Return the same for a spreadsheet, which takes text that begins so for a formula.

    A number stays one.
    """
    cell = _cell(value)
    is_formula = isinstance(value, str) and value.startswith(FORMULA) and not NUMBER.fullmatch(value)
    return f"'{cell}" if is_formula else cell
