"""How much the receiver holds: what is beyond that is put off, and leaves room for what is not."""

import asyncio
import errno
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from etl.inbox.writer import Post
from etl.listen.access import Access
from etl.listen.receiver import Limits, Receiver
from etl.setting import Secret

LIMITS = Limits(body_bytes=1_000, per_second=1_000)


@dataclass(slots=True)
class Disk:
    """Stores posts once it is let."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stored: list[bytes] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    fails: Exception | None = None

    async def store(self, post: Post) -> None:
        """Wait until it may, then keep it."""
        await self.ready.wait()
        if self.fails:
            raise self.fails
        self.stored.append(post.body)

    def receiver(self, limits: Limits = LIMITS) -> Receiver:
        """A receiver that stores here."""
        return Receiver(Access(Secret("")), limits, self.store, self.told.append)


async def post(receiver: Receiver, chunks: Sequence[bytes | None]) -> tuple[int, bytes]:
    """Post a body of these chunks; status and text of the answer. None never comes."""
    sent: list[dict[str, Any]] = []
    rest = iter(chunks)

    async def receive() -> dict[str, Any]:
        chunk = next(rest, b"")
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

    async def send(message: Any) -> None:  # noqa: ANN401 -- as ASGI has it
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/app", "headers": [], "query_string": b""}
    await receiver(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def both(work: Callable[[Disk], Coroutine[None, None, None]]) -> Disk:
    """A disk after some work with it."""

    async def run() -> Disk:
        disk = Disk()
        await work(disk)
        return disk

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (replace(LIMITS, held_posts=2), b"too many posts wait for the disk\n"),
        (replace(LIMITS, held_bytes=250), b"too many bytes wait for the disk\n"),
    ],
)
def test_what_a_slow_disk_cannot_take_is_put_off(limits: Limits, text: bytes) -> None:
    """Those that wait are answered once they are stored, and then there is room again."""
    answers: list[tuple[int, bytes]] = []

    async def work(disk: Disk) -> None:
        receiver = disk.receiver(limits)
        waiting = [asyncio.create_task(post(receiver, [b"x" * 100])) for _ in range(2)]
        await asyncio.sleep(0)
        answers.append(await post(receiver, [b"y" * 100]))
        disk.ready.set()
        answers.extend([await each for each in waiting])
        answers.append(await post(receiver, [b"z" * 100]))

    disk = both(work)

    assert [(503, text), *[(200, b"stored\n")] * 3] == answers
    assert [b"x" * 100, b"x" * 100, b"z" * 100] == disk.stored


def test_a_body_that_does_not_come_gives_its_room_back() -> None:
    """It is answered 408; what it held is free for others."""
    answers: list[tuple[int, bytes]] = []

    async def work(disk: Disk) -> None:
        disk.ready.set()
        receiver = disk.receiver(replace(LIMITS, held_posts=1, held_bytes=100, body_seconds=0.01))
        answers.append(await post(receiver, [b"x" * 90, None]))
        answers.append(await post(receiver, [b"y" * 50, b"z" * 50]))

    disk = both(work)

    assert [(408, b"the body took too long\n"), (200, b"stored\n")] == answers
    assert [b"y" * 50 + b"z" * 50] == disk.stored


@pytest.mark.parametrize(
    ("error", "answer", "told"),
    [
        (OSError(errno.ENOSPC, ""), (507, b"the disk is full\n"), []),
        (TimeoutError(errno.ETIMEDOUT, ""), (503, b"the disk cannot be written\n"), []),
        (KeyError("what was posted"), (500, b"a bug; it is told to the operator\n"), ["KeyError"]),
    ],
)
def test_what_goes_wrong_is_answered(error: Exception, answer: tuple[int, bytes], told: list[str]) -> None:
    """A bug is named by its place, without what was posted."""
    answers: list[tuple[int, bytes]] = []

    async def work(disk: Disk) -> None:
        disk.ready.set()
        disk.fails = error
        answers.append(await post(disk.receiver(), [b"x"]))

    disk = both(work)

    assert ([answer], []) == (answers, disk.stored)
    line = Disk.store.__code__.co_firstlineno + 4
    assert [f"a bug: {name} in test_receiver.py, line {line}; answered 500" for name in told] == disk.told


def test_posts_beyond_the_rate_are_put_off() -> None:
    """They are answered at once, and nothing of them is stored."""
    answers: list[tuple[int, bytes]] = []

    async def work(disk: Disk) -> None:
        disk.ready.set()
        answers.append(await post(disk.receiver(replace(LIMITS, per_second=0.1)), [b"body"]))

    assert [] == both(work).stored
    assert [(429, b"too many posts\n")] == answers


@pytest.mark.parametrize(
    ("path", "header", "label"),
    [
        (f"/{'s' * 16}/app", "", "app"),
        ("/app", "s" * 16, "app"),
        ("/app", "", None),
        (f"/{'s' * 15}/app", "", None),
        (f"/{'s' * 16}/app/{'s' * 16}", "", None),
        (f"/app/{'s' * 16}", "s" * 16, None),
    ],
)
def test_a_label_holds_no_secret(path: str, header: str, label: str | None) -> None:
    """Labels are stored: a post whose label would hold it is refused as one without."""
    assert label == Access(Secret("s" * 16)).label(path, header)
