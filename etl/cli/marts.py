"""`sightglass marts`: the views in the SQL of another engine."""

import sys
from contextlib import suppress

import click

from etl.errors import ConfigError
from etl.setting import UTC, is_time_zone

DIALECTS = ("spark", "postgres", "snowflake", "bigquery", "trino", "duckdb")
"""The engines whose SQL can be had, by the names that sqlglot has for them."""


def _known(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Refuse what is no time zone."""
    if not is_time_zone(name):
        raise click.BadParameter(f"{name!r} is no time zone such as Europe/Berlin")
    return name


@click.command("marts")
@click.option("--dialect", type=click.Choice(DIALECTS), required=True, help="Whose SQL is printed.")
@click.option(
    "--time-zone",
    "zone",
    metavar="NAME",
    default=UTC,
    show_default=True,
    callback=_known,
    help="Whose days the marts have, as SIGHTGLASS_TIME_ZONE says for those of bi.duckdb.",
)
def command(dialect: str, zone: str) -> None:
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
        for statement in statements(dialect, zone):
            sys.stdout.write(f"{statement};\n\n")
        sys.stdout.flush()
