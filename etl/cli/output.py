"""The standard streams: none ends a command in a traceback, and no text from outside steers a terminal."""

import io
import json
import logging
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from etl.errors import EnvironmentFaultError
from etl.event import event
from etl.process import open_nowhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from _typeshed import ReadableBuffer

    from etl.publish import Published

STDIN, STDOUT, STDERR = 0, 1, 2
BUFFER = 2**16

SPACE, DELETE = 0x20, 0x7F
DECEIVING = [
    *range(SPACE),  # ESC, line feed and their like
    *range(DELETE, 0xA0),  # DEL, and what a terminal may take for ESC and a letter
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turn the direction of text
    *(0x2028, 0x2029),  # end a line
]
"""What text from outside must not send to a terminal."""

ESCAPES = {each: chr(each).encode("unicode_escape").decode() for each in DECEIVING}
JSON_ESCAPES = {each: f"\\u{each:04x}" for each in DECEIVING if each > SPACE}
"""The same in JSON, where they stand in texts alone; what comes before them is always escaped there."""


MESSAGE = "message"
"""The event that people are told something."""
NOBODY = logging.CRITICAL + 1
"""The level that nothing has."""


class Voice:
    """How people are told something by this process."""

    least = logging.NOTSET
    """The level from which on they are."""
    redactor: "Callable[[], Callable[[str], str]] | None" = None
    """What makes the function that takes out secrets; made where there is something to say."""


def hide_secrets(made: "Callable[[], Callable[[str], str]]") -> None:
    """Let a function take the secrets out of all that is told from now on."""
    Voice.redactor = cache(made)


def hidden(text: str) -> str:
    """Return the text without secrets."""
    return Voice.redactor()(text) if Voice.redactor else text


class Output(io.FileIO):
    """Standard output: EnvironmentFaultError where it cannot be written.

    That a reader has gone is told once.
    """

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of the content; its number of bytes."""
        try:
            return super().write(content)
        except BrokenPipeError:
            # The reader has enough, `head` for one: what is still to be flushed goes nowhere.
            open_nowhere(STDOUT)
            raise
        except OSError as error:
            raise EnvironmentFaultError(f"cannot write to standard output: {error.strerror}") from error


class Messages(io.FileIO):
    """Standard error: what cannot be told to anybody is not told."""

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of the content; its number of bytes."""
        with suppress(OSError):
            return super().write(content)
        return len(memoryview(content))


def prepare_streams() -> None:
    """Take over the standard streams, which must be open."""
    sys.stdout = _text(Output(STDOUT, "w", closefd=False), sys.stdout, line_buffering=False)
    sys.stderr = _text(Messages(STDERR, "w", closefd=False), sys.stderr, line_buffering=True)


def shown(text: str, kept: str = "") -> str:
    """Return the text with all that could steer a terminal, but for what is kept, escaped."""
    return text.translate(_escapes(kept))


@cache
def _escapes(kept: str) -> dict[int, str]:
    return {each: escape for each, escape in ESCAPES.items() if chr(each) not in kept}


def tell(message: str, more: "Iterable[str]" = (), *, level: int = logging.INFO) -> None:
    """Tell people something: one line on standard error, and what there is to add in lines below it."""
    lines = [hidden(each) for each in more]
    event(MESSAGE, level, message=hidden(message), more=lines)
    if level >= Voice.least:
        click.echo(f"sightglass: {shown(hidden(message))}", err=True)
        for line in lines:
            click.echo(f"  {shown(line)}", err=True)


def tell_usage(error: click.ClickException) -> None:
    """Tell people what is wrong with their arguments, as click does, and how the command is used."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help, nothing else
        return
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(
            f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n",
            err=True,
        )
    # What there is to choose from comes in lines of its own.
    message = error.format_message().replace("\n\t", " ")
    click.echo(f"Error: {shown(message)}", err=True)


def tell_bug(trace: str) -> None:
    """Tell people where a bug showed."""
    event("bug", logging.CRITICAL, traceback=trace)
    if Voice.least <= logging.CRITICAL:
        click.echo(shown(hidden(trace), kept="\n"), nl=False, err=True)


def json_text(value: object) -> str:
    """Return the value as JSON that standard output can carry, and that does nothing to a terminal."""
    return json.dumps(value, ensure_ascii=not is_unicode()).translate(JSON_ESCAPES)


def readable(arguments: "Sequence[str]") -> list[str]:
    """Return the arguments as text, whatever the locale; EnvironmentFaultError where one is no UTF-8."""
    found = []
    for number, argument in enumerate(arguments, start=1):
        try:
            found.append(os.fsencode(argument).decode())
        except UnicodeError as error:
            shown = argument.encode(errors="backslashreplace").decode()
            raise EnvironmentFaultError(f"argument {number} is no UTF-8 text: {shown}") from error
    return found


def is_unicode() -> bool:
    """Whether standard output can carry any text."""
    return sys.stdout.encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


class FilePath(click.Path):
    """A file that the machine can name."""

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> "str | bytes | os.PathLike[str]":
        """Return the path; wrong usage where it is empty, or the locale has no bytes for it."""
        if not os.fspath(value):
            # Not the current folder: a variable that is not set, in a script.
            self.fail("it is empty", param, ctx)
        try:
            os.fsencode(value)
            Path(value).absolute()
        except UnicodeEncodeError:
            self.fail("this machine's encoding cannot name the file; set a UTF-8 locale", param, ctx)
        except FileNotFoundError:
            self.fail("the current folder is not there any more", param, ctx)
        return super().convert(value, param, ctx)


def _text(raw: io.FileIO, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    """Return a text stream in the encoding of the one before, which shows what that lacks by its number."""
    encoding = before.encoding if before else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw, BUFFER),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering or raw.isatty(),
    )


def say_warnings(published: "Published | None") -> None:
    """Tell people what is to be seen to of what was published: damaged files, targets that failed."""
    for each in published.warnings() if published else ():
        tell(each, level=logging.WARNING)
