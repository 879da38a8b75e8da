"""What `sightglass sql` may be asked: one statement, which reads."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb

from etl.errors import ConfigError, EnvironmentFaultError

STANDARD_INPUT = "-"
LARGEST = 2**24
"""Bytes of a query, at most: what is larger is no query, `/dev/zero` for one."""
READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "STATEMENT_NODE"})
"""What queries consist of that only read, as DuckDB's parser calls it."""
TOLD = '{"error":false'
"""How what the parser tells of a query begins, where it tells anything."""
NODE = re.compile(r'"type":\s*"(\w+_NODE)"', re.ASCII)
"""What a parsed query holds a part of itself in, as JSON.

It is looked for, not decoded, for it may be nested deeper than Python reads. The texts of a query cannot look
so, for their quotation marks are escaped.
"""
WRITING = frozenset({"ATTACH", "COPY", "EXPORT", "INSTALL"})
"""Words that write files, in what the parser tells nothing of."""
OF_EXPLAIN = frozenset({"EXPLAIN", "ANALYZE"})


def query_of(given: str | None, file: Path | None) -> str:
    """Return the query: as it is given, out of a file, or from standard input.

    UsageError where there is none, or two; EnvironmentFaultError where the file cannot be read.
    """
    if given is not None and file is not None:
        raise click.UsageError("give a QUERY, or a FILE that holds one")
    if file is None and given not in (None, STANDARD_INPUT):
        return str(given)
    if file is None and given is None and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("give a QUERY, `-f FILE`, or one on standard input")
    try:
        content = _read(file)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot read {file or 'standard input'}: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ConfigError(f"the query failed: it is larger than {LARGEST // 2**20} MiB")
    try:
        # As editors of Windows write it, with a mark at its beginning.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the query failed: it is no UTF-8") from error


def _read(file: Path | None) -> bytes:
    """Return what a file holds, or standard input, and no more than is too much."""
    if file is None or str(file) == STANDARD_INPUT:
        if sys.stdin is None:
            raise click.UsageError("standard input is closed; give a QUERY, or `-f FILE`")
        return sys.stdin.buffer.read(LARGEST + 1)
    with file.open("rb") as opened:
        return opened.read(LARGEST + 1)


def relation_of(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation | None:
    """Return what is to be answered, None for a query of nothing; ConfigError where it does more than ask."""
    statements = connection.extract_statements(query)
    if len(statements) > 1:
        raise ConfigError(
            f"the query failed: these are {len(statements)} statements; give them one at a time"
        )
    for statement in statements:
        _refuse_changes(connection, statement.type, query)
    relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
    return relation


def _refuse_changes(connection: duckdb.DuckDBPyConnection, kind: duckdb.StatementType, query: str) -> None:
    """Raise ConfigError where a statement changes something, or something within it."""
    if kind == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE does what it explains.
        inner = _explained(connection, query)
        for statement in connection.extract_statements(inner):
            _refuse_changes(connection, statement.type, inner)
    elif kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise _changes(kind.name)
    else:
        ((parsed,),) = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchall()
        if parsed.startswith(TOLD):
            for node in {*NODE.findall(parsed)} - READING:
                raise _changes(node.partition("_")[0])
        else:
            # Of PIVOT without the values that become columns, the parser tells nothing.
            for word in {text.upper() for _, text in _words(query)} & WRITING:
                raise _changes(word)


def _explained(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the statement that EXPLAIN is about: what follows it, ANALYZE and options in brackets."""
    depth = 0
    for place, text in _words(query):
        rest = query.encode()[place:].decode()
        if depth or (text == "(" and not _is_statement(connection, rest)):
            depth += (text == "(") - (text == ")")
        elif text.upper() not in OF_EXPLAIN:
            return rest
    return ""


def _is_statement(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    try:
        connection.extract_statements(text)
    except duckdb.ParserException:
        return False
    return True


def _words(query: str) -> Iterator[tuple[int, str]]:
    """Yield the tokens of a query but comments, each with its place in bytes."""
    text = query.encode()
    tokens = duckdb.tokenize(query)
    # A token ends where the next begins, white space included.
    edges = [*(place for place, _ in tokens), len(text)]
    for (start, kind), end in zip(tokens, edges[1:], strict=True):
        if kind != duckdb.token_type.comment:
            yield start, text[start:end].decode().strip()


def _changes(what: str) -> ConfigError:
    return ConfigError(f"the query failed: {what} changes something; only reading is allowed")
