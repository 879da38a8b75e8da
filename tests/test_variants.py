"""Under every reading of the APIs' documents, two runs of the pipeline leave what the APIs hold."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
import stamina
from conftest import Plant, Row, Truth, as_read, in_order, rows, serving, table
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import config, schema
from etl.demo.cogniac import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.cogniac_written import late_record
from etl.demo.neurons import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import Rule, Script
from etl.pipeline import run as pipeline
from etl.sources import own_settings

T = 1772600000
APPLICATION = {"application_id": "some", "name": "some", "type": "classification", "active": True}
COGNIAC = ("applications", "subjects", "media", "results", "detections", "detection_boxes")
LONGER = 20 if os.environ.get("TEST_LONG") else 1
"""How many times as many examples as usual."""
FEW = 5
"""Records a page that may come again."""
Groups = list[tuple[float, int]]
EVERYTHING = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {} ORDER BY ALL"


def load(home: Path, environ: Mapping[str, str], at: datetime | None = None) -> pipeline.Report:
    """A run in this process, now or at a time, whose retries do not wait."""
    always = {"SIGHTGLASS_HOME": str(home), "SIGHTGLASS_RAW_DAYS": "0"}
    found = config.load(own_settings(), {**always, **environ}, file=Path(os.devnull))
    with stamina.set_testing(True, attempts=3):
        return pipeline.run(found, [], lambda: at or datetime.now(UTC), lambda _stats, _pending: None)


def sound(home: Path) -> list[Any]:
    """Streams that do not balance or do not end, and tables in which a key stands twice."""
    wrong = table(
        home,
        "SELECT run_id, source, stream, partition FROM etl.run_streams "
        "WHERE status = 'running' OR fetched <> inserted + updated + unchanged + quarantined",
    )
    kept = [each for name in schema.names() for each in schema.source(name).tables.values()]
    twice = " UNION ALL ".join(
        f"(SELECT '{each.qualified}' FROM {as_read(each.qualified)} GROUP BY {', '.join(each.key)} "  # noqa: S608
        "HAVING count(*) > 1 LIMIT 1)"
        for each in kept
    )
    return [*wrong, *table(home, twice)]


def loaded(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every API, with its lineage."""
    kept = [each.qualified for name in ("cogniac", "neurons") for each in schema.source(name).tables.values()]
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        every = {name: EVERYTHING.format(as_read(name)) for name in kept}
        return {name: connection.execute(query).fetchall() for name, query in every.items()}


def stored(home: Path) -> dict[str, list[Row]]:
    """What the tables of Cogniac hold."""
    return {name: in_order(rows(home, f"cogniac.{name}")) for name in COGNIAC}


def expected_of(plant: Plant) -> dict[str, list[Row]]:
    """What the tables of Cogniac must hold."""
    return {name: in_order(found) for name, found in Truth.now(plant).rows().items()}


def holding(*groups: tuple[float, int], variant: ApiVariant | None = None) -> CogniacSimulator:
    """A tenant with one application, of whose records so many changed at each of these times."""
    simulator = CogniacSimulator(1, CogniacSize(applications=0, records=0), variant=variant)
    simulator.put_application(APPLICATION)
    names = count()
    for after, how_many in groups:
        for _ in range(how_many):
            simulator.put("some", late_record(APPLICATION, f"m{next(names)}", T + after))
    return simulator


def silently_lost(home: Path, plant: Plant) -> list[Row]:
    """Records that are not in the tables and that no gap names."""
    truth = expected_of(plant)["results"]
    there = {(row["media_id"], row["focus_key"]) for row in rows(home, "cogniac.results")}
    gaps = {row["key"] for row in rows(home, "etl.gaps")}
    return [
        row
        for row in truth
        if (row["media_id"], row["focus_key"]) not in there
        and not gaps & {"some", f"some at {row['updated_at']}"}
    ]


ONE_BY_ONE = [
    ApiVariant(),
    ApiVariant(start_inclusive=True),
    ApiVariant(end_inclusive=True),
    *(ApiVariant(cursor=cursor) for cursor in ("repeats", "skips")),
    *(ApiVariant(cursor=cursor, clock_resolution="second") for cursor in ("exact", "repeats", "skips")),
    *(ApiVariant(empty_pages=every) for every in (1, 2, 3)),
    *(ApiVariant(next_link=link) for link in ("itself", "other_host", "unabridged")),
    ApiVariant(abridged_after_first=True),
    ApiVariant(only_model_by_default=False),
    ApiVariant(last_key=2, listed_subjects="ten"),
    ApiVariant(cursor="skips", empty_pages=1, clock_resolution="second", start_inclusive=True),
    ApiVariant(cursor="repeats", empty_pages=2, next_link="unabridged", end_inclusive=True),
    ApiVariant(next_link="itself", empty_pages=2),
    ApiVariant(next_link="other_host", empty_pages=1, abridged_after_first=True, cursor="skips"),
]


@pytest.mark.parametrize("readings", ONE_BY_ONE, ids=str)
def test_under_each_reading_two_runs_leave_what_the_api_holds(variant: ApiVariant, tmp_path: Path) -> None:
    """The tables equal the truth, next to nothing is read twice, and the second run changes nothing."""
    cogniac = CogniacSimulator(3, CogniacSize(applications=1, records=250), variant=variant)
    with serving(cogniac) as plant:
        first = load(tmp_path, plant.cogniac_login)
        before = loaded(tmp_path)
        again = load(tmp_path, plant.cogniac_login)
        expected = expected_of(plant)

    read = [stats for stats in first.streams if stats.stream == "detections"]
    twice = {stats.partition: stats.fetched - stats.inserted for stats in read}
    assert (0, 0, []) == (first.exit_code, again.exit_code, sound(tmp_path))
    assert expected == stored(tmp_path)
    assert before == loaded(tmp_path)
    assert [] == rows(tmp_path, "etl.gaps")
    assert {} == {name: more for name, more in twice.items() if more > FEW * read[0].requests}


MOMENTS = st.sampled_from([0, 0.25, 0.75, 1, 1.5, 1.500001, 2, 100])
GROUPS = st.lists(st.tuples(MOMENTS, st.sampled_from([150, 1, 101, 60, 100, 99])), min_size=2, max_size=3)
ANY_READINGS = st.builds(
    ApiVariant,
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    clock_resolution=st.sampled_from(["microsecond", "second"]),
    cursor=st.sampled_from(["exact", "repeats", "skips"]),
    only_model_by_default=st.booleans(),
    empty_pages=st.integers(0, 3),
    next_link=st.sampled_from(["plain", "itself", "other_host", "unabridged"]),
    abridged_after_first=st.booleans(),
    last_key=st.integers(0, 3),
    listed_subjects=st.sampled_from(["all", "ten"]),
)


def is_whole(variant: ApiVariant, groups: Groups) -> bool:
    """Whether a client has a way to every record: no page leads to itself, no time has too many records."""
    if variant.next_link == "itself" and sum(many for _, many in groups) > 100:
        return False
    tied: Counter[float] = Counter()
    for after, many in groups:
        tied[variant.bound(T + after)] += many
    return variant.cursor != "skips" or max(tied.values(), default=0) < 200


@settings(max_examples=12 * LONGER)
@given(variant=ANY_READINGS, groups=GROUPS)
def test_ties_are_read_to_the_last_under_any_reading(variant: ApiVariant, groups: Groups) -> None:
    """Across page edges and on pages full of them: tables equal the truth, or gaps name what is missing."""
    with serving(holding(*groups, variant=variant)) as plant, TemporaryDirectory() as folder:
        home = Path(folder)
        first = load(home, plant.cogniac_login)
        before = loaded(home)
        load(home, plant.cogniac_login)

        assert ([], []) == (sound(home), silently_lost(home, plant))
        assert before == loaded(home)
        if is_whole(variant, groups):
            assert expected_of(plant) == stored(home)
            assert (0, []) == (first.exit_code, rows(home, "etl.gaps"))


# Neurons


def known(home: Path) -> dict[str, tuple[str, str]]:
    """The states of the media that are not marked as gone."""
    found = rows(home, "neurons.media")
    return {row["media_id"]: (row["status"], row["aoi_status"]) for row in found if "deleted_at" not in row}


def gone(home: Path) -> set[str]:
    """The media that are marked as gone."""
    return {row["media_id"] for row in rows(home, "neurons.media")} - known(home).keys()


def confirm_deletions(home: Path) -> None:
    """Let the next run mark what runs hold back."""
    found = config.load((), {"SIGHTGLASS_HOME": str(home)}, file=Path(os.devnull))
    pipeline.confirm(found, "deletions", "neurons", datetime.now(UTC))


def differing(home: Path, plant: Plant) -> list[Any]:
    """Where the tables are not what Neurons says now: media, their metrics and files, rows of files."""
    truth = Truth.now(plant)
    there = known(home)
    media = {one["media_id"]: (one["status"], one["aoi_status"]) for one in truth.media}
    metrics = {(one["media_id"], name): at for one in truth.media for name, at in one["metrics"].items()}
    found = [row for row in rows(home, "neurons.media_metrics") if row["media_id"] in there]
    files = {key: sha256(body).hexdigest() for key, body in truth.files.items()}
    assets = [row for row in rows(home, "neurons.assets") if row["media_id"] in there and "sha256" in row]
    framed = {key for key in files if key[1] in ("metrics", "frt_frame_metrics")}
    frames = {(row["media_id"], row["asset"]) for row in rows(home, "neurons.frame_metrics")}
    pairs = [
        (media, there),
        (metrics, {(row["media_id"], row["metric_raw"]): row["value"] for row in found}),
        (files, {(row["media_id"], row["asset"]): row["sha256"] for row in assets}),
        (framed, {key for key in frames if key[0] in there}),
        ([], sound(home)),
    ]
    return [pair for pair in pairs if pair[0] != pair[1]]


def each_of(change: Callable[[str], None], media_ids: Iterable[str]) -> None:
    """Change each of these media."""
    for media_id in media_ids:
        change(media_id)


SMALL = NeuronsSize(media=12, video_share=0.5, frames=(50, 60))


@pytest.mark.parametrize("nth", [2, 3])
@pytest.mark.parametrize("how_many", [1, 70])
def test_a_deletion_between_two_pages_of_the_list_hides_nothing(
    nth: int, how_many: int, tmp_path: Path
) -> None:
    """All that is still there is loaded although it has moved; a later run marks the rest."""
    neurons = NeuronsSimulator(2, NeuronsSize(media=230, video_share=0.02, frames=(50, 60)))
    first = neurons.media_ids()[:how_many]
    neurons.fault = Script(Rule(path="/media$", nth=nth, do=lambda: each_of(neurons.remove, first)))
    with serving(neurons=neurons) as plant:
        load(tmp_path, plant.neurons_login)
        neurons.fault.check()
        lacking = {*neurons.media_ids()} - known(tmp_path).keys()
        load(tmp_path, plant.neurons_login)
        if how_many > 1:
            assert set() == gone(tmp_path)
            confirm_deletions(tmp_path)
            load(tmp_path, plant.neurons_login)

        assert set() == lacking
        assert ({*first}, []) == (gone(tmp_path), differing(tmp_path, plant))


def test_a_prediction_is_followed_from_its_first_part_to_its_last(tmp_path: Path) -> None:
    """Partial, done, areas found silently, predicted anew: after each run the tables say just that."""
    neurons = NeuronsSimulator(1, SMALL)
    waiting = [one["media_id"] for one in neurons.truth() if one["status"] == "started"]
    searching = waiting[-1]
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: each_of(neurons.finish, waiting),
        lambda: neurons.finish_aois(searching, silently=True),
        lambda: neurons.rerun(searching),
        lambda: neurons.advance(media=3),
    ]
    with serving(neurons=neurons) as plant:
        for change in changes:
            change()
            assert 0 == load(tmp_path, plant.neurons_login).exit_code
            assert ([], set()) == (differing(tmp_path, plant), gone(tmp_path))


@pytest.mark.parametrize(
    "readings",
    [
        NeuronsVariant(repeats_every=2),
        NeuronsVariant(omits_every=2),
        NeuronsVariant(omits_every=3, repeats_every=2, envelope="bare"),
        NeuronsVariant(envelope="data"),
        NeuronsVariant(pagination_total=False),
        NeuronsVariant(ignores_offset=True, pagination_total=False),
        NeuronsVariant(list_results="absent", omits_every=4),
    ],
    ids=str,
)
def test_a_list_that_repeats_or_omits_marks_nothing_as_gone(variant: NeuronsVariant, tmp_path: Path) -> None:
    """What one listing leaves out is asked for by its id, and only what is answered 404 is marked."""
    neurons = NeuronsSimulator(1, SMALL, variant=variant)
    with serving(neurons=neurons) as plant:
        for _ in range(3):
            assert 0 == load(tmp_path, plant.neurons_login).exit_code
            assert (set(), []) == (gone(tmp_path), sound(tmp_path))
        assert [] == differing(tmp_path, plant)

        lost = neurons.media_ids()[0]
        neurons.remove(lost)
        load(tmp_path, plant.neurons_login)
        asked = [(seen.path.rpartition("/")[2], seen.status) for seen in neurons.requests]
        assert ({lost}, True, []) == (gone(tmp_path), (lost, 404) in asked, differing(tmp_path, plant))
