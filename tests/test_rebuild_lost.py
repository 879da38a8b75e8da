"""A part of the log is lost that had taken rows away: what stood stays, and what nobody can tell is named."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from conftest import Row, Sightglass, rows
from hostile import MEDIA, Answer, Request, Said, medium, serving
from support.tables import differing, everything

FIRST, SECOND = "2026-05-01T10:05:00Z", "2026-05-02T10:05:00Z"
LEFT_OUT = "1 of neurons.assets"


def damage(home: Path, number: int) -> None:
    """Flip a byte in the media that a part brought."""
    (path,) = (home / "raw" / "neurons" / "media").rglob(f"{number:08}-*")
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 255
    path.write_bytes(body)


@pytest.fixture
def dropped(tmp_path: Path) -> Iterator[Sightglass]:
    """A warehouse of two runs, the second of which took away a file that was not offered any more."""
    state: Row = {}

    def listed(request: Request) -> Said:
        links = {
            each: f"http://{request.headers['Host']}/files/{each}?signature=s" for each in state["names"]
        }
        about = medium(0, results=links, updated_at=state["at"])
        return about if request.path != MEDIA else {"media": [about], "pagination": {"total": 1}}

    answers = {MEDIA: listed, f"{MEDIA}/.*": listed, "/files/.*": lambda _: Answer(b'[{"focus": 1}]')}
    with serving(answers) as server:
        settings = {"NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url}
        command = Sightglass(tmp_path, {**settings, "SIGHTGLASS_RAW_DAYS": "forever"})
        for names, at in ((["metrics", "frt_frame_metrics"], FIRST), (["metrics"], SECOND)):
            state |= {"names": names, "at": at}
            assert command("run").code == 0
        yield command


def test_what_a_lost_part_took_away_stays_away(dropped: Sightglass) -> None:
    """The tables are what they were, and what is left out of them is named."""
    before = everything(dropped.home)
    damage(dropped.home, 2)
    ran = dropped("rebuild", "--json")

    assert (0, {}) == (ran.code, differing(before, everything(dropped.home)))
    assert {"neurons.assets": 1} == ran.report["withheld"]
    assert f"that may have taken them away: {LEFT_OUT}" in ran.err


def test_a_repair_of_the_log_brings_nothing_back(dropped: Sightglass) -> None:
    """Sound tables are not called wrong for a part that is lost."""
    before = everything(dropped.home)
    damage(dropped.home, 2)
    found, repaired = dropped("verify", "--json"), dropped("repair")
    differ, again = differing(before, everything(dropped.home)), dropped("verify")

    assert ["log"] == [each["place"] for each in found.report["differences"]]
    assert (0, {}, 0) == (repaired.code, differ, again.code)
    assert f"rows that these give and the tables do not hold: {LEFT_OUT}" in again.err


def test_rows_that_a_warehouse_lost_come_back_from_parts_after_the_lost_one(dropped: Sightglass) -> None:
    """Nothing that came later can have taken them away."""
    damage(dropped.home, 1)
    before = everything(dropped.home)
    with duckdb.connect(dropped.home / "warehouse.duckdb") as connection:
        connection.execute("DELETE FROM neurons.media_metrics")
        connection.execute("DELETE FROM neurons.media")
    ran = dropped("rebuild", "--json")

    assert (0, {}) == (ran.code, ran.report["withheld"])
    assert before["neurons.media"] == everything(dropped.home)["neurons.media"]


def test_a_table_that_is_new_is_filled_although_a_part_is_lost(dropped: Sightglass) -> None:
    """That the former warehouse has no row of it is no sign that any was taken away."""
    with duckdb.connect(dropped.home / "warehouse.duckdb") as connection:
        connection.execute("DROP TABLE neurons.assets")
    damage(dropped.home, 2)
    ran = dropped("rebuild", "--json")

    assert (0, {}) == (ran.code, ran.report["withheld"])
    assert {"metrics", "frt_frame_metrics"} == {row["asset"] for row in rows(dropped.home, "neurons.assets")}


@pytest.mark.parametrize(("lost", "state"), [([], "replayed"), ([2], "open")])
def test_what_is_accepted_now_is_listed_as_loaded_where_it_surely_is(
    dropped: Sightglass, lost: list[int], state: str
) -> None:
    """Where its rows may be left out, a replay can still load them."""
    with duckdb.connect(dropped.home / "warehouse.duckdb") as connection:
        connection.execute(
            "INSERT INTO etl.quarantine BY NAME SELECT 'q' AS quarantine_id, min(run_id) AS run_id, "
            "'record' AS kind, 'neurons' AS source, 'media' AS stream, '' AS partition, '' AS reason, "
            "'$' AS path, '{}' AS record, 'utf-8' AS encoding, '{}' AS context, 'open' AS state, "
            "now() AS seen_at FROM etl.runs"
        )
    for number in lost:
        damage(dropped.home, number)
    dropped("rebuild")

    assert [state] == [row["state"] for row in rows(dropped.home, "etl.quarantine")]
