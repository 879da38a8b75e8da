"""The pages within the report: one per application and per video, and what stands above all of them."""

import json
import math
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_page import DESKTOP, Shown, browser, empty, opened, written
from support.report_data import COGNIAC, FILM, NEURONS, NOW, ODD, RUNS, filled, of

from etl import views
from etl.publish.report import LONGEST, bounded, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture


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
