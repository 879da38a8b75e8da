"""`sightglass publish`: let readers see the warehouse as it is."""

from datetime import UTC, datetime

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.logs import takes_logs
from etl.cli.output import say_warnings, tell
from etl.config import Settings
from etl.pipeline.run import publish_again


@click.command("publish")
@click.option("--force", is_flag=True, help="Publish although a check fails.")
@takes_settings
@takes_logs
@json_option
def command(settings: Settings, *, force: bool, as_json: bool) -> int:
    """Publish the warehouse: the lake, and bi.duckdb. Every run does so; this makes good what one could not.

    Every file of the lake is read again, to find damage.

    Exit codes: 0 published, 2 fix what the message names, 4 a check failed and readers keep what they have,
    or a target could not be brought to this version, 75 a run works on the warehouse.
    """
    published = publish_again(settings, datetime.now(UTC), force=force)
    if as_json:
        print_json(published.as_json())
    say_warnings(published)
    tell(str(published))
    return published.exit_code
