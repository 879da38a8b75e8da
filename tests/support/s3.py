"""A little of S3 on a socket: objects that are put, in one piece or in parts, looked at, got and listed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SECRET = "object-store-secret"
LISTED = (
    "<Contents><Key>{}</Key><Size>{}</Size>"
    "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag></Contents>"
)


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

    def puts(self) -> list[str]:
        """The paths of objects that were put."""
        return [each.partition(" ")[2] for each in self.requests if each.startswith("PUT")]


class Handler(BaseHTTPRequestHandler):
    """What answers for a store."""

    store: Store
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send an answer, unless all are refused."""
        self.send_response(self.store.status if self.store.status >= 400 else status)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
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
        if self.command == "POST":
            self.answer(200, self.in_parts(path, query))
        elif self.command == "PUT":
            if "uploadId" in query:
                self.store.parts[path][int(query["partNumber"][0])] = body
            elif self.store.status < 400:
                self.store.objects[path] = body[: len(body) - self.store.loses]
            self.answer(200)
        elif "list-type" in query:
            self.answer(200, self.listed(path, query["prefix"][0]))
        else:
            found = self.store.objects.get(path)
            self.answer(404 if found is None else 200, found or b"")

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

    def listed(self, bucket: str, prefix: str) -> bytes:
        """List the objects below a prefix."""
        keys = {path.removeprefix(f"{bucket}/"): content for path, content in self.store.objects.items()}
        found = "".join(
            LISTED.format(escape(key), len(content))
            for key, content in keys.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 -- as the library has it


@contextmanager
def serving_store() -> Iterator[tuple[Store, dict[str, str]]]:
    """Serve an empty store, with the variables that lead to it."""
    store = Store()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store})) as server:
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
