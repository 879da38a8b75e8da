"""Whatever happens between and during runs: after a quiet one the tables are what the APIs say."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from conftest import Row, rows, serving
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from starlette.types import ASGIApp
from support.variants import (
    APPLICATION,
    LONGER,
    confirm_deletions,
    differing,
    expected_of,
    load,
    sound,
    stored,
)

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.cogniac.written import late_record
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import LOGIN_PAGE, Answer, CutOff, Reset, Rule, Script

T = 1772600000.25
MOST_TIES = 199
"""So many records of one time can be read whatever the paging cursor does."""
Said = tuple[Any, ...]

STEPS = st.sampled_from([0, 0.000001, 0.25, 1, 30, 4000])
"""Seconds by which a change is later than the newest: none, and more than is read again."""
PICKS = st.integers(0, 10_000)
ANSWERS = st.sampled_from(
    [
        Answer(status=429, retry_after=0),
        Answer(status=500),
        Answer(status=503),
        Answer(status=401),
        Answer(status=403),
        LOGIN_PAGE,
        CutOff(),
        Reset(),
    ]
)
PATHS = st.sampled_from(["/token$", "/applications$", "/subjects$", "/detections$"])
READINGS = st.fixed_dictionaries(
    {
        "start_inclusive": st.booleans(),
        "end_inclusive": st.booleans(),
        "cursor": st.sampled_from(["exact", "repeats", "skips"]),
        "empty_pages": st.integers(0, 3),
        "next_link": st.sampled_from(["plain", "itself", "other_host", "unabridged"]),
        "abridged_after_first": st.booleans(),
        "last_key": st.integers(0, 3),
    }
)
NEURONS_READINGS = st.builds(
    NeuronsVariant,
    envelope=st.sampled_from(["pagination", "bare", "data"]),
    pagination_total=st.booleans(),
    list_results=st.sampled_from(["full", "absent"]),
    ignores_offset=st.booleans(),
    repeats_every=st.integers(0, 3),
    omits_every=st.sampled_from([0, 2, 3]),
    expired_status=st.sampled_from([403, 404, 410]),
)


class Warehouse(RuleBasedStateMachine):
    """Both simulators, changing; and a warehouse that follows them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.cogniac = CogniacSimulator(1, CogniacSize(applications=0, records=0), record_served=True)
        self.cogniac.put_application(APPLICATION)
        self.neurons = NeuronsSimulator(1, NeuronsSize(media=8, video_share=0.5, frames=(50, 60)))
        self.plant = self.stack.enter_context(serving(self.cogniac, self.neurons))
        self.home = Path(self.stack.enter_context(TemporaryDirectory()))
        self.now = datetime(2027, 1, 1, tzinfo=UTC)
        self.script: list[Rule] = []
        self.script_of_files: list[Rule] = []
        self.names = 0

    # What happens

    @initialize(resolution=st.sampled_from(["microsecond", "second"]))
    def begin(self, resolution: Literal["microsecond", "second"]) -> None:
        """The grain of the clock is the service's for good: with another, all records would seem older."""
        self.cogniac.variant = ApiVariant(clock_resolution=resolution)
        self.arrive(0, 3)

    @rule(step=STEPS, many=st.sampled_from([1, 2, 60, 101, 150]))
    def arrive(self, step: float, many: int) -> None:
        """New records that share one time."""
        at = self.later(step)
        tied = sum(one["updated_at"] == self.cogniac.variant.said(at) for one in self.records())
        for _ in range(min(many, MOST_TIES - tied)):
            self.names += 1
            self.cogniac.put("some", late_record(APPLICATION, f"m{self.names}", at))

    @rule(pick=PICKS, step=STEPS)
    def bump(self, pick: int, step: float) -> None:
        """A record gets other assertions."""
        self.change(self.cogniac.bump, pick, step)

    @rule(pick=PICKS, step=STEPS)
    def shrink(self, pick: int, step: float) -> None:
        """A record loses an assertion."""
        self.change(self.cogniac.shrink, pick, step)

    @rule(seconds=st.sampled_from([0.5, 60, 3500]))
    def come_late(self, seconds: float) -> None:
        """A record arrives that is older than the newest, but within what is read again."""
        at = self.later(-seconds)
        self.names += 1
        self.cogniac.put("some", late_record(APPLICATION, f"m{self.names}", at))

    @rule()
    def predict(self) -> None:
        """New media arrive, what is open ends, one medium is predicted anew."""
        self.neurons.advance(media=1)

    @rule(pick=PICKS)
    def predict_again(self, pick: int) -> None:
        """One medium gets other numbers and files."""
        self.neurons.rerun(self.medium(pick))

    @precondition(lambda self: len(self.neurons.media_ids()) > 1)
    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        """One medium is gone."""
        self.neurons.remove(self.medium(pick))

    @rule()
    def finish(self) -> None:
        """What is open comes one stage further, areas of interest without any change of time."""
        for one in list(self.neurons.truth()):
            if one["status"] == "started":
                self.neurons.finish(one["media_id"])
            elif one["aoi_status"] == "started":
                self.neurons.finish_aois(one["media_id"], silently=True)

    # How the APIs answer

    @rule(kept=READINGS)
    def read_otherwise(self, kept: dict[str, Any]) -> None:
        """From now on Cogniac's documents mean something else."""
        self.cogniac.variant = ApiVariant(
            clock_resolution=self.cogniac.variant.clock_resolution,
            **kept,
        )

    @rule(variant=NEURONS_READINGS)
    def list_otherwise(self, variant: NeuronsVariant) -> None:
        """From now on Neurons' documents mean something else."""
        self.neurons.variant = variant

    @rule(path=PATHS, nth=st.integers(1, 3), times=st.integers(1, 4), answer=ANSWERS)
    def fail_cogniac(self, path: str, nth: int, times: int, answer: ASGIApp) -> None:
        """During the next run some requests fail."""
        self.script.append(Rule(path=path, nth=nth, times=times, answer=answer))

    @rule(path=st.sampled_from(["/media$", "/media/"]), times=st.integers(1, 4), answer=ANSWERS)
    def fail_neurons(self, path: str, times: int, answer: ASGIApp) -> None:
        """During the next run some requests fail."""
        self.script.append(Rule(path=f"/predict/v2{path}", times=times, answer=answer))

    @rule(nth=st.integers(1, 4), times=st.integers(1, 4), answer=ANSWERS)
    def fail_files(self, nth: int, times: int, answer: ASGIApp) -> None:
        """During the next run some files fail."""
        self.script_of_files.append(Rule(path="json$|csv$", nth=nth, times=times, answer=answer))

    @rule(nth=st.integers(1, 3))
    def expire(self, nth: int) -> None:
        """During the next run the token expires."""
        self.script.append(Rule(path="/detections$", nth=nth, do=self.cogniac.expire_tokens))

    @rule(nth=st.integers(1, 3), pick=PICKS, step=STEPS)
    def bump_while_it_is_read(self, nth: int, pick: int, step: float) -> None:
        """During the next run a record moves to the end of the list."""
        self.script.append(Rule(path="/detections$", nth=nth, do=lambda: self.bump(pick, step)))

    @rule(nth=st.integers(1, 3), pick=PICKS)
    def delete_while_it_is_read(self, nth: int, pick: int) -> None:
        """During the next run a medium goes."""
        self.script_of_files.append(Rule(path="json$|csv$", nth=nth, do=lambda: self.delete(pick)))

    # What must hold

    @rule()
    def run(self) -> None:
        """After any run the counts add up, and no key stands twice."""
        self.cogniac.fault = self.neurons.fault = Script(*self.script)
        self.neurons.file_watch.fault = Script(*self.script_of_files)
        self.script, self.script_of_files = [], []
        # Files that were missing before are asked for again.
        self.now += timedelta(days=2)
        report = load(self.home, self.plant.settings, self.now)

        assert [] == sound(self.home)
        assert report.exit_code in (0, 3)

    @rule()
    def run_twice(self) -> None:
        """A run that meets whatever was planned, and one that meets nothing."""
        self.run()
        self.run()

    def teardown(self) -> None:
        """After a quiet run all is as the APIs say, and the history has all that they ever said."""
        with self.stack:
            self.script, self.script_of_files = [], []
            self.cogniac.variant = ApiVariant(clock_resolution=self.cogniac.variant.clock_resolution)
            self.neurons.variant = NeuronsVariant()
            self.run()
            if rows(self.home, "etl.confirmations"):
                confirm_deletions(self.home)
                self.run()

            assert expected_of(self.plant) == stored(self.home)
            assert [] == differing(self.home, self.plant)
            history = rows(self.home, "cogniac.detection_history")
            served = {
                (record["media"]["media_id"], *said(each))
                for record in self.cogniac.served("some")
                for each in record["detections"]
            }
            assert set() == served - {(row["media_id"], *said(row)) for row in history}
            still = [(row["media_id"], *said(row)) for row in history if "valid_to" not in row]
            current = rows(self.home, "cogniac.detections")
            assert sorted((row["media_id"], *said(row)) for row in current) == sorted(still)

    # How to say it

    def records(self) -> list[Row]:
        """The records of the application, oldest change first."""
        return list(self.cogniac.truth("some"))

    def later(self, step: float) -> float:
        """A time so long after the newest."""
        newest = self.cogniac.ledger("some").newest
        return round(newest / 1_000_000 + step if newest else T, 6)

    def change(self, change: Callable[..., Row], pick: int, step: float) -> None:
        """Give a record a new version."""
        records = self.records()
        chosen = records[pick % len(records)]
        at = self.later(step)
        tied = sum(one["updated_at"] == self.cogniac.variant.said(at) for one in records)
        if tied < MOST_TIES and chosen["detections"]:
            change("some", chosen["media"]["media_id"], at=at)

    def medium(self, pick: int) -> str:
        """One medium of Neurons."""
        media_ids = self.neurons.media_ids()
        return media_ids[pick % len(media_ids)]


def said(assertion: Row) -> Said:
    """What tells one version of an assertion from another."""
    return tuple(assertion.get(name) for name in ("detection_id", "subject_uid", "probability"))


TestWarehouse = Warehouse.TestCase
TestWarehouse.settings = settings(
    max_examples=3 * LONGER,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
