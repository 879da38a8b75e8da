"""What readers may ask: one statement, which reads."""

import re
from collections.abc import Iterator, Mapping, Sequence

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
WRITING = frozenset({"ATTACH", "COPY", "EXPORT", "INSTALL"})
"""Words that write files, in what the parser tells nothing of."""
OF_EXPLAIN = frozenset({"EXPLAIN", "ANALYZE"})


def relation_of(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = None
) -> duckdb.DuckDBPyRelation | None:
    """Return what is to be answered, None for a query of nothing; QueryError where it does more than ask."""
    statements = connection.extract_statements(query)
    if len(statements) > 1:
        raise QueryError(f"the query failed: these are {len(statements)} statements; give them one at a time")
    for statement in statements:
        _refuse_changes(connection, statement.type, query)
    relation: duckdb.DuckDBPyRelation | None = connection.sql(query, params=parameters)
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


def _refuse_changes(connection: duckdb.DuckDBPyConnection, kind: duckdb.StatementType, query: str) -> None:
    """Raise QueryError where a statement changes something, or something within it."""
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


def _changes(what: str) -> QueryError:
    return QueryError(f"the query failed: {what} changes something; only reading is allowed")
