"""A server that answers from prepared bytes, so cheaply that it hardly takes part in what is measured.

`python -m bench.server FOLDER LATENCY` serves the corpora in a folder until its standard input ends, and
prints its address first. It accepts any credentials.
"""

import asyncio
import json
import mmap
import socket
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

SECOND = 1_000_000
MOST = 100
"""Records a page, as the vendor's SDK has it."""
NEVER = 1 << 62
KEPT = frozenset(("start", "end", "limit", "reverse"))
"""Parameters that `next` repeats."""

Answer = Sequence[bytes | memoryview]


class Listing:
    """The records of one application, in the order of their last change."""

    def __init__(self, folder: Path, application_id: str) -> None:
        index = array("q", (folder / f"{application_id}.index").read_bytes())
        self.times = index[0::2]
        with (folder / f"{application_id}.records").open("rb") as file:
            whole = file.seek(0, 2)
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if whole else b"")
        self._begins = index[1::2]
        self._begins.append(whole)

    def within(self, start: int, end: int) -> tuple[int, int]:
        """Return the first record changed after `start` and the first not changed before `end`.

        Both are strict.
        """
        return bisect_right(self.times, start), bisect_left(self.times, end)

    def cut(self, first: int, last: int) -> memoryview:
        """Return the records from the first on up to the last, exclusive, with commas between."""
        return self._bytes[self._begins[first] : max(self._begins[first], self._begins[last] - 1)]

    def backwards(self, first: int, last: int) -> bytes:
        """Return the same, newest first."""
        return b",".join(bytes(self.cut(each, each + 1)) for each in range(last - 1, first - 1, -1))


class Tenant:
    """All that is known about one corpus: what to answer to which address."""

    def __init__(self, folder: Path) -> None:
        self._tenant = json.loads((folder / "tenant.json").read_bytes())
        self._listings = {
            each["application_id"]: Listing(folder, each["application_id"])
            for each in self._tenant["applications"]
        }
        tenant = self._tenant["tenant_id"]
        told = {
            "/21/users/mfa/status": {"totp": "inactive"},
            "/1/token": {"access_token": "bench.token", "token_type": "Bearer"},
            "/1/users/current": {"user_id": "u1", "email": "ada@example.com"},
            "/1/users/current/tenants": {"tenants": [{"tenant_id": tenant, "name": "Plant"}]},
            f"/1/tenants/{tenant}/applications": {"data": self._tenant["applications"]},
            f"/1/tenants/{tenant}/subjects": {"data": self._tenant["subjects"]},
            "/1/tenants/current": {"tenant_id": tenant, "name": "Plant", "region": None},
        }
        for each in self._tenant["applications"]:
            told[f"/1/applications/{each['application_id']}"] = each
        self._told = {path: [json.dumps(body).encode()] for path, body in told.items()}

    def answer(self, target: str, host: str) -> Answer | None:
        """Return the body of the answer; None where there is no such thing."""
        parts = urlsplit(target)
        path = parts.path.replace("//", "/").replace(
            "/tenants/current/", f"/tenants/{self._tenant['tenant_id']}/"
        )
        if path in self._told:
            return self._told[path]
        way = path.split("/")
        if way[-1] != "detections" or way[3] not in self._listings:
            return None
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if asked.get("abridged_media", "False").lower() == "true":
            return None
        return self._page(self._listings[way[3]], asked, f"http://{host}{parts.path}")

    def _page(self, listing: Listing, asked: dict[str, str], address: str) -> Answer:
        limit = min(int(asked.get("limit", "10")), MOST)
        low, high = listing.within(_moment(asked.get("start"), 0), _moment(asked.get("end"), NEVER))
        reverse = asked.get("reverse", "False").lower() == "true"
        place = int(asked["cursor"].partition(".")[2][6:]) if "cursor" in asked else None
        if reverse:
            high = high if place is None else min(place, high)
            first, last = max(low, high - limit), high
            edge, more = first, first > low
            body: bytes | memoryview = listing.backwards(first, last) if last > first else b""
        else:
            first = low if place is None else max(place, low)
            last = min(first + limit, high)
            edge, more = last, last < high
            body = listing.cut(first, last) if last > first else b""
        if not more:
            return [b'{"data":[', body, b'],"paging":{}}']
        kept = {name: value for name, value in asked.items() if name in KEPT}
        # The time, and in nine more digits where in the list the next page begins.
        kept["cursor"] = f"{listing.times[edge] // SECOND}.{listing.times[edge] % SECOND:06d}{edge:09d}"
        link = f"{address}?{'&'.join(f'{name}={value}' for name, value in kept.items())}"
        return [b'{"data":[', body, b'],"paging":{"next":"', link.encode(), b'"}}']


class Connection(asyncio.Protocol):
    """One connection, which asks for one thing after the other."""

    def __init__(self, site: Any, latency: float) -> None:  # noqa: ANN401 -- whatever has `answer`
        self._site = site
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the socket room for a whole page, so that it is sent at one go."""
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete, not before the latency is over."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            lines = head.decode("latin-1").split("\r\n")
            host = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:"))
            answer = self._site.answer(lines[0].split(" ")[1], host)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._send, answer)
            else:
                self._send(answer)

    def _send(self, answer: Answer | None) -> None:
        if self._transport.is_closing():
            return
        status, body = ("404 Not Found", [b'{"message":"none"}']) if answer is None else ("200 OK", answer)
        size = sum(map(len, body))
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        *begin, rest = body if len(body) > 1 else [b"", *body]
        self._transport.write(b"".join([head.encode(), *begin[:1]]))
        for part in [*begin[1:], rest]:
            self._transport.write(part)


def _moment(text: str | None, default: int) -> int:
    """Return a time in microseconds; epoch seconds with up to six decimals, taken exactly."""
    if not text:
        return default
    whole, _, fraction = text.partition(".")
    return int(whole) * SECOND + int(fraction[:6].ljust(6, "0"))


async def serve(site: Any, latency: float) -> None:  # noqa: ANN401 -- whatever has `answer`
    """Serve on a free port of 127.0.0.1 until standard input ends; the address is printed first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(site, latency), "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Tenant(Path(sys.argv[1])), float(sys.argv[2])))
