"""What was written is read, or its loss is told: files cut short, changed, or written by others."""

from pathlib import Path

import pytest
from support.inbox import POSTS, left, posts, written

from etl.errors import EnvironmentFaultError
from etl.inbox.reader import Inbox, Segment
from etl.inbox.segment import FORMAT, Entry, Head, encode


def test_a_segment_that_breaks_off_anywhere_holds_what_was_answered_before(tmp_path: Path) -> None:
    """Wherever the machine stopped, what is whole is read, and the beginning of an answer is left out."""
    content = written(tmp_path, finished=False).read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]

    for cut in range(len(content) + 1):
        contents = left(tmp_path, content[:cut]).read()
        whole = max(0, sum(end <= cut for end in ends) - 1)  # without the head
        torn = cut - max([0, *(end for end in ends if end <= cut)])
        broken = tmp_path / "0000000000000001-00000000dead.left"
        told = [f"{broken} breaks off in what was answered to nobody: {torn:,} bytes are left out"]
        assert (POSTS[:whole], told[: bool(torn)], False) == (
            posts(contents),
            contents.notices,
            contents.is_damaged,
        )


def test_blocks_that_never_reached_the_disk_are_left_out(tmp_path: Path) -> None:
    """There are zeros where the next write, answered to nobody, was to be."""
    content = written(tmp_path, finished=False).read_bytes()

    found = [left(tmp_path, content + more + bytes(4096)).read() for more in (b"", b"0123")]

    assert [(POSTS, 0, False), (POSTS, 1, False)] == [
        (posts(each), len(each.notices), each.is_damaged) for each in found
    ]


@pytest.mark.parametrize("finished", [True, False])
def test_damage_is_named_and_the_file_kept(tmp_path: Path, *, finished: bool) -> None:
    """Whatever byte of what was answered is changed: what is not read is told, the rest is read."""
    content = written(tmp_path, finished=finished).read_bytes()
    # What a dead listener left may end in the middle of a line: there, a lost line feed tells nothing.
    end = len(content) - (not finished)

    for place in [*range(200), *range(200, end, 23), end - 1]:
        changed = bytearray(content)
        changed[place] ^= 0x55
        segment = left(tmp_path, bytes(changed))
        if finished:
            segment = Segment(segment.path.rename(segment.path.with_suffix(".closed")))
        contents = segment.read()
        assert (True, 1) == (contents.is_damaged, len(contents.notices))
        assert set(posts(contents)) < set(POSTS) or POSTS == posts(contents)  # only the head, or the seal
        segment.delete()
        assert changed == segment.path.with_name(segment.path.name + ".damaged").read_bytes()
        assert not segment.path.exists()


def test_a_finished_segment_that_was_shortened_is_damaged(tmp_path: Path) -> None:
    """Even where it ends after a whole entry."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-1].rpartition(b"\n")[0] + b"\n")

    contents = Inbox(tmp_path).finished()[0].read()

    kept = "what can be read of it is loaded, the file is kept aside"
    assert POSTS == posts(contents)
    assert [f"{path} does not hold all that was written to it; {kept}"] == contents.notices


def test_what_a_newer_version_wrote_is_left_to_it(tmp_path: Path) -> None:
    """Its lines may mean something else."""
    entry = Entry("1", 1, "", "", b"")
    segment = left(tmp_path, encode(Head(FORMAT + 1, "9.9.9")) + encode(entry))

    with pytest.raises(EnvironmentFaultError) as refused:
        segment.read()

    assert f"{segment.path} was written by a newer version of Sightglass, 9.9.9: install that" == str(
        refused.value
    )


def test_what_is_no_segment_is_not_touched(tmp_path: Path) -> None:
    """Files of others, and what was set aside as damaged, stay where they are."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    names = ["1.closed.damaged", "notes.txt", "x"]
    for name in names:
        (folder / name).touch()

    assert ([], names) == (Inbox(tmp_path).finished(), sorted(path.name for path in folder.iterdir()))


def test_a_folder_in_the_place_of_a_segment_is_told(tmp_path: Path) -> None:
    """The message says what to do; nothing is lost in silence."""
    path = tmp_path / "inbox" / "1.closed"
    path.mkdir(parents=True)
    (segment,) = Inbox(tmp_path).finished()

    with pytest.raises(EnvironmentFaultError) as refused:
        segment.read()

    assert f"cannot read the inbox {path}: Is a directory; move away what stands in its place" == str(
        refused.value
    )
