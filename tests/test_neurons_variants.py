"""Every reading of Neurons' documents that the simulator knows, alone and with others, over real sockets."""

from collections.abc import Callable
from typing import Literal

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.neurons_simulator import Record, served
from support.neurons_variants import LIST, TEN_MEDIA, ids

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import Clock


def state(simulator: NeuronsSimulator, media_id: str) -> Record:
    """One medium as it is now."""
    return next(medium for medium in simulator.truth() if medium["media_id"] == media_id)


@pytest.mark.parametrize(("told", "expected"), [(True, {"total": 10}), (False, {})])
def test_the_length_of_the_list_may_be_told_or_not(*, told: bool, expected: dict[str, int]) -> None:
    """With `pagination_total` the answer says how many media there are, without it only which part it is."""
    simulator = NeuronsSimulator(size=TEN_MEDIA, variant=NeuronsVariant(pagination_total=told))
    with served(simulator) as client:
        body = client.get(LIST, params={"limit": 3, "offset": 6}).json()

    assert body["pagination"] == {**expected, "offset": 6, "limit": 3}
    assert len(body["media"]) == 3


def test_elements_of_the_list_may_lack_results() -> None:
    """Under `absent` the list shows media without their results, and the answer about one shows them."""
    simulator = NeuronsSimulator(size=TEN_MEDIA, variant=NeuronsVariant(list_results="absent"))
    with served(simulator) as client:
        listed = client.get(LIST).json()["media"]
        asked = [client.get(f"{LIST}/{medium['media_id']}").json() for medium in listed]

    assert all("results" not in medium for medium in listed)
    assert [{**medium, "results": list(medium["results"])} for medium in asked] == list(simulator.truth())


@pytest.mark.parametrize("envelope", ["pagination", "bare", "data"])
def test_the_list_may_be_whole_whatever_is_asked(envelope: Literal["pagination", "bare", "data"]) -> None:
    """A service that ignores `offset` sends all of the list each time."""
    variant = NeuronsVariant(envelope=envelope, ignores_offset=True)
    simulator = NeuronsSimulator(size=TEN_MEDIA, variant=variant)
    with served(simulator) as client:
        answers = [ids(client), ids(client, offset=5), ids(client, offset=5, limit=2), ids(client, offset=50)]
        body = client.get(LIST, params={"offset": 5}).json()

    assert answers == [simulator.media_ids()] * 4
    if envelope == "pagination":
        assert body["pagination"] == {"total": 10, "offset": 0, "limit": 10}


def test_elements_may_be_repeated() -> None:
    """Every so many elements one comes twice in a row, so that an answer is longer than asked for."""
    simulator = NeuronsSimulator(size=TEN_MEDIA, variant=NeuronsVariant(repeats_every=2))
    a, b, c, d, e, *_ = simulator.media_ids()
    with served(simulator) as client:
        assert ids(client, limit=5) == [a, b, b, c, d, d, e]
        assert ids(client, limit=2, offset=3) == [d, e, e]


def test_elements_may_be_left_out_another_in_each_listing() -> None:
    """Every so many elements one is missing; the next listing has it, and misses another."""
    simulator = NeuronsSimulator(size=TEN_MEDIA, variant=NeuronsVariant(omits_every=3))
    a, b, c, d, e, f, *_ = simulator.media_ids()
    with served(simulator) as client:
        listings = [[ids(client, limit=3), ids(client, limit=3, offset=3)] for _ in range(4)]
        one = client.get(f"{LIST}/{c}")

    assert listings == [
        [[a, b], [d, e]],
        [[a, c], [d, f]],
        [[b, c], [e, f]],
        [[a, b], [d, e]],
    ]
    assert one.status_code == 200
    with pytest.raises(ValueError, match="a list that omits every element says nothing"):
        NeuronsVariant(omits_every=1)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_links_expire_by_the_clock_in_any_way(status: Literal[403, 404, 410]) -> None:
    """After so many seconds of the simulator's clock a link is refused, and a new one opens the file."""
    clock = Clock(1790000000.0)
    simulator = NeuronsSimulator(
        size=TEN_MEDIA, variant=NeuronsVariant(expired_status=status), clock=clock, link_lifetime=7
    )
    path = f"{LIST}/{simulator.media_ids()[0]}"
    with served(simulator) as client:
        link = client.get(path).json()["results"]["heat"]
        clock.advance(7)
        assert httpx.get(link).status_code == 200
        clock.advance(1)
        assert httpx.get(link).status_code == status
        assert httpx.get(client.get(path).json()["results"]["heat"]).status_code == 200


def test_a_medium_predicted_again_has_other_numbers_and_files() -> None:
    """Its metrics, the bytes of its assets and its time change, and nothing else does."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=10, video_share=0.5, frames=(50, 60)))
    done = [medium for medium in simulator.truth() if medium["status"] == "done"]
    for kind in ("image", "video"):
        old = next(medium for medium in done if medium["type"] == kind)
        media_id = old["media_id"]
        files = {name: simulator.asset_bytes(media_id, name) for name in old["results"]}
        for at in (None, 1790000000.0):
            before = state(simulator, media_id)
            simulator.rerun(media_id, at)
            new = state(simulator, media_id)
            changed = {name for name in new if new[name] != before[name]}
            assert changed == {"metrics", "updated_at"}
        assert new["updated_at"] == "2026-09-21T14:13:20Z"
        assert all(simulator.asset_bytes(media_id, name) != content for name, content in files.items())
    with pytest.raises(LookupError, match="there is no generated medium none"):
        simulator.rerun("none")


def test_a_prediction_ends_before_the_search_for_areas_of_interest() -> None:
    """First the medium is done with its own assets, then its areas are, with theirs, where it has any."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=10, video_share=0.5, frames=(50, 60)))
    waiting = waiting_in(simulator)

    simulator.finish(waiting)
    done = state(simulator, waiting)
    simulator.finish_aois(waiting, silently=True)
    silent = state(simulator, waiting)

    assert (done["status"], done["aoi_status"], len(done["results"])) == ("done", "started", 5)
    assert (silent["status"], silent["aoi_status"], len(silent["results"])) == ("done", "done", 8)
    assert silent["updated_at"] == done["updated_at"]
    for change, message in (
        (simulator.finish, "the prediction of .* has ended before"),
        (simulator.finish_aois, "nobody is looking for areas of interest in"),
    ):
        refuses(change, waiting, message)

    plain = NeuronsSimulator(size=TEN_MEDIA)
    waiting = waiting_in(plain)
    plain.finish(waiting)
    assert (state(plain, waiting)["status"], state(plain, waiting)["aoi_status"]) == ("done", "unspecified")


def waiting_in(simulator: NeuronsSimulator) -> str:
    """The medium of which nothing is known yet."""
    found: str = next(
        medium["media_id"]
        for medium in simulator.truth()
        if (medium["status"], medium["results"]) == ("started", [])
    )
    return found


def refuses(change: Callable[[str], None], media_id: str, message: str) -> None:
    """A change that cannot happen says why."""
    with pytest.raises(ValueError, match=message):
        change(media_id)


def test_the_end_of_the_search_for_areas_may_be_seen_in_the_time() -> None:
    """Unless it is silent, `updated_at` moves when the assets of the areas appear."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    media_id = [medium["media_id"] for medium in simulator.truth() if medium["aoi_status"] == "started"][-1]
    before = state(simulator, media_id)

    simulator.finish_aois(media_id)

    after = state(simulator, media_id)
    assert after["updated_at"] > before["updated_at"]
    assert {*after["results"]} - {*before["results"]} == {
        "aoi_scores",
        "brand_detection",
        "brand_detection_metrics",
    }


ANY_READINGS = st.builds(
    NeuronsVariant,
    envelope=st.sampled_from(["pagination", "bare", "data"]),
    pagination_total=st.booleans(),
    list_results=st.sampled_from(["full", "absent"]),
    ignores_offset=st.booleans(),
    repeats_every=st.integers(0, 3),
    omits_every=st.sampled_from([0, 2, 3]),
)


def test_two_listings_show_every_medium_under_any_reading() -> None:
    """One is enough where nothing is left out, and then only what is repeated comes more than once."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    everything = simulator.media_ids()
    with served(simulator) as client:

        @settings(max_examples=60)
        @given(ANY_READINGS, st.integers(1, 12))
        def holds(variant: NeuronsVariant, limit: int) -> None:
            simulator.variant = variant
            listings = [
                [
                    media_id
                    for offset in range(0, 1 if variant.ignores_offset else len(everything), limit)
                    for media_id in ids(client, limit=limit, offset=offset)
                ]
                for _ in range(2)
            ]
            assert {*listings[0], *listings[1]} == {*everything}
            if not variant.omits_every:
                assert [*dict.fromkeys(listings[0])] == everything
                assert variant.repeats_every or listings[0] == everything

        holds()
