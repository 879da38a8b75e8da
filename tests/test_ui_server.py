"""The server of `sightglass ui`: for who has its address, on this machine alone, as long as it is wanted."""

import asyncio
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import duckdb
import httpx
import pytest
from conftest import Sightglass
from starlette.responses import PlainTextResponse
from support.partitions import settings_of
from support.ui import ENDLESS, address, post, sightglass, started

from etl.cli.questions import AT_ONCE, Questions
from etl.ui.access import Access
from etl.ui.app import Refused
from etl.ui.server import MOST_CONNECTIONS

__all__ = ["address", "sightglass"]  # fixtures


def test_who_has_not_its_address_gets_nothing(address: str) -> None:
    """Neither by guessing, nor by a name that leads here, nor from a page of somebody else."""
    base, token = address.rstrip("/").rsplit("/", 1)
    port = base.rpartition(":")[2]
    tried = {
        "no token": httpx.get(f"{base}/"),
        "no token, the report": httpx.get(f"{base}/report"),
        "another token": httpx.get(f"{base}/{token[::-1]}/catalog"),
        "a part of it": httpx.get(f"{base}/{token[:-1]}/catalog"),
        "a name of somebody else": httpx.get(f"{address}catalog", headers={"Host": f"evil.example:{port}"}),
        "another port": httpx.get(f"{address}catalog", headers={"Host": "127.0.0.1:1"}),
        "another site": post(address, headers={"Origin": "http://evil.example"}),
        "a page on another port": post(address, headers={"Origin": "http://127.0.0.1:1"}),
        "a frame there": httpx.get(f"{address}report", headers={"Sec-Fetch-Site": "cross-site"}),
        "a form": httpx.post(f"{address}ask", data={"key": "a", "query": "SELECT 1"}),
        "text": httpx.post(f"{address}ask", content='{"key": "a"}', headers={"Content-Type": "text/plain"}),
    }
    usual = post(address, headers={"Origin": base, "Sec-Fetch-Site": "same-origin"})
    shell = httpx.get(address)

    assert dict.fromkeys(tried, 403) == {name: answer.status_code for name, answer in tried.items()}
    assert not any(token in answer.text for answer in tried.values())
    assert (200, [["1"]]) == (usual.status_code, usual.json()["rows"])
    assert "default-src 'none'" in shell.headers["Content-Security-Policy"]
    assert ("no-store", "no-referrer") == (shell.headers["Cache-Control"], shell.headers["Referrer-Policy"])


def test_an_address_without_the_slash_at_its_end_leads_to_the_page(address: str) -> None:
    """All that the page loads stands below it; nobody without the address is led there."""
    led = httpx.get(address.rstrip("/"))
    base, token = address.rstrip("/").rsplit("/", 1)
    guessed = httpx.get(f"{base}/{token[:-1]}")
    no_page = httpx.get(f"{address}catalog/")

    assert (307, urlsplit(address).path) == (led.status_code, led.headers["Location"])
    assert (403, 404) == (guessed.status_code, no_page.status_code)


@pytest.mark.parametrize(
    ("port", "host", "code"), [(80, "127.0.0.1", 200), (80, "localhost:80", 200), (81, "localhost", 403)]
)
def test_browsers_leave_out_the_usual_port(port: int, host: str, code: int) -> None:
    """That of HTTP, and no other; none that is left out is that of this server."""
    access = Access(PlainTextResponse("here"), port)

    async def answered() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(access)) as client:
            return (await client.get(access.address, headers={"Host": host})).status_code

    with ThreadPoolExecutor(1) as pool:  # the browser's loop works in this one
        assert code == pool.submit(lambda: asyncio.run(answered())).result()


def test_only_this_machine_can_ask(address: str) -> None:
    """The server listens on its loopback address alone."""
    port = int(address.split("/")[2].partition(":")[2])
    with Path("/proc/net/tcp").open() as sockets:
        found = {
            line.split()[1]
            for line in sockets
            if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        }

    assert {f"0100007F:{port:04X}"} == found


def test_who_has_not_its_address_cannot_hold_it_up(sightglass: Sightglass) -> None:
    """Connections beyond so many are closed at once; when the others are gone, it answers."""
    with started(sightglass) as (address, _):
        place = ("127.0.0.1", int(address.split("/")[2].partition(":")[2]))
        held = [socket.create_connection(place, timeout=20) for _ in range(MOST_CONNECTIONS + 8)]
        ends = []
        for each in held[-8:]:
            with suppress(ConnectionError):
                ends.append(each.recv(1))
        for each in held:
            each.close()
        codes = iter(partial(code_of, address), 0)
        answered = next(code for code in codes if code)

    assert ([b""] * len(ends), 200) == (ends, answered)


def code_of(address: str) -> int | None:
    """What it answers with; None where it lets nobody in."""
    try:
        return post(address).status_code
    except httpx.TransportError:
        return None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("FROM read_csv('http://127.0.0.1:9/x')", "disabled by configuration"),
        ("COPY (SELECT 1) TO '/tmp/stolen.csv'", "COPY changes something; only reading is allowed"),
        ("ATTACH '/tmp/other.duckdb'", "ATTACH changes something"),
        ("SET enable_external_access = true", "SET changes something"),
        ("INSTALL httpfs", "changes something"),
        ("CREATE TABLE mine AS SELECT 1", "CREATE changes something"),
        ("SELECT 1; DROP VIEW mart.settings", "these are 2 statements; give them one at a time"),
        ("", "it asks for nothing"),
        ("SELECT getenv('HOME')", "getenv"),
        ("FROM enable_logging(storage = 'file', storage_path = '/tmp/stolen')", "enable_logging() changes"),
        ("FROM query('FROM enable_logging()')", "query() changes something"),
        ("UPDATE EXTENSIONS", "UPDATE changes something"),
    ],
)
def test_it_reads_what_is_published_and_nothing_else(address: str, query: str, says: str) -> None:
    """As `sightglass sql` does: no other file, no network, no change."""
    refused = post(address, query=query)
    saved = post(address, query, form="csv")

    assert (400, 400, True) == (refused.status_code, saved.status_code, says in refused.text), refused.text


def test_what_is_no_question_is_refused(address: str) -> None:
    """Nothing of it ends the server, or shows how it is made."""
    bodies = [b"", b"[]", b'{"key": 1}', b"{" * 100_000, b'{"key": "a", "more": 1}', b"x" * 2**21, b"\xff"]
    headers = {"Content-Type": "application/json"}
    answers = [httpx.post(f"{address}ask", content=body, headers=headers) for body in bodies]
    form = post(address, form="../../x")
    paths = [
        httpx.get(f"{address}{path}").status_code for path in ("ui.py", "..%2fapp.py", "ask", "page/ui.js")
    ]

    assert {400} == {answer.status_code for answer in [*answers, form]}
    assert not any("Traceback" in answer.text for answer in answers)
    assert [404, 404, 405, 404] == paths
    assert 200 == post(address).status_code


def test_whom_nobody_waits_for_is_stopped(address: str) -> None:
    """Else those that were left would be in the way of all that come after them."""
    for number in range(2 * AT_ONCE):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}ask", json={"key": f"left {number}", "query": ENDLESS}, timeout=0.2)

    assert 200 == post(address).status_code


def test_nobody_stops_what_is_asked_under_the_same_name(sightglass: Sightglass, tmp_path: Path) -> None:
    """Two of one name would be taken for each other: the second is refused, and the first goes on."""
    questions = Questions(settings_of(sightglass.home), tmp_path, str)
    refused = "a query under this name is at work"

    def answer(query: str) -> str:
        try:
            return str(questions.ask("a", query)["rows"])
        except Refused as error:
            return str(error)

    with ThreadPoolExecutor(1) as pool:
        endless, short = (iter(partial(answer, query), "") for query in (ENDLESS, "SELECT 1"))
        first = pool.submit(lambda: next(said for said in endless if said != refused))
        second = next(said for said in short if said == refused or first.done())
        questions.stop("a")
        stopped = first.result()
    again = answer("SELECT 1")
    questions.close()

    assert (refused, "it was stopped", "[['1']]") == (second, stopped, again)


def test_a_query_has_its_time_and_its_memory(sightglass: Sightglass, tmp_path: Path) -> None:
    """Whoever has more to ask has `sightglass sql`."""
    questions = Questions(settings_of(sightglass.home, SIGHTGLASS_SQL_MEMORY="64"), tmp_path, str, 0.5)
    said = []
    for query in (ENDLESS, "SELECT list(i) FROM range(100000000) t(i)"):
        with pytest.raises(Refused) as caught:
            questions.ask("a", query)
        said.append(str(caught.value))
    answered = questions.ask("a", "SELECT 1")["rows"]
    questions.close()

    assert "it took more than 0 s" == said[0]
    assert "64 MB of SIGHTGLASS_SQL_MEMORY" in said[1] or "it took more" in said[1]
    assert [["1"]] == answered


def test_a_fault_of_duckdb_ends_one_query(
    sightglass: Sightglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses all that is asked after one, so the next query is answered by another."""
    questions = Questions(settings_of(sightglass.home), tmp_path, str)
    own = "SELECT current_setting('temp_directory')"
    found = [questions.ask("a", own)["rows"] for _ in range(2)]
    for fault in (duckdb.FatalException("a fault"), duckdb.InternalException("another")):
        with monkeypatch.context() as patched:
            patched.setattr("etl.cli.questions.relation_of", Mock(side_effect=fault))
            with pytest.raises(Refused, match=str(fault)):
                questions.ask("a", own)
        found.append(questions.ask("a", own)["rows"])
    questions.close()

    first, second, third, fourth = (str(rows) for rows in found)
    assert (first, 3) == (second, len({second, third, fourth}))


def test_each_query_reads_the_newest_version(sightglass: Sightglass, tmp_path: Path) -> None:
    """New rows, and new views too, without starting it again."""
    home = tmp_path / "home"
    shutil.copytree(sightglass.home, home, symlinks=True)
    own = Sightglass(tmp_path, sightglass.settings)
    assert 0 == own("publish").code
    zones = "SELECT time_zone FROM mart.settings"
    with started(own) as (address, _):
        before = post(address, query=zones).json()["rows"]
        assert 0 == own("publish", SIGHTGLASS_TIME_ZONE="Europe/Berlin").code
        after = post(address, query=zones).json()["rows"]

    assert ([["UTC"]], [["Europe/Berlin"]]) == (before, after)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(sightglass: Sightglass, told: signal.Signals, tmp_path: Path) -> None:
    """Soon, with exit code 0, whatever is asked at that moment; nothing is left behind."""
    with started(Sightglass(sightglass.folder, {"TMPDIR": str(tmp_path)})) as (address, process):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}ask", json={"key": "left", "query": ENDLESS}, timeout=0.3)
        process.send_signal(told)
        out, err = process.communicate(timeout=20)

    assert (0, "", "sightglass: stopped\n") == (process.returncode, out, err)
    assert [] == [*tmp_path.iterdir()]


def test_what_a_killed_one_has_left_is_removed_by_the_next_command(
    sightglass: Sightglass, tmp_path: Path
) -> None:
    """As `sightglass sql` removes what was left for its own queries."""
    own = Sightglass(sightglass.folder, {"TMPDIR": str(tmp_path)})
    with started(own) as (_, process):
        made = [*tmp_path.iterdir()]
        process.kill()
        process.wait()
    assert 0 == own("sql", "SELECT 1").code

    assert (True, []) == (made != [], [*tmp_path.iterdir()])


def test_without_room_for_files_all_else_is_answered(sightglass: Sightglass, tmp_path: Path) -> None:
    """Where there is no folder for temporary files, or it went, a download says what to do."""
    why = "No such file or directory; let TMPDIR name a folder with room for it"
    for folder, expected in (
        (None, "this machine has no folder for temporary files; let TMPDIR name one"),
        (tmp_path / "gone", f"no file can be made of it: {why}"),
    ):
        questions = Questions(settings_of(sightglass.home), folder, str)
        said = []
        for form in ("csv", "parquet"):
            with pytest.raises(Refused) as caught:
                questions.saved("a", "SELECT 1", form)
            said.append(str(caught.value))
        shown = questions.ask("a", "SELECT 1")["rows"]
        questions.close()

        assert ([expected] * 2, [["1"]]) == (said, shown)


def test_a_port_that_is_taken_is_named(sightglass: Sightglass) -> None:
    """Exit code 2, with what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = sightglass("ui", "--port", str(port))

    line = (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; name another with --port, 0 for any"
    )
    assert (2, f"sightglass: {line}\n") == (ran.code, ran.err)


def test_it_needs_something_published_and_its_extra(tmp_path: Path) -> None:
    """Exit code 2 and one line else."""
    nothing = Sightglass(tmp_path)("ui", "--port", "0")
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('none', name='starlette')")
    lacking = Sightglass(
        tmp_path, {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])}
    )
    missing = lacking("ui", "--port", "0")

    assert (2, True) == (nothing.code, "nothing is published in" in nothing.err)
    assert (2, "sightglass: the page needs starlette: pip install 'sightglass-etl[ui]'\n") == (
        missing.code,
        missing.err,
    )
