"""What was posted waits in the inbox, whatever was killed and wherever the disk was full."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from support.inbox import POSTS, largest_file, posts, written

from etl.inbox.reader import Inbox
from etl.inbox.writer import BUSY_BYTES, READY_BYTES, InboxWriter, Post

KILLED = """
import os, signal, sys
from pathlib import Path
from etl.inbox.writer import InboxWriter, Post
InboxWriter(Path(sys.argv[1])).append([Post(1, "", "", b"answered")])
os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_BUSY = """
import os, signal, sys
from pathlib import Path
from etl.inbox.writer import BUSY_BYTES, InboxWriter, Post
home = Path(sys.argv[1])
InboxWriter(home).append([Post(1, "", "", b"x" * BUSY_BYTES)])
while len(list((home / "inbox").iterdir())) < 2:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    """Bodies come back byte for byte, in order, each with an id of its own."""
    written(tmp_path)

    (segment,) = Inbox(tmp_path).finished()
    contents = segment.read()

    assert (POSTS, [], False) == (posts(contents), contents.notices, contents.is_damaged)
    assert [f"{segment.name}-{number:06}" for number in (1, 2, 3, 4)] == [
        each.id for each in contents.entries
    ]


def test_a_warehouse_without_an_inbox_has_nothing_to_read(tmp_path: Path) -> None:
    """Where nobody has ever listened there is no folder, and none is made."""
    assert ([], []) == (Inbox(tmp_path).finished(), list(tmp_path.iterdir()))


def test_the_inbox_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else can look into the folder or the files, whatever the umask."""
    path = written(tmp_path / "home")

    modes = [oct(each.stat().st_mode & 0o777) for each in (path.parent.parent, path.parent, path)]

    assert ["0o700", "0o700", "0o600"] == modes


def test_a_segment_that_is_written_to_is_not_handed_out(tmp_path: Path) -> None:
    """A run sees it once it is finished, which is due a second after it was begun."""
    now = [100.0]
    writer = InboxWriter(tmp_path, monotonic=lambda: now[0])
    left_over = [writer.seconds_left()]
    for moment in (100.0, 100.5):
        now[0] = moment
        writer.append(POSTS[:1])
        left_over.append(writer.seconds_left())

    seen = Inbox(tmp_path).finished()
    now[0] = 101.5
    left_over.append(writer.seconds_left())
    writer.finish()
    left_over.append(writer.seconds_left())

    assert ([], [None, 1.0, 0.5, 0.0, None]) == (seen, left_over)
    assert [2] == [len(segment.read().entries) for segment in Inbox(tmp_path).finished()]


@pytest.mark.parametrize(("seconds", "size"), [(0.75, 0), (0.0, 10_000)])
def test_a_segment_that_is_old_or_large_ends_with_what_is_appended(
    tmp_path: Path, seconds: float, size: int
) -> None:
    """Under load no sync is spent on its end."""
    now, synced = [100.0], list[int]()

    def fsync(file: int) -> None:
        synced.append(os.fstat(file).st_size)

    writer = InboxWriter(tmp_path, most_bytes=10_000, monotonic=lambda: now[0], fsync=fsync)
    writer.append(POSTS[:1])
    now[0] += seconds
    writer.append([Post(2, "", "", b"x" * size)])
    (segment,) = Inbox(tmp_path).finished()

    assert (2, None, ".closed") == (len(synced), writer.seconds_left(), segment.path.suffix)
    assert (2, False) == (len(segment.read().entries), segment.read().is_damaged)


def test_under_load_segments_are_made_ready(tmp_path: Path) -> None:
    """They are written over zeros that are on disk already; what is finished holds no more than it must."""
    writer, large = InboxWriter(tmp_path), Post(1, "", "", b"x" * BUSY_BYTES)
    count, ready = 0, 0
    while not ready and count < 1_000:
        writer.append([large])
        count += 1
        files = [path for path in (tmp_path / "inbox").glob("*.open") if path.stat().st_size == READY_BYTES]
        ready = sum(path.read_bytes()[:1] != b"\0" for path in files)
        writer.finish()
    writer.end()

    files = sorted((tmp_path / "inbox").iterdir())
    assert 1 == ready
    assert [".closed"] * count == [path.suffix for path in files]
    assert not any(path.read_bytes().endswith(b"\0") for path in files)
    assert [([large], [])] * count == [
        (posts(each), each.notices) for each in (segment.read() for segment in Inbox(tmp_path).finished())
    ]


def test_what_a_dead_listener_made_ready_is_nothing(tmp_path: Path) -> None:
    """It is taken over, holds no posts, and is deleted like all others."""
    subprocess.run([sys.executable, "-c", KILLED_BUSY, tmp_path], cwd=ROOT, check=False)

    segments = Inbox(tmp_path).finished()
    found = sorted(
        (len(contents.entries), contents.notices) for contents in (each.read() for each in segments)
    )
    for segment in segments:
        segment.delete()

    assert [(0, []), (1, [])] == found
    assert [] == list((tmp_path / "inbox").iterdir())


def test_no_room_to_make_a_segment_ready_is_no_loss(tmp_path: Path) -> None:
    """Posts are stored as long as there is room for them."""
    writer, large = InboxWriter(tmp_path), Post(1, "", "", b"x" * BUSY_BYTES)
    with largest_file(READY_BYTES - 1):
        for _ in range(5):
            writer.append([large])
            writer.finish()
        writer.end()

    assert [".closed"] * 5 == [path.suffix for path in (tmp_path / "inbox").iterdir()]
    assert [[large]] * 5 == [posts(segment.read()) for segment in Inbox(tmp_path).finished()]


def test_segments_come_in_the_order_in_which_they_were_begun(tmp_path: Path) -> None:
    """Those of one listener also where its clock goes back."""
    writer = InboxWriter(tmp_path)
    for received_at in (500, 400, 600):
        writer.append([Post(received_at, "", "", b"")])
        writer.finish()

    found = [segment.read().entries[0].received_at for segment in Inbox(tmp_path).finished()]

    assert [500, 400, 600] == found


def test_a_dead_listeners_segment_is_taken_over(tmp_path: Path) -> None:
    """What a listener has answered is read by the next run, though it was killed at once."""
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, check=False)

    segments = Inbox(tmp_path).finished()

    assert -9 == killed.returncode
    assert [[b"answered"]] == [[entry.body for entry in segment.read().entries] for segment in segments]
    assert [segment.path for segment in segments] == [segment.path for segment in Inbox(tmp_path).finished()]


def test_a_file_that_is_taken_for_a_dead_listeners_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may look between the moment at which a file is made and the one at which it is locked."""
    seen: list[int] = []
    flock = fcntl.flock

    def looked_at_first(file: int, operation: int) -> None:
        monkeypatch.undo()
        seen.extend(len(segment.read().entries) for segment in Inbox(tmp_path).finished())
        flock(file, operation)

    writer = InboxWriter(tmp_path)
    monkeypatch.setattr(fcntl, "flock", looked_at_first)
    writer.append(POSTS)
    writer.finish()

    assert [0] == seen
    assert [[], POSTS] == sorted(posts(segment.read()) for segment in Inbox(tmp_path).finished())


def test_a_deleted_segment_is_gone(tmp_path: Path) -> None:
    """A run deletes what is durable elsewhere; nothing stays behind, not for a second time either."""
    written(tmp_path)
    (segment,) = Inbox(tmp_path).finished()

    segment.delete()
    segment.delete()

    assert [] == list((tmp_path / "inbox").iterdir())


def test_a_full_disk_keeps_nothing_of_what_is_refused(tmp_path: Path) -> None:
    """What was written before stays, what did not fit is not there, and later posts go on."""
    writer = InboxWriter(tmp_path)
    writer.append(POSTS[:2])
    with largest_file(700), pytest.raises(OSError, match="File too large") as refused:
        writer.append(POSTS[2:])
    with largest_file(10), pytest.raises(OSError, match="File too large"):
        writer.append(POSTS[2:])
    writer.append(POSTS[3:])
    writer.finish()

    found = [segment.read() for segment in Inbox(tmp_path).finished()]

    assert errno.EFBIG == refused.value.errno
    assert [(POSTS[:2], []), (POSTS[3:], [])] == [(posts(each), each.notices) for each in found]


def test_what_could_not_be_brought_to_disk_is_not_kept(tmp_path: Path) -> None:
    """A disk that fails while it writes is not trusted with more in the same file."""
    answers: list[OSError | None] = [None, OSError(errno.EIO, "Input/output error"), None, None]

    def fsync(file: int) -> None:
        if failed := answers.pop(0):
            raise failed
        os.fsync(file)

    writer = InboxWriter(tmp_path, fsync=fsync)
    writer.append(POSTS[:1])
    with pytest.raises(OSError, match="Input/output error"):
        writer.append(POSTS[1:2])
    writer.append(POSTS[2:])
    writer.finish()

    assert [POSTS[:1], POSTS[2:]] == [posts(segment.read()) for segment in Inbox(tmp_path).finished()]


def test_no_room_to_finish_loses_nothing(tmp_path: Path) -> None:
    """A segment that cannot be finished is read as that of a dead listener."""
    writer = InboxWriter(tmp_path)
    writer.append(POSTS[:1])
    (path,) = (tmp_path / "inbox").iterdir()
    with largest_file(path.stat().st_size + 10):
        writer.finish()

    (segment,) = Inbox(tmp_path).finished()
    contents = segment.read()

    assert (".left", POSTS[:1], False) == (segment.path.suffix, posts(contents), contents.is_damaged)


def test_an_inbox_that_somebody_removes_is_made_again(tmp_path: Path) -> None:
    """What is posted from then on does not go into a file that has no name any more."""
    writer = InboxWriter(tmp_path)
    writer.append(POSTS[:1])
    (path,) = (tmp_path / "inbox").iterdir()
    path.unlink()
    path.parent.rmdir()
    writer.append(POSTS[1:])
    writer.finish()

    assert [POSTS[1:]] == [posts(segment.read()) for segment in Inbox(tmp_path).finished()]
