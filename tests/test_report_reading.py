"""The report can be read on a phone, in the dark and on paper, and no name or script in it does harm."""

import json
import re
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from report_page import HOSTILE, Shown, browser, empty, one_page, opened, published, shown, written

from etl.errors import EnvironmentFaultError
from etl.publish.report import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

__all__ = ["browser", "one_page", "published", "shown"]  # fixtures

PHONE: "ViewportSize" = {"width": 360, "height": 740}
PAPER: "ViewportSize" = {"width": 680, "height": 960}
"""What is left of the width of A4 between margins of 15 mm."""

OLD = "delete window.DecompressionStream"
"""Makes a browser one of the year 2020."""


def test_names_stay_text(shown: Shown) -> None:
    """A name that is a script, a picture, a link or a formula is shown as it is, and does nothing."""
    assert 0 == shown.page.locator("img, b, iframe, object, embed").count()
    links = shown.page.locator("a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert [] == [each for each in links if not re.fullmatch(r"#|#(application|video)/[\w%-]+", each)]
    assert 0 == shown.page.locator("svg a").count()
    titles = [chart["title"] for section in ("volume", "certainty") for chart in shown.charts(section)]
    assert titles
    assert all(title.startswith(HOSTILE) for title in titles)
    assert all(line[0].startswith(HOSTILE) for line in shown.numbers("agreement")[1:])
    shown.turn(with_areas(shown))
    assert shown.text("h1").startswith("</script><img src=x onerror=alert(1)>")
    assert 0 == shown.page.locator("img, b, iframe, object, embed").count()
    assert all(line[0].startswith(HOSTILE) for line in shown.cells("#scores")[1:])


def with_areas(shown: Shown) -> str:
    """The page of a video with areas of interest."""
    return f"#video/{shown.page.evaluate('answers.areas_seen.media_id[0]')}"


def test_bar_tells_its_name_and_number_when_pointed_at(shown: Shown) -> None:
    """Pointing at a bar shows the whole name, as text, and the number."""
    shown.page.locator("#ranking .chart").first.scroll_into_view_if_needed()
    bar = shown.page.locator("#ranking .barlayer .point path").first
    bar.scroll_into_view_if_needed()
    at = bar.bounding_box()
    assert at is not None
    shown.page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    label = shown.page.locator("#ranking .hoverlayer .hovertext")
    label.wait_for()

    assert "</script><img src=x" in (label.text_content() or "")
    assert "%{y}</a>" in (label.text_content() or "")


def test_phone_needs_no_scrolling_sideways(shown: Shown) -> None:
    """At 360 pixels the page is as wide as the window, and so is every chart."""
    shown.page.set_viewport_size(PHONE)
    shown.page.locator("#agreement .chart").first.scroll_into_view_if_needed()
    shown.page.locator("#agreement .main-svg[width='328']").first.wait_for()
    assert shown.charts("agreement")

    unfold = "open => document.querySelectorAll('details').forEach(each => { each.open = open; })"
    shown.page.evaluate(unfold, arg=True)
    shown.page.locator("#agreement details table").wait_for()
    assert 360 == shown.page.evaluate("document.documentElement.scrollWidth")
    shown.page.evaluate(unfold, arg=False)
    assert 328 >= widest(shown)
    table = "each => [each.scrollWidth > each.clientWidth, each.tabIndex, each.getAttribute('role')]"
    assert [True, 0, "region"] == shown.page.locator("#creatives .sheet").evaluate(table)
    assert 44 <= shown.page.locator("#metric").bounding_box()["height"]  # type: ignore[index]


def widest(shown: Shown) -> float:
    """How far right the charts reach within the page."""
    reach = "all => Math.max(...all.map(each => each.getBoundingClientRect().right))"
    right: float = shown.page.locator(".chart:not([hidden]) .main-svg").evaluate_all(reach)
    left: float = shown.page.locator("main").evaluate("each => each.getBoundingClientRect().left")
    return right - left


def colours(shown: Shown) -> list[str]:
    """The colours of the page, of its text, of a bar and of the labels of an axis."""
    painted = """() => [
        getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.body).color,
        document.querySelector("#volume .barlayer .point path").style.fill,
        document.querySelector("#volume .xtick text").style.fill,
    ]"""
    found: list[str] = shown.page.evaluate(painted)
    return found


def test_dark_mode_is_followed_at_once(shown: Shown) -> None:
    """When the machine turns dark all colours change, those of the charts too, and back again."""
    shown.page.locator("#volume .chart").first.scroll_into_view_if_needed()
    labelled(shown, "rgb(89, 98, 109)")
    light = colours(shown)
    shown.page.emulate_media(color_scheme="dark")
    labelled(shown, "rgb(160, 169, 179)")
    dark = colours(shown)
    shown.page.emulate_media(color_scheme="light")
    labelled(shown, "rgb(89, 98, 109)")

    assert [] == [before for before, after in zip(light, dark, strict=True) if before == after]
    assert light == colours(shown)


def labelled(shown: Shown, colour: str) -> None:
    """Wait until the labels of an axis have this colour."""
    shown.page.locator(f"#volume .xtick text[style*='fill: {colour}']").first.wait_for()


def test_paper_is_light_and_whole(shown: Shown) -> None:
    """Print shows the charts in full and the video that was chosen, in light colours and without controls."""
    shown.page.locator("#volume .chart").first.scroll_into_view_if_needed()
    labelled(shown, "rgb(89, 98, 109)")
    light = colours(shown)
    shown.page.emulate_media(color_scheme="dark")
    shown.page.set_viewport_size(PAPER)
    shown.page.emulate_media(media="print", color_scheme="dark")
    shown.page.locator("#agreement .main-svg[width='680']").first.wait_for()

    controls = shown.page.locator("nav, select, label, summary, details")
    assert [False] * controls.count() == [each.is_visible() for each in controls.all()]
    assert light == colours(shown)
    assert 680 >= widest(shown)
    assert 680 >= shown.page.locator("#creatives table").evaluate("each => each.scrollWidth")
    shown.turn(with_areas(shown))
    assert [True] * 3 == [
        shown.page.locator(each).is_visible() for each in ("#video .panels", "#areas", "#scores table")
    ]


def test_page_is_accessible(shown: Shown) -> None:
    """Headings go down by one, controls have labels, charts have words, cells of heads are heads."""
    levels = shown.page.locator("h1, h2, h3").evaluate_all("all => all.map(each => +each.tagName[1])")

    assert [1, *[2] * 9, 3, 3] == sorted(levels)
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for control in shown.page.locator("select").all():
        assert 1 == control.evaluate("each => each.labels.length")
    unnamed = "all => all.filter(each => !each.getAttribute('aria-label')).length"
    assert 0 == shown.page.locator(".chart:not([hidden])").evaluate_all(unnamed)
    scopes = shown.page.locator("th").evaluate_all("all => [...new Set(all.map(each => each.scope))]")
    assert ["col", "row"] == sorted(scopes)


def test_intruder_can_do_nothing(
    browser: "Browser", published: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Even a script that got into the page could neither run nor reach anybody."""
    intruder = "<script>alert(1)</script><img src='data:image/png,' onerror=alert(2)></header>"
    path = written(tmp_path, page(published, datetime.now(UTC)).replace("</header>", intruder))
    with opened(browser, path, before=OLD) as shown:
        reach = "address => fetch(address).then(() => 'reached', () => 'refused')"
        assert "refused" == shown.page.evaluate(reach, "http://127.0.0.1:9/")

    assert shown.said
    assert [] == [each for each in shown.said if "Content Security Policy" not in each]
    assert [shown.address] == shown.asked


def test_old_browser_still_tells_the_numbers(
    browser: "Browser", published: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Where the charts cannot be drawn the page says so, and its tables are all there."""
    path = written(tmp_path, page(published, datetime.now(UTC)))
    with opened(browser, path, before=OLD) as shown:
        assert shown.text("#undrawn").startswith("The charts cannot be drawn in this browser")
        assert len(shown.numbers("volume")) > 1


def test_empty_warehouse_makes_a_page_of_sentences(browser: "Browser", tmp_path: Path) -> None:
    """Nothing is said of a source that has no data."""
    with (
        empty() as connection,
        opened(browser, written(tmp_path, page(connection, datetime.now(UTC)))) as shown,
    ):
        assert ["health"] == shown.sections()
        assert "There has been no run yet: sightglass run loads what is there." in shown.text("#health")
        assert "No detections and no media have been loaded yet." == shown.text("#covered")
        assert 0 == shown.page.locator("nav select:visible").count()
    assert ([], [shown.address]) == (shown.said, shown.asked)


def test_page_is_one_file_with_safe_data(published: duckdb.DuckDBPyConnection) -> None:
    """Nothing is loaded from elsewhere, and no name can end the block of data."""
    text = page(published, datetime.now(UTC))
    (block,) = re.findall(r'<script type="application/json" id="answers">(.*?)</script>', text, re.DOTALL)

    assert not re.search(r"(src|href|action)\s*=\s*(?!.?#|\"x )", text.partition("<script")[0])
    assert not set("<>&\u2028\u2029") & set(block)
    assert any(HOSTILE in name for name in json.loads(block)["answers"]["agreement"]["subject"])


def test_missing_library_is_named(
    published: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without plotly the message says how to install it."""
    monkeypatch.setitem(sys.modules, "plotly", None)

    with pytest.raises(EnvironmentFaultError) as caught:
        page(published, datetime.now(UTC))

    assert "the report needs plotly: pip install 'sightglass-etl[report]'" == str(caught.value)


def test_database_without_the_views_is_named() -> None:
    """What an older version has published lacks what is asked for: the message says what to do."""
    with duckdb.connect() as connection, pytest.raises(EnvironmentFaultError) as caught:
        page(connection, datetime.now(UTC))

    assert str(caught.value).startswith("the report cannot be made of what is published: Catalog Error: ")
    assert str(caught.value).endswith("; `sightglass publish` makes it anew")
