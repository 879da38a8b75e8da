"""Whether the log holds what was sealed: each part as it was written, and none missing in between."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from etl.extract.log import DAMAGED, ENTRIES, LINES, Log, Part, part_of
from etl.extract.log_reader import DamagedPartError, read

LOST = "lost"
"""In the place of a run, in the name of what stands for a part that is not there any more."""


class LogFault(NamedTuple):
    """Parts of the log that are not there, or not as they were written."""

    what: str
    first: int
    last: int
    """The numbers of the first and the last of them."""
    part: Part | None = None
    """The part, where it is one that is there."""


class LogState(NamedTuple):
    """What a log holds."""

    faults: list[LogFault]
    first: int
    """Number of the first part; 0 where there is none."""
    last: int
    unapplied: int
    """Sealed parts that no run has applied."""
    aside: list[int]
    """Numbers of parts that are known to be lost."""

    @property
    def is_whole(self) -> bool:
        """Whether it holds all that was ever received."""
        return self.first == 1 and not self.faults and not self.aside


def checked(log: Log, applied: int) -> LogState:
    """Return what a log holds, whose parts are applied up to a number; every byte of it is read."""
    parts = log.parts()
    aside = sorted({part.number for path in log.files() if (part := _set_aside(path))})
    faults = list(_missing(parts, aside, applied))
    for part in parts:
        try:
            read(log, part)
        except DamagedPartError as error:
            faults.append(LogFault(str(error), part.number, part.number, part))
    numbers = [part.number for part in parts]
    unapplied = sum(number > applied for number in numbers)
    return LogState(faults, min(numbers, default=0), max(numbers, default=0), unapplied, aside)


def _set_aside(path: Path) -> Part | None:
    is_entry = path.parent.parent.name == ENTRIES and path.name.endswith(DAMAGED)
    return part_of(path) if is_entry else None


def _missing(parts: list[Part], aside: list[int], applied: int) -> Iterator[LogFault]:
    """Yield holes between numbers; what comes before the first of them was pruned."""
    known = sorted({*(part.number for part in parts), *aside})
    ends = [*known, max([applied, *known]) + 1] if known else []
    for before, after in pairwise(ends):
        if after > before + 1:
            what = f"parts {before + 1:,} to {after - 1:,} are not there"
            yield LogFault(what, before + 1, after - 1)


def set_aside(log: Log, fault: LogFault, day: str) -> None:
    """Note that parts are lost, so that nobody looks for them any more; what is left of them stays."""
    if fault.part is not None:
        entry = fault.part.entry
        entry.rename(entry.with_name(entry.name + DAMAGED))
        return
    folder = log.folder / ENTRIES / day
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(fault.first, fault.last + 1):
        (folder / f"{number:08}-{LOST}{LINES}{DAMAGED}").touch()
