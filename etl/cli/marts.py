"""`sightglass marts`: the views in the SQL of another engine."""

import sys
from contextlib import suppress

import click

from etl.errors import ConfigError

DIALECTS = ("spark", "postgres", "snowflake", "bigquery", "trino", "duckdb")
"""The engines whose SQL can be had, by the names that sqlglot has for them."""


@click.command("marts")
@click.option("--dialect", type=click.Choice(DIALECTS), required=True, help="Whose SQL is printed.")
def command(dialect: str) -> None:
    """Print the statements that make the marts, over the same tables, in another engine.

    They come in an order that can be run, each ends with a semicolon, and running them again does no harm.
    Which tables they read is in docs/other-engines.md.
    """
    try:
        from etl.dialects import statements  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigError(
            f"marts in other dialects need {error.name or error}: pip install 'sightglass-etl[marts]'"
        ) from error
    with suppress(BrokenPipeError):
        for statement in statements(dialect):
            sys.stdout.write(f"{statement};\n\n")
        sys.stdout.flush()
