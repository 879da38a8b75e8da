"""Posts in an inbox, and an inbox on a disk that is full."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.inbox.reader import Contents, Segment
from etl.inbox.writer import InboxWriter, Post

BODIES = (b'{"subjects": []}', b"", b"\n\r\x00\xff, no JSON at all\n", b"x" * 500)
POSTS = [
    Post(1_700_000_000_000_000 + number, f"app{number}", "text/plain", body)
    for number, body in enumerate(BODIES)
]


def posts(contents: Contents) -> list[Post]:
    """What was posted, as it was read."""
    return [Post(*(getattr(entry, name) for name in Post._fields)) for entry in contents.entries]


def written(home: Path, *, finished: bool = True) -> Path:
    """A segment that holds all of POSTS: finished, or left by a listener that died."""
    writer = InboxWriter(home)
    writer.append(POSTS[:2])
    writer.append(POSTS[2:])
    if finished:
        writer.finish()
    del writer  # leaves the file open and locked
    (path,) = (home / "inbox").iterdir()
    return path


def left(folder: Path, content: bytes) -> Segment:
    """A segment that holds these bytes, as a dead listener leaves it."""
    path = folder / "0000000000000001-00000000dead.left"
    path.write_bytes(content)
    return Segment(path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let this process write no byte beyond this size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
