"""Under every reading of the APIs' documents, two runs of the pipeline leave what the APIs hold."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from conftest import as_read, rows, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from support.variants import (
    LONGER,
    SMALL,
    T,
    confirm_deletions,
    differing,
    expected_of,
    gone,
    holding,
    known,
    load,
    silently_lost,
    sound,
    stored,
)

from etl import schema
from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import Rule, Script

MOST_TIMES_THE_REQUESTS = 5
"""Records a page that may come again."""
Groups = list[tuple[float, int]]
EVERYTHING = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {} ORDER BY ALL"


def loaded(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every API, with its lineage."""
    kept = [each.qualified for name in ("cogniac", "neurons") for each in schema.source(name).tables.values()]
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        every = {name: EVERYTHING.format(as_read(name)) for name in kept}
        return {name: connection.execute(query).fetchall() for name, query in every.items()}


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


@pytest.mark.parametrize("variant", ONE_BY_ONE, ids=str)
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
    assert {} == {
        name: more for name, more in twice.items() if more > MOST_TIMES_THE_REQUESTS * read[0].requests
    }


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


@settings(max_examples=4 * LONGER)
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


def each_of(change: Callable[[str], None], media_ids: Iterable[str]) -> None:
    """Change each of these media."""
    for media_id in media_ids:
        change(media_id)


@pytest.mark.parametrize("groups", [[(0, 250), (1, 250), (2, 250)], [(0, 50), (1, 130), (2, 130), (3, 250)]])
def test_ties_of_neighbouring_seconds_are_read_or_named(tmp_path: Path, groups: Groups) -> None:
    """Where bounds include what they name, the page after one second begins right with the next."""
    includes = ApiVariant(start_inclusive=True, end_inclusive=True, clock_resolution="second", cursor="skips")
    with serving(holding(*groups, variant=includes)) as plant:
        report = load(tmp_path, plant.cogniac_login)

        assert (0, []) == (report.exit_code, silently_lost(tmp_path, plant))


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
    "variant",
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
