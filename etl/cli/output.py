"""The standard streams: no terminal, pipe, full disk or encoding ends a command in a traceback."""

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import click

from etl.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import ReadableBuffer

STDOUT, STDERR = 1, 2
BUFFER = 2**16


class Output(io.FileIO):
    """Standard output: what cannot be written is a SettingsError; a reader that has gone is told once."""

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of the content; its number of bytes."""
        try:
            return super().write(content)
        except BrokenPipeError:
            # The reader has enough, `head` for one: what is still to be flushed goes nowhere.
            _open_nowhere(STDOUT)
            raise
        except OSError as error:
            raise SettingsError(f"cannot write to standard output: {error.strerror}") from error


class Messages(io.FileIO):
    """Standard error: what cannot be told to anybody is not told."""

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of the content; its number of bytes."""
        with suppress(OSError):
            return super().write(content)
        return len(memoryview(content))


def prepare_streams() -> None:
    """Take over the standard streams, those that are closed included."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened, the warehouse perhaps, is written what was meant for people.
            _open_nowhere(number)
    sys.stdout = _text(Output(STDOUT, "w", closefd=False), sys.stdout, line_buffering=False)
    sys.stderr = _text(Messages(STDERR, "w", closefd=False), sys.stderr, line_buffering=True)


def readable(arguments: "Sequence[str]") -> list[str]:
    """The arguments as text, whatever the locale makes of them; SettingsError where one is no UTF-8."""
    found = []
    for number, argument in enumerate(arguments, start=1):
        try:
            found.append(os.fsencode(argument).decode())
        except UnicodeError as error:
            shown = argument.encode(errors="backslashreplace").decode()
            raise SettingsError(f"argument {number} is no UTF-8 text: {shown}") from error
    return found


def distinct(names: "Sequence[str]") -> list[str]:
    """The names of columns, a number added to each that one before it has already, so that all differ."""
    found: dict[str, None] = {}
    for wish in names:
        name, count = wish, 0
        while name in found or (count and name in names):
            count += 1
            name = f"{wish}_{count}"
        found[name] = None
    return list(found)


def is_unicode() -> bool:
    """Whether standard output can carry any text."""
    return sys.stdout.encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


class FilePath(click.Path):
    """A file that the machine can name."""

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> "str | bytes | os.PathLike[str]":
        """The path; wrong usage where the locale has no bytes for it."""
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            self.fail("this machine's encoding cannot name the file; set a UTF-8 locale", param, ctx)
        return super().convert(value, param, ctx)


def _text(raw: io.FileIO, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    """A text stream in the encoding of the one before, which shows what that lacks by its number."""
    encoding = before.encoding if before else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw, BUFFER),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering or raw.isatty(),
    )


def _open_nowhere(number: int) -> None:
    """Let what is written to a stream vanish."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
