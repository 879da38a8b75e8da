"""Media have no time of their own: which of several copies counts follows from what was sent alone."""

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.save import Bench, bench, page

from etl.sources import cogniac

Copy = tuple[str, int, str | None, bool, bool]
"""Of which medium, the time of its result, its title, whether it is full, and whether it is beside one."""

COPIES = st.tuples(
    st.sampled_from(["m1", "m2"]),
    st.integers(1, 3),
    st.sampled_from([None, "a", "b", "c"]),
    st.booleans(),
    st.booleans(),
)
MEDIA = "SELECT media_id, title, epoch(created_at) FROM cogniac.media WHERE media_id LIKE 'm%' ORDER BY ALL"
OF_THE_RUN = "SELECT CAST(COLUMNS(* EXCLUDE (_run_id, _loaded_at)) AS VARCHAR) FROM {} ORDER BY ALL"


def sent(number: int, copy: Copy) -> Any:  # noqa: ANN401 -- any JSON
    """A result, each of a region of its own, that carries a copy as its medium or as one beside it."""
    media_id, at, title, is_full, is_beside = copy
    medium = (
        {"media_id": media_id} | ({"title": title} if title else {}) | ({"created_at": 5} if is_full else {})
    )
    carried = (
        {"media": {"media_id": f"x{number}"}, "other_media": [medium]} if is_beside else {"media": medium}
    )
    return {**carried, "focus": {"frame": number}, "updated_at": at, "detections": []}


def tables(batches: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """All rows that records leave, batch after batch, without what each run writes anew."""
    made = bench("cogniac", cogniac)
    cog: Bench = next(made)
    for each in batches:
        cog.load(page(*each))
    found = {name: cog.rows(OF_THE_RUN.format(table.qualified)) for name, table in cog.source.tables.items()}
    found["shown"] = cog.rows(MEDIA)
    assert [] == list(made)
    return found


def winner(copies: Sequence[Copy], media_id: str) -> tuple[str | None, bool]:
    """What counts by the rule: title, and whether it is full."""
    found = [
        (full, bool(title) or full, at, title or "") for of, at, title, full, _ in copies if of == media_id
    ]
    is_full, _, _, title = max(found)
    return title or None, is_full


@settings(max_examples=6)
@given(st.lists(COPIES, min_size=1, max_size=6), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_of_arrival_does_not_matter(copies: list[Copy], chance: Any, size: int) -> None:  # noqa: ANN401
    """A full copy, then the newest, then the last in order counts, however records are shuffled and cut."""
    records = [sent(number, copy) for number, copy in enumerate(copies)]
    shuffled = chance.sample(records, len(records))

    expected = tables([records])
    assert expected == tables([shuffled[at : at + size] for at in range(0, len(shuffled), size)])
    assert expected == tables([[each] for each in shuffled] + [shuffled])
    told = {media_id: (title, at is not None) for media_id, title, at in expected["shown"]}
    assert {media_id: winner(copies, media_id) for media_id in told} == told


def test_every_order_of_contradictory_copies_tells_the_same() -> None:
    """A copy that came again makes it newer: what another result said in between does not count later."""
    copies: list[Copy] = [
        ("m1", 1, "a", True, False),
        ("m1", 2, "b", True, True),
        ("m1", 3, "a", True, False),
        ("m1", 3, None, False, True),
    ]
    records = [sent(number, copy) for number, copy in enumerate(copies)]

    found = [tables([[each] for each in order])["shown"] for order in itertools.permutations(records)]
    assert [[("m1", "a", 5.0)]] * 24 == found
