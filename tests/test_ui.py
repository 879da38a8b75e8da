"""`sightglass ui`: a page to query what is published, in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from conftest import Sightglass
from report_page import DESKTOP, browser
from support.ui import ENDLESS, address, post, sightglass, started

from etl.cli.questions import MOST_ROWS, MOST_SHOWN
from etl.schema import quote

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

__all__ = ["address", "browser", "sightglass"]  # fixtures
PHONE: "ViewportSize" = {"width": 390, "height": 844}
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


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
