"""`sightglass sql`: query what is published."""

import re
import sys
from functools import partial
from logging import WARNING
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

from etl.cli import json_option, takes_settings
from etl.cli.answers import Form
from etl.cli.asked import query_of
from etl.cli.output import FilePath, shown, tell
from etl.config import Settings
from etl.errors import ConfigError
from etl.publish.bi import open_bi
from etl.publish.query import failed, relation_of

COMMENTED = re.compile(r"--[^=]*\s")
"""How a query begins that begins with a comment: no name of an option holds white space."""
OF_MAIN = re.compile(r"\s*SHOW\s+TABLES\s*;?\s*", re.IGNORECASE)
"""The query that lists the tables of the schema `main`, which has none."""
FILE = FilePath(dir_okay=False, path_type=Path)
FILE_OR_INPUT = FilePath(dir_okay=False, allow_dash=True, path_type=Path)


class Asking(click.Command):
    """Takes a query for one that begins with a comment, as options do, with two hyphens."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let what no option can be stand behind all options."""
        queries = [each for each in args if COMMENTED.match(each)]
        if queries and "--" not in args:
            args = [*(each for each in args if each not in queries), "--", *queries]
        return super().parse_args(ctx, args)


@click.command("sql", cls=Asking)
@click.argument("query", required=False)
@click.option("-f", "--file", type=FILE_OR_INPUT, help="Read the query from this file, - for standard input.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; the default where output is no terminal.")
@click.option(
    "--spreadsheet",
    "for_spreadsheet",
    is_flag=True,
    help="Print CSV whose texts no spreadsheet works out: an apostrophe stands before such as =1+1.",
)
@click.option("--null", default="", help="What stands for NULL in CSV, nothing by default.", metavar="TEXT")
@click.option("--parquet", type=FILE, help="Write the answer into this file of Parquet.")
@click.option("--arrow", "as_arrow", is_flag=True, help="Print a stream of Arrow IPC.")
@json_option
@takes_settings
def command(settings: Settings, query: str | None, file: Path | None, **wanted: Any) -> None:  # noqa: ANN401 -- the fields of Form
    """Print the answer to an SQL query, whether or not a run works; nothing can be changed by it.

    \b
    sightglass sql "SELECT subject_uid, count(*) FROM cogniac.detections GROUP BY ALL"
    sightglass sql -f query.sql --parquet answer.parquet
    echo "FROM etl.runs" | sightglass sql --json
    """  # noqa: D301 -- click reads the backspace: do not rewrap what follows
    form = Form(**wanted)
    form.refuse_unfit()
    asked = query_of(query, file)
    try:
        with open_bi(settings, partial(tell, level=WARNING)) as connection:
            relation = relation_of(connection, asked)
            if form.is_table:
                click.echo(shown(str(relation or ""), kept="\n"), nl=False)
            elif relation is None:
                raise ConfigError("the query failed: it asks for nothing")
            else:
                form.give(relation, settings.home)
            sys.stdout.flush()
            if OF_MAIN.fullmatch(asked):
                tell("SHOW TABLES lists the schema main alone, which is empty: say SHOW ALL TABLES")
    except BrokenPipeError:
        pass  # the reader has enough, `head` for one
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise failed(error) from error
    except RecursionError as error:
        raise ConfigError("the query failed: it, or its answer, is nested too deep") from error
