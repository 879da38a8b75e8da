"""What the page is answered: its files, the report, what can be asked, and answers to queries."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from etl.errors import SightglassError

PAGE = Path(__file__).parent / "page"
FILES = {"": "text/html", "ui.js": "text/javascript", "ui.css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
OURS = {"Content-Security-Policy": POLICY}
FRAMELESS = {"Content-Security-Policy": "frame-ancestors 'none'"}
"""The report says itself what it may do."""
LARGEST = 2**20
"""Bytes of a request, at most."""
CHUNK = 2**16
DOWNLOADS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 -- it is no error of ours
    """A query that was not answered; says why."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page asks: a query under a name of its own, by which it can be stopped."""

    key: str
    query: str = ""
    form: str = ""


class Questions(Protocol):
    """What answers queries: called in threads, several at once."""

    def ask(self, key: str, query: str) -> object:
        """Return the first rows of an answer, as JSON holds them. Raises Refused."""

    def saved(self, key: str, query: str, form: str) -> BinaryIO:
        """Return the whole answer as a file of a form. Raises Refused."""

    def stop(self, key: str) -> None:
        """Let a query end, if it is still at work."""

    def catalog(self) -> object:
        """Return what can be asked. Raises Refused."""

    def report(self) -> str:
        """Return the report, a page of HTML. Raises Refused."""


def app_of(questions: Questions) -> Starlette:
    """Return the application."""

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((PAGE / (name or "ui.html")).read_bytes(), headers=OURS, media_type=FILES[name])

    async def catalog(_request: Request) -> Response:
        return _json(await run_in_threadpool(questions.catalog))

    async def report(_request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(questions.report), headers=FRAMELESS)

    async def ask(request: Request) -> Response:
        asked = await _asked(request)
        return _json(await _awaited(request, questions, asked, lambda: questions.ask(asked.key, asked.query)))

    async def download(request: Request) -> Response:
        asked = await _asked(request)
        if asked.form not in DOWNLOADS:
            raise Refused("there is no such form")
        saved = await _awaited(
            request, questions, asked, lambda: questions.saved(asked.key, asked.query, asked.form)
        )
        return StreamingResponse(_chunks(saved), headers=OURS, media_type=DOWNLOADS[asked.form])

    async def stop(request: Request) -> Response:
        asked = await _asked(request)
        return _json(await run_in_threadpool(questions.stop, asked.key))

    gets = [Route(f"/{name}", file) for name in FILES]
    posts = [Route(f"/{each.__name__}", each, methods=["POST"]) for each in (ask, download, stop)]
    application = Starlette(
        routes=[*gets, Route("/catalog", catalog), Route("/report", report), *posts],
        exception_handlers={Refused: _refused, SightglassError: _refused},
    )
    application.router.redirect_slashes = False  # it knows nothing of the address before these paths
    return application


async def _asked(request: Request) -> Asked:
    """Return what is asked. Raises Refused where it is too large, or no such thing."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise Refused(f"it is larger than {LARGEST // 2**20} MiB")
    try:
        return msgspec.json.decode(content, type=Asked)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused("this is nothing that the page asks") from error


async def _awaited(request: Request, questions: Questions, asked: Asked, work: Callable[[], T]) -> T:
    """Return what a thread answers; it is stopped where nobody waits for it any more."""
    task = asyncio.ensure_future(run_in_threadpool(work))
    gone = asyncio.ensure_future(_gone(request))
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        await run_in_threadpool(questions.stop, asked.key)
    gone.cancel()
    return await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), headers=OURS, media_type="application/json")


async def _refused(_request: Request, error: Exception) -> Response:
    """Say why, line by line, in plain text."""
    notes = getattr(error, "__notes__", ())
    return Response("\n".join([str(error), *notes]), 400, OURS, "text/plain")
