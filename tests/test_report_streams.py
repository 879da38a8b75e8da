"""What the report says of streams and of the age of their data."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_page import Shown, browser, opened, written
from support.report_data import COGNIAC, NOW, RUNS, filled

from etl.publish.report import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture


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
