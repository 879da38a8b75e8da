"""The query that `sightglass sql` is asked."""

import sys
from pathlib import Path

import click

from etl.errors import ConfigError, EnvironmentFaultError

STANDARD_INPUT = "-"
LARGEST = 2**24
"""Bytes of a query, at most: what is larger is no query, `/dev/zero` for one."""


def query_of(given: str | None, file: Path | None) -> str:
    """Return the query: as it is given, out of a file, or from standard input.

    UsageError where there is none, or two; EnvironmentFaultError where the file cannot be read.
    """
    if given is not None and file is not None:
        raise click.UsageError("give a QUERY, or a FILE that holds one")
    if file is None and given not in (None, STANDARD_INPUT):
        return str(given)
    if file is None and given is None and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("give a QUERY, `-f FILE`, or one on standard input")
    try:
        content = _read(file)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot read {file or 'standard input'}: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ConfigError(f"the query failed: it is larger than {LARGEST // 2**20} MiB")
    try:
        # As editors of Windows write it, with a mark at its beginning.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the query failed: it is no UTF-8") from error


def _read(file: Path | None) -> bytes:
    """Return what a file holds, or standard input, and no more than is too much."""
    if file is None or str(file) == STANDARD_INPUT:
        if sys.stdin is None:
            raise click.UsageError("standard input is closed; give a QUERY, or `-f FILE`")
        return sys.stdin.buffer.read(LARGEST + 1)
    with file.open("rb") as opened:
        return opened.read(LARGEST + 1)
