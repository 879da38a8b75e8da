"""`sightglass refresh`: read a stream anew from its beginning."""

from datetime import UTC, datetime

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.progress import watched
from etl.cli.run import say
from etl.config import Settings
from etl.pipeline.refresh import refresh, wanted
from etl.pipeline.run_report import run_report


@click.command("refresh")
@click.argument("stream", metavar="STREAM")
@click.argument("partition", metavar="[PARTITION]", required=False)
@click.option("--force", is_flag=True, help="Take away what is gone even if it is more than a tenth.")
@takes_settings
@json_option
def command(settings: Settings, stream: str, partition: str | None, *, force: bool, as_json: bool) -> int:
    """Read STREAM (cogniac.detections, neurons.media) anew from its beginning, or one PARTITION of it.

    Readers keep what they have until all of it is read, and see the outcome at one moment: what the API holds
    no more is gone from the current tables, and ends in the history. A PARTITION of cogniac.detections is an
    application. No cursor moves. Exit codes are those of `run`; 4 also where more than a tenth would go.
    """
    what = wanted(stream, partition, force=force)
    with watched() as progress:
        report = refresh(settings, what, lambda: datetime.now(UTC), progress)
    if as_json:
        print_json(run_report(report).as_json())
    say(report)
    return report.exit_code
