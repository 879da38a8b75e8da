"""Take a medium or a person out of what was posted and no run has taken yet."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from etl.errors import EnvironmentFaultError
from etl.extract.forgotten import GONE, Forgotten, Members
from etl.files import reason, remedy, sync
from etl.inbox.reader import Inbox
from etl.inbox.segment import ASIDE, CLOSED, DAMAGED, LEFT, OPEN, Entry, Line, Seal, decode, encode
from etl.values import UNREADABLE

MOST_SECONDS = 10.0
"""How long a listener may take to finish the segment that it writes to."""


def forget_posts(
    home: Path, forgotten: Forgotten, own: Members, *, writes: bool = True
) -> tuple[int, list[str]]:
    """Return how many posts went or are others now, and the files that cannot be looked into wholly."""
    inbox = Inbox(home)
    if not inbox.folder.is_dir():
        return 0, []
    count, left = 0, list[str]()
    try:
        if writes:
            _wait(inbox)
            inbox.clear()
        for path in sorted(inbox.folder.iterdir()):
            if path.suffix not in (CLOSED, LEFT, DAMAGED, OPEN):
                continue
            with suppress(FileNotFoundError):
                changed, is_whole = _rewritten(path, forgotten, own, writes=writes and path.suffix != OPEN)
                count += changed
                left += [] if is_whole else [str(path)]
    except OSError as error:
        raise EnvironmentFaultError(f"cannot write the inbox: {reason(error)}; {remedy(error)}") from error
    return count, left


def _wait(
    inbox: Inbox, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until the segments that listeners write to now are finished: they are within a second or so."""
    inbox.finished()
    ends_at = clock() + MOST_SECONDS
    unfinished = inbox.written_now()
    while any(path.exists() for path in unfinished):
        if clock() > ends_at:
            raise EnvironmentFaultError(
                f"a listener does not finish {unfinished[0]}: stop it, and forget again"
            )
        sleep(0.05)


def _rewritten(path: Path, forgotten: Forgotten, own: Members, *, writes: bool) -> tuple[int, bool]:
    """Return how many posts of a segment were changed, and whether all of it could be looked at."""
    # Behind what was written there may be zeros, over which more was to be written.
    *lines, tail = path.read_bytes().rstrip(b"\0").split(b"\n")
    read = [decode(line) for line in lines]
    made: list[Line | None] = [
        _without(line, forgotten, own) if isinstance(line, Entry) else line for line in read
    ]
    changed = sum(new is not old for new, old in zip(made, read, strict=True))
    if changed and writes:
        left = [line for line in made if line is not None and not isinstance(line, Seal)]
        entries = sum(isinstance(line, Entry) for line in left) + _lost(path, read)
        aside = path.with_suffix(ASIDE)
        aside.touch(mode=0o600)
        aside.write_bytes(b"".join(map(encode, [*left, Seal(entries)])))
        sync(aside)
        aside.replace(path)
        sync(path.parent)
        return changed, True  # what could not be read is not in it any more
    # A line that breaks off may name anybody; one that is being written is finished by its listener.
    return changed, None not in read and (not tail or path.suffix == OPEN)


def _lost(path: Path, read: Sequence[Line | None]) -> int:
    """Return how many posts a segment held that cannot be read; a seal that counts them lets a run tell."""
    count, last = sum(isinstance(line, Entry) for line in read), read[-1] if read else None
    if isinstance(last, Seal):
        return max(0, last.entries - count)
    # What a dead listener has left ends anywhere; one that was finished had a seal.
    return max(read.count(None), path.suffix == CLOSED)


def _without(entry: Entry, forgotten: Forgotten, own: Members) -> Entry | None:
    """Return a post without those who are named in it; None where it is about one."""
    try:
        value = msgspec.json.decode(entry.body)
    except UNREADABLE:
        before, text = forgotten.media_met, entry.body.decode(errors="surrogateescape")
        new = forgotten.text(text)
        if new is GONE or forgotten.media_met > before:
            return None
        body = new.encode(errors="surrogateescape")
        return entry if new == text else msgspec.structs.replace(entry, body=body)
    if isinstance(value, dict) and any(forgotten.is_about(each, own) for each in (value, *value.values())):
        return None
    new = forgotten.value(value, own)
    if new is GONE:
        return None
    return entry if new is value else msgspec.structs.replace(entry, body=msgspec.json.encode(new))
