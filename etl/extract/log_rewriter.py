"""Write a part of the log once more, without some of what it held: it is as it was, or as it shall be.

The new files of a part stand beside the old ones, under other names, until its new entry takes the place of
the old one by one rename; from then on the old ones belong to no entry.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from etl.errors import EnvironmentFaultError
from etl.extract.log import DAMAGED, Log, Part, StreamHead, part_of
from etl.extract.log_reader import read
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import Delivery
from etl.files import remedy, sync

MARK = "-2"
"""What the names of files end with that were written the second time, the fourth, and so on."""

Change = Callable[[Delivery], Delivery | None]
"""Return what is to stand in place of a delivery: itself, another one, or nothing."""
Heads = Callable[[Part], Sequence[StreamHead]]
"""Return what is to be said of the streams of a part, though some of what they brought is gone."""


def rewrite(log: Log, part: Part, change: Change, heads: Heads) -> bool:
    """Write a part once more, as changed; whether anything was.

    Raises DamagedPartError where it is not as it was written.
    """
    contents = read(log, part)
    received, is_changed = list[Received](), False
    for each in contents.received:
        made = [new for delivery in each.bundle if (new := change(delivery)) is not None]
        same = len(made) == len(each.bundle) and all(map(_is_same, made, each.bundle))
        is_changed = is_changed or not same
        if made:
            received.append(Received(each.by, each.at, made))
    if not is_changed:
        return False
    head = contents.head
    marked = any(f"-{head.run.run_id}{MARK}." in each.path for each in head.files)
    writer = LogWriter(log, head.run, part.entry.parent.name, part.number - 1, "" if marked else MARK)
    writer.seal(
        heads(part),
        received,
        sealed_at=head.sealed_at,
        ends_batch=head.ends_batch,
        moves_cursors=head.moves_cursors,
    )
    return True


def stray(log: Log) -> Iterator[Path]:
    """Yield the files of sealed parts that their entries do not name; of parts that are damaged, none."""
    listed: dict[int, set[Path]] = {}
    for part in log.parts():
        with suppress(Exception):
            listed[part.number] = {
                part.entry,
                *(log.folder / each.path for each in read(log, part).head.files),
            }
    for path in log.files():
        of = part_of(path)
        if of and of.number in listed and path not in listed[of.number]:
            yield path


def set_aside(log: Log) -> Iterator[Path]:
    """Yield the files of parts that were set aside as damaged: nothing is ever made of them."""
    numbers = {part.number for path in log.files() if path.name.endswith(DAMAGED) and (part := part_of(path))}
    numbers -= {part.number for part in log.parts()}
    yield from (path for path in log.files() if (part := part_of(path)) and part.number in numbers)


def remove(path: Path) -> None:
    """Remove a file for good."""
    try:
        path.unlink(missing_ok=True)
        sync(path.parent)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot remove {path}: {error.strerror}; {remedy(error)}") from error


def _is_same(left: object, right: object) -> bool:
    return left is right
