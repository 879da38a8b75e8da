"""`sightglass confirm`: let the next run do what runs hold back."""

from datetime import UTC, datetime

import click

from etl.cli import takes_settings
from etl.cli.output import tell
from etl.config import Settings
from etl.load.accounts import ACCOUNT, WHAT
from etl.pipeline.run import confirm


@click.command("confirm")
@click.argument("what", metavar="WHAT", type=click.Choice(WHAT))
@click.argument("source", metavar="SOURCE")
@takes_settings
def command(settings: Settings, what: str, source: str) -> None:
    """Let the next run do what it would hold back of SOURCE (cogniac, neurons): WHAT is one of

    \b
    deletions  mark as deleted what is gone from SOURCE, although it is more than a tenth at once
    account    load from the account whose credentials are set, although the warehouse holds another one's

    It holds once, for the next run that reads SOURCE. Exit codes: 0 confirmed, 2 there is nothing to confirm,
    75 a run works on the warehouse.
    """  # noqa: D301, D400, D415 -- click reads the backspace; the sentence goes on in the list
    confirm(settings, what, source, datetime.now(UTC))
    about = "load from whatever account the credentials lead to" if what == ACCOUNT else f"enter the {what}"
    tell(f"confirmed, the next run of {source} will {about}")
