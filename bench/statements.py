"""Which SQL takes how long: `python -m bench.statements run --home DIR ...` runs the command and lists it.

The arguments are those of `sightglass`. Statements are told apart by their text without long numbers. CPU
time is that of the whole process meanwhile, so it holds what threads of the extract stage did; on a busy
machine it is the better measure all the same.
"""

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from etl.cli import main as sightglass

WHOLE = "the whole command"
SHOWN = 40
WIDTH = 150

RUN = ("execute", "sql")
"""Calls that run a statement; others, such as those that fetch its rows, add to its time."""

TAKEN: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
"""For each call whether it ran the statement, seconds and CPU seconds."""


def now() -> tuple[float, float]:
    """Two clocks: of the wall, and of this process."""
    return time.perf_counter(), time.process_time()


def enter(text: str, began: tuple[float, float], name: str = "") -> None:
    """Note a call that has ended."""
    ended = now()
    TAKEN[text].append((int(name in RUN or text == name), ended[0] - began[0], ended[1] - began[1]))


class Timed:
    """A connection, a relation of it or a reader of its rows, whose work is timed."""

    def __init__(self, inner: Any, text: str = "") -> None:  # noqa: ANN401 -- any object of DuckDB's
        self._inner = inner
        self._text = text

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever it has
        found = getattr(self._inner, name)
        return self._timed(found, name) if callable(found) else found

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of a reader: each adds to the time of its statement."""
        while True:
            began = now()
            batch = next(self._inner, None)
            enter(self._text, began)
            if batch is None:
                return
            yield batch

    def _timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- whatever it takes
            text = self._text
            if name in RUN and arguments:
                text = " ".join(re.sub(r"\b\d{5,}\b", "N", arguments[0]).split())
            began = now()
            answer = call(*arguments, **named)
            enter(text or name, began, name)
            is_timed = isinstance(answer, duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation)
            return Timed(answer, text) if is_timed or name == "to_arrow_reader" else answer

        return timed


def main() -> None:
    """Run the command, then list what its statements took, the longest first."""
    connect = duckdb.connect
    duckdb.connect = lambda *arguments, **named: Timed(connect(*arguments, **named))  # type: ignore[assignment]
    began = now()
    try:
        sightglass()
    except SystemExit as left:
        sys.stderr.write(f"left with {left.code}\n")
    enter(WHOLE, began, WHOLE)
    calls = [
        (sum(each[2] for each in times), sum(each[1] for each in times), sum(each[0] for each in times), text)
        for text, times in TAKEN.items()
    ]
    for cpu_s, seconds, count, text in sorted(calls, reverse=True)[:SHOWN]:
        sys.stderr.write(f"{seconds:7.3f} s {cpu_s:7.3f} s of CPU {count:5}x  {text[:WIDTH]}\n")


if __name__ == "__main__":
    main()
