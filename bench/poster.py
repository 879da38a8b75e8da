"""Post detections as an application does: `python -m bench.poster URL PER_SECOND SECONDS kept|new`.

`kept` posts over connections that stay, `new` over one for each post. Prints how many were answered 200, and
after how many milliseconds: from the moment at which a post was due, so that a late one hides none behind it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from statistics import quantiles
from urllib.parse import urlsplit

CONNECTIONS = 64
START_SECONDS = 0.5
SUBJECTS = [{"subject_uid": f"subject_{number}", "probability": 0.79} for number in range(8)]


class Connection:
    """A connection to the listener."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> bool:
        """Post; whether it was answered 200."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        return head.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        """Let go of it; the next post makes a new one."""
        if self._streams:
            self._streams[1].close()
        self._streams = None


def request(host: str, path: str, number: int) -> bytes:
    """Return a post of a kilobyte."""
    media = {"media_id": f"{number:032x}", "parent_media_ids": ["c8ee0f4f05f3fdcf36f69a3fd81fd84f"]}
    focus = {"box": {"x0": 50, "x1": 275, "y0": 634, "y1": 870}}
    body = json.dumps({"media": media, "focus": focus, "subjects": SUBJECTS}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def post_all(url: str, per_second: float, seconds: float, *, kept: bool) -> dict[str, float]:
    """Post so many in a second; what came of it."""
    parts = urlsplit(url)
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(Connection(parts.hostname or "", parts.port or 80))
    took: list[float] = []
    begin = time.perf_counter() + START_SECONDS

    async def post(number: int) -> None:
        connection = await free.get()
        try:
            if await connection.post(request(parts.netloc, parts.path, number)):
                took.append(time.perf_counter() - begin - number / per_second)
            if not kept:
                connection.close()
        except (OSError, EOFError):
            connection.close()
        finally:
            free.put_nowait(connection)

    await at_their_times(post, round(per_second * seconds), begin, per_second)
    cut = quantiles(took, n=100)
    return {
        "answered": len(took),
        "p50_ms": cut[49] * 1000,
        "p99_ms": cut[98] * 1000,
        "max_ms": max(took) * 1000,
    }


async def at_their_times(
    post: Callable[[int], Coroutine[None, None, None]], count: int, begin: float, per_second: float
) -> None:
    """Begin each post when it is due, whatever has become of those before."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            wait = begin + number / per_second - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(post(number))


def main(url: str, per_second: str, seconds: str, connections: str) -> None:
    """Post, and say what came of it."""
    told = asyncio.run(post_all(url, float(per_second), float(seconds), kept=connections == "kept"))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
