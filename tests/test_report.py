"""What the report shows equals what SQL answers, and what it leaves out it tells."""

import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from conftest import ROOT
from report_page import Shown, answer, browser, crowded, one_page, opened, published, shown, written

from etl.publish.report import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = {"engagement_new": "engagement"}
"""What the report calls metrics otherwise."""

__all__ = ["browser", "one_page", "published", "shown"]  # fixtures


def test_every_stream_has_its_line(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Each stream is listed with its state, and the header says so in a sentence."""
    query = "SELECT source || ' ' || stream FROM mart.pipeline_health"
    lines = [line for line in shown.cells("#streams")[1:] if len(line) > 1]

    expected = sorted(name for (name,) in answer(published, query))
    assert expected == sorted(" ".join(line[0].split()[:2]).split("<")[0] for line in lines)
    assert {"✓ ok"} == {line[1] for line in lines}
    assert f"✓ All {len(lines)} streams were up to date when this report was made." == " ".join(
        shown.text("#health .answer").split()
    )


def test_days_are_those_of_the_detections(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Each application has a panel with a column per day, as high as there are detections."""
    query = """
        SELECT any_value(applications.name), list(day ORDER BY day), list(detections ORDER BY day)
        FROM (
            SELECT
                application_id,
                strftime(coalesce(created_at, updated_at) AT TIME ZONE 'UTC', '%Y-%m-%d') AS day,
                count(*) AS detections
            FROM cogniac.detections
            GROUP BY ALL
        )
        JOIN cogniac.applications AS applications USING (application_id)
        GROUP BY application_id
        ORDER BY sum(detections) DESC
    """
    charts = shown.charts("volume")

    expected = answer(published, query)
    assert expected == [(chart["title"], *chart["traces"][0]) for chart in charts]
    assert [len(days) for _, days, _ in expected] == [chart["bars"] for chart in charts]
    total = sum(sum(counts) for _, _, counts in expected)
    assert f"{total:,} detections, " in shown.text("#volume .answer")
    assert f"{total:,} detections in {len(expected)} applications" in shown.text("#covered")


def test_heaps_are_those_of_the_probabilities(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Each subject of an application has a panel with a column per step of probability, and its threshold."""
    query = """
        SELECT
            any_value(subjects.name) || ', ' || any_value(applications.name),
            list(middle ORDER BY middle),
            list(detections ORDER BY middle),
            'threshold ' || any_value(thresholds.threshold)
        FROM (
            SELECT
                application_id,
                subject_uid,
                least(floor(probability * 20), 19) / 20 + 0.025 AS middle,
                count(*) AS detections
            FROM cogniac.detections
            WHERE asserted_by = 'model' AND probability IS NOT NULL
            GROUP BY ALL
        )
        JOIN cogniac.subjects AS subjects USING (subject_uid)
        JOIN cogniac.applications AS applications USING (application_id)
        LEFT JOIN cogniac.application_thresholds AS thresholds USING (application_id, subject_uid)
        GROUP BY application_id, subject_uid
        ORDER BY sum(detections) DESC, application_id, subject_uid
        LIMIT 12
    """
    charts = shown.charts("certainty")

    expected = answer(published, query)
    assert [name for name, *_ in expected] == [chart["title"] for chart in charts]
    assert [heaps for _, _, heaps, _ in expected] == [chart["traces"][0][1] for chart in charts]
    assert [pytest.approx(steps) for _, steps, *_ in expected] == [chart["traces"][0][0] for chart in charts]
    assert [len(steps) for _, steps, *_ in expected] == [chart["bars"] for chart in charts]
    assert [["detections", told] for *_, told in expected] == [chart["labels"] for chart in charts]
    assert [["probability"]] * len(expected) == [chart["axes"] for chart in charts]


def test_share_above_the_threshold_is_that_of_the_mart(
    shown: Shown, published: duckdb.DuckDBPyConnection
) -> None:
    """What is passed on is counted as mart.detections_daily counts it."""
    query = """
        SELECT sum(above_threshold)::BIGINT, sum(detections)::BIGINT, any_value(threshold)
        FROM mart.detections_daily
        WHERE asserted_by = 'model'
        GROUP BY application_id, subject_uid
        ORDER BY sum(detections) DESC, application_id, subject_uid
        LIMIT 12
    """

    assert [
        f"{above / count:.0%} of {count:,} detections above the threshold of {threshold}"
        for above, count, threshold in answer(published, query)
    ] == [chart["said"].replace(" %", "%") for chart in shown.charts("certainty")]


def test_rates_and_limits_are_those_of_the_mart(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Each rate has its days, moving mean and control limits; days beyond them have a mark of their own."""
    query = """
        SELECT
            list(strftime(day, '%Y-%m-%d') ORDER BY day),
            list(round(lower_limit, 5) ORDER BY day),
            list(round(upper_limit, 5) ORDER BY day),
            list(round(moving_mean, 5) ORDER BY day),
            coalesce(list(round(defect_rate, 5) ORDER BY day) FILTER (is_out_of_control), []),
            count(*) FILTER (is_out_of_control),
            100 * any_value(center_line)
        FROM mart.defect_rate_daily
        GROUP BY application_id, network_camera_id, subject_uid
        ORDER BY 6 DESC, sum(inspected) DESC, application_id, subject_uid, network_camera_id
        LIMIT 9
    """
    charts = shown.charts("rates")

    expected = answer(published, query)
    drawn = [
        (lower[0], lower[1], upper[1], mean[1], out[1])
        for lower, upper, _, mean, _, out in (chart["traces"] for chart in charts)
    ]
    assert [row[:5] for row in expected] == drawn
    assert [len(row[0]) for row in expected] == [chart["points"] for chart in charts]
    said = [chart["said"].partition(" % of the media, ")[::2] for chart in charts]
    assert [pytest.approx(center, abs=0.051) for *_, center in expected] == [
        float(share) for share, _ in said
    ]
    assert [
        f"out of control on {out} of {len(days)} days"
        if out
        else f"within its limits on all {len(days)} days"
        for days, *_, out, _ in expected
    ] == [told for _, told in said]
    assert {"% of media", "upper limit", "mean"} <= set(charts[0]["labels"])


def test_agreement_is_that_of_the_reviews(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Each subject that people reviewed has a bar in four parts, and a line in the table."""
    query = """
        SELECT
            application_name,
            subject_name,
            sum(reviewed)::BIGINT,
            sum(agreed)::BIGINT,
            sum(wrongly_seen)::BIGINT,
            sum(overlooked)::BIGINT,
            sum(misread)::BIGINT
        FROM mart.model_agreement
        GROUP BY application_id, application_name, subject_uid, subject_name
        ORDER BY sum(overruled) DESC, sum(reviewed), application_id, subject_uid
    """
    asked = """
        SELECT subject, reviewed, wrongly_seen, overlooked, misread
        FROM ({demo})
        ORDER BY ALL
    """
    charts = shown.charts("agreement")

    expected = answer(published, query)
    shares = [[row[part] / row[2] for row in expected] for part in range(3, 7)]
    assert shares == [[x for chart in charts for x in chart["traces"][part][0]] for part in range(4)]
    assert 4 * len(expected) == sum(chart["bars"] for chart in charts)
    assert [list(map(str, row)) for row in expected] == [line[:7] for line in shown.numbers("agreement")[1:]]
    by_subject = [(row[1], row[2], row[4], row[5], row[6]) for row in expected]
    demo = (ROOT / "sql" / "demo" / "1_overruled.sql").read_text(encoding="utf-8")
    assert answer(published, asked.format(demo=demo)) == sorted(by_subject)
    assert [interval(agreed, reviewed) for _, _, reviewed, agreed, *_ in expected] == [
        label for chart in charts for label in chart["labels"][1::2]
    ]
    reviewed, agreed = (sum(row[at] for row in expected) for at in (2, 3))
    said = shown.text("#agreement .answer")
    assert f"People agreed with {agreed / reviewed:.0%} of the {reviewed} assertions" in said.replace(
        " %", "%"
    )


def interval(agreed: int, reviewed: int) -> str:
    """A share with its bounds at 95 %, as Wilson's textbook formula has them."""
    share, z = agreed / reviewed, 1.959964
    middle = (share + z * z / (2 * reviewed)) / (1 + z * z / reviewed)
    reach = z * math.sqrt(share * (1 - share) / reviewed + z * z / (4 * reviewed**2)) / (1 + z * z / reviewed)
    low, high = (round(100 * each) for each in (middle - reach, middle + reach))
    return f"{round(100 * share)} % of {reviewed} ({low} to {high} %)"


@pytest.mark.parametrize(("kind", "metric"), [("video", "focus"), ("image", "memory")])
def test_chosen_metric_is_ranked(
    shown: Shown, published: duckdb.DuckDBPyConnection, kind: str, metric: str
) -> None:
    """The media with the highest and the lowest values of the chosen metric stand at the ends, in order."""
    query = """
        SELECT media.name, value
        FROM neurons.media_metrics
        JOIN neurons.media AS media USING (media_id)
        WHERE time_window = 'total' AND metric = $metric AND type = $kind AND deleted_at IS NULL
        ORDER BY value DESC
    """
    shown.page.select_option("#metric", label=f"{metric} of {kind}s")
    charts = shown.charts("ranking")

    every = answer(published, query, metric=metric, kind=kind)
    ends = [every[:5], every[5:][-5:][::-1]]
    assert [[value for _, value in end] for end in ends] == [chart["traces"][0][0] for chart in charts]
    assert [[f"{value:.1f} %" for _, value in end] for end in ends] == [
        chart["labels"][1::2] for chart in charts
    ]
    assert [[f"{name}: {value:.2f}" for name, value in end] for end in ends] == [
        [plain(told) for told in chart["hover"]] for chart in charts
    ]
    assert [5, len(ends[1])] == [chart["bars"] for chart in charts]
    assert [f"Highest {metric}", f"Lowest {metric}"] == [chart["title"] for chart in charts]


def plain(told: str) -> str:
    """The text that is shown when a bar is pointed at, its value with two decimals."""
    text = re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), told)
    name, _, value = text.removesuffix(" %").rpartition(": ")
    return f"{name}: {float(value):.2f}"


def test_chosen_video_shows_its_curves(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """Whichever video is chosen, a panel per metric holds its means per second, or its frames."""
    query = """
        SELECT metric, list(position ORDER BY position), list(round(mean, 3) ORDER BY position)
        FROM (
            SELECT asset, metric, coalesce(floor(time_s)::BIGINT, frame) AS position, avg(value) AS mean
            FROM neurons.frame_metrics
            WHERE media_id = $media_id
            GROUP BY ALL
        )
        GROUP BY asset, metric
        ORDER BY metric <> 'focus', asset DESC, metric
    """
    options = shown.page.locator("#to-video option").evaluate_all(
        "all => all.slice(1).map(each => [each.value, each.text])"
    )
    drawn = set()
    for media_id, name in options[:4]:
        shown.turn(f"#video/{media_id}")
        curves = [chart for chart in shown.charts("video") if chart["title"]]

        expected = answer(published, query, media_id=media_id)
        assert [NAMES.get(metric, metric) for metric, _, _ in expected] == [
            chart["title"].lower().replace(" ", "_") for chart in curves
        ]
        assert [(x, y) for _, x, y in expected] == [tuple(chart["traces"][0]) for chart in curves]
        assert [1] * len(expected) == [len(chart["lines"]) for chart in curves]
        assert {"second", "frame"} >= {title for chart in curves for title in chart["axes"]}
        assert " ".join(name.split()) == " ".join(shown.text("h1").split())
        assert shown.text("#video .answer").startswith("Handed in on ")
        drawn.add(curves[0]["lines"][0])
    assert 4 == len(drawn)


def test_every_complete_video_has_a_page(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """All videos with metrics per frame are listed, the newest first; deleted ones are not."""
    query = """
        SELECT media_id
        FROM neurons.media
        WHERE deleted_at IS NULL AND media_id IN (SELECT media_id FROM neurons.frame_metrics)
        ORDER BY created_at DESC, media_id
    """
    listed = shown.page.locator("#to-video option").evaluate_all(
        "all => all.slice(1).map(each => each.value)"
    )
    links = shown.page.locator("#videos a").evaluate_all("all => all.map(each => each.getAttribute('href'))")

    expected = [media_id for (media_id,) in answer(published, query)]
    assert expected == listed
    assert [f"#video/{media_id}" for media_id in expected] == links


def test_focus_at_both_ends_is_that_of_the_demo(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """The table of videos, the mart and the demo's question give one number."""
    (head, *lines) = shown.cells("#videos")
    demo = (ROOT / "sql" / "demo" / "2_first_seconds.sql").read_text(encoding="utf-8")

    asked = answer(published, f"SELECT video, focus_at_start, focus_at_end, change FROM ({demo})")  # noqa: S608
    told = {line[0]: [float(each) for each in line[3:6]] for line in lines}
    shared = [(name, *numbers) for name, *numbers in asked if name in told]
    assert ["first 2 s, %", "last 2 s, %", "change"] == head[3:6]
    assert shared
    assert shared == [(name, *told[name]) for name, *_ in shared]


def test_areas_are_those_of_the_video(shown: Shown, published: duckdb.DuckDBPyConnection) -> None:
    """The areas of interest of the video have bars over the seconds in which they are seen, and scores."""
    seen = """
        SELECT media_id, coalesce(aoi_name, aoi_id), count(DISTINCT frame)
        FROM neurons.aoi_frames
        WHERE media_id = (
            SELECT media_id
            FROM neurons.aoi_frames
            JOIN neurons.media AS media USING (media_id)
            ORDER BY media.created_at DESC
            LIMIT 1
        )
        GROUP BY ALL
        ORDER BY 3 DESC, 2
    """
    scored = """
        SELECT coalesce(aoi_name, aoi_id), metric, value
        FROM neurons.aoi_metrics
        WHERE media_id = $media_id
        ORDER BY ALL
    """
    expected = answer(published, seen)
    media_id = expected[0][0]
    shown.turn(f"#video/{media_id}")
    (chart,) = [chart for chart in shown.charts("video") if not chart["title"]]

    assert [f"{frames} frames" for _, _, frames in expected] == chart["labels"][1::2]
    assert len(chart["traces"][0][0]) == chart["bars"] >= len(expected)
    head, *lines = shown.cells("#scores")
    table = [
        (line[0], metric.replace(" ", "_"), float(cell))
        for line in lines
        for metric, cell in zip(head[1:], line[1:], strict=True)
    ]
    assert [
        (name, metric, round(value) if value >= 100 else float(f"{value:.3g}"))
        for name, metric, value in answer(published, scored, media_id=media_id)
    ] == sorted(table)


def test_page_says_what_it_leaves_out(browser: "Browser", tmp_path: Path) -> None:
    """What is too much for one page is cut, and each cut is told; what failed or is late comes first."""
    now = datetime(2026, 7, 1, 12, tzinfo=UTC)
    with crowded(now) as connection:
        text = page(connection, now + timedelta(hours=24, minutes=30))

    with opened(browser, written(tmp_path, text)) as shown:
        cuts = [each.inner_text() for each in shown.page.locator(".cut:not(:empty)").all()]
        streams = shown.cells("#streams")[1:5]
        panels = shown.charts("volume")
        verdict = " ".join(shown.text("#health .answer").split())
        shown.turn("#video/video0")
        curve, areas = shown.charts("video")
        cuts += [each.inner_text() for each in shown.page.locator("#video .cut:not(:empty)").all()]

    both = (
        "Only the 90 days that end with the newest detection are shown. "
        "The 12 applications with the most detections have a panel each, the others share the last one."
    )
    assert [
        "The 20 of 30 streams that need a look most are listed.",
        both,
        "The 12 of 60 subjects with the most assertions are shown.",
        "The 50 of 60 videos that were handed in last are listed, and have a page of their own.",
        "Of 10 areas, the 8 seen longest and the 8 with the most attention are shown.",
    ] == cuts
    assert "✕ Of 30 streams, 1 failed and 1 was late when this report was made." == verdict
    assert [["✕ failed"], ["GET /1 answered 503"], ["! late"], ["✓ ok"]] == [
        line[1:2] or line for line in streams
    ]
    assert 13 == len(panels)
    assert 1800 == sum(sum(chart["traces"][0][1]) for chart in panels)
    assert "8 other applications" == panels[-1]["title"]
    assert 8 == areas["bars"]
    assert list(range(0, 900, 3)) == curve["traces"][0][0]
    assert [at + 1.0 for at in range(0, 900, 3)] == curve["traces"][0][1]
    assert [] == shown.said
