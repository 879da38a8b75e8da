"""Posts of detections in SQL: each is there once, and held against what polling shows."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Plant, Row, Sightglass, all_rows, leaked, rows, table
from support.kills import AT_A_COMMIT, Moment, at_a_call, died
from support.posts import AT, active, gaps, post, postbacks, posted, states

from etl.demo.cogniac.written import late_record
from etl.demo.script import FOREVER, Answer, Rule, Script
from etl.sources.cogniac.postbacks import mended_json

PRINTED = """{
	"media": {"media_id": "dfc37db6723376ab953b10cd40097a68"
            "parent_media_ids": ['c8ee0f4f05f3fdcf36f69a3fd81fd84f'],
           },
  "focus":{
        "box": {"x0": 50, "x1": 275, "y0": 634, "y1": 870}
      },
  "subjects":[
    {
      "subject_uid":"dog",
      "probability":0.79,
      "updated_at": 1481857269.646634

    },
    {
      "subject_uid":"cat",
      "probability":0.49,
      "updated_at": 1481857269.646634
    }
  ]
}"""
"""The vendor's sample, slips and all (Application Detections, "Detection Post URLs")."""


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def test_the_sample_of_the_vendor_is_read_as_it_is_meant(sightglass: Sightglass) -> None:
    """Its slips are mended; each of its subjects is a row, below the threshold too."""
    (at,) = posted(sightglass.home, PRINTED, label="a765rtyg")
    ran = sightglass("run")

    shared = {
        "application_id": "a765rtyg",
        "media_id": "dfc37db6723376ab953b10cd40097a68",
        "focus_key": '{"box":{"x0":50,"x1":275,"y0":634,"y1":870}}',
        "focus": {"box": {"x0": 50, "x1": 275, "y0": 634, "y1": 870}},
        "parent_media_ids": ["c8ee0f4f05f3fdcf36f69a3fd81fd84f"],
        "updated_at": 1_481_857_269_646_634,
        "received_at": at,
        "is_mended": True,
    }
    assert 0 == ran.code, ran.err
    assert [
        {**shared, "subject_index": 0, "subject_uid": "dog", "probability": 0.79},
        {**shared, "subject_index": 1, "subject_uid": "cat", "probability": 0.49},
    ] == postbacks(sightglass.home)
    assert [] == list((sightglass.home / "inbox").iterdir())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("""{'a': 'it\\'s "so"'}""", {"a": 'it\'s "so"'}),
        ('{"a": "b, c}" "d": [1 2,],}', {"a": "b, c}", "d": [1, 2]}),
        ("""{"a": "it's", 'b': '\\\\'}""", {"a": "it's", "b": "\\"}),
    ],
)
def test_slips_are_mended_outside_of_texts_alone(text: str, meant: Row) -> None:
    """Quotes, commas and brackets in a text are what somebody wrote."""
    assert meant == json.loads(mended_json(text))


@pytest.mark.parametrize(
    "text", ['{"a" 1}', '{"a": tru}', '{"a": 1', '{"a": "b}', "", "{'a': 1}}", '{"a": 1} {"b": 2}', "a=1&b=2"]
)
def test_what_nobody_can_tell_the_meaning_of_is_not_mended(text: str) -> None:
    """It stays no JSON."""
    with pytest.raises(ValueError, match=r"Expecting|Extra data|Unterminated"):
        json.loads(mended_json(text))


def test_what_cannot_be_read_is_quarantined_as_received(sightglass: Sightglass) -> None:
    """No JSON, no subject, no medium, no probability: each is named, and the others are loaded."""
    nameless = {"subjects": [{"subject_uid": "dog"}]}
    bad = [post("m1"), nameless, post("m2", ("dog", 7, AT)), {"x": 1}, [1]]
    texts = ["payload=%7B%7D", "\ud800".encode("utf-16", "surrogatepass").decode("latin-1")]
    posted(sightglass.home, *map(json.dumps, bad), *texts, post("m3", ("dog", 0.9, AT)))
    ran = sightglass("run")
    again = sightglass("run")

    refused = table(
        sightglass.home,
        "SELECT stream, reason, path FROM etl.quarantine ORDER BY ALL",
    )
    as_received = table(
        sightglass.home, "SELECT record FROM etl.quarantine WHERE reason LIKE '%JSON%' ORDER BY ALL"
    )
    assert (4, 0) == (ran.code, again.code)
    assert [("m3", "dog")] == [(row["media_id"], row["subject_uid"]) for row in postbacks(sightglass.home)]
    assert 7 == len(refused)
    assert {"postbacks"} == {stream for stream, *_ in refused}
    assert ("payload=%7B%7D",) in as_received


def test_a_post_that_is_refused_again_is_no_news(sightglass: Sightglass) -> None:
    """When it came is not what was posted: it is in quarantine once, and turns the exit code once."""
    bad: tuple[str | Row, ...] = (post("m1", ("dog", 7, AT)), "no JSON")
    posted(sightglass.home, *bad)
    first = sightglass("run")
    posted(sightglass.home, *bad)
    again = sightglass("run", "--json")

    (stream,) = [each for each in again.report["streams"] if each["stream"] == "postbacks"]
    assert (4, 0, 0) == (first.code, again.code, again.report["newly_quarantined"])
    assert 2 == stream["quarantined"]
    assert [(2,)] == table(sightglass.home, "SELECT count(*) FROM etl.quarantine")


def test_a_post_that_comes_again_is_one_row(sightglass: Sightglass) -> None:
    """In one run or in two, in other spelling too; when it came first is kept."""
    said = post("m1", ("dog", 0.75, AT))
    first, *_ = posted(sightglass.home, said, json.dumps(said, indent=1), ago=timedelta(hours=2))
    sightglass("run")
    posted(sightglass.home, said, ago=timedelta(hours=1))
    ran = sightglass("run", "--json")

    (stream,) = [each for each in ran.report["streams"] if each["stream"] == "postbacks"]
    assert [first] == [row["received_at"] for row in postbacks(sightglass.home)]
    assert {"fetched": 1, "inserted": 0, "updated": 0, "unchanged": 1} == {
        name: stream[name] for name in ("fetched", "inserted", "updated", "unchanged")
    }


def test_a_post_is_counted_as_inserted(sightglass: Sightglass) -> None:
    """Once, however many subjects it names: a record is new where its rows are."""
    posted(sightglass.home, post("m1", ("dog", 0.75, AT), ("cat", 0.5, AT)), post("m2", ("dog", 0.75, AT)))
    ran = sightglass("run", "--json")

    (stream,) = [each for each in ran.report["streams"] if each["stream"] == "postbacks"]
    assert {"fetched": 2, "inserted": 2, "updated": 0, "unchanged": 0} == {
        name: stream[name] for name in ("fetched", "inserted", "updated", "unchanged")
    }


def test_polling_confirms_what_was_posted(plant: Plant, sightglass: Sightglass) -> None:
    """What it shows then or later is confirmed, what is no more supersedes, what it never shows is a gap."""
    sightglass("run")
    application_id = active(plant)
    record = next(iter(plant.cogniac.truth(application_id)))
    media_id, focus, at = record["media"]["media_id"], record["focus"], record["updated_at"]
    said = [
        (one["subject_uid"], one["probability"], float(one["created_at"])) for one in record["detections"]
    ]
    gone = ("gone_before", 0.9, at - 10)
    posted(
        sightglass.home,
        post(media_id, *said, gone, focus=focus),
        post("never", ("dog", 0.9, at)),
        label=application_id,
    )
    posted(sightglass.home, post("young", ("dog", 0.9, at)), ago=timedelta(0))
    ran = sightglass("run", "--json")

    seen = {row["subject_uid"]: row.get("polled_at") for row in postbacks(sightglass.home)}
    expected = [*((uid, "confirmed") for uid, *_ in said), ("gone_before", "superseded")]
    assert 0 == ran.code
    assert sorted([*expected, ("dog", "missing"), ("dog", "awaited")]) == states(sightglass)
    assert [("the assertion on dog in never that was posted", "polling does not show it")] == gaps(
        sightglass.home
    )
    assert (True, None) == (all(seen[uid] for uid, _ in expected), seen["dog"])


def test_a_post_heals_late_polling_at_once(plant: Plant, sightglass: Sightglass) -> None:
    """What the API shows late, further back than runs look, is read because it was posted."""
    sightglass("run")
    application_id = active(plant)
    newest = max(row["updated_at"] for row in plant.cogniac.truth(application_id))
    late = plant.cogniac.late(application_id, 7200)
    unseen = sightglass("run", "--json")
    about = late["detections"][0]
    subject = (about["subject_uid"], about["probability"], about["created_at"])
    posted(sightglass.home, post(late["media"]["media_id"], subject))
    ran = sightglass("run", "--json")

    assert newest - 7200 <= late["updated_at"] <= newest - 3600
    assert 0 == sum(each["inserted"] for each in unseen.report["streams"])
    assert [(subject[0], "confirmed")] == states(sightglass)
    assert (0, 0) == (ran.code, ran.report["gaps"])


def test_a_gap_is_closed_when_polling_shows_it(plant: Plant, sightglass: Sightglass) -> None:
    """What was posted and is not shown is asked for again, until it is there."""
    sightglass("run")
    application_id = active(plant)
    newest = max(row["updated_at"] for row in plant.cogniac.truth(application_id))
    late = late_record(plant.cogniac.application(application_id) or {}, "LATE", newest - 7200)
    (about,) = late["detections"]
    posted(sightglass.home, post("LATE", (about["subject_uid"], 0.75, about["created_at"])))
    first = sightglass("run", "--json")
    plant.cogniac.put(application_id, late)
    second = sightglass("run", "--json")

    assert (1, 0) == (first.report["gaps"], second.report["gaps"])
    assert [(about["subject_uid"], "confirmed")] == states(sightglass)


def test_a_rebuild_gives_the_posts_as_well(plant: Plant, sightglass: Sightglass) -> None:
    """Posts, what polling has shown of them, and what is missing."""
    sightglass("run")
    record = next(iter(plant.cogniac.truth(active(plant))))
    (about, *_) = record["detections"]
    posted(
        sightglass.home,
        post(
            record["media"]["media_id"],
            (about["subject_uid"], 0.9, record["updated_at"]),
            focus=record["focus"],
        ),
        post("never", ("dog", 0.9, AT)),
        PRINTED,
        "no post at all",
    )
    sightglass("run")
    before = all_rows(sightglass.home)
    ran = sightglass("rebuild")

    assert 0 == ran.code, ran.err
    assert before == all_rows(sightglass.home)
    assert 5 == len(before["cogniac.postbacks"]) + len(before["etl.quarantine"])


AT_A_REMOVAL = at_a_call("etl.inbox.reader", "owner.Segment", "delete")
DEATHS = [
    *(Moment(AT_A_COMMIT, number, side) for number in (2, 3, 4) for side in ("before", "after")),
    *(Moment(AT_A_REMOVAL, number, side) for number in (1, 2) for side in ("before", "after")),
]


@pytest.mark.parametrize(
    "moment", DEATHS, ids=lambda each: f"{each.code == AT_A_REMOVAL}-{each.number}-{each.side}"
)
def test_a_kill_while_posts_are_moved_costs_and_doubles_none(sightglass: Sightglass, moment: Moment) -> None:
    """However far it was, the next run leaves each of them in its table once, and the inbox empty."""
    expected = []
    for number in range(2):
        names = [f"m{number}{place}" for place in range(30)]
        posted(sightglass.home, *(post(name, ("dog", 0.9, AT)) for name in names))
        expected += names
    posted(sightglass.home, "no post")
    dead = died(sightglass, moment)
    ran = sightglass("run")

    assert (True, 0) == (dead, ran.code if ran.code != 4 else 0)
    assert sorted(expected) == sorted(row["media_id"] for row in postbacks(sightglass.home))
    assert [("no post",)] == table(sightglass.home, "SELECT record FROM etl.quarantine")
    assert [] == list((sightglass.home / "inbox").iterdir())


def test_a_damaged_segment_is_named_and_what_can_be_read_of_it_is_loaded(sightglass: Sightglass) -> None:
    """The run says what it was, goes on with all else, and keeps the file aside; the next one is well."""
    posted(sightglass.home, *(post(f"m{place}", ("dog", 0.9, AT)) for place in range(3)))
    (segment,) = (sightglass.home / "inbox").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:2], lines[2].replace(b"entry", b"Entry"), *lines[3:]]))
    ran, again = sightglass("run"), sightglass("run")

    assert (3, 0) == (ran.code, again.code)
    assert "damaged lines: 1" in ran.err
    assert ["m0", "m2"] == [row["media_id"] for row in postbacks(sightglass.home)]
    assert [f"{segment.name}.damaged"] == [path.name for path in (sightglass.home / "inbox").iterdir()]


def test_an_inbox_that_cannot_be_read_holds_up_nothing_else(sightglass: Sightglass) -> None:
    """The posts are named as failed; what is polled is loaded."""
    (sightglass.home / "inbox").mkdir(parents=True)
    (sightglass.home / "inbox" / "0000000000000001-a.closed").mkdir()
    ran = sightglass("run", "--json")

    failed = [(each["stream"], each["status"]) for each in ran.report["streams"] if each["error"]]
    assert (3, [("postbacks", "failed")]) == (ran.code, failed)
    assert [] != rows(sightglass.home, "cogniac.results")
    assert [("postbacks", "what changed after the beginning")] == table(
        sightglass.home, "SELECT stream, what FROM etl.gaps"
    )


def test_an_application_that_cannot_be_polled_tells_nothing_of_its_posts(
    plant: Plant, sightglass: Sightglass
) -> None:
    """What it posted is awaited, not missing; of other applications what is missing is named."""
    mine, other, *_ = (one["application_id"] for one in plant.cogniac.applications() if one["active"])
    for label in (mine, other, ""):
        posted(sightglass.home, post("never", (f"dog of {label == mine}", 0.9, AT)), label=label)
    plant.cogniac.fault = Script(Rule(path=f"{mine}/detections", times=FOREVER, answer=Answer(status=500)))
    ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0")

    assert 3 == ran.code
    assert [("dog of False", "awaited"), ("dog of False", "missing"), ("dog of True", "awaited")] == states(
        sightglass
    )


def test_the_secret_of_the_listener_is_kept_out_of_what_applications_say(
    plant: Plant, sightglass: Sightglass
) -> None:
    """It stands in the address that people enter there, and is loaded with them by no run that knows it."""
    secret = "only-those-who-post-know"
    application_id = active(plant)
    address = f"https://sightglass.example.com/{secret}/{application_id}"
    application = plant.cogniac.application(application_id) or {}
    plant.cogniac.put_application({**application, "detection_post_urls": [address]})
    ran = sightglass("run", SIGHTGLASS_LISTEN_SECRET=secret)

    stored = {row["application_id"]: row for row in rows(sightglass.home, "cogniac.applications")}
    assert [f"https://sightglass.example.com/***/{application_id}"] == stored[application_id][
        "detection_post_urls"
    ]
    assert [] == leaked([secret], ran, sightglass.home)
