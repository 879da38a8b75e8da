"""A small server whose answers a test case writes itself, byte for byte where it must be."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from conftest import Row, Sightglass

T = 1_772_600_000
"""Seconds since 1970: the time of the first record of a case."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `Content-Length` is that of the body unless the case names another, or None for none."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bytes:
    """What goes over the connection instead of an answer, before it is closed or, if asked, held open."""

    sent: bytes
    held: bool = False


Said = Answer | Bytes | bytes | object
"""An answer, its body, or what its body is the JSON of."""
Routes = Mapping[str, Callable[[Request], Said] | Said]
"""By pattern of the whole path, what is answered; the first that matches counts."""


@dataclass(slots=True)
class Hostile:
    """The server: its address, and what it was asked for."""

    url: str = ""
    asked: list[Request] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How many requests had a path that ends like this."""
        return sum(each.path.endswith(path) for each in self.asked)


@contextmanager
def serving(routes: Routes) -> Iterator[Hostile]:
    """Serve these answers on loopback; what no pattern matches is 404."""
    hostile, over = Hostile(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        """Answers GET alone, over connections that are kept."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Say what the case says."""
            parts = urlsplit(self.path)
            path = re.sub("/+", "/", parts.path)
            request = Request(path, dict(parse_qsl(parts.query)), dict(self.headers))
            hostile.asked.append(request)
            found = (said for pattern, said in routes.items() if re.fullmatch(pattern, path))
            said = next(found, Answer(b'{"message": "no such thing"}', 404))
            with suppress(OSError):
                self._send(said(request) if callable(said) else said)

        def _send(self, said: Said) -> None:
            if isinstance(said, Bytes):
                self.close_connection = True
                self.wfile.write(said.sent)
                self.wfile.flush()
                if said.held:
                    over.wait()
                return
            if isinstance(said, bytes):
                said = Answer(said)
            elif not isinstance(said, Answer):
                said = Answer(json.dumps(said).encode(), headers={"Content-Type": "application/json"})
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            if said.headers.get("Content-Length", "") is None:
                # Without a length the end of the connection is the end of the body.
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class has it
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        """Ends without waiting for those it still talks to."""

        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- as the base class has it
            """A client that goes away is no error."""

    with Server(("127.0.0.1", 0), Handler) as server:
        hostile.url = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield hostile
        finally:
            over.set()
            server.shutdown()


# Cogniac


def cogniac(routes: Routes, *, applications: Said = None) -> Routes:
    """The routes of a tenant `t1` with the application `a1`, but for what the case answers otherwise."""
    listed = [{"application_id": "a1", "active": True}] if applications is None else applications
    return {
        **routes,
        "/1/users/current/tenants": {"tenants": [{"tenant_id": "t1"}]},
        "/1/tenants/(t1|current)": {"tenant_id": "t1", "name": "one", "region": None},
        "/1/token": {"access_token": "token-of-the-case", "token_type": "Bearer"},
        "/1/tenants/[^/]+/applications": {"data": listed} if isinstance(listed, list) else listed,
        "/1/tenants/[^/]+/subjects": {"data": []},
    }


DETECTIONS = "/1/applications/a1/detections"


def record(number: int, at: Any = None, **more: Any) -> Row:  # noqa: ANN401 -- any JSON
    """A record of the medium `m<number>`, changed so many seconds after T unless another time is given."""
    at = T + number if at is None else at
    detection = {
        "detection_id": f"d{number}",
        "subject_uid": "cat",
        "app_id": "a1",
        "model_id": "model",
        "user_id": None,
        "media_id": f"m{number}",
        "probability": 0.5,
        "created_at": T + number,
    }
    media = {"media_id": f"m{number}", "created_at": T + number}
    return {"media": media, "focus": None, "detections": [detection], "updated_at": at, **more}


@dataclass(slots=True)
class Placed:
    """A list of records, each at a place in time of its own, as the detections endpoint pages it.

    A record's place is where the list has it, whatever its body says; by default they are the same.
    """

    records: list[tuple[float, Row]]
    limit: int = 100
    by_time: bool = True
    """Sorted by place; else as given, and only `next` leads on."""
    obeys_end: bool = True
    on_page: Callable[[int], None] = lambda _number: None
    """Told how many pages were asked for, before each is made."""
    pages: int = 0

    def __call__(self, request: Request) -> Row:
        """One page of the records after `start` and before `end`, oldest place first unless told otherwise."""
        self.pages += 1
        self.on_page(self.pages)
        query = request.query
        start, end = float(query.get("start", 0)), float(query.get("end", "inf"))
        found = [
            (place, one)
            for place, one in self.records
            if place > start and (place < end or not self.obeys_end)
        ]
        if self.by_time:
            found.sort(key=lambda one: one[0], reverse=query.get("reverse", "False").lower() == "true")
        return self.paged(request, found)

    def paged(self, request: Request, found: list[tuple[float, Row]]) -> Row:
        """The page of these that `skip` names; `cursor` is the place of its last record."""
        skip = int(request.query.get("skip", 0))
        page = found[skip : skip + min(self.limit, int(request.query.get("limit", 10)))]
        if skip + len(page) >= len(found):
            return {"data": [one for _, one in page], "paging": {}}
        given = {**request.query, "skip": str(skip + len(page)), "cursor": f"{page[-1][0]:.6f}"}
        link = f"http://{request.headers['Host']}{request.path}?" + "&".join(
            f"{name}={value}" for name, value in given.items()
        )
        return {"data": [one for _, one in page], "paging": {"next": link}}


def of_cogniac(folder: Path, server: Hostile) -> Sightglass:
    """The command with the settings that lead to the server as Cogniac."""
    always = {"SIGHTGLASS_RETRY_BUDGET": "2", "SIGHTGLASS_RAW_DAYS": "0"}
    return Sightglass(
        folder, {**always, "COG_API_KEY": "id:secret-of-the-case", "COG_URL_PREFIX": server.url}
    )


# Neurons


def medium(number: int, **more: Any) -> Row:  # noqa: ANN401 -- any JSON
    """The medium `n<number>`, an image without files unless the case says otherwise."""
    times = {"created_at": f"2026-03-04T05:{number // 60:02}:{number % 60:02}Z"}
    times["updated_at"] = times["created_at"]
    about = {"name": f"ad {number}", "status": "done", "type": "image", "aoi_status": "done"}
    return {"media_id": f"n{number}", **about, **times, "results": {}, "metrics": {}, **more}


MEDIA = "/predict/v2/media"


def of_neurons(folder: Path, server: Hostile) -> Sightglass:
    """The command with the settings that lead to the server as Neurons."""
    always = {"SIGHTGLASS_RETRY_BUDGET": "2", "SIGHTGLASS_RAW_DAYS": "0"}
    return Sightglass(folder, {**always, "NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url})
