"""The log: one line for each event, as text or JSON, without secrets and without what steers a terminal."""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

import click

from etl import process
from etl.cli.output import JSON_ESCAPES, MESSAGE, NOBODY, FilePath, Voice, hidden, json_text, shown, tell
from etl.errors import ConfigError, EnvironmentFaultError
from etl.event import LOGGER, Event
from etl.files import remedy
from etl.redact import without_secrets

TEXT, JSON = "text", "json"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What was asked for on the command line."""

    quiet: bool
    verbose: bool
    file: Path | None
    format: str | None

    def arguments(self) -> list[str]:
        """Return the same for another process of this command."""
        return [
            *["--quiet"] * self.quiet,
            *["--verbose"] * self.verbose,
            *([f"--log-file={self.file}"] if self.file else []),
            *([f"--log-format={self.format}"] if self.format else []),
        ]

    @property
    def level(self) -> int:
        """The least level that the log holds."""
        if self.verbose:
            return logging.DEBUG
        return logging.WARNING if self.quiet and not self.file else logging.INFO


def takes_logs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for its messages and its log.

    Below `takes_settings`: the secrets must be known before the first line.
    """

    @click.option("--quiet", is_flag=True, help="Tell what is wrong, and nothing else.")
    @click.option("--verbose", is_flag=True, help="Log each request that failed and is repeated, too.")
    @click.option(
        "--log-file",
        metavar="FILE",
        type=FilePath(dir_okay=False, path_type=Path),
        help="Append the log to this file; one that is rotated is opened anew.",
    )
    @click.option(
        "--log-format",
        type=click.Choice([TEXT, JSON]),
        help="How a line of the log looks; without --log-file it goes to standard error.",
    )
    @wraps(function)
    def taking(
        *, quiet: bool, verbose: bool, log_file: Path | None, log_format: str | None, **given: object
    ) -> object:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other")
        options = LogOptions(quiet, verbose, log_file, log_format)
        click.get_current_context().meta[__name__] = options
        _set_up(options)
        return function(**given)

    return taking


def log_options() -> LogOptions:
    """Return what this command was given."""
    found: LogOptions = click.get_current_context().meta[__name__]
    return found


def _set_up(options: LogOptions) -> None:
    """Let the log go where it was asked for, and people be told what is left for them."""
    Voice.least = logging.WARNING if options.quiet else logging.NOTSET
    handler: logging.Handler
    if options.file:
        handler = _opened(options.file)
    elif options.verbose or options.format:
        # Every line is one of the log then, what people are told among them.
        handler, Voice.least = LogStream(), NOBODY
    else:
        return
    form = JsonLine() if options.format == JSON else TextLine()
    handler.setFormatter(form)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(options.level)
    if not options.file:
        process.leave_with(lambda line: form.format(_stopped(line)) + "\n")


def _stopped(line: str) -> logging.LogRecord:
    """Return what is told where a signal ends the command."""
    record = logging.LogRecord(LOGGER.name, logging.WARNING, "", 0, MESSAGE, None, None)
    record.fields = {"message": line.strip().removeprefix("sightglass: ")}
    return record


def _opened(path: Path) -> logging.Handler:
    try:
        if path.is_file() and _is_binary(path):
            raise ConfigError(f"{path} holds something else than a log; name another --log-file")
        return LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write the log {path}: {error.strerror}; {remedy(error)}, or name another --log-file"
        ) from error


def _is_binary(path: Path) -> bool:
    """Whether a file, such as a database, is harmed by lines that are appended."""
    with suppress(PermissionError), path.open("rb") as file:
        return b"\0" in file.read(4096)
    return False  # one that may only be appended to


class LogStream(logging.StreamHandler[Any]):
    """The log on standard error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 -- as logging calls it
        """Do nothing: there is nobody to tell."""


class LogFile(WatchedFileHandler):
    """The log in a file. Where it cannot be written, that is told once, and the work goes on."""

    is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line."""
        try:
            super().emit(record)
        except OSError:
            # The file was moved away, and no other can be opened in its place.
            self.handleError(record)

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 -- as logging calls it
        """Tell what is wrong."""
        if not self.is_told:
            self.is_told = True
            tell(f"cannot write the log {self.baseFilename}: {sys.exc_info()[1]}", level=logging.WARNING)


class TextLine(logging.Formatter):
    """A line for people: time, level, event, and its fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = dict(_fields(record))
        said = f"{_time(record)} {record.levelname:<7} "
        if record.getMessage() == MESSAGE:
            said += str(fields.pop("message"))
        else:
            said += record.getMessage()
        pairs = (f"{name}={_word(value)}" for name, value in fields.items() if value not in (None, [], ""))
        return shown(hidden(" ".join([said, *pairs])))


class JsonLine(logging.Formatter):
    """A line for machines: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = without_secrets(_fields(record), hidden)
        line = Event(at, record.levelname.lower(), record.getMessage(), fields).as_json()
        return json_text(line) if LogStream in _handlers() else json.dumps(line).translate(JSON_ESCAPES)


def _handlers() -> set[type[logging.Handler]]:
    return {type(each) for each in LOGGER.handlers}


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _word(value: object) -> str:
    """Return a value so that it is one word, or stands in quotation marks."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    is_word = text and not any(sign.isspace() or sign in '"=' for sign in text)
    return text if is_word or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)
