"""Every reading of Cogniac's documents that the simulator knows, alone and with others, over real sockets."""

from typing import Literal

import httpx
import pytest
from support.cogniac_simulator import SMALL, Param, Record, logged_in, pages, tied
from support.cogniac_variants import EMPTY, MOST_PAGES, T, first_page, holding, names

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize


def test_records_put_at_one_time_share_it() -> None:
    """A record without a time of its own gets the one that it is put at, and so may any number of others."""
    simulator = CogniacSimulator(1, EMPTY)
    application_id = holding(simulator, *[T + 0.25] * 5)

    assert [record["updated_at"] for record in simulator.truth(application_id)] == [T + 0.25] * 5


@pytest.mark.parametrize(
    ("times", "params", "expected"),
    [
        ((0.001, 0.002, 0.008), {"end": T + 0.006}, ["m0", "m1", "m2"]),
        ((0.001, 0.102), {"end": T + 0.104}, ["m0", ""]),
        ((0.001, 0.008, 0.103), {"start": T + 0.006, "reverse": True}, ["m2", ""]),
    ],
)
def test_a_bound_that_next_reprints_is_that_of_all_later_pages(
    times: tuple[float, ...], params: dict[str, Param], expected: list[str]
) -> None:
    """Rounded to two decimals, it lets through what was to be excluded, or loses what was to be included."""
    simulator = CogniacSimulator(1, EMPTY)
    with logged_in(simulator) as client:
        application_id = holding(simulator, *(T + time for time in times))

        assert names(pages(client, application_id, limit=1, **params)) == expected


@pytest.mark.parametrize(
    ("params", "inclusive", "expected"),
    [
        ({}, False, "m0m1m2"),
        ({"start": T + 0.5}, False, "m2"),
        ({"start": T + 0.5}, True, "m0m1m2"),
        ({"end": T + 1.9}, False, "m0m1"),
        ({"end": T + 1.0}, True, "m0m1m2"),
    ],
)
def test_a_coarse_clock_serves_and_compares_whole_seconds(
    params: dict[str, Param], expected: str, *, inclusive: bool
) -> None:
    """Times and bounds are rounded down before they are compared, and times before they are served."""
    variant = ApiVariant(
        clock_resolution="second",
        start_inclusive=inclusive,
        end_inclusive=inclusive,
    )
    simulator = CogniacSimulator(1, EMPTY, variant=variant)
    with logged_in(simulator) as client:
        application_id = holding(simulator, T + 0.2, T + 0.7, T + 1.1)
        (page,) = pages(client, application_id, **params)

    assert names([page]) == [expected]
    assert all(record["updated_at"] in {T, T + 1} for record in page)
    assert [record["updated_at"] for record in simulator.truth(application_id)] == [T, T, T + 1]


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        ("exact", ["m0m1", "m2m3", "m4"]),
        ("skips", ["m0m1", "m4"]),
        ("repeats", ["m0m1", "m1m2", "m3m4"]),
    ],
)
def test_a_coarse_clock_ties_what_lay_apart(
    cursor: Literal["exact", "skips", "repeats"], expected: list[str]
) -> None:
    """Records of one second are told apart at a page edge, skipped, or sent again, by the reading."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(clock_resolution="second", cursor=cursor))
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 1.1, T + 1.2, T + 1.3, T + 2.5)

        assert names(pages(client, application_id, limit=2)) == expected


def test_a_coarse_clock_is_that_of_associations_too() -> None:
    """A subject's media are dated in whole seconds like everything else."""
    simulator = CogniacSimulator(1, SMALL, variant=ApiVariant(clock_resolution="second"))
    uid = simulator.subjects()[0]["subject_uid"]
    with logged_in(simulator) as client:
        found = client.get(f"1/subjects/{uid}/media").json()["data"]
        media_id = found[0]["media"]["media_id"]
        found += client.get(f"1/media/{media_id}/subjects").json()["data"]

    assert {one["subject"]["updated_at"] % 1 for one in found} == {0}


def test_the_skipping_cursor_skips_the_rest_of_the_ties_wherever_they_end() -> None:
    """Whether ties begin in the middle of a page or fill several, what is left of them is never sent."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(cursor="skips"))
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, *[T + 1.5] * 6, T + 3)

        assert names(pages(client, application_id, limit=2)) == ["m0m1", "m7"]
        assert names(pages(client, application_id, limit=2, start=T + 1)) == ["m1m2", "m7"]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, ["", "m0m1", "", "m2m3", "", "m4"]),
        (2, ["m0m1", "", "m2m3", "m4"]),
        (3, ["m0m1", "m2m3", "", "m4"]),
    ],
)
@pytest.mark.parametrize("reverse", [True, False])
def test_an_empty_page_leads_on(*, every: int, expected: list[str], reverse: bool) -> None:
    """Every so many pages one holds nothing, and its `next` leads to what it should have held."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(empty_pages=every))
    with logged_in(simulator) as client:
        times = [T, T + 1, T + 1, T + 1, T + 2]
        application_id = holding(simulator, *(times[::-1] if reverse else times))
        found = pages(client, application_id, limit=2, reverse=reverse)

    if reverse:
        # Of equal times the one that was put first comes last.
        expected = [page.translate(str.maketrans("123", "321")) for page in expected]
    assert names(found) == expected


def test_an_empty_list_needs_no_empty_page() -> None:
    """Where nothing is left, no page leads anywhere."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(empty_pages=1))
    with logged_in(simulator) as client:
        assert first_page(client, holding(simulator)) == {"data": [], "paging": {}}


def test_next_may_name_its_own_page_for_ever() -> None:
    """Under `itself`, every page but the last names the address it was asked by."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(next_link="itself"))
    with logged_in(simulator) as client:
        path = f"1/applications/{tied(simulator, 3)}/detections"
        for asked in (f"{path}?limit=2", f"{path}?&start=5&limit=1", path):
            first = client.get(asked).json()
            link = first["paging"].get("next")
            if asked == path:
                assert link is None
            else:
                assert link == f"{client.base_url}{asked}"
                assert client.get(link).json() == first


def test_next_may_name_another_host() -> None:
    """Under `other_host`, only the name of the host is another; who follows arrives, and is in the log."""
    simulator = CogniacSimulator(1, EMPTY, variant=ApiVariant(next_link="other_host"))
    with logged_in(simulator) as client:
        application_id = tied(simulator, 3)
        link = httpx.URL(first_page(client, application_id, limit=2)["paging"]["next"])
        found = pages(client, application_id, limit=2)

    assert (link.host, link.port) == ("localhost", client.base_url.port)
    assert link.path == f"/1/applications/{application_id}/detections"
    assert names(found) == ["m0m1", "m2"]
    assert simulator.requests[-1].headers["host"] == f"localhost:{link.port}"


@pytest.mark.parametrize(
    ("variant", "asked", "expected"),
    [
        (ApiVariant(), True, [True, True]),
        (ApiVariant(next_link="unabridged"), True, [True, False]),
        (ApiVariant(next_link="unabridged"), False, [False, False]),
        (ApiVariant(abridged_after_first=True), False, [False, True]),
    ],
)
def test_later_pages_may_be_abridged_otherwise_than_the_first(
    variant: ApiVariant, expected: list[bool], *, asked: bool
) -> None:
    """`next` may forget that abridged media were asked for; later pages may abridge unasked."""
    simulator = CogniacSimulator(1, EMPTY, variant=variant)
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 1)
        found = pages(client, application_id, limit=1, abridged_media=asked)

    assert [[*page[0]["media"]] == ["media_id"] for page in found] == expected


def test_lists_by_name_may_be_paged_unasked() -> None:
    """With a page size of its own the service pages applications and subjects, and a smaller limit counts."""
    simulator = CogniacSimulator(1, CogniacSize(applications=6, records=0), variant=ApiVariant(last_key=4))
    with logged_in(simulator) as client:
        path = "1/tenants/current/"
        first = client.get(f"{path}applications").json()
        rest = client.get(f"{path}applications", params={"last_key": first["last_key"]}).json()
        fewer = client.get(f"{path}applications?limit=3").json()
        more = client.get(f"{path}applications?limit=100").json()
        subjects = by_last_key(client, f"{path}subjects")
        uids = [one["subject_uid"] for one in simulator.subjects()]
        asked = client.get(f"{path}subjects", params={"ids": ",".join(uids)}).json()

    assert [*first["data"], *rest["data"]] == simulator.applications()
    assert [len(one["data"]) for one in (first, rest, fewer, more)] == [4, 2, 3, 4]
    assert "last_key" not in rest
    assert [len(page) for page in subjects] == [4, 4, 4]
    assert asked == {"data": [one for page in subjects for one in page]} == {"data": simulator.subjects()}


def by_last_key(client: httpx.Client, path: str) -> list[list[Record]]:
    """Every page of a list, by `last_key`."""
    found: list[list[Record]] = []
    params: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        body = client.get(path, params=params).json()
        found.append(body["data"])
        if "last_key" not in body:
            return found
        params = {"last_key": body["last_key"]}
    raise AssertionError(path)


def test_subjects_may_be_listed_in_part() -> None:
    """Under `ten` the list holds ten and no more, while all are there for who names them."""
    simulator = CogniacSimulator(
        1, CogniacSize(applications=12, records=0), variant=ApiVariant(listed_subjects="ten")
    )
    every = simulator.subjects()
    with logged_in(simulator) as client:
        path = "1/tenants/current/subjects"
        assert client.get(path).json() == {"data": every[:10]}
        assert client.get(f"{path}?limit=100").json() == {"data": every[:10]}
        ids = ",".join(one["subject_uid"] for one in every[8:])
        assert client.get(path, params={"ids": ids}).json() == {"data": every[8:]}
        simulator.variant = ApiVariant(listed_subjects="ten", last_key=6)
        assert by_last_key(client, path) == [every[:6], every[6:10]]
