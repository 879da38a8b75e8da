"""What a test can do to the records of the Cogniac simulator, and how it learns what was served of them."""

import pytest
from support.cogniac_simulator import SMALL, by_type, logged_in, pages
from support.cogniac_variants import EMPTY, T, first_page, holding

from etl.demo.cogniac.simulator import CogniacSimulator


def test_a_bumped_record_is_another_version_of_the_same() -> None:
    """Its assertions and its time change, and nothing else; a record put by hand can be bumped likewise."""
    simulator = CogniacSimulator(1, SMALL)
    application_id = by_type(simulator, "ocr")
    old = next(iter(simulator.truth(application_id)))
    media_id, focus = old["media"]["media_id"], old["focus"]
    newest = simulator.newest / 1_000_000

    new = simulator.bump(application_id, media_id, focus)
    again = simulator.bump(application_id, media_id, focus, at=T + 0.5)
    late = simulator.late(application_id, 60)
    later = simulator.bump(application_id, late["media"]["media_id"], at=T + 0.75)

    truth = list(simulator.truth(application_id))
    assert new["updated_at"] > newest
    assert again["updated_at"] == T + 0.5
    assert old["detections"] != new["detections"] != again["detections"]
    assert (new["media"], new["focus"]) == (again["media"], again["focus"]) == (old["media"], old["focus"])
    assert [record for record in truth if record["media"] == old["media"]] == [again]
    assert later["detections"][0]["detection_id"] != late["detections"][0]["detection_id"]
    assert later in truth
    assert late not in truth
    with pytest.raises(LookupError, match="shows no record of none with the focus none"):
        simulator.bump(application_id, "none")


def test_a_shrunk_record_has_one_assertion_fewer() -> None:
    """The first is gone and the last is another; in the end none is left, and the record still is shown."""
    simulator = CogniacSimulator(1, SMALL)
    application_id = by_type(simulator, "box_detection")
    old = next(one for one in simulator.truth(application_id) if len(one["detections"]) == 2)
    media_id = old["media"]["media_id"]

    versions = [simulator.shrink(application_id, media_id) for _ in range(2)]

    assert [len(version["detections"]) for version in versions] == [1, 0]
    assert versions[0]["detections"][0]["detection_id"] not in {
        one["detection_id"] for one in old["detections"]
    }
    assert versions[0]["detections"][0]["subject_uid"] == old["detections"][1]["subject_uid"]
    assert list(simulator.truth(application_id))[-1] == versions[1]
    assert len([*simulator.truth(application_id)]) == len(simulator.ledger(application_id))


def test_a_late_record_is_older_than_what_was_listed_before_it() -> None:
    """It stands before the newest of its application by so many seconds, and every list shows it."""
    simulator = CogniacSimulator(1, SMALL)
    application_id = by_type(simulator, "box_detection")
    newest = list(simulator.truth(application_id))[-1]["updated_at"]
    with logged_in(simulator) as client:
        late = simulator.late(application_id, 90.5)
        other = simulator.late(application_id, 90.5)
        found = [record for page in pages(client, application_id, limit=100) for record in page]
        medium = client.get(f"1/media/{late['media']['media_id']}").json()

    assert late["updated_at"] == other["updated_at"] == pytest.approx(newest - 90.5, abs=1e-5)
    assert late in found
    assert other in found
    assert medium == late["media"] != other["media"]
    gate = simulator.late(by_type(simulator, "integration"), 5)["detections"][0]
    assert (gate["user_id"], gate["model_id"]) == ("line-gateway@example.com", None)


def test_every_version_that_was_served_is_remembered_where_wanted() -> None:
    """Each once, as it stood in its answer; what was never sent is not among them."""
    simulator = CogniacSimulator(1, EMPTY, record_served=True)
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 1, T + 2)
        first_page(client, application_id, limit=1)
        first_page(client, application_id, limit=2)
        old = list(simulator.truth(application_id))
        simulator.bump(application_id, "m0", at=T + 3)
        never = simulator.bump(application_id, "m0", at=T + 4)
        new = simulator.bump(application_id, "m0", at=T + 5)
        first_page(client, application_id, limit=3)

    assert simulator.served(application_id) == [*old, new]
    assert never not in simulator.served(application_id)
    assert simulator.served("nothing of this was asked for") == []
    with pytest.raises(RuntimeError, match="pass record_served=True to the simulator"):
        CogniacSimulator(1, EMPTY).served(application_id)
