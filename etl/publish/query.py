"""What readers may ask: one statement, which reads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import duckdb

from etl.errors import QueryError

Parameters = Sequence[object] | Mapping[str, object] | None
"""What stands for `?` and `$1` in a query, in their order, or for `$name`, by name."""
READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "STATEMENT_NODE"})
"""What queries consist of that only read, as DuckDB's parser calls it."""
TOLD = '{"error":false'
"""How what the parser tells of a query begins, where it tells anything."""
NODE = re.compile(r'"type":\s*"(\w+_NODE)"', re.ASCII)
"""What a parsed query holds a part of itself in, as JSON.

It is looked for, not decoded, for it may be nested deeper than Python reads. The texts of a query cannot look
so, for their quotation marks are escaped.
"""
FUNCTION = re.compile(r'"function_name":\s*"(\w+)"', re.ASCII)
"""The same for what a function is called."""
RUNNING = frozenset({"json_execute_serialized_sql", "query"})
"""Functions that do what stands in a text, which may be made as they are called: nobody can look at it."""
CHANGING = RUNNING | {
    "add_grammar_extension",
    "create_external_resource",
    "deregister_external_resource",
    "destroy_external_resource",
    "disable_logging",
    "disable_profiling",
    "enable_logging",
    "enable_profiling",
    "register_external_resource",
    "register_external_resource_type",
    "remove_grammar_extension",
    "truncate_duckdb_logs",
    "write_log",
}
"""Those and functions that change how the database works, for all who share it, or write files."""
WRITING = frozenset({"attach", "copy", "export", "install"})
"""Words that write files, in what the parser tells nothing of."""
LEADING = re.compile(r'("?)(\w+|.?)', re.ASCII | re.DOTALL)
"""The word or sign that a token begins with; what DuckDB takes for white space may be behind it."""
OF_EXPLAIN = frozenset({"EXPLAIN", "ANALYZE"})


def relation_of(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = None
) -> duckdb.DuckDBPyRelation | None:
    """Return what is to be answered, None for a query of nothing; QueryError where it does more than ask."""
    statements = connection.extract_statements(query)
    if len(statements) > 1:
        raise QueryError(f"the query failed: these are {len(statements)} statements; give them one at a time")
    for statement in statements:
        _refuse_changes(connection, statement, query)
    relation: duckdb.DuckDBPyRelation | None = connection.sql(_bare(query), params=parameters)
    return relation


def failed(error: Exception) -> QueryError:
    """Return the first line of what DuckDB says of a query.

    Where in it something is wrong is added as notes.
    """
    line, *more = str(error).split("\n")
    told = QueryError(f"the query failed: {line}")
    for each in filter(None, more):
        told.add_note(each)
    return told


def _bare(query: str) -> str:
    """Return the query without semicolons at its end: a comment behind them is more than DuckDB takes."""
    text = query.encode()
    end = len(text)
    for place, word in reversed([*_words(query)]):
        if word != ";":
            break
        end = place
    return text[:end].decode()


def _refuse_changes(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, query: str) -> None:
    """Raise QueryError where a statement changes something, or something within it."""
    kind = _kind(statement)
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE does what it explains.
        inner = _explained(connection, query)
        for each in connection.extract_statements(inner):
            _refuse_changes(connection, each, inner)
        return
    if kind not in ("SELECT", "MULTI"):
        raise _changes(kind or next(text.upper() for _, text in _words(query)))
    ((parsed,),) = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchall()
    if parsed.startswith(TOLD):
        for node in {*NODE.findall(parsed)} - READING:
            raise _changes(node.partition("_")[0])
        called = {name.lower() for name in FUNCTION.findall(parsed)}
    else:
        # Of PIVOT without the values that become columns, the parser tells nothing.
        found = [LEADING.findall(text)[0] for _, text in _words(query)]
        for word in WRITING & {word.lower() for quoted, word in found if not quoted}:
            raise _changes(word.upper())
        called = {name.lower() for (_, name), (_, after) in pairwise(found) if after == "("}
    for name in called & CHANGING:
        raise _changes(f"{name}()")


def _kind(statement: duckdb.Statement) -> str:
    """Return what DuckDB calls a kind of statement; nothing where Python has no name for it."""
    try:
        return statement.type.name
    except ValueError:
        return ""


def _explained(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the statement that EXPLAIN is about: what follows it, ANALYZE and options in brackets."""
    content, depth = query.encode(), 0
    for place, text in _words(query):
        if depth or (text == "(" and not _is_statement(connection, content[place:].decode())):
            depth += (text == "(") - (text == ")")
        elif text.upper() not in OF_EXPLAIN:
            return content[place:].decode()
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


def _changes(what: str) -> QueryError:
    return QueryError(f"the query failed: {what} changes something; only reading is allowed")
