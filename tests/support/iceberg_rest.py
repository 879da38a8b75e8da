"""An Iceberg REST catalog on a socket, as far as a writer and a reader of tables ask it."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest, Table

TOKEN = "catalog-token-of-sightglass"
Answer = tuple[int, dict[str, Any]]


@dataclass
class Rest:
    """What the catalog holds, and how it is to fail."""

    catalog: SqlCatalog
    port: int = 0
    status: int = 200
    """With what commits are answered."""
    requests: list[str] = field(default_factory=list)
    lies: bool = False
    """Whether commits are answered as done that are not."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def settings(self) -> dict[str, str]:
        """What tells the command of it."""
        return {
            "SIGHTGLASS_ICEBERG_CATALOG": f"http://127.0.0.1:{self.port}/catalog",
            "PYICEBERG_CATALOG__SIGHTGLASS__TOKEN": TOKEN,
        }

    def answer(self, method: str, parts: list[str], body: bytes) -> Answer:
        """What is answered to a request below `/v1/`."""
        match method, parts:
            case "GET", ["config"]:
                return 200, {"defaults": {}, "overrides": {}}
            case "GET" | "HEAD", ["namespaces", name]:
                found = self.catalog.namespace_exists(name)
                return (200, {"namespace": [name], "properties": {}}) if found else (404, _error("namespace"))
            case "POST", ["namespaces"]:
                (name,) = json.loads(body)["namespace"]
                self.catalog.create_namespace(name)
                return 200, {"namespace": [name], "properties": {}}
            case _, ["namespaces", name, "tables", *table]:
                return self._table(method, name, table, body)
        return 404, _error("path")

    def _table(self, method: str, space: str, table: list[str], body: bytes) -> Answer:
        if not table:
            told = json.loads(body)
            schema = Schema.model_validate(told["schema"])
            name, where = (space, told["name"]), told["location"]
            return _as_json(self.catalog.create_table(name, schema, where, properties=told["properties"]))
        name = (space, table[0])
        if method == "DELETE":
            self.catalog.drop_table(name)
            return 204, {}
        if method == "POST":
            if self.status != 200:
                return self.status, _error("commit")
            if not self.lies:
                request = CommitTableRequest.model_validate_json(body)
                self.catalog.commit_table(
                    self.catalog.load_table(name), request.requirements, request.updates
                )
        return _as_json(self.catalog.load_table(name))


def _as_json(table: Table) -> Answer:
    metadata = json.loads(table.metadata.model_dump_json(exclude_none=True))
    return 200, {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}


def _error(what: str) -> dict[str, Any]:
    return {"error": {"message": f"{what} {TOKEN}", "type": "Error", "code": 0}}


class Handler(BaseHTTPRequestHandler):
    """What answers for a catalog."""

    rest: Rest
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer any request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path.removeprefix("/catalog/v1/")
        with self.rest.lock:
            self.rest.requests.append(f"{self.command} {path}")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, told = 401, _error("login")
            else:
                try:
                    status, told = self.rest.answer(self.command, path.split("/"), body)
                except NoSuchTableError:
                    status, told = 404, _error("table")
                except (CommitFailedException, NamespaceAlreadyExistsError):
                    status, told = 409, _error("commit")
        said = json.dumps(told).encode() if status != 204 and self.command != "HEAD" else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 -- the names that the server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def rest_catalog(folder: Path) -> Iterator[Rest]:
    """Give a catalog whose own files are in a folder."""
    with closing(SqlCatalog("rest", uri=f"sqlite:///{folder}/rest.db")) as catalog:
        rest = Rest(catalog)
        handler = type("Answering", (Handler,), {"rest": rest})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            rest.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield rest
            finally:
                server.shutdown()
                thread.join()
