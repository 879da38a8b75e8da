"""Examples that failed once, and what is missing for good: lost in silence it must never be."""

from pathlib import Path

import pytest
from conftest import rows, serving
from support.variants import (
    SMALL,
    T,
    differing,
    expected_of,
    gone,
    holding,
    load,
    silently_lost,
    sound,
    stored,
)

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator
from etl.demo.script import FOREVER, Answer, Rule, Script

SKIPS = ApiVariant(cursor="skips")
COARSE = ApiVariant(cursor="skips", clock_resolution="second")
COARSE_FROM = ApiVariant(cursor="skips", clock_resolution="second", start_inclusive=True)


@pytest.mark.parametrize(
    ("variant", "groups"),
    [
        pytest.param(SKIPS, [(0, 1), (1, 150)], id="ties at the very end"),
        pytest.param(
            ApiVariant(cursor="skips", empty_pages=1), [(1, 150), (2, 1)], id="the other end is empty"
        ),
        pytest.param(SKIPS, [(0.001, 99), (0.002, 5), (5, 1)], id="ties after others of one hundredth"),
        pytest.param(COARSE_FROM, [(1, 60), (2, 60), (5, 1)], id="two seconds that fill a page together"),
    ],
)
def test_ties_that_a_strict_cursor_skips_are_read(
    variant: ApiVariant, groups: list[tuple[float, int]], tmp_path: Path
) -> None:
    """Wherever on a page they begin, and whether anything follows them or not."""
    with serving(holding(*groups, variant=variant)) as plant:
        code = load(tmp_path, plant.cogniac_login).exit_code

        assert (0, [], []) == (code, rows(tmp_path, "etl.gaps"), sound(tmp_path))
        assert expected_of(plant) == stored(tmp_path)


@pytest.mark.parametrize(
    ("variant", "groups"),
    [
        pytest.param(COARSE, [(1, 260)], id="more than two pages at the very end"),
        pytest.param(
            ApiVariant(cursor="skips", end_inclusive=True),
            [(1.5, 150), (1.500001, 60), (3, 1)],
            id="a microsecond",
        ),
        pytest.param(ApiVariant(next_link="itself"), [(1, 150)], id="a full page names itself"),
        pytest.param(
            ApiVariant(next_link="itself"), [(1, 150), (2, 1)], id="a full page before others names itself"
        ),
    ],
)
def test_ties_that_cannot_be_reached_are_named(
    variant: ApiVariant, groups: list[tuple[float, int]], tmp_path: Path
) -> None:
    """What is not in the tables is in `etl.gaps`, by its time or by its stream."""
    with serving(holding(*groups, variant=variant)) as plant:
        load(tmp_path, plant.cogniac_login)

        assert ([], []) == (silently_lost(tmp_path, plant), sound(tmp_path))


def test_a_page_that_was_empty_before_is_not_taken_for_the_last(tmp_path: Path) -> None:
    """Where `next` names its own page, and that comes empty at first, what it then holds leads on."""
    variant = ApiVariant(next_link="itself", empty_pages=2)
    with serving(CogniacSimulator(3, CogniacSize(applications=1, records=250), variant=variant)) as plant:
        code = load(tmp_path, plant.cogniac_login).exit_code

        assert (0, expected_of(plant)) == (code, stored(tmp_path))


def test_a_page_that_no_client_can_leave_is_a_gap(tmp_path: Path) -> None:
    """An empty page whose `next` names itself ends in exit code 3, and the stream is named, run after run."""
    cogniac = holding((0, 3), variant=ApiVariant(next_link="itself", empty_pages=1))
    with serving(cogniac) as plant:
        codes = [load(tmp_path, plant.cogniac_login).exit_code for _ in range(2)]
        named = [(row["stream"], row["key"]) for row in rows(tmp_path, "etl.gaps")]
        cogniac.variant = ApiVariant()
        codes.append(load(tmp_path, plant.cogniac_login).exit_code)

        assert ([3, 3, 0], [("detections", "some")]) == (codes, named)
        assert (expected_of(plant), []) == (stored(tmp_path), rows(tmp_path, "etl.gaps"))


@pytest.mark.parametrize(("many", "gaps"), [(101, []), (199, []), (201, ["some at 1772600001000000"])])
def test_what_a_skipping_cursor_hides_is_a_gap_that_stays(many: int, gaps: list[str], tmp_path: Path) -> None:
    """Up to two pages of one second are read from both ends; of more, the middle is named run after run."""
    cogniac = holding(
        (0, 1), (1.5, many), (9, 1), variant=ApiVariant(cursor="skips", clock_resolution="second")
    )
    with serving(cogniac) as plant:
        for _ in range(2):
            assert 0 == load(tmp_path, plant.cogniac_login).exit_code
            assert gaps == [row["key"] for row in rows(tmp_path, "etl.gaps")]
            assert ([], []) == (sound(tmp_path), silently_lost(tmp_path, plant))
            assert 2 + min(many, 200) == len(rows(tmp_path, "cogniac.results"))


def test_an_abridged_medium_wipes_nothing(tmp_path: Path) -> None:
    """Where later pages are abridged, and the media cannot be asked for, what is known of them stays."""
    cogniac = holding((0, 1), (1, 150))
    with serving(cogniac) as plant:
        load(tmp_path, plant.cogniac_login)
        cogniac.variant = ApiVariant(abridged_after_first=True)
        cogniac.fault = Script(Rule(path="/1/media/", times=FOREVER, answer=Answer(status=404)))
        cogniac.bump("some", "m150", at=T + 1)
        load(tmp_path, plant.cogniac_login)

        cogniac.fault.check()
        assert expected_of(plant) == stored(tmp_path)


def test_a_medium_deleted_before_its_files_are_fetched_is_no_gap_for_long(tmp_path: Path) -> None:
    """Between list and file it is a gap; the run after finds it gone, and nothing is missing any more."""
    neurons = NeuronsSimulator(1, SMALL)
    lost = next(one["media_id"] for one in neurons.truth() if "metrics" in one["results"])
    with serving(neurons=neurons) as plant:
        neurons.file_watch.fault = Script(Rule(path=lost, do=lambda: neurons.remove(lost)))
        codes = [load(tmp_path, plant.neurons_login).exit_code]
        gaps = {row["key"].partition("/")[0] for row in rows(tmp_path, "etl.gaps")}
        codes.append(load(tmp_path, plant.neurons_login).exit_code)

        still = {row["key"].partition("/")[0] for row in rows(tmp_path, "etl.gaps")}
        assert ([0, 0], True, False) == (codes, lost in gaps, lost in still)
        assert ({lost}, []) == (gone(tmp_path), differing(tmp_path, plant))


def test_a_medium_that_comes_back_is_not_gone_any_more(tmp_path: Path) -> None:
    """Its mark is taken away, although nothing else of it has changed."""
    neurons = NeuronsSimulator(1, SMALL)
    medium = next(one for one in neurons.truth() if one["type"] == "image")
    with serving(neurons=neurons) as plant:
        load(tmp_path, plant.neurons_login)
        neurons.remove(medium["media_id"])
        load(tmp_path, plant.neurons_login)
        between = gone(tmp_path)
        neurons.put({**medium, "results": {}})
        load(tmp_path, plant.neurons_login)

        assert ({medium["media_id"]}, set()) == (between, gone(tmp_path))
        assert [] == differing(tmp_path, plant)
