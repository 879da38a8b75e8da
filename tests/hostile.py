"""A small server whose answers a test case writes itself, byte for byte where it must be."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

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
    """A whole answer; its `Content-Length` is right unless the case names another, or None for none."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bytes:
    """What goes over the connection instead of an answer, before it is closed or, if asked, held open."""

    sent: bytes
    held: bool = False


@dataclass(frozen=True, slots=True)
class Slowly:
    """What goes over the connection instead of an answer: a beginning, then the same again and again."""

    begins: bytes
    repeats: bytes = b""
    seconds: float = 0.1
    """How long after each time the next one follows."""


Said = Answer | Bytes | Slowly | bytes | object
"""An answer, its body, or what its body is the JSON of."""
Routes = Mapping[str, Callable[[Request], Said] | Said]
"""By pattern of the whole path, what is answered; the first that matches counts."""


@dataclass(slots=True)
class Hostile:
    """The server: its address, and what it was asked for."""

    url: str = ""
    asked: list[Request] = field(default_factory=list)
    instead: dict[str, Callable[[Request], Said] | Said] = field(default_factory=dict)
    """By pattern of the path, what is answered otherwise for a while."""
    ahead: float = 0
    """By how many seconds its clock, which dates its answers, is ahead of this machine's."""

    def count(self, path: str) -> int:
        """How many requests had a path that ends like this."""
        return sum(each.path.endswith(path) for each in self.asked)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET alone, over connections that are kept."""

    server: "_Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Say what the case says."""
        parts = urlsplit(self.path)
        path = re.sub("/+", "/", parts.path)
        request = Request(path, dict(parse_qsl(parts.query)), dict(self.headers))
        self.server.hostile.asked.append(request)
        routes = {**self.server.hostile.instead, **self.server.routes, **self.server.hostile.instead}
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
                self.server.over.wait()
        elif isinstance(said, Slowly):
            self.close_connection = True
            trickle(self.connection, said, self.server.over)
        elif isinstance(said, Answer):
            self._answer(said)
        elif isinstance(said, bytes):
            self._answer(Answer(said))
        else:
            self._answer(Answer(json.dumps(said).encode(), headers={"Content-Type": "application/json"}))

    def _answer(self, said: Answer) -> None:
        self.send_response_only(said.status)
        if "Date" not in said.headers:
            self.send_header("Date", self.date_time_string())
        headers = {"Content-Length": str(len(said.body)), **said.headers}
        if headers["Content-Length"] is None and "Transfer-Encoding" not in headers:
            # Without a length the end of the connection is the end of the body.
            headers["Connection"] = "close"
            self.close_connection = True
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time by the clock of the case."""
        return super().date_time_string(timestamp or time.time() + self.server.hostile.ahead)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def trickle(connection: socket.socket, said: Slowly, over: threading.Event) -> None:
    """Say it until the other side goes away, or the case is over."""
    connection.sendall(said.begins)
    while not over.wait(said.seconds):
        connection.sendall(said.repeats)


class _Server(ThreadingHTTPServer):
    """Ends without waiting for those it still talks to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, routes: Routes) -> None:
        self.routes, self.hostile, self.over = routes, Hostile(), threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hostile.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""


@contextmanager
def serving(routes: Routes) -> Iterator[Hostile]:
    """Serve these answers on loopback; what no pattern matches is 404."""
    with _Server(routes) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server.hostile
        finally:
            server.over.set()
            server.shutdown()


# Cogniac


def cogniac(routes: Routes, *, applications: Said = None) -> Routes:
    """The routes of a tenant `t1` with the application `a1`, but for what the case answers otherwise."""
    listed = [{"application_id": "a1", "active": True}] if applications is None else applications
    usual = {
        "/1/users/current/tenants": {"tenants": [{"tenant_id": "t1"}]},
        "/1/tenants/(t1|current)": {"tenant_id": "t1", "name": "one", "region": None},
        "/1/token": {"access_token": "token-of-the-case", "token_type": "Bearer"},
        "/1/tenants/[^/]+/applications": {"data": listed} if isinstance(listed, list) else listed,
        "/1/tenants/[^/]+/subjects": {"data": []},
    }
    return {**routes, **{path: said for path, said in usual.items() if path not in routes}}


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

    A record's place is where the list has it, whatever its body says; what is no JSON is given as bytes.
    """

    records: list[tuple[float, Row | bytes]]
    limit: int = 100
    by_time: bool = True
    """Sorted by place; else as given, and only `next` leads on."""
    obeys_end: bool = True
    names: Literal["place", "time", "nothing"] = "place"
    """What of the last record of a page its `next` names as the cursor; nothing: it can only be followed."""
    on_page: Callable[[int], None] = lambda _number: None
    """Told how many pages were asked for, before each is made."""
    pages: int = 0

    def __call__(self, request: Request) -> Answer:
        """A page of the records between `start` and `end`, oldest place first unless told otherwise."""
        self.pages += 1
        self.on_page(self.pages)
        query = request.query
        start, end = float(query.get("start", 0)), float(query.get("end", "inf"))
        found = [one for one in self.records if one[0] > start and (one[0] < end or not self.obeys_end)]
        if self.by_time:
            found.sort(key=lambda one: one[0], reverse=query.get("reverse", "False").lower() == "true")
        skip = int(query.get("skip", 0))
        page = found[skip : skip + min(self.limit, int(query.get("limit", 10)))]
        given = {**query, "skip": str(skip + len(page))}
        if page and self.names != "nothing":
            place, last = page[-1]
            at = last["updated_at"] if self.names == "time" and isinstance(last, dict) else place
            given["cursor"] = f"{at:.6f}"
        link = f"http://{request.headers['Host']}{request.path}?{urlencode(given)}"
        paging = {"next": link} if skip + len(page) < len(found) else {}
        data = [one if isinstance(one, bytes) else json.dumps(one).encode() for _, one in page]
        return Answer(b'{"data": [%s], "paging": %s}' % (b",".join(data), json.dumps(paging).encode()))


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
