"""`sightglass forget` where somebody listens, or where a kill has left something in the inbox."""

from pathlib import Path

import pytest
from conftest import Plant, Sightglass, table
from support.folders import holding
from support.kills import Moment, at_a_call, died
from support.posts import AT, post, posted

from etl.inbox.writer import BUSY_BYTES, InboxWriter, Post

AT_A_SYNC = at_a_call("etl.inbox.writer", "owner", "sync")


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone; what is received is kept."""
    return Sightglass(tmp_path, {**plant.cogniac_login, "SIGHTGLASS_RAW_DAYS": "forever"})


def test_a_listener_that_has_nothing_to_write_does_not_hold_it_up(sightglass: Sightglass) -> None:
    """It keeps a file ready for the next posts, for as long as none come."""
    posted(sightglass.home, post("medium-to-go", ("dog", 0.9, AT)), post("another", ("dog", 0.9, AT)))
    assert 0 == sightglass("run").code
    writer = InboxWriter(sightglass.home)
    writer.append([Post(1, "app", "", b"x" * BUSY_BYTES)])
    writer.finish()
    while not list((sightglass.home / "inbox").glob("*.open")):
        pass  # another thread makes it
    ran = sightglass("forget", "--media", "medium-to-go", "--json")
    writer.end()

    assert (0, []) == (ran.code, ran.report["left"]), ran.err
    assert [("another",)] == table(sightglass.home, "SELECT media_id FROM cogniac.postbacks")


def test_what_a_killed_undo_has_left_in_the_inbox_is_no_hiding_place(sightglass: Sightglass) -> None:
    """Posts that were being given back stand in a file that no run reads."""
    posted(sightglass.home, post("medium-to-go", ("dog", 0.9, AT)), post("another", ("dog", 0.9, AT)))
    assert 0 == sightglass("run").code
    ((run_id,),) = table(sightglass.home, "SELECT run_id FROM etl.runs")
    assert died(sightglass, Moment(AT_A_SYNC, 1, "after"), "undo", run_id)
    held = holding(sightglass.home / "inbox", "medium-to-go")
    ran = sightglass("forget", "--media", "medium-to-go", "--json")

    assert 1 == len(held)
    assert (0, [], []) == (ran.code, ran.report["left"], holding(sightglass.home, "medium-to-go"))
    assert [("another",)] == table(sightglass.home, "SELECT media_id FROM cogniac.postbacks")
