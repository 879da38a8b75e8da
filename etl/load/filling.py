"""What of a new table or column follows from rows that are stored, and how an upgrade fills it.

`sql/<source>/filled/<table>.sql` is the query for the rows of a new table, `<table>.<column>.sql` the
expression for a new column in the rows of the table and of its history.
"""

from duckdb import DuckDBPyConnection

from etl.schema import Table, has_statement, quote, statement


def filling(table: Table, column: str) -> str:
    """Return the SQL that fills a new column, or the new table where none is named; empty where none does."""
    of = table.declared.history_of or table.name
    name = f"{table.schema}/filled/{of}{column and '.'}{column}"
    return statement(name) if has_statement(name) else ""


def fill(connection: DuckDBPyConnection, table: Table, column: str) -> None:
    """Fill it within the open transaction, if anything does."""
    text, value = filling(table, column), f"(\n{filling(table, column)})"
    if text and not column:
        connection.execute(f"INSERT INTO {table.qualified} BY NAME\n{text}")
    elif text:
        connection.execute(
            f"UPDATE {table.qualified} SET {quote(column)} = {value} WHERE {value} IS NOT NULL"
        )
