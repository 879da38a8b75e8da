"""S3 on a socket, as far as an archive, a lake and DuckDB ask it.

Objects are put, in one piece, in parts or on a condition, copied, looked at, got in whole or in part, listed
and deleted.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from re import findall
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

SECRET = "object-store-secret"
LISTED = (
    "<Contents><Key>{}</Key><Size>{}</Size>"
    "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag></Contents>"
)
PAGE = 100
"""Objects that one answer lists."""


@dataclass(slots=True)
class Store:
    """What is in the store, and how it is to fail."""

    objects: dict[str, bytes] = field(default_factory=dict)
    """By bucket and key."""
    requests: list[str] = field(default_factory=list)
    """What was asked, as method and path."""
    authorized: list[bool] = field(default_factory=list)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    status: int = 200
    """With what anything is answered."""
    loses: int = 0
    """How many bytes of an object are lost."""
    loses_of: str = ""
    """What the names of such objects have in them."""
    pause: float = 0
    """Seconds before anything is answered."""
    slow_commits: list[float] = field(default_factory=list)
    """Seconds that each of the next commits of a lake takes."""
    uncopied: str = ""
    """What the names of objects have in them that are said to be copied, and are not."""
    has_tags: bool = True
    """Whether answers have an ETag."""
    repeats: bool = False
    """Whether lists go on for ever, with the same objects."""
    forgets: bool = True
    """Whether what is deleted is gone; else it is said to be, and stays."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def puts(self) -> list[str]:
        """The paths of objects that were put."""
        return [each.partition(" ")[2] for each in self.requests if each.startswith("PUT")]


class Handler(BaseHTTPRequestHandler):
    """What answers for a store."""

    store: Store
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", tag: str = '"e"', **headers: str) -> None:
        """Send an answer, unless all are refused."""
        self.send_response(self.store.status if self.store.status >= 400 else status)
        if self.store.has_tags:
            self.send_header("ETag", tag)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).strip("/"), parse_qs(parts.query, keep_blank_values=True)
        self.store.requests.append(f"{self.command} {path}")
        self.store.authorized.append("AWS4-HMAC-SHA256" in (self.headers.get("authorization") or ""))
        time.sleep(self.store.pause)
        if self.store.status >= 400:
            self.answer(self.store.status)
        elif self.command == "POST" and "delete" in query:
            keys = findall(r"<Key>(.*?)</Key>", body.decode())
            gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            for key in keys:
                self.forget(f"{path}/{unescape(key)}")
            self.answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())
        elif self.command == "POST":
            self.answer(200, self.in_parts(path, query))
        elif self.command == "PUT":
            self.put(path, query, body)
        elif self.command == "DELETE":
            self.forget(path)
            self.answer(204)
        elif "list-type" in query:
            self.answer(200, self.listed(path, query))
        else:
            self.get(path)

    def put(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        """Take an object, a part of one, or a copy, if it may be taken."""
        if "versions" in path and path.endswith(".commit") and self.store.slow_commits:
            time.sleep(self.store.slow_commits.pop(0))
        source = self.headers.get("x-amz-copy-source")
        with self.store.lock:
            there = self.store.objects.get(path)
            expected = self.headers.get("if-match")
            if source and unquote(source).strip("/") not in self.store.objects:
                self.answer(404)
                return
            if (self.headers.get("if-none-match") and there is not None) or (
                expected and (there is None or expected != tag_of(there))
            ):
                self.answer(412)
                return
            if "uploadId" in query:
                self.store.parts[path][int(query["partNumber"][0])] = body
            elif source:
                body = self.store.objects[unquote(source).strip("/")]
                if not self.store.uncopied or self.store.uncopied not in path:
                    self.store.objects[path] = body
            else:
                lost = self.store.loses if self.store.loses_of in path else 0
                self.store.objects[path] = body[: len(body) - lost]
        copied = f"<CopyObjectResult><ETag>{escape(tag_of(body))}</ETag></CopyObjectResult>"
        self.answer(200, copied.encode() if source else b"", tag_of(body))

    def get(self, path: str) -> None:
        """Give an object, or a range of it."""
        found = self.store.objects.get(path)
        if found is None:
            self.answer(404)
            return
        asked = self.headers.get("range")
        if not asked:
            self.answer(200, found, tag_of(found), Accept_Ranges="bytes")
            return
        first, last = (int(each) if each else None for each in asked.removeprefix("bytes=").split("-"))
        start = len(found) - (last or 0) if first is None else first
        piece = found[start : None if first is None or last is None else last + 1]
        there = f"bytes {start}-{start + len(piece) - 1}/{len(found)}"
        self.answer(206, piece, tag_of(found), Content_Range=there, Accept_Ranges="bytes")

    def forget(self, path: str) -> None:
        """Delete an object."""
        if self.store.forgets:
            self.store.objects.pop(path, None)

    def in_parts(self, path: str, query: dict[str, list[str]]) -> bytes:
        """Begin or end an object that comes in parts."""
        if "uploads" in query:
            self.store.parts[path] = {}
            kind, inside = "InitiateMultipartUpload", "<UploadId>u</UploadId>"
        else:
            self.store.objects[path] = b"".join(
                part for _, part in sorted(self.store.parts.pop(path).items())
            )
            kind, inside = "CompleteMultipartUpload", "<ETag>e</ETag>"
        return f"<{kind}Result><Bucket>b</Bucket><Key>k</Key>{inside}</{kind}Result>".encode()

    def listed(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        """List the objects below a prefix, a page at a time."""
        prefix, (after,) = query.get("prefix", [""])[0], query.get("continuation-token", [""])
        with self.store.lock:
            there = dict(self.store.objects)
        keys = {path.removeprefix(f"{bucket}/"): content for path, content in there.items()}
        found = sorted(key for key in keys if key.startswith(prefix) and (key > after or self.store.repeats))
        page = found[:PAGE]
        is_more = found[PAGE:] or self.store.repeats
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_more else ""
        names = "".join(LISTED.format(escape(key), len(keys[key]), escape(tag_of(keys[key]))) for key in page)
        told = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
        return f"<ListBucketResult>{told}{names}</ListBucketResult>".encode()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 -- as the library has it


def tag_of(content: bytes) -> str:
    """What tells one content of an object from another."""
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'


class Server(ThreadingHTTPServer):
    """A server that takes many connections at once, and whose clients may go without a word."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- as the library has it
        """Say nothing of clients that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving_store() -> Iterator[tuple[Store, dict[str, str]]]:
    """Serve an empty store, with the variables that lead to it."""
    store = Store()
    with Server(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            store,
            {
                "AWS_ACCESS_KEY_ID": "object-store-key",
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "AWS_ALLOW_HTTP": "true",
                "SIGHTGLASS_ARCHIVE": "s3://bucket/some/prefix",
            },
        )
        server.shutdown()
