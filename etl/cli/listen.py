"""`sightglass listen`: receive what Cogniac posts, until told to stop."""

import logging
import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from etl.cli import takes_settings
from etl.cli.logs import takes_logs
from etl.cli.output import FilePath, tell
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError
from etl.files import FULL, make_private, remedy
from etl.inbox.writer import InboxWriter
from etl.listen.access import Access
from etl.listen.address import handed_over, is_local, listening, parsed, url

MB = 2**20
warn = partial(tell, level=logging.WARNING)
FILE = FilePath(dir_okay=False, path_type=Path)


@click.command("listen")
@click.option("--host", metavar="HOST", help="Address to listen on, instead of that in SIGHTGLASS_LISTEN.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port, likewise; 0 for any that is free.")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Certificate chain (PEM), for https.")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its private key (PEM, not encrypted).")
@takes_settings
@takes_logs
def command(
    settings: Settings, host: str | None, port: int | None, tls_cert: Path | None, tls_key: Path | None
) -> None:
    """Receive posts of detections, and keep them for the next run.

    An application at Cogniac names http://HOST:PORT/SECRET/APPLICATION_ID in its detection_post_urls. A post
    is answered once it is on disk. SIGTERM ends it: what has come is answered, then it exits with code 0.
    """
    # First of all, so that whoever posts from now on waits and is not refused.
    listeners = _listeners(settings, host, port)
    access = Access(settings.listen_secret)
    _check_reach(listeners, settings)
    tls = _tls(tls_cert, tls_key)
    try:
        from etl.listen.commit import GroupCommit  # noqa: PLC0415 -- asyncio takes time to import
        from etl.listen.receiver import Limits, Receiver  # noqa: PLC0415 -- an extra
        from etl.listen.server import listen  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"listening needs {error.name}: pip install 'sightglass-etl[listen]'") from error
    writer = InboxWriter(settings.home)
    _make(writer.folder)
    if not tls and not all(map(is_local, listeners)):
        warn("without TLS the secret travels in the clear; see docs/listening.md")
    for each in listeners:
        tell(f"listening on {url(each, 'https' if tls else 'http')}")
    commit = GroupCommit(writer, warn)
    limits = Limits(settings.listen_body * MB, settings.listen_rate)
    listen(listeners, Receiver(access, limits, commit.store, warn), commit, tls)
    tell("stopped; what was answered is in the inbox")


def _listeners(settings: Settings, host: str | None, port: int | None) -> list[socket.socket]:
    given = handed_over(os.environ)
    if given:
        return given
    default_host, default_port = parsed(settings.listen)
    listener, is_shared = listening(host or default_host, default_port if port is None else port)
    if is_shared:
        tell("another listener is there, and gets some of the posts: it must have the same SIGHTGLASS_HOME")
    return [listener]


def _check_reach(listeners: list[socket.socket], settings: Settings) -> None:
    """Refuse to let everybody post."""
    if not settings.listen_secret and not all(map(is_local, listeners)):
        raise ConfigError(
            "others can reach this address, and anyone could post: name a file with a secret in"
            " SIGHTGLASS_LISTEN_SECRET_FILE, or listen on 127.0.0.1"
        )


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what TLS needs; None where it is not wanted."""
    if not cert and not key:
        return None
    if not cert or not key:
        raise ConfigError("--tls-cert and --tls-key go together: name both files")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def refuse() -> NoReturn:
        raise ConfigError(f"the key {key} is encrypted; give one that is not")

    try:
        context.load_cert_chain(cert, key, refuse)
    except ssl.SSLError as error:
        raise ConfigError(f"{cert} and {key} are no certificate and its key in PEM") from error
    except OSError as error:
        raise ConfigError(f"cannot read {cert} or {key}: {error.strerror}") from error
    return context


def _make(folder: Path) -> None:
    """Make the inbox now, so that a wrong place is told at once; a full disk may have room later."""
    try:
        make_private(folder)
    except OSError as error:
        if error.errno not in FULL:
            raise EnvironmentFaultError(
                f"cannot make {folder}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
            ) from error
