"""The pages within the report: one per application and per video, and what stands above all of them."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import duckdb
import pytest
from report_page import DESKTOP, Shown, browser, empty, opened, written

from etl import views
from etl.publish.report import LONGEST, bounded, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture

NOW = datetime(2026, 7, 31, 12, tzinfo=UTC)
ODD = 'a/b?c#d %20&"><img src=x onerror=alert(1)>\\é'
"""An id that could end an address, or the page."""
FILM = "50%/../#video/x"
COGNIAC = """
    INSERT INTO cogniac.applications BY NAME
    SELECT unnest([$odd, 'pl%61in', '']) AS application_id, unnest(['Twin', 'Twin', 'Nameless']) AS name;
    INSERT INTO cogniac.application_thresholds BY NAME
    SELECT $odd AS application_id, 'scratch' AS subject_uid, 0.8 AS threshold;
    INSERT INTO cogniac.threshold_history BY NAME
    SELECT
        $odd AS application_id, 'scratch' AS subject_uid, 0.8 AS threshold, $now - to_days(60) AS valid_from;
    INSERT INTO cogniac.results BY NAME
    SELECT
        application_id, 'M' || number AS media_id, '' AS focus_key,
        $now - to_days(CAST(number % 30 AS INTEGER)) AS updated_at
    FROM (SELECT unnest([$odd, 'pl%61in']) AS application_id), range(600) AS numbers (number);
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, '' AS focus_key, 'D' || media_id AS detection_id, 'scratch' AS subject_uid,
        'model' AS asserted_by, updated_at, updated_at AS created_at,
        CASE
            WHEN updated_at = $now - to_days(7) AND application_id = $odd THEN 0.9 ELSE 0.1
        END AS probability
    FROM cogniac.results
    UNION ALL
    SELECT
        '' AS application_id, 'M0' AS media_id, '' AS focus_key, 'late' AS detection_id,
        'scratch' AS subject_uid, 'model' AS asserted_by, $now + to_days(days) AS updated_at,
        $now + to_days(days) AS created_at, 0.5 AS probability
    FROM (SELECT unnest([-3, 400]) AS days);
"""
NEURONS = """
    INSERT INTO neurons.media BY NAME
    SELECT
        unnest([$film, 'other']) AS media_id, unnest(['Film', 'Other']) AS name, 'video' AS type,
        $now AS created_at;
    INSERT INTO neurons.frame_metrics BY NAME
    SELECT
        media_id, 'metrics' AS asset, frame, 'focus' AS metric, frame * 1.0 AS time_s, 60.0 - frame AS value
    FROM neurons.media, range(CASE media_id WHEN 'other' THEN 4 ELSE 9 END) AS frames (frame);
"""
RUNS = """
    INSERT INTO etl.runs BY NAME
    SELECT 'run' || age AS run_id, $now - to_hours(age * $every) AS started_at, 'ok' AS status, '1' AS version
    FROM range(10) AS ages (age);
    INSERT INTO etl.run_streams BY NAME
    SELECT
        run_id, 'cogniac' AS source, unnest(['applications', 'subjects']) AS stream, '' AS partition,
        'ok' AS status,
        0 AS fetched, 0 AS inserted, 0 AS updated, 0 AS unchanged, 0 AS quarantined, 0 AS requests,
        0 AS retries, 0 AS bytes
    FROM etl.runs;
    INSERT INTO etl.gaps BY NAME
    SELECT
        'cogniac' AS source, 'subjects' AS stream, 'S' || number AS key, 'the name' AS what,
        $now - to_days(number) AS since, 1 AS attempts, $now AS next_at
    FROM range(5) AS numbers (number);
"""


def filled(script: str, **named: object) -> duckdb.DuckDBPyConnection:
    """A database with what a script puts into it."""
    connection = empty()
    given = {"now": NOW, "odd": ODD, "film": FILM, "every": 24, **named}
    for statement in script.split(";")[:-1]:
        asked = {name: value for name, value in given.items() if f"${name}" in statement}
        connection.execute(statement, asked or None)
    return connection


def of(kind: str, name: str) -> str:
    """The address of a page within the file."""
    return f"#{kind}/{quote(name, safe='')}"


@pytest.fixture(scope="module")
def odd_page(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The report of both sources, with odd ids, read three hours after it was made."""
    with filled(COGNIAC + NEURONS + RUNS) as connection:
        text = page(connection, NOW)
    path = written(tmp_path_factory.mktemp("odd"), text)
    with opened(browser, path, now=NOW + timedelta(hours=3)) as it:
        yield it


@pytest.fixture
def shown(odd_page: Shown) -> Iterator[Shown]:
    """The page of all; whatever a test does, it says nothing and asks nobody."""
    odd_page.page.set_viewport_size(DESKTOP)
    odd_page.turn("")
    yield odd_page
    assert ([], [odd_page.address]) == (odd_page.said, odd_page.asked)


def test_an_application_has_its_own_page_and_the_way_back(shown: Shown) -> None:
    """A click leads to what is of it alone; the browser's button leads back to where one was."""
    lead = shown.page.locator("#certainty figcaption a").first
    lead.scroll_into_view_if_needed()
    before = shown.page.evaluate("window.scrollY")
    lead.click()
    shown.wait_for_heading("Twin")
    there = (shown.text("h1"), shown.sections(), shown.page.evaluate("[location.hash, window.scrollY]"))
    (volume,) = shown.charts("volume")
    shown.back()
    back = (shown.sections()[0], shown.page.evaluate("window.scrollY"))
    shown.page.evaluate(
        "() => new Promise(done => { addEventListener('hashchange', done); history.forward(); })"
    )

    sections = ["volume", "rates", "certainty", "agreement"]
    assert (
        f"Twin ({ODD})",
        sections,
        [of("application", ODD).replace("%28", "(").replace("%29", ")"), 0],
    ) == there
    assert before > 0
    assert ("health", before) == back
    assert (f"Twin ({ODD})", 30, 600) == (shown.text("h1"), volume["bars"], sum(volume["traces"][0][1]))


def test_a_page_shows_what_is_of_it_alone(shown: Shown) -> None:
    """The application's own days, threshold and limits, the video's own curve."""
    shown.turn(of("application", ODD))
    (rate,) = shown.charts("rates")
    (sure,) = shown.charts("certainty")
    shown.turn(of("application", "pl%61in"))
    (other,) = shown.charts("rates")
    (default,) = shown.charts("certainty")
    shown.turn(of("video", FILM))
    video = (shown.text("h1"), shown.sections(), [chart["traces"][0] for chart in shown.charts("video")])

    assert "scratch, no camera named" == rate["title"]
    assert "3.3 % of the media, out of control on 1 of 30 days" == rate["said"]
    assert [["2026-07-24"], [1]] == rate["traces"][-1]
    assert "3 % of 600 detections above the threshold of 0.8" == sure["said"]
    assert ["detections", "threshold 0.8"] == sure["labels"]
    assert "0 % of the media, within its limits on all 30 days" == other["said"]
    assert "0 % of 600 detections above the threshold of 0.5 (default)" == default["said"]
    assert ("Film", ["video"], [[[*range(9)], [60 - frame for frame in range(9)]]]) == video


@pytest.mark.parametrize(
    ("fragment", "title"),
    [
        (of("application", ODD), f"Twin ({ODD})"),
        ("#application/" + ODD.replace(" ", "%20").replace("%20&", "%2520&"), f"Twin ({ODD})"),
        ("#application/pl%61in", "Twin (pl%61in)"),
        (of("application", ""), "Nameless"),
        (of("video", FILM), "Film"),
        (f"#video/{FILM}", "Film"),
    ],
)
def test_an_address_that_was_passed_on_leads_to_its_page(shown: Shown, fragment: str, title: str) -> None:
    """Whatever stands in the id, and though somebody decoded it on the way."""
    shown.turn(fragment)

    assert title == shown.text("h1")
    assert 0 == shown.page.locator("main img").count()


IMAGE = "<img src=x onerror=alert(1)>"
NO_PAGE = "This report has no page for the "


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#video/gone", "video gone. It has one for the 2 videos that were handed in last."),
        ("#video/constructor", "video constructor. It has one for the 2 videos that were handed in last."),
        (
            "#application/%E0%A4%A",
            "application %E0%A4%A. It has one for the 3 applications with the most detections.",
        ),
        (
            f"#application/{IMAGE}",
            f"application {IMAGE}. It has one for the 3 applications with the most detections.",
        ),
    ],
)
def test_a_page_that_is_not_there_is_named(shown: Shown, fragment: str, said: str) -> None:
    """With what there is, and the way back."""
    shown.turn(fragment)

    assert NO_PAGE + said == shown.text("#lost")
    assert ([], True) == (shown.sections(), shown.page.locator("#home").is_visible())


def test_a_section_can_be_linked_to(shown: Shown) -> None:
    """Its address is its name, and says nothing of pages."""
    shown.turn("#certainty")
    top = shown.page.locator("#certainty").evaluate("each => Math.round(each.getBoundingClientRect().top)")

    assert ("health", 0) == (shown.sections()[0], top)


def test_a_page_can_be_opened_at_once(browser: "Browser", odd_page: Shown) -> None:
    """The address of a file with a page in it shows that page, drawn."""
    path = Path(odd_page.address.removeprefix("file://"))
    with opened(browser, path, at=of("video", FILM)) as shown:
        assert ("Film", "Film, Sightglass report") == (shown.text("h1"), shown.page.title())
        assert 1 == len(shown.charts("video")[0]["lines"])
        shown.page.locator("#home").click()
        shown.wait_for_heading("What vision AI says")
        assert "health" == shown.sections()[0]


def test_what_is_missing_is_named(shown: Shown) -> None:
    """The three things that are missing longest, whose they are and since when, and how many more."""
    (note,) = [line for line in shown.cells("#streams") if len(line) == 1]

    said = "5 missing: the name (S4, since 27 July 2026); the name (S3, since 28 July 2026)"
    assert [f"{said}; the name (S2, since 29 July 2026); 2 more"] == note


def test_a_clock_that_was_ahead_moves_no_day(shown: Shown) -> None:
    """A detection of next year is counted, told, and left out of the days."""
    charts = shown.charts("volume")

    assert ["2026-07-31", "2026-07-31", "2026-07-28"] == [max(chart["traces"][0][0]) for chart in charts]
    assert (
        "1 detection dated after this report was made, by a clock that is wrong, is left out."
        == shown.text("#volume .cut")
    )


STRANGE = """
    INSERT INTO cogniac.applications BY NAME
    SELECT unnest(['__proto__', 'blank']) AS application_id, unnest(['constructor', ' ']) AS name;
    INSERT INTO cogniac.subjects BY NAME
    SELECT unnest(['s1', 's2', 's3']) AS subject_uid, unnest(['scratch', 'scratch', '']) AS name;
    INSERT INTO cogniac.results BY NAME
    SELECT
        application_id, 'M' || number AS media_id, '' AS focus_key,
        $now - to_days(CAST(number AS INTEGER)) AS updated_at
    FROM cogniac.applications, range(100) AS numbers (number);
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, '' AS focus_key, media_id || subject_uid AS detection_id, subject_uid,
        'model' AS asserted_by, updated_at, updated_at AS created_at, 0.1 AS probability
    FROM cogniac.results, (SELECT unnest(['s1', 's2', 's3']) AS subject_uid)
    WHERE application_id = 'blank' OR (subject_uid = 's1' AND media_id IN ('M0', 'M1'));
    INSERT INTO neurons.media BY NAME
    SELECT
        unnest(['__proto__', 'v1']) AS media_id, unnest(['toString', '']) AS name, 'video' AS type,
        $now + to_days(unnest([40000, -1])) AS created_at;
    INSERT INTO neurons.frame_metrics BY NAME
    SELECT
        media_id, 'metrics' AS asset, frame, unnest(['focus', 'constructor']) AS metric,
        frame * 1.0 AS time_s, 60.0 - frame AS value
    FROM neurons.media, range(9) AS frames (frame);
    INSERT INTO neurons.media_metrics BY NAME
    SELECT media_id, unnest(['focus', 'valueOf']) AS metric, 'total' AS time_window, 50 AS value
    FROM neurons.media;
"""
"""Names that are blank, that two things have, that objects of JavaScript have; a time that is yet to come."""


def test_strange_names_are_names(browser: "Browser", tmp_path: Path) -> None:
    """None is left blank, none stands for two subjects, none is taken for a word of the page's own."""
    with filled(STRANGE) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        choices = {
            select: shown.page.locator(f"{select} option").all_text_contents()
            for select in ("#to-application", "#to-video", "#metric")
        }
        sure = {chart["title"] for chart in shown.charts("certainty")}
        rates = {chart["title"] for chart in shown.charts("rates")}
        shown.turn(of("video", "v1"))
        curves = [chart["title"] for chart in shown.charts("video")]
        said = shown.said

    subjects = {"scratch (s1), blank", "scratch (s2), blank", "s3, blank", "scratch, constructor"}
    assert {
        "#to-application": ["choose…", "blank", "constructor"],
        "#to-video": ["choose…", "v1", "toString"],
        "#metric": ["focus of videos", "valueOf of videos"],
    } == choices
    assert (subjects, {f"{each}, no camera named" for each in subjects}) == (sure, rates)
    assert (["Focus", "Constructor"], []) == (curves, said)


TO = "\N{EN DASH}"


def test_what_is_left_out_is_told_where_it_is(browser: "Browser", tmp_path: Path) -> None:
    """On the page of an application as on that of all; a medium of the next century moves no time."""
    cuts = {}
    with filled(STRANGE) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        covered = shown.text("#covered")
        for fragment in ("", of("application", "blank"), of("application", "__proto__")):
            shown.turn(fragment)
            cuts[fragment] = shown.text("#volume .cut")

    assert (
        f"302 detections in 2 applications, 23 April {TO} 31 July 2026; predictions for 2 videos, "
        "handed in 30 July 2026." == covered
    )
    earlier = "Only the 90 days that end with the newest detection are shown."
    assert [earlier, earlier, ""] == [*cuts.values()]


def streams(*names: str) -> str:
    """A run that read these streams of Cogniac well, and one before it that read more."""
    before = (
        "SELECT unnest(['applications', 'detections']) AS stream, unnest(['', 'gone']) AS partition, "
        "'r1' AS run_id"
    )
    return f"""
    INSERT INTO etl.runs BY NAME
    SELECT
        unnest(['r1', 'r2']) AS run_id, $now - to_hours(unnest([3, 1])) AS started_at, 'ok' AS status,
        '1' AS version;
    INSERT INTO etl.run_streams BY NAME
    SELECT
        *, 'cogniac' AS source, 'ok' AS status, 0 AS fetched, 0 AS inserted, 0 AS updated, 0 AS unchanged,
        0 AS quarantined, 0 AS requests, 0 AS retries, 0 AS bytes
    FROM ({before} UNION ALL SELECT unnest({[*names]}) AS stream, '' AS partition, 'r2' AS run_id)
    WHERE {bool(names)};
    """  # noqa: S608


MADE = "up to date when this report was made. Runs leave out 1 more."


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (streams("applications", "subjects"), f"All 2 streams were {MADE}"),
        (streams("applications"), f"The only stream was {MADE}"),
        (streams(), "No stream is read."),
    ],
    ids=["two", "one", "none"],
)
def test_streams_that_are_read_are_counted(
    browser: "Browser", tmp_path: Path, script: str, said: str
) -> None:
    """One that runs leave out is not up to date, and no stream is not all."""
    with filled(script) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        found = shown.text("#health .answer")

    assert said == found[2:]


APART = """
    INSERT INTO etl.runs BY NAME
    SELECT 'r1' AS run_id, $now - to_hours(1) AS started_at, 'ok' AS status, '1' AS version;
    INSERT INTO etl.run_streams BY NAME
    SELECT
        'r1' AS run_id, 'cogniac' AS source, 'detections' AS stream, unnest(['a_b', 'axb']) AS partition,
        'ok' AS status, 0 AS fetched, 0 AS inserted, 0 AS updated, 0 AS unchanged, 0 AS quarantined,
        0 AS requests, 0 AS retries, 0 AS bytes;
    INSERT INTO etl.gaps BY NAME
    SELECT
        'cogniac' AS source, 'detections' AS stream, 'axb at 1' AS key, 'records' AS what,
        $now - to_days(3) AS since, 1 AS attempts, $now AS next_at;
"""


def test_what_is_missing_is_told_of_its_own_part(browser: "Browser", tmp_path: Path) -> None:
    """No id is a pattern that others fit."""
    with filled(APART) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        found = [(line[0].strip(), len(line)) for line in shown.cells("#streams")[1:]]

    assert [
        ("cogniac detections axb", 4),
        ("1 missing: records (axb at 1, since 28 July 2026)", 1),
        ("cogniac detections a_b", 4),
    ] == found


UNDONE = """
    UPDATE etl.runs SET status = 'undone' WHERE run_id = 'r2';
    UPDATE etl.run_streams SET status = 'undone' WHERE run_id = 'r2';
"""


def test_run_that_was_undone_is_no_fault(browser: "Browser", tmp_path: Path) -> None:
    """The one before it is the last, and its streams are well."""
    with filled(streams("applications") + UNDONE) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        found = [shown.text(each)[skip:] for each, skip in (("#health .answer", 2), ("#last-run", 0))]

    assert [
        "All 2 streams were up to date when this report was made.",
        (
            "The last run began on 31 July 2026, 09:00 UTC and ended well. "
            "1 run in the week up to it, none of which ended badly."
        ),
    ] == found


OLDER = """
    const { DateTimeFormat } = Intl;
    Intl.DateTimeFormat = function (locale, options) {
        if (options?.timeZone === "Europe/Kyiv") throw new RangeError("Invalid time zone");
        return new DateTimeFormat(locale, options);
    };
"""
"""What a browser does that knows no such time zone."""


def test_browser_older_than_the_time_zone_tells_utc(browser: "Browser", tmp_path: Path) -> None:
    """Zones get new names; the page is there all the same."""
    with empty() as connection:
        for statement in views.statements("Europe/Kyiv"):
            connection.execute(statement)
        text = page(connection, NOW)
    with opened(browser, written(tmp_path, text), before=OLDER, now=NOW) as shown:
        found = (shown.text("#made"), shown.said)

    assert ("Report made by Sightglass on 31 July 2026, 12:00 UTC.", []) == found


def test_numbers_have_no_columns_but_those_that_are_read(shown: Shown) -> None:
    """Ids and counts that only the page needs are left out, units are named."""
    heads = {section: shown.numbers(section)[0] for section in ("volume", "rates", "certainty")}

    assert {
        "volume": ["application", "day", "detections"],
        "rates": [
            *("application", "subject", "camera", "day", "inspected", "with the subject", "rate, %"),
            *("mean of 7 days, %", "lower limit, %", "upper limit, %", "out of control"),
        ],
        "certainty": ["application", "subject", "probability from", "to", "detections", "threshold"],
    } == heads


def test_pages_are_as_wide_as_a_phone(shown: Shown) -> None:
    """No page scrolls sideways at 375 pixels, whatever the ids in it."""
    shown.page.set_viewport_size({"width": 375, "height": 740})
    widths = []
    for fragment in ("", of("application", ODD), of("video", FILM), "#video/gone"):
        shown.turn(fragment)
        widths.append(shown.page.evaluate("document.documentElement.scrollWidth"))

    assert [375] * 4 == widths


def test_paper_is_filled(shown: Shown) -> None:
    """What is printed takes hardly more pages than it would without breaks."""
    shown.page.set_viewport_size({"width": 680, "height": 1031})
    shown.page.emulate_media(media="print")
    height = shown.page.evaluate("document.documentElement.scrollHeight")
    pages = len(re.findall(rb"/Type\s*/Page\b", shown.page.pdf(format="A4", prefer_css_page_size=True)))
    shown.page.emulate_media(media="screen")

    assert math.ceil(height / 1031) <= pages <= math.ceil(1.3 * height / 1031)


@pytest.mark.parametrize(
    ("source", "script", "sections"),
    [
        ("cogniac", COGNIAC, ["volume", "rates", "certainty", "agreement"]),
        ("neurons", NEURONS, ["ranking", "creatives", "videos"]),
    ],
)
def test_a_source_without_data_is_not_spoken_of(
    browser: "Browser", tmp_path: Path, source: str, script: str, sections: list[str]
) -> None:
    """Neither in a section, nor in the navigation."""
    with filled(script) as connection:
        path = written(tmp_path, page(connection, NOW))
    with opened(browser, path, now=NOW) as shown:
        found = shown.sections()
        selects = shown.page.locator("nav select:visible").evaluate_all("all => all.map(each => each.id)")
        shown.turn("#video" if source == "cogniac" else "#volume")
        again = shown.sections()

    assert [["health", *sections]] * 2 == [found, again]
    assert ["to-application" if source == "cogniac" else "to-video"] == selects


HOUR = timedelta(hours=1)
OLD = "The data of Cogniac are older than is usual"
AHEAD = "By the clock of this device these data come from the future"


@pytest.mark.parametrize(
    ("every", "later", "age", "warning"),
    [
        (24, timedelta(seconds=20), "less than a minute ago", ""),
        (24, 3 * HOUR, "3 hours ago", ""),
        (24, 24.9 * HOUR, "24 hours ago", ""),
        (24, 30 * HOUR, "30 hours ago", OLD),
        (1, 30 * HOUR, "30 hours ago", OLD),
        (168, 168 * HOUR, "7 days ago", ""),
        (168, 170 * HOUR, "7 days ago", OLD),
        (24, -2 * timedelta(minutes=1), "less than a minute ago", ""),
        (24, -400 * HOUR, "", AHEAD),
    ],
)
def test_age_is_told_by_the_clock_of_the_reader(
    light: dict[int, Shown], every: int, later: timedelta, age: str, warning: str
) -> None:
    """What is older than is usual between loads is warned of; of a clock that is wrong no age is told.

    Who leaves the page open over night is told too.
    """
    shown = light[every]
    shown.page.clock.set_fixed_time(NOW + later)
    shown.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    assert f"Cogniac: loaded on 31 July 2026, 12:00 UTC{age and f', {age}'}." == shown.text("#fresh")
    told = shown.page.locator("#stale").inner_text()
    assert (bool(warning), True) == (bool(told), told.startswith(warning))


def test_age_is_told_at_once(light: dict[int, Shown]) -> None:
    """The page that is opened says it."""
    light[24].page.clock.set_fixed_time(NOW + 50 * HOUR)
    light[24].page.reload()

    assert light[24].text("#fresh").endswith(", 2 days ago.")
    assert light[24].text("#stale").startswith(OLD)


@pytest.fixture(scope="module")
def light(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Shown]]:
    """Reports whose source is loaded every so many hours; without the charting library, to be opened fast."""
    with ExitStack() as pages:
        found = {}
        for every in (1, 24, 168):
            with filled(COGNIAC + RUNS, every=every) as connection:
                text = page(connection, NOW)
            text = re.sub(r'(id="library">)[^<]*', r"\1", text)
            path = written(tmp_path_factory.mktemp("light"), text)
            found[every] = pages.enter_context(opened(browser, path, now=NOW))
        yield found


MANY = """
    INSERT INTO cogniac.results BY NAME
    SELECT
        'A' || number % 10000 AS application_id, 'M' || number AS media_id, '' AS focus_key,
        $now - to_hours(CAST(number % 2000 AS INTEGER)) AS updated_at
    FROM range(100000) AS numbers (number);
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, focus_key, media_id AS detection_id,
        'S' || right(application_id, 1) AS subject_uid, 'model' AS asserted_by, updated_at,
        updated_at AS created_at,
        hash(media_id) % 1000 / 1000 AS probability
    FROM cogniac.results;
    INSERT INTO neurons.media BY NAME
    SELECT 'V' || number AS media_id, 'video' AS type, $now - to_hours(CAST(number AS INTEGER)) AS created_at
    FROM range(10000) AS numbers (number);
    INSERT INTO neurons.media_metrics BY NAME
    SELECT media_id, 'metric' || kind AS metric, 'total' AS time_window, hash(media_id) % 100 AS value
    FROM neurons.media, range(4) AS kinds (kind);
    INSERT INTO neurons.frame_metrics BY NAME
    SELECT
        media_id, 'metrics' AS asset, frame, 'metric' || kind AS metric, frame * 0.5 AS time_s,
        frame * 1.0 AS value
    FROM neurons.media, range(20) AS kinds (kind), range(2) AS frames (frame);
"""


FILLING = """
    () => {
        const begun = performance.now();
        showPage();
        document.body.getBoundingClientRect();
        return performance.now() - begun;
    }
"""
"""How many milliseconds it takes to fill the page; the charts in sight are drawn after that."""


def test_page_of_a_large_warehouse_is_small_and_filled_at_once(browser: "Browser", tmp_path: Path) -> None:
    """With 100,000 detections, 10,000 applications and 10,000 videos: half a second, and each cut is told."""
    with filled(MANY) as connection:
        text = page(connection, NOW)
    (block,) = re.findall(r'id="answers">(.*?)</script>', text, re.DOTALL)
    with opened(browser, written(tmp_path, text), now=NOW) as shown:
        took = min(shown.page.evaluate(FILLING) for _ in range(5))
        cuts = [each.inner_text() for each in shown.page.locator(".cut:not(:empty)").all()]
        shown.turn("#video/V0")
        cuts += [each.inner_text() for each in shown.page.locator("#video .cut:not(:empty)").all()]

    assert len(block) < 3_000_000
    assert took < 500
    said = " ".join(cuts)
    assert "The first 40 of 10,000 have a page of their own." in said
    assert "The 50 of 10,000 videos that were handed in last are listed" in said
    assert "The first 12 of 20 curves are shown." in said


def test_long_texts_are_cut_and_stay_apart() -> None:
    """However long a name is, the page is not; two long ids that begin alike are two."""
    one, other = ("x" * 10**6 + end for end in "ab")

    cut = bounded({"id": [one, other, "short", None, 1], "list": [[one]]})
    assert ["short", None, 1] == cut["id"][2:]
    assert cut["id"][0] != cut["id"][1]
    assert cut["id"][0] == cut["list"][0][0]
    assert LONGEST + 20 > max(len(each) for each in cut["id"][:2])
    assert json.dumps(cut).count("xxx") < 10**4
