"""The declared tables of a warehouse: made where they are missing, refused where they are others."""

import duckdb

from etl import schema
from etl.errors import SettingsError


def prepare(connection: duckdb.DuckDBPyConnection, source: schema.Source) -> None:
    """Bring the tables of one schema file into being; new columns are added, other differences refused."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {source.name}")
    found = _columns(connection, source.name)
    for table in source.tables.values():
        if table.name not in found:
            for statement in table.ddl():
                connection.execute(statement)
        elif found[table.name] != {name: (each.sql, each.comment) for name, each in table.columns.items()}:
            _alter(connection, table, {name: kind for name, (kind, _) in found[table.name].items()})


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, dict[str, tuple[str, str]]]:
    """By table and column, the type and the comment that are there."""
    rows = connection.execute(schema.statement("load/columns"), {"schema": name}).fetchall()
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for table, column, kind, comment in rows:
        short = "TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind
        found.setdefault(table, {})[column] = (short, comment)
    return found


def _alter(connection: duckdb.DuckDBPyConnection, table: schema.Table, found: dict[str, str]) -> None:
    for name, kind in found.items():
        declared = table.columns.get(name)
        if declared is None or declared.sql != kind:
            raise SettingsError(
                f"the warehouse has {table.qualified}.{name} as {kind}, this version declares "
                f"{declared.sql if declared else 'no such column'}; load into a new SIGHTGLASS_HOME"
            )
    for name, column in table.columns.items():
        if name not in found:
            if table.not_null(name):
                raise SettingsError(
                    f"the warehouse lacks the mandatory column {table.qualified}.{name}; "
                    "load into a new SIGHTGLASS_HOME"
                )
            connection.execute(f"ALTER TABLE {table.qualified} ADD COLUMN {schema.quote(name)} {column.sql}")
    for statement in table.comments():
        connection.execute(statement)
