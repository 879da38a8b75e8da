"""Where what is read by several, or up to a time, ends: nothing between two ends is left out in silence."""

import json
import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import floor
from pathlib import Path

import pytest
import stamina
from conftest import rows
from hostile import DETECTIONS, Answer, Hostile, Placed, Request, T, cogniac, record, serving
from support.variants import load

from etl import config
from etl.extract.http import Api
from etl.extract.ranges import TimeRange
from etl.extract.stream import Checkpoint, Page, RequestStats, Reread
from etl.pipeline import run as pipeline
from etl.sources import own_settings
from etl.sources.cogniac.scan import Scan

DAY = 86_400
ALL = {"SIGHTGLASS_CONCURRENCY": "8"}


def at(seconds: float) -> datetime:
    """The moment so many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def environ(server: Hostile, **more: str) -> dict[str, str]:
    """The settings that lead to the server, with eight readers."""
    return {"COG_API_KEY": "id:secret", "COG_URL_PREFIX": server.url, **ALL, **more}


def backfill(home: Path, settings: Mapping[str, str], start: float, end: float) -> pipeline.Report:
    """Read again what changed between two times."""
    always = {"SIGHTGLASS_HOME": str(home), "SIGHTGLASS_RAW_DAYS": "0"}
    found = config.load(own_settings(), {**always, **settings}, file=Path(os.devnull))
    wanted = Reread(round(start * 1e6), round(end * 1e6))
    with stamina.set_testing(True, attempts=3):
        return pipeline.run(found, ["cogniac"], lambda: at(T), lambda _stats, _pending: None, wanted)


def missing(home: Path, placed: Placed) -> list[str]:
    """The media of records that are in no table."""
    held = {row["media_id"] for row in rows(home, "cogniac.results")}
    return sorted({one["media"]["media_id"] for _, one in placed.records if isinstance(one, dict)} - held)


def gaps(home: Path) -> list[tuple[str, str]]:
    """What is named as missing."""
    return [(row["what"], row["error"]) for row in rows(home, "etl.gaps")]


def placed_over(days: int, count: int, limit: int = 100) -> Placed:
    """So many records, evenly over so many days up to T."""
    times = [T - days * DAY + number * days * DAY // count for number in range(count)]
    return Placed([(moment, record(number, moment)) for number, moment in enumerate(times)], limit=limit)


@pytest.mark.parametrize(("many", "every"), [(3, 100), (5, 33)])
def test_corrected_records_in_their_old_places_end_no_range(tmp_path: Path, many: int, every: int) -> None:
    """Their times lie beyond the end of what one of eight reads; what follows them is read by nobody else."""
    times = [T - 30 * DAY + number * 800 for number in range(3000)]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)], names="time")

    def correct(page: int) -> None:
        if page == 1:
            for place, start in enumerate(range(350, 2500, every)):
                for number in range(start, start + many):
                    corrected = record(number, T - 1000 + (many * place + number - start) * 0.01)
                    placed.records[number] = (placed.records[number][0], corrected)

    placed.on_page = correct
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = load(tmp_path, environ(server), at(T + 1000))

    assert (0, [], []) == (ran.exit_code, gaps(tmp_path), missing(tmp_path, placed))


def test_a_range_ends_where_the_next_one_is_seen_to_begin(tmp_path: Path) -> None:
    """Four records in a row at the end of its first page were corrected, and stand where they stood."""
    times = [T + number for number in range(300)]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)], names="time")
    for number in range(96, 100):
        placed.records[number] = (times[number], record(number, T + 290 + number * 0.01))
    micros = [number * 1_000_000 for number in (T, T + 250, T + 1000)]
    with serving(cogniac({DETECTIONS: placed})) as server:
        settings = {"SIGHTGLASS_HOME": str(tmp_path), **environ(server)}
        api = Api(server.url, config.load(own_settings(), settings, file=Path(os.devnull)))
        scan = Scan(api, "a1", Checkpoint(None, micros[0], micros[2]), RequestStats())
        bundles = list(scan.bundles(TimeRange(micros[0], micros[1], micros[0], shared=True)))
        api.close()

    pages = [each for bundle in bundles for each in bundle if isinstance(each, Page)]
    read = {json.loads(bytes(one))["media"]["media_id"] for page in pages for one in page.records}
    assert set() == {f"m{number}" for number in range(250)} - read


def test_all_readers_know_how_long_pages_are(tmp_path: Path) -> None:
    """A server of pages of 60, of which some have lost their `next`: none of these is the last."""
    placed, answered = placed_over(30, 2400, limit=60), list[int]()

    def answer(request: Request) -> Answer:
        page = placed(request)
        answered.append(1)
        if len(answered) % 3:
            return page
        return Answer(re.sub(rb'"paging": \{"next": "[^"]*"\}', b'"paging": {}', page.body))

    with serving(cogniac({DETECTIONS: answer})) as server:
        ran = backfill(tmp_path, environ(server), T - 31 * DAY, T)

    assert (0, [], []) == (ran.exit_code, gaps(tmp_path), missing(tmp_path, placed))


def test_a_range_is_read_up_to_what_was_asked_for(tmp_path: Path) -> None:
    """The API is asked up to a whole second: the rest of it is not among what a run that fails has read."""
    begun, broken = time.time(), [True]
    first = begun - 40 * DAY
    times = [round(first + number * 1700, 6) for number in range(2000)]
    times += [round(begun - 2 + part / 50, 6) for part in range(500)]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)])

    def answer(request: Request) -> Answer:
        is_there = first + 300 * 1700 < float(request.query["start"]) < first + 700 * 1700
        return Answer(b"{}", 500) if broken and is_there else placed(request)

    with serving(cogniac({DETECTIONS: answer})) as server:
        more = {"SIGHTGLASS_OVERLAP": "0", "SIGHTGLASS_LAG": "0", "SIGHTGLASS_RETRY_BUDGET": "1"}
        failed = load(tmp_path, environ(server, **more))
        broken.clear()
        until = floor(time.time())
        ran = load(tmp_path, environ(server, **more))

    placed.records = [one for one in placed.records if one[0] < until]
    assert (3, 0, []) == (failed.exit_code, ran.exit_code, missing(tmp_path, placed))


def test_an_api_whose_clock_is_behind_lists_late_what_was_read_to_no_end(tmp_path: Path) -> None:
    """Its clock says what is new: a run that fails has read no time that is yet to come there."""
    begun, broken = time.time(), [True]
    newest = floor(begun) - 3 * 3600
    times = [newest - number * 1700 for number in reversed(range(2000))]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)])

    def answer(request: Request) -> Answer:
        is_there = times[600] < float(request.query["start"]) < times[1000]
        return Answer(b"{}", 500) if broken and is_there else placed(request)

    with serving(cogniac({DETECTIONS: answer})) as server:
        failed = load(tmp_path, environ(server, SIGHTGLASS_RETRY_BUDGET="1"))
        broken.clear()
        later = [newest + 60 + number * 600 for number in range(30)]
        later += [newest + 8 * 3600 + number for number in range(100)]
        placed.records += [(moment, record(2000 + number, moment)) for number, moment in enumerate(later)]
        ran = load(tmp_path, environ(server), at(begun + 10 * 3600))

    assert (3, 0, []) == (failed.exit_code, ran.exit_code, missing(tmp_path, placed))


@dataclass
class Rounding(Placed):
    """A server that rounds the start it is asked for to two decimals, and names its pages by time."""

    times: list[float] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        """A page."""
        query = request.query
        start, end = round(float(query["start"]), 2), float(query["end"])
        first = max(bisect_right(self.times, start), bisect_right(self.times, float(query.get("cursor", 0))))
        last = min(bisect_left(self.times, end), first + self.limit)
        page = self.records[first:last]
        link = f"http://{request.headers['Host']}{request.path}?start={start}&end={end}"
        more = last < bisect_left(self.times, end)
        paging = {"next": f"{link}&cursor={page[-1][0]:.6f}"} if more else {}
        return Answer(json.dumps({"data": [one for _, one in page], "paging": paging}).encode())


def test_where_one_reader_ends_the_next_begins_however_times_are_rounded(tmp_path: Path) -> None:
    """Records that are four thousandths of a second apart."""
    dense = [round(T - 5 * DAY + number * 0.0041, 6) for number in range(4000)]
    times = sorted([*dense, *(T - 10 * DAY + number * 3000.123456 for number in range(250))])
    records = [(moment, record(number, moment)) for number, moment in enumerate(times)]
    placed = Rounding([*records], 20, times=times)
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = backfill(tmp_path, environ(server), T - 11 * DAY, T)

    assert (0, [], []) == (ran.exit_code, gaps(tmp_path), missing(tmp_path, placed))


class Tied(Placed):
    """A list whose cursor skips records of one time, and that leaves their order when it is turned."""

    def __call__(self, request: Request) -> Answer:
        """A page."""
        query = request.query
        turned = query.get("reverse", "False").lower() == "true"
        start, end = float(query["start"]), float(query["end"])
        if "cursor" in query:
            start, end = (start, float(query["cursor"])) if turned else (float(query["cursor"]), end)
        found = sorted((one for one in self.records if start < one[0] < end), key=lambda one: one[0])
        if turned:
            found.sort(key=lambda one: -one[0])
        link = f"http://{request.headers['Host']}{request.path}?start={start}&end={end}&reverse={turned}"
        page, has_more = found[: self.limit], len(found) > self.limit
        paging = {"next": f"{link}&cursor={page[-1][0]:.6f}"} if has_more else {}
        return Answer(json.dumps({"data": [one for _, one in page], "paging": paging}).encode())


def test_ties_in_the_same_order_from_both_ends_are_a_gap(tmp_path: Path) -> None:
    """The first hundred of them come from either end, and the others from none."""
    times = [*range(50), *[100.25] * 150, *range(200, 230)]
    placed = Tied([(T + when, record(number, T + when)) for number, when in enumerate(times)])
    with serving(cogniac({DETECTIONS: placed})) as server:
        load(tmp_path, environ(server), at(T + 10_000))

    lost = missing(tmp_path, placed)
    named = [what for what, _ in gaps(tmp_path)]
    assert (50, ["records that share the time 2026-03-04 04:55:00.25 UTC"]) == (len(lost), named)


def test_ties_on_pages_too_short_to_prove_an_order_are_a_gap(tmp_path: Path) -> None:
    """Such a list is read by its links; what these skip at the end of a page is looked for all the same."""
    times = [*range(20), *[100.25] * 8, *range(200, 213), 300, 300, *range(301, 320)]
    placed = Tied([(T + when, record(number, T + when)) for number, when in enumerate(times)], limit=5)
    with serving(cogniac({DETECTIONS: placed})) as server:
        load(tmp_path, environ(server), at(T + 10_000))

    lost = missing(tmp_path, placed)
    named = [what for what, _ in gaps(tmp_path)]
    assert (["m25", "m26", "m27"], ["records that share the time 2026-03-04 04:55:00.25 UTC"]) == (
        lost,
        named,
    )


def test_records_dated_ahead_are_no_end(tmp_path: Path) -> None:
    """More than a page of them in a row; all that follows them came in its time."""
    said = [(number, number) for number in range(310)]
    said += [(400 + number, 10**8 + number) for number in range(120)]
    said += [(1000 + number, 1000 + number) for number in range(300)]
    placed = Placed([(T + place, record(number, T + when)) for number, (place, when) in enumerate(said)])
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = load(tmp_path, environ(server), at(T + 5000))

    (notice,) = [each.notice for each in ran.streams if each.notice]
    assert (0, [], []) == (ran.exit_code, gaps(tmp_path), missing(tmp_path, placed))
    assert "the cursor stays before them" in notice


def test_backfills_that_adjoin_leave_nothing_between_them(tmp_path: Path) -> None:
    """Though the API is asked for whole seconds."""
    placed = Placed([(T - 10 + part / 10, record(part, T - 10 + part / 10)) for part in range(60)])
    with serving(cogniac({DETECTIONS: placed})) as server:
        for start, end in ((-11.0, -7.2), (-7.2, -4.0)):
            backfill(tmp_path, environ(server), T + start, T + end)

    assert [] == missing(tmp_path, placed)


def test_subjects_are_asked_for_until_none_come(tmp_path: Path) -> None:
    """However few of those that were asked for by id an answer holds."""
    listed = [{"subject_uid": f"s{number}", "name": f"S{number}"} for number in range(60)]
    uids = [each["subject_uid"] for each in listed]
    applications = [{"application_id": "a1", "active": True, "output_subjects": [*uids, "gone"]}]

    def subjects(request: Request) -> dict[str, object]:
        wanted = request.query.get("ids", "").split(",") if "ids" in request.query else uids
        return {"data": [each for each in listed if each["subject_uid"] in wanted][:10]}

    routes = {DETECTIONS: {"data": [], "paging": {}}, "/1/tenants/[^/]+/subjects": subjects}
    with serving(cogniac(routes, applications=applications)) as server:
        ran = load(tmp_path, environ(server), at(T))

    held = sorted(row["subject_uid"] for row in rows(tmp_path, "cogniac.subjects"))
    assert (0, sorted(uids)) == (ran.exit_code, held)
