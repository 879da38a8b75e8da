"""`sightglass ui`: a page to query what is published, for who has its address, on this machine alone."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING
from unittest.mock import Mock
from urllib.parse import urlsplit

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest
from conftest import Sightglass, serving
from report_page import DESKTOP, browser
from starlette.responses import PlainTextResponse
from support.partitions import settings_of

from etl.cli.questions import AT_ONCE, MOST_ROWS, MOST_SHOWN, Questions
from etl.schema import quote
from etl.ui.access import Access
from etl.ui.app import Refused

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

__all__ = ["browser"]  # a fixture
PHONE: "ViewportSize" = {"width": 390, "height": 844}
ENDLESS = "SELECT sum(sin(i)) FROM range(1000000000000) AS a(i)"
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


@pytest.fixture(scope="module")
def sightglass(tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """The command, after a run; both APIs are gone."""
    folder = tmp_path_factory.mktemp("ui")
    with serving() as plant:
        loaded = Sightglass(folder, plant.settings)
        assert 0 == loaded("run").code
    return Sightglass(folder)


@contextmanager
def started(sightglass: Sightglass, *more: str) -> Iterator[tuple[str, Popen[str]]]:
    """The page's address, and the process that serves it."""
    with sightglass.start("ui", "--port", "0", *more) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("sightglass: open http://127.0.0.1:"), line
            yield line.split()[2], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address(sightglass: Sightglass) -> Iterator[str]:
    """The address of a page that stays."""
    with started(sightglass) as (found, _):
        yield found


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page in a browser: it complains of nothing, shows no dialog and asks nobody else."""
    context = browser.new_context(viewport=DESKTOP)
    shown, said, asked = context.new_page(), list[str](), list[str]()
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("dialog", lambda dialog: said.append(dialog.message))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(address)
    shown.wait_for_selector("#tables:not([aria-busy])")
    yield shown
    context.close()
    assert [] == [text for text in said if "400 (Bad Request)" not in text]
    assert [] == [url for url in asked if not url.startswith((address, "blob:", "data:"))]


def run(page: "Page", query: str) -> str:
    """Run a query by the keyboard; what is said of it at the end."""
    page.fill("#query", query)
    page.press("#query", "Control+Enter")
    page.wait_for_selector("#run:not([disabled])")
    return page.inner_text("#said") or page.inner_text("#error")


def cells(page: "Page") -> list[list[str]]:
    """The texts of the answer."""
    script = (
        "() => [...document.querySelectorAll('#answer tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    found: list[list[str]] = page.evaluate(script)
    return found


def post(
    address: str, query: str = "SELECT 1", headers: dict[str, str] | None = None, form: str = ""
) -> httpx.Response:
    """What the server answers to what the page would ask; a file of a form, where one is named."""
    asked = {"key": "test", "query": query, "form": form}
    where = "download" if form else "ask"
    return httpx.post(f"{address}{where}", json=asked, headers=headers, timeout=60)


def test_a_query_is_answered_as_a_table(page: "Page") -> None:
    """With the types of its columns, what is NULL, exact numbers, and how long it took; its link holds it."""
    said = run(page, "SELECT 1.50 AS share, NULL::TEXT AS nobody, 9007199254740993 AS large, 'ü' AS \"T x\"")
    link = page.url

    head = [
        ["shareDECIMAL(3,2)", "nobodyVARCHAR", "largeBIGINT", "T xVARCHAR"],
        ["1.50", "NULL", "9007199254740993", "ü"],
    ]
    assert head == cells(page)
    assert said.startswith("1 row in ")
    page.fill("#query", "")
    page.goto("about:blank")
    page.goto(link)
    assert page.input_value("#query").startswith("SELECT 1.50 AS share")
    assert [] == cells(page)  # it is shown, and run by who wants that


def test_texts_are_texts(page: "Page") -> None:
    """Whatever they hold, in names, values and errors."""
    name = quote(HOSTILE)
    run(page, f"FROM (VALUES ('{HOSTILE}')) AS t({name})")
    found = cells(page)
    failed = run(page, f"FROM {name}")

    assert [[f"{HOSTILE}VARCHAR"], [HOSTILE]] == found
    assert f"Table with name {HOSTILE} does not exist" in failed
    assert 0 == page.locator("img, #answer script").count()


def test_of_long_answers_the_first_rows_are_shown_and_said_to_be(page: "Page") -> None:
    """The rest is left, and so is what makes a cell too long to read."""
    said = run(page, "SELECT i, repeat('x', 20000) AS long FROM range(100000) t(i)")
    shown = cells(page)
    more = run(page, "FROM range(100000)")

    assert "there are more: these are the first" in said
    assert (True, True) == (len(shown) < MOST_ROWS, shown[1][1].endswith("x… (20,000 characters)"))
    assert f"{MOST_ROWS:,} rows in " in more


def test_what_is_shown_has_a_bound_however_wide_and_empty_it_is(address: str) -> None:
    """Names, types and NULL count too; of more columns than anybody can look at none is shown."""
    empty = "FROM range(1000) SELECT " + ", ".join(f"NULL AS c{number}" for number in range(1500))
    wide = "SELECT " + ", ".join(f"{number} AS c{number}" for number in range(2001))
    listed = "SELECT 1 IN (" + ", ".join(map(str, range(100_000))) + ")"
    answers = [post(address, query) for query in (empty, wide, listed)]

    shown, named = answers[0].json(), answers[2].json()
    assert (1500, False) == (len(shown["columns"]), shown["is_all"])
    assert all(len(answer.content) < 2 * MOST_SHOWN for answer in answers)
    assert (400, "it has 2,001 columns, of which 2,000 can be shown") == (
        answers[1].status_code,
        answers[1].text,
    )
    assert [["true"]] == named["rows"]
    assert named["columns"][0]["name"].endswith(" characters)")


def test_the_first_rows_are_those_of_the_order_that_is_asked_for(address: str) -> None:
    """Whatever is asked: also where not all of it is fetched."""
    first, told = (
        post(address, query).json()
        for query in ("SELECT i FROM range(200000) t(i) ORDER BY i DESC", "DESCRIBE mart.settings")
    )

    assert [[str(200_000 - number)] for number in range(1, MOST_ROWS + 1)] == first["rows"]
    assert (False, True) == (first["is_all"], told["is_all"])
    assert "time_zone" == told["rows"][0][0]


def test_a_query_that_fails_is_told_in_duckdbs_words(page: "Page") -> None:
    """All of them, and the next one is answered."""
    failed = run(page, "SELECT nothing_such FROM mart.settings")
    is_shown = page.is_visible("#error")
    said = run(page, "SELECT 1")

    assert failed.startswith('Binder Error: Referenced column "nothing_such" not found in FROM clause!')
    assert "Candidate bindings" in failed
    assert (True, False, True) == (is_shown, page.is_visible("#error"), said.startswith("1 row in "))


def test_a_query_can_be_stopped(page: "Page") -> None:
    """At once, by a button, and the next one is answered."""
    page.fill("#query", ENDLESS)
    page.click("#run")
    page.click("#stop")
    page.wait_for_selector("#run:not([disabled])")
    told = page.inner_text("#error")

    assert "it was stopped" == told
    assert run(page, "SELECT 1").startswith("1 row in ")


def test_tables_stand_beside_it_with_what_is_said_of_them(page: "Page") -> None:
    """They are sought by names of columns too, and a button looks at their first rows."""
    page.fill("#sought", "probability")
    found = page.locator("details:visible summary").all_inner_texts()
    page.fill("#sought", "mart.")
    page.fill("#sought", "review_queue")
    page.locator("details:visible summary").first.click()
    text = page.locator("details:visible").first.inner_text()
    page.get_by_role("button", name="Look at its first rows").locator("visible=true").click()
    page.wait_for_selector("#run:not([disabled])")

    assert ("detections" in found, "runs" in found) == (True, False)
    assert "application_id VARCHAR" in text
    assert "FROM mart.review_queue LIMIT 100" == page.input_value("#query")
    assert "" == page.inner_text("#error")


def test_answers_are_taken_along_as_files(page: "Page", sightglass: Sightglass, tmp_path: Path) -> None:
    """Whole ones, the same that `sightglass sql` gives."""
    query = "SELECT run_id, started_at, NULL::TEXT AS none FROM etl.runs, range(2000) ORDER BY ALL"
    page.fill("#query", query)
    files = {}
    for form in ("csv", "parquet"):
        with page.expect_download() as awaited:
            page.click(f"#{form}")
        files[form] = tmp_path / awaited.value.suggested_filename
        awaited.value.save_as(files[form])
        page.wait_for_selector("#run:not([disabled])")
    page.fill("#query", "SELECT nothing")
    page.click("#csv")
    page.wait_for_selector("#error:not([hidden])")
    expected = sightglass("sql", "--csv", query).out
    sightglass("sql", "--parquet", str(tmp_path / "expected.parquet"), query)

    assert {"csv": "answer.csv", "parquet": "answer.parquet"} == {
        form: path.name for form, path in files.items()
    }
    assert expected == files["csv"].read_text(encoding="utf-8")
    assert pq.read_table(tmp_path / "expected.parquet").equals(pq.read_table(files["parquet"]))


def test_it_is_opened_in_a_browser(browser: "Browser", sightglass: Sightglass, tmp_path: Path) -> None:
    """By a file of the owner's, which leads to it: a list of processes shows no address."""
    opener = tmp_path / "opener"
    opener.write_text('#!/bin/sh\necho "$1" >&2\n')
    opener.chmod(0o755)
    own = Sightglass(sightglass.folder, {**sightglass.settings, "BROWSER": str(opener)})
    with started(own, "--open") as (address, process):
        assert process.stderr is not None
        file = process.stderr.readline().strip()
        shown = browser.new_page()
        shown.goto(file)
        shown.wait_for_selector("#tables:not([aria-busy])")
        url = shown.url
        shown.close()

    assert (True, address) == (file.startswith("file:///"), url)


def test_the_report_is_a_link_away(browser: "Browser", address: str) -> None:
    """The page that `sightglass report` makes, of now."""
    context = browser.new_context(viewport=DESKTOP)
    shown, said = context.new_page(), list[str]()
    shown.on("console", lambda message: said.append(message.text))
    shown.goto(address)
    with context.expect_page() as awaited:
        shown.get_by_role("link", name="Report").click()
    awaited.value.wait_for_selector("main:not([aria-busy])")
    title = awaited.value.title()
    context.close()

    assert ("Sightglass report", []) == (title, said)


def test_it_fits_a_phone(browser: "Browser", address: str) -> None:
    """Nothing is wider than the screen but what scrolls by itself."""
    context = browser.new_context(viewport=PHONE, color_scheme="dark")
    shown = context.new_page()
    shown.goto(address)
    shown.wait_for_selector("#tables:not([aria-busy])")
    run(shown, "SELECT repeat('wide ', 100) AS a, repeat('wide ', 100) AS b")
    width = shown.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert width <= PHONE["width"]


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
