"""Group commit: all that came while the disk was busy is brought to it by one sync, then answered."""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from etl.files import FULL, remedy
from etl.inbox.writer import InboxWriter, Post

MOST_BYTES = 8 * 2**20
"""Of the bodies that one sync brings to disk, beyond the first."""
END_SECONDS = 10.0
"""How long the end may wait for a disk that does not answer."""


class _Waiting(NamedTuple):
    """A post whose answer is awaited."""

    post: Post
    stored: asyncio.Future[None]


class GroupCommit:
    """Stores posts by a thread of its own."""

    def __init__(self, writer: InboxWriter, tell: Callable[[str], None]) -> None:
        self._writer = writer
        self._tell = tell
        self._posts: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._fails = False
        # A disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="inbox", daemon=True)
        self._thread.start()

    async def store(self, post: Post) -> None:
        """Return once the post outlives a power failure; OSError where it is not kept."""
        waiting = _Waiting(post, asyncio.get_running_loop().create_future())
        self._posts.put(waiting)
        await waiting.stored

    def end(self) -> None:
        """Store what waits, and finish the segment."""
        self._posts.put(None)
        self._thread.join(END_SECONDS)

    def _work(self) -> None:
        ends = False
        while not ends:
            group, ends = self._group()
            if group:
                failed = self._stored([waiting.post for waiting in group])
                with suppress(RuntimeError):  # the loop has ended without waiting for the disk
                    group[0].stored.get_loop().call_soon_threadsafe(_answer, group, failed)
            if not group:
                self._writer.finish()
        self._writer.end()

    def _group(self) -> tuple[list[_Waiting], bool]:
        """Wait for posts until the segment is due; return them, and whether they were the last."""
        group: list[_Waiting] = []
        size, patience = 0, self._writer.seconds_left()
        try:
            while size <= MOST_BYTES:
                waiting = self._posts.get(timeout=0 if group else patience)
                if waiting is None:
                    return group, True
                group.append(waiting)
                size += len(waiting.post.body)
        except queue.Empty:
            pass
        return group, False

    def _stored(self, posts: list[Post]) -> Exception | None:
        """Store the posts; what is wrong where they are not kept, which is told once."""
        try:
            self._writer.append(posts)
        except OSError as error:
            if not self._fails:
                status = 507 if error.errno in FULL else 503
                self._tell(
                    f"cannot write the inbox {self._writer.folder}: {error.strerror}; {remedy(error)};"
                    f" until then posts are answered {status}"
                )
            self._fails = True
            return error
        except Exception as error:  # noqa: BLE001 -- else this thread is gone, and nothing is answered any more
            return error
        if self._fails:
            self._tell("posts are stored again")
        self._fails = False
        return None


def _answer(group: list[_Waiting], failed: Exception | None) -> None:
    for waiting in group:
        if waiting.stored.done():
            continue  # nobody waits for it any more
        if failed:
            waiting.stored.set_exception(failed)
        else:
            waiting.stored.set_result(None)
