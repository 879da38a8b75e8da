"""`sightglass ui`: a page on this machine to query what is published, and to see the report."""

import logging
import webbrowser
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

import click

from etl.cli import takes_settings
from etl.cli.output import tell
from etl.config import Settings
from etl.errors import ConfigError
from etl.publish.spill import spill_folder

PORT = 8484
GO = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={address}">'
"""A page that leads to the other: whoever lists processes would see the address of one that is opened."""


@click.command("ui")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=PORT,
    show_default=True,
    help="Port on 127.0.0.1; 0 for any that is free.",
)
@click.option(
    "--open/--no-browser",
    "opens",
    default=False,
    help="Open the page in a browser, or just say its address (default).",
)
@takes_settings
def command(settings: Settings, port: int, *, opens: bool) -> None:
    """Query what is published in a browser on this machine, and see the report, until Ctrl-C.

    Nothing can be changed by it. The address that is printed is a secret: who knows it on this machine may
    read all that is published. Nothing is asked of any network.
    """
    try:
        from etl.cli.questions import Questions  # noqa: PLC0415 -- an extra
        from etl.ui.access import Access  # noqa: PLC0415
        from etl.ui.app import app_of  # noqa: PLC0415
        from etl.ui.server import bound, serve  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"the page needs {error.name}: pip install 'sightglass-etl[ui]'") from error
    with spill_folder() as folder:
        questions = Questions(settings, folder, partial(tell, level=logging.WARNING))
        try:
            listener = bound(port)
            app = Access(app_of(questions), listener.getsockname()[1])
            tell(f"open {app.address} on this machine; Ctrl-C ends it")
            if opens:
                # Some browsers work in this terminal until they are closed.
                Thread(target=_open, args=(folder, app.address), daemon=True).start()
            serve(listener, app, questions.end)
        finally:
            questions.close()
    tell("stopped")


def _open(folder: Path | None, address: str) -> None:
    with suppress(OSError):
        if folder is not None:
            page = folder / "open.html"
            page.touch(mode=0o600)
            page.write_text(GO.format(address=address), encoding="utf-8")
            if webbrowser.open(page.as_uri()):
                return
    tell("there is no browser to open it in, or no folder for temporary files", level=logging.WARNING)
