"""Runs `docs/tutorial.md` word by word, and writes it anew: `make tutorial`.

Each block of `sh` is run as it stands, in order, by one bash on a terminal, in an empty folder that is home;
the block of `text` right behind it is what is shown then, to the letter. What differs by nature is named in
`DIFFERS` and on the page. `...` on a line of its own stands for lines that are left out. A comment before a
block says where it differs: `<!-- first terminal -->` (that which simulates), `<!-- first terminal: KEYS -->`
(what is typed there: `Enter`, `odd`, `Ctrl-C`), `<!-- not run: WHY -->`.
"""

import difflib
import fcntl
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from etl.cli.demo_serve import PORT, PORTS
from support.ports import are_free, free_ports

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
HOME = "/home/you"
"""What the page calls the folder it is run in."""
INSTALLED = "sightglass/.venv-demo/bin"
"""Where the page has the command, below it."""
BLOCK = re.compile(
    r"(?:^<!-- (?P<told>(?:first terminal|not run)[^>]*) -->\n+)?^```(?P<kind>sh|text)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LEFT_OUT = "..."
SECONDS = 120.0
"""For one block."""
SIZE = struct.pack("HHHH", 40, 120, 0, 0)
"""Lines and columns of a terminal."""
COMMAND = f"""#!{sys.executable} -P
import sys
sys.path.insert(0, {str(PAGE.parents[1])!r})
from etl.__main__ import main
main()
"""
"""What the installed one does, of this checkout."""
PYTHON = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} "$@"
"""
READY = "Enter lets time pass there"

OF_THE_DATA = r"2026-0[34]"
"""When what is simulated happens: these times are the same everywhere."""
DIFFERS = {
    "RUN": r"\b\d{8}T\d{6}-[0-9a-f]{6}\b",
    "TIME": rf"\b(?!{OF_THE_DATA})\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?",
    "AGE": r"\b[\d,]+ (?:s|min|h|d)\b",
    "EFFORT": r"[\d,]+ records compared in \d+ requests, windows: \d+",
    "VERSION": r"(?<=version )\d+\.\d+\.\d+",
}
"""What differs by nature: the page lists it."""


@dataclass(frozen=True, slots=True)
class Block:
    """What is to be done, and what is shown then."""

    told: str
    text: str
    shown: str | None
    """None where no block of text follows."""
    place: tuple[int, int]
    """Where it stands on the page, or may be put."""


def blocks(page: str) -> Iterator[Block]:
    """Yield what the page has the reader do, in order."""
    found = list(BLOCK.finditer(page))
    for match, after in zip(found, [*found[1:], None], strict=True):
        told = match["told"] or ""
        is_typed = told.startswith("first terminal: ")
        if match["kind"] == "text" and not is_typed:
            continue
        is_shown = after is not None and after["kind"] == "text" and not after["told"]
        shown = match if is_typed else after if is_shown else None
        yield Block(
            told,
            "" if is_typed else match["text"],
            shown["text"] if shown else None,
            shown.span("text") if shown else (match.end(), match.end()),
        )


def written_anew(page: str) -> str:
    """Run the page, and return it with what is shown now: unchanged where that differs by nature alone."""
    pieces, end = [], 0
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder, ExitStack() as stack:
        session = Session(Path(folder).resolve(), stack)
        for block in blocks(page):
            if block.told.startswith("not run"):
                continue
            found = session.shown(block)
            if matches(block.shown or "", found):
                continue
            now = f"\n\n```text\n{found}```" if block.shown is None else shortened(block.shown, found)
            pieces += [page[end : block.place[0]], now]
            end = block.place[1]
    return "".join([*pieces, page[end:]])


def matches(shown: str, found: str) -> bool:
    """Whether the page shows what was found, but for what differs by nature and what it leaves out."""
    parts = [re.escape(part) for part in f"\n{normal(shown)}".split(f"\n{LEFT_OUT}\n")]
    return re.fullmatch(r"\n(?:.*\n)+".join(parts), f"\n{normal(found)}") is not None


def normal(text: str) -> str:
    """Return the text with names in place of all that differs by nature."""
    for name, pattern in DIFFERS.items():
        text = re.sub(pattern, name, text)
    # How wide a column is goes by what stands in it.
    return re.sub(r" +", " ", text) if "AGE" in text else text


def shortened(shown: str, found: str) -> str:
    """Return what was found, with as many lines before and after those left out as the page shows now."""
    head, is_left_out, tail = f"\n{shown}".partition(f"\n{LEFT_OUT}\n")
    lines = found.splitlines(keepends=True)
    before, after = head.count("\n"), tail.count("\n")
    if not is_left_out or LEFT_OUT in tail.splitlines() or len(lines) <= before + after:
        return found
    return "".join([*lines[:before], f"{LEFT_OUT}\n", *lines[len(lines) - after :]])


class Session:
    """Two terminals, as the reader has them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder / "home"
        self._script = folder / "block"
        self._stack = stack
        self._port = PORT if are_free(PORT) else free_ports()
        _install(self._folder / INSTALLED)
        self._environ = {
            "HOME": str(self._folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "dumb",  # draws no progress, which is gone at the end anyhow
        }
        self._second = stack.enter_context(
            _terminal(["bash", "--noprofile", "--norc"], self._folder, self._environ)
        )
        self._first: _Terminal | None = None

    def shown(self, block: Block) -> str:
        """Do what a block says; what is shown then."""
        where, _, keys = block.told.partition(": ")
        if not where:
            return self._as_on_the_page(self._second.run(self._as_here(block.text), self._script))
        if not keys:
            command = block.text.strip() + ("" if self._port == PORT else f" --port {self._port}")
            environ = {**self._environ, "PATH": f"{self._folder / INSTALLED}:{os.environ['PATH']}"}
            self._first = self._stack.enter_context(
                _terminal(["bash", "-c", f"exec {command}"], self._folder, environ)
            )
            return self._as_on_the_page(self._first.read(lambda said: READY in said and said.endswith("\n")))
        assert self._first is not None, "nothing is simulated yet"
        return self._as_on_the_page(self._first.type(keys))

    def _as_here(self, text: str) -> str:
        for place in range(PORTS):
            text = text.replace(f":{PORT + place}/", f":{self._port + place}/")
        return text.replace(HOME, str(self._folder))

    def _as_on_the_page(self, text: str) -> str:
        for place in range(PORTS):
            text = text.replace(f":{self._port + place}/", f":{PORT + place}/")
        return text.replace(str(self._folder), HOME)


def _install(folder: Path) -> None:
    """Put the command of this checkout, and its Python, where the page has them."""
    folder.mkdir(parents=True)
    for name, script in (("sightglass", COMMAND), ("python", PYTHON)):
        path = folder / name
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)


@contextmanager
def _terminal(command: list[str], folder: Path, environ: dict[str, str]) -> "Iterator[_Terminal]":
    """Provide a terminal on which a command runs that is told by a pipe what to do."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            yield _Terminal(process, ours)
        finally:
            # All that it has started, too.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            os.close(ours)


@dataclass(frozen=True, slots=True)
class _Terminal:
    process: "subprocess.Popen[bytes]"
    screen: int

    def run(self, script: str, file: Path) -> str:
        """Let the shell do what a block says, which must end well; what it shows."""
        file.write_text(script, encoding="utf-8")
        self._send(f". {shlex.quote(str(file))} </dev/null; printf '\\036%d\\036' $?\n")
        said, code, _ = self.read(lambda said: said.endswith("\036") and said.count("\036") > 1).split("\036")
        assert code == "0", f"exit code {code} of\n{script}\n{said}"
        # A progress display that draws nothing ends its line all the same.
        return said.lstrip("\n")

    def type(self, keys: str) -> str:
        """Type a line, or press Ctrl-C; what is shown then: a line, or all until the end."""
        if keys == "Ctrl-C":
            os.killpg(self.process.pid, signal.SIGINT)
            return self.read(lambda _: False).lstrip("\n")
        self._send(f"{keys.removesuffix('Enter')}\n")
        return self.read(lambda said: said.endswith("\n"))

    def read(self, is_whole: Callable[[str], bool]) -> str:
        """Read until what is shown is whole, or nobody can show any more."""
        shown, until = b"", monotonic() + SECONDS
        while not is_whole(text := shown.decode(errors="replace").replace("\r\n", "\n")):
            left = until - monotonic()
            ready, _, _ = select.select([self.screen], [], [], max(left, 0))
            assert ready, f"not ended after {SECONDS} seconds:\n{text}"
            try:
                chunk = os.read(self.screen, 4096)
            except OSError:  # how Linux tells the end
                chunk = b""
            if not chunk:
                return text
            shown += chunk
        return text

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


def main() -> None:
    """Write the page anew, and show what has changed."""
    before = PAGE.read_text(encoding="utf-8")
    after = written_anew(before)
    PAGE.write_text(after, encoding="utf-8")
    changed = difflib.unified_diff(before.splitlines(), after.splitlines(), PAGE.name, PAGE.name, lineterm="")
    sys.stdout.write("\n".join(changed) + "\n")


if __name__ == "__main__":
    main()
