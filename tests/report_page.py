"""The report opened in a browser, for the tests of it.

The browser is Debian's `chromium`; where there is none its tests are skipped, unless the environment variable
TEST_BROWSER says `required`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from conftest import Story

from etl import schema, views
from etl.load.tables import prepare
from etl.publish.report import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

HOSTILE = (
    "</script><img src=x onerror=alert(1)><!-- <b>$x$</b> <a href='//evil.example'>%{y}</a> &amp; \u2028"
)
NAMES = (
    ("cogniac.applications", "name"),
    ("cogniac.subjects", "name"),
    ("neurons.media", "name"),
    ("neurons.aoi_frames", "aoi_id"),
    ("neurons.aoi_frames", "aoi_name"),
    ("neurons.aoi_metrics", "aoi_id"),
    ("neurons.aoi_metrics", "aoi_name"),
    ("neurons.aoi_scores", "aoi_name"),
    ("neurons.aoi_scores", "text_value"),
)
DESKTOP: "ViewportSize" = {"width": 1200, "height": 900}
# Also those that wait until they are scrolled to.
CHARTS = """
    section => (drawAll(), [...document.querySelectorAll(`#${section} .chart:not([hidden])`)].map(chart => ({
        title: chart.closest("figure")?.querySelector("figcaption").firstChild.textContent,
        said: chart.closest("figure")?.querySelector("figcaption span")?.textContent,
        traces: chart.data.map(({x, y}) => [x, y]),
        hover: chart.data.flatMap(({customdata}) => customdata ?? []),
        labels: [...chart.querySelectorAll(".annotation-text")].map(label => label.textContent),
        axes: [...chart.querySelectorAll(".xtitle")].map(one => one.textContent),
        bars: chart.querySelectorAll(".barlayer .point path").length,
        points: chart.querySelectorAll(".scatterlayer .point").length,
        lines: [...chart.querySelectorAll(".scatterlayer .js-line")].map(line => line.getAttribute("d")),
    })))
"""
SHEET = """
    selector => [...document.querySelectorAll(`${selector} tr`)].map(
        row => [...row.cells].map(cell => cell.textContent)
    )
"""

TURN = """
    hash => new Promise(done => {
        if (location.hash === hash || location.hash + hash === "#") return done();
        addEventListener("hashchange", () => done(), { once: true });
        location.hash = hash;
    })
"""
BACK = """
    () => new Promise(done => {
        addEventListener("hashchange", () => done(), { once: true });
        history.back();
    })
"""

MANY = """
    INSERT INTO etl.runs BY NAME
    SELECT 'run' || age AS run_id, $now - to_hours(age) AS started_at, 'ok' AS status, '1' AS version
    FROM range(3) AS ages (age);
    INSERT INTO etl.run_streams BY NAME
    SELECT
        'run' || CASE WHEN number = 2 THEN 2 ELSE 0 END AS run_id,
        'cogniac' AS source, 'detections' AS stream, 'app' || number AS partition,
        CASE number WHEN 1 THEN 'failed' ELSE 'ok' END AS status,
        0 AS fetched, 0 AS inserted, 0 AS updated, 0 AS unchanged, 0 AS quarantined, 0 AS requests,
        0 AS retries, 0 AS bytes, CASE number WHEN 1 THEN 'GET /1 answered 503' END AS error
    FROM range(30) AS numbers (number);
    INSERT INTO cogniac.detections BY NAME
    SELECT
        'app' || number % 20 AS application_id, 'medium' || number AS media_id, '' AS focus_key,
        'detection' || number AS detection_id, 'subject' || number % 15 AS subject_uid,
        TIMESTAMPTZ '2026-07-01 12:00:00Z' - to_days(number % 100) AS created_at, 'model' AS asserted_by,
        0.5 AS probability
    FROM range(2000) AS numbers (number);
    INSERT INTO neurons.media BY NAME
    SELECT 'video' || number AS media_id, 'video' AS type, TIMESTAMPTZ '2026-07-01 00:00:00Z' AS created_at
    FROM range(60) AS numbers (number);
    INSERT INTO neurons.frame_metrics BY NAME
    SELECT
        'video' || number AS media_id, 'metrics' AS asset, frame, 'focus' AS metric, frame * 1.0 AS time_s,
        frame * 1.0 AS value
    FROM range(60) AS numbers (number), range(CASE number WHEN 0 THEN 900 ELSE 2 END) AS frames (frame);
    INSERT INTO neurons.aoi_frames BY NAME
    SELECT
        'video0' AS media_id, 'brand_detection' AS asset, 1 AS frame, 'area' || number AS aoi_id,
        0 AS instance, 1.0 AS time_s
    FROM range(10) AS numbers (number);
"""
"""More of everything than one page can show."""


@dataclass(slots=True)
class Shown:
    """A page in the browser, and what it did that it must not do."""

    page: "Page"
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def charts(self, section: str) -> list[dict[str, Any]]:
        """The charts of a section: their numbers, and the marks that stand for them."""
        found: list[dict[str, Any]] = self.page.evaluate(CHARTS, section)
        return found

    def cells(self, selector: str) -> list[list[str]]:
        """The texts of a table, its head first."""
        found: list[list[str]] = self.page.evaluate(SHEET, selector)
        return found

    def turn(self, fragment: str) -> None:
        """Go to another page of the file, as a link does."""
        self.page.evaluate(TURN, fragment)

    def wait_for_heading(self, begin: str) -> None:
        """Wait until the heading of the page begins so: by its element, for the page lets no text be run."""
        self.page.locator("h1").filter(has_text=re.compile(f"^{re.escape(begin)}")).wait_for()

    def back(self) -> None:
        """Go back, as the browser's button does."""
        self.page.evaluate(BACK)

    def sections(self) -> list[str]:
        """The sections that are shown."""
        found: list[str] = self.page.locator("main > section:visible").evaluate_all(
            "all => all.map(e => e.id)"
        )
        return found

    def numbers(self, section: str) -> list[list[str]]:
        """The numbers behind the charts of a section, as its table shows them."""
        details = self.page.locator(f"#{section} details")
        details.evaluate("element => { element.open = true; }")
        details.locator("table").wait_for()
        cells = self.cells(f"#{section} details")
        details.evaluate("element => { element.open = false; }")
        return cells

    def text(self, selector: str) -> str:
        """The text of one element, as it can be read."""
        return self.page.locator(selector).inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without a window."""
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- may be missing
    except ImportError:
        program = None
    if program is None:
        missing = "no browser: these tests need Debian's chromium and Python's playwright"
        if os.environ.get("TEST_BROWSER") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=options)
        yield started
        started.close()


@contextmanager
def opened(
    browser: "Browser", path: Path, before: str = "", at: str = "", now: datetime | None = None
) -> Iterator[Shown]:
    """A file in the browser, drawn to the end; `before` runs ahead of it.

    `at` is the page of it that is shown, `now` what the clock of the reader says.
    """
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    shown = Shown(context.new_page(), path.as_uri() + at)
    if now is not None:
        shown.page.clock.set_fixed_time(now)
    shown.page.on("console", lambda message: shown.said.append(message.text))
    shown.page.on("pageerror", lambda error: shown.said.append(str(error)))
    shown.page.on("dialog", lambda dialog: shown.said.append(dialog.message))
    shown.page.on("request", lambda request: shown.asked.append(request.url))
    shown.page.add_init_script(before)
    shown.page.goto(shown.address)
    shown.page.wait_for_selector("main:not([aria-busy])")
    yield shown
    context.close()


@pytest.fixture(scope="module")
def published(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """What three runs have loaded, with a name before every name that wants to be more than a name."""
    path = tmp_path_factory.mktemp("published") / "published.duckdb"
    shutil.copy(story.home / "warehouse.duckdb", path)
    with duckdb.connect(path) as connection:
        add_views(connection)
        for table, name in NAMES:
            connection.execute(f"UPDATE {table} SET {name} = $hostile || {name}", {"hostile": HOSTILE})  # noqa: S608
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def add_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views that the report asks."""
    for statement in views.statements():
        connection.execute(statement)


def empty() -> duckdb.DuckDBPyConnection:
    """A database with every table and view, and no rows."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for source in schema.sources():
        prepare(connection, source)
    add_views(connection)
    return connection


def crowded(now: datetime) -> duckdb.DuckDBPyConnection:
    """A database with more than one page can show; one stream failed in the run of now, one lags behind."""
    connection = empty()
    connection.execute("SET TimeZone = 'Pacific/Auckland'")
    for statement in MANY.split(";")[:-1]:
        connection.execute(statement, {"now": now} if "$now" in statement else None)
    return connection


def written(folder: Path, text: str) -> Path:
    """The page as a file."""
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def one_page(
    browser: "Browser", published: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """The report of all that was published."""
    with opened(
        browser, written(tmp_path_factory.mktemp("report"), page(published, datetime.now(UTC)))
    ) as it:
        yield it


@pytest.fixture
def shown(one_page: Shown) -> Iterator[Shown]:
    """The report on a desktop in the light; whatever a test does, it says nothing and asks nobody."""
    one_page.turn("")
    one_page.page.set_viewport_size(DESKTOP)
    one_page.page.emulate_media(media="screen", color_scheme="light")
    yield one_page
    assert ([], [one_page.address]) == (one_page.said, one_page.asked)


def answer(connection: duckdb.DuckDBPyConnection, query: str, **named: object) -> list[tuple[Any, ...]]:
    """The rows that a query of the test's own gives."""
    return connection.execute(query, named or None).fetchall()
