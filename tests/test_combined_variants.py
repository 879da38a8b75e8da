"""ApiVariant of Cogniac's documents in combination: what a client may rely on whichever of them are true."""

from itertools import count

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cogniac_simulator import Param, logged_in
from support.cogniac_variants import EMPTY, MOST_PAGES, T, holding

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator

ANY_READINGS = st.builds(
    ApiVariant,
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    clock_resolution=st.sampled_from(["microsecond", "second"]),
    cursor=st.sampled_from(["exact", "repeats"]),
    only_model_by_default=st.booleans(),
    empty_pages=st.integers(0, 3),
    next_link=st.sampled_from(["plain", "itself", "other_host", "unabridged"]),
    abridged_after_first=st.booleans(),
    last_key=st.integers(0, 3),
    listed_subjects=st.sampled_from(["all", "ten"]),
)
"""Every combination in which no page edge loses a record."""
MOMENTS = st.lists(st.sampled_from([T, T + 0.25, T + 0.75, T + 1.5, T + 1.500001, T + 2]), max_size=9)
QUESTIONS = st.fixed_dictionaries(
    {"limit": st.integers(1, 4), "reverse": st.booleans(), "abridged_media": st.booleans()},
    optional={"start": st.just(T - 1), "end": st.just(T + 3)},
)


def test_following_next_yields_every_record_under_any_reading_that_loses_none() -> None:
    """Each at least once, exactly once by exact cursors; where `next` names its own page, it always does."""
    simulator = CogniacSimulator(1, EMPTY)
    fresh = (f"application {number}" for number in count())
    with logged_in(simulator) as client:

        @settings(max_examples=150)
        @given(ANY_READINGS, MOMENTS, QUESTIONS)
        def holds(variant: ApiVariant, moments: list[float], params: dict[str, Param]) -> None:
            simulator.variant = variant
            application_id = holding(simulator, *moments, name=next(fresh))
            found = following(client, application_id, variant, params)
            if found is None:
                return
            expected = sorted(f"m{number}" for number in range(len(moments)))
            assert sorted({*found}) == expected
            assert variant.cursor == "repeats" or sorted(found) == expected

        holds()


def following(
    client: httpx.Client, application_id: str, variant: ApiVariant, params: dict[str, Param]
) -> list[str] | None:
    """The ids of all media by following `next`; None where that leads nowhere."""
    answer = client.get(f"1/applications/{application_id}/detections", params=params)
    found = []
    for _ in range(MOST_PAGES):
        body = answer.json()
        found += [record["media"]["media_id"] for record in body["data"]]
        link = body["paging"].get("next")
        if link is None:
            return found
        if variant.next_link == "itself":
            assert link == str(answer.url)
            return None
        assert link != str(answer.url)
        answer = client.get(link)
    raise AssertionError(link)
