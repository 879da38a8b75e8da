"""Whatever a list does while it is read, nothing is lost in silence; after a quiet run all is as it says."""

import base64
import random
import re
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from conftest import Row, rows
from hostile import DETECTIONS, Answer, Placed, Request, T, cogniac, record, serving
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from support.variants import LONGER, load, sound

FUTURE = 4_000_000_000
"""Seconds since 1970: a time that no run of these tests reaches."""
BROKEN = {
    "html": Answer(b"<!doctype html><title>Log in</title>"),
    "an error": Answer(b'{"error": {"code": 403}}'),
    "cut short": Answer(b'{"data": [{"media": {"media_', headers={"Connection": "close"}),
    "half a gzip": Answer(b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"}),
    "less than announced": Answer(b'{"data": []', headers={"Content-Length": "99", "Connection": "close"}),
    "busy": Answer(b"", 503),
}
NO_JSON = [b"{%d: NaN}", b'{"updated_at": NaN, "x": %d}', b'{"b": "%d \xff"}', b'{"a": [%d}']
LINK = re.compile(rb'"paging": \{"next": "[^"]*"\}')
STEPS = st.sampled_from([0.25, 1, 30, 4000])
"""Seconds by which a change is later than the newest: more than is read again, too."""
PICKS = st.integers(0, 10_000)


class Lists(RuleBasedStateMachine):
    """A list of detections that breaks rules, and a warehouse that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.home = Path(self.stack.enter_context(TemporaryDirectory()))
        self.placed = Placed([])
        self.truth: dict[int, Row] = {}
        self.unreadable: set[bytes] = set()
        self.future: set[int] = set()
        self.newest = float(T)
        self.moving: list[tuple[int, int]] = []
        """Pages of the next run before which a record changes, and its number."""
        self.broken: dict[int, Answer] = {}
        self.asked = 0
        self.linkless: set[int] = set()
        server = self.stack.enter_context(serving(cogniac({DETECTIONS: self.answer})))
        self.environ = {"COG_API_KEY": "id:secret", "COG_URL_PREFIX": server.url}

    # What may happen

    @rule(many=st.sampled_from([1, 5, 40, 150]), step=STEPS)
    def add(self, many: int, step: float) -> None:
        """Records come in, later than all that are there."""
        for _ in range(many):
            self.put(len(self.truth), self.later(step))

    @precondition(lambda self: self.truth)
    @rule(pick=PICKS, step=STEPS)
    def correct(self, pick: int, step: float) -> None:
        """A record changes, and moves to the end."""
        number = pick % len(self.truth)
        if number not in self.future:
            self.put(number, self.later(step))

    @rule()
    def date_ahead(self) -> None:
        """A record comes in its place with a time that is far ahead."""
        number = len(self.truth)
        self.put(number, self.later(1), FUTURE + number)
        self.future.add(number)

    @rule(
        what=st.sampled_from(
            [b"{%d: NaN}", b'{"updated_at": NaN, "x": %d}', b'{"b": "%d \xff"}', b'{"a": [%d}']
        )
    )
    def add_unreadable(self, what: bytes) -> None:
        """Something comes in its place that is no JSON."""
        record_bytes = what % len(self.unreadable)
        self.unreadable.add(record_bytes)
        self.placed.records.append((self.later(1), record_bytes))

    @rule(
        order=st.sampled_from(["by time", "newest first", "any"]),
        names=st.sampled_from(["place", "time", "nothing"]),
        limit=st.sampled_from([100, 60, 20]),
    )
    def reorder(self, order: str, names: Literal["place", "time", "nothing"], limit: int) -> None:
        """The list is sorted in another way, has other pages and other links."""
        self.placed.by_time, self.placed.names = order == "by time", names
        self.placed.limit = limit
        self.placed.records.sort(key=lambda one: one[0], reverse=True)
        if order == "any":
            random.Random(1).shuffle(self.placed.records)  # noqa: S311 -- repeatable

    @rule(page=st.integers(1, 4), answer=st.sampled_from(sorted(BROKEN)))
    def break_an_answer(self, page: int, answer: str) -> None:
        """One answer of the next run is none."""
        self.broken[page] = BROKEN[answer]

    @rule(pages=st.sets(st.integers(1, 4), min_size=1))
    def lose_links(self, pages: set[int]) -> None:
        """Pages of a run that has many to read lack their `next`, where the list is in order."""
        for _ in range(250):
            self.put(len(self.truth), self.later(1))
        self.linkless = pages
        self.run()

    @precondition(lambda self: self.truth)
    @rule(page=st.integers(1, 4), pick=PICKS)
    def change_while_it_is_read(self, page: int, pick: int) -> None:
        """During the next run a record changes, and stands where it stood until the run is over."""
        number = pick % len(self.truth)
        if number not in self.future:
            self.moving.append((page, number))

    # What must hold

    @rule()
    def run(self) -> None:
        """After any run what is not in the tables is named, and the counts add up."""
        self.asked = 0
        report = load(self.home, self.environ, self.now())
        for number, one in self.truth.items():
            if number not in self.future:
                self.put(number, one["updated_at"], one["updated_at"])
        self.broken, self.moving, self.linkless = {}, [], set()

        assert [] == sound(self.home)
        assert report.exit_code in (0, 3, 4)
        if not rows(self.home, "etl.gaps"):
            assert set() == {f"m{number}" for number in self.truth} - self.loaded().keys()
            assert set() == self.unreadable - self.quarantined()

    def teardown(self) -> None:
        """After a quiet run of a list in order all is as it says, the cursor no later than its data."""
        with self.stack:
            self.placed = Placed(self.placed.records)
            self.broken, self.moving, self.linkless = {}, [], set()
            self.run()

            assert [] == rows(self.home, "etl.gaps")
            truth = {f"m{number}": round(one["updated_at"] * 1e6) for number, one in self.truth.items()}
            assert truth == self.loaded()
            times = [at for number, at in enumerate(truth.values()) if number not in self.future]
            cursors = [row["cursor_at"] for row in rows(self.home, "etl.cursors")]
            assert ([max(times)] if times else []) == cursors

    # How to say it

    def answer(self, request: Request) -> Answer:
        """What the list, as it is now, answers."""
        self.asked += 1
        for page, number in self.moving:
            if page == self.asked:
                place = next(at for at, one in self.placed.records if one is self.truth[number])
                self.put(number, place, self.later(1))
        answer = self.broken.pop(self.asked, None) or self.placed(request)
        plain = self.placed.by_time and self.placed.names != "nothing" and self.placed.limit == 100
        if plain and self.asked in self.linkless:
            return replace(answer, body=LINK.sub(b'"paging": {}', answer.body))
        return answer

    def put(self, number: int, place: float, time: float | None = None) -> None:
        """Give a record this place, and this time if it is not the same."""
        before, found = self.truth.get(number), record(number, place if time is None else time)
        self.truth[number] = found
        if before is None:
            self.placed.records.append((place, found))
        else:
            index = next(at for at, (_, one) in enumerate(self.placed.records) if one is before)
            self.placed.records[index] = (place, found)

    def later(self, step: float) -> float:
        """A time so long after the newest."""
        self.newest += step
        return self.newest

    def now(self) -> datetime:
        """A while after the newest."""
        return datetime.fromtimestamp(self.newest, UTC) + timedelta(minutes=1)

    def loaded(self) -> dict[str, int]:
        """By medium, the time of its result."""
        return {row["media_id"]: row["updated_at"] for row in rows(self.home, "cogniac.results")}

    def quarantined(self) -> set[bytes]:
        """What was refused, as received."""
        return {
            base64.b64decode(row["record"]) if row["encoding"] == "base64" else row["record"].encode()
            for row in rows(self.home, "etl.quarantine")
        }


TestLists = Lists.TestCase
TestLists.settings = settings(
    max_examples=3 * LONGER,
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
