"""Posts that are odd, that come at an odd place, or that polling tells nothing of."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from conftest import Plant, Sightglass, rows
from support.posts import AT, active, gaps, post, postbacks, posted, states

from etl.config import load
from etl.demo.script import FOREVER, Answer, Rule, Script
from etl.pipeline.run import run
from etl.sources import cogniac
from etl.sources.cogniac.postbacks import envelope_of


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def run_later(sightglass: Sightglass, after: timedelta) -> int:
    """Run by a clock that is so far ahead; the exit code."""
    environ = {**sightglass.settings, "SIGHTGLASS_HOME": str(sightglass.home)}
    settings = load([cogniac.OwnSettings], environ, file=Path(os.devnull))
    now = datetime.now(UTC) + after
    return run(settings, ["cogniac"], lambda: now, lambda _stats, _pending: None).exit_code


@pytest.mark.parametrize("body", ["{" + " " * 200_000 + '"', "['" + "\\'" * 200_000, "[" * 200_000 + "'"])
def test_what_is_broken_late_is_given_up_soon(body: str) -> None:
    """However many blanks, quotes or brackets come before it: a post must not hold a run up for hours."""
    begun = monotonic()

    assert envelope_of(body.encode(), "", "2026-03-01T00:00:00Z") is None
    assert monotonic() - begun < 5


def test_posts_of_an_application_that_is_not_wanted_are_awaited(plant: Plant, sightglass: Sightglass) -> None:
    """Nobody polls it, so that nothing is missing."""
    wanted, other = [one["application_id"] for one in plant.cogniac.applications() if one["active"]][:2]
    for label in (wanted, other):
        posted(sightglass.home, post("never", (f"of {label == wanted}", 0.9, AT)), label=label)
    ran = sightglass("run", SIGHTGLASS_COGNIAC_APPLICATIONS=wanted)

    assert 0 == ran.code
    assert [("of False", "awaited"), ("of True", "missing")] == states(sightglass)


def test_a_post_from_the_future_is_missing_a_day_later(sightglass: Sightglass) -> None:
    """A clock that was ahead, or a time that means something else, hides no gap for years."""
    posted(sightglass.home, post("m1", ("dog", 0.9, datetime.now(UTC).timestamp() + 10 * 365 * 86_400)))
    first = sightglass("run")
    before = states(sightglass)
    code = run_later(sightglass, timedelta(days=2))

    assert (0, 0) == (first.code, code)
    assert ([("dog", "awaited")], [("dog", "missing")]) == (before, states(sightglass))


def test_a_post_without_a_time_is_confirmed_by_what_was_asserted_just_before(
    plant: Plant, sightglass: Sightglass
) -> None:
    """It was sent after its assertion; a post that came much later is about another."""
    sightglass("run")
    application_id = active(plant)
    record = next(iter(plant.cogniac.truth(application_id)))
    (about, *_) = record["detections"]
    said = {
        "media": {"media_id": record["media"]["media_id"]},
        "focus": record["focus"],
        "subjects": [{"subject_uid": about["subject_uid"], "probability": 0.9}],
    }
    since = datetime.now(UTC) - datetime.fromtimestamp(record["updated_at"], UTC)
    posted(sightglass.home, said, label=application_id, ago=since - timedelta(seconds=30))
    posted(sightglass.home, {**said, "later": True}, label=application_id, ago=since - timedelta(hours=1))
    ran = sightglass("run")

    uid = about["subject_uid"]
    assert 0 == ran.code
    assert [(uid, "confirmed"), (uid, "missing")] == states(sightglass)


def test_a_time_of_a_post_that_cannot_be_read_again_holds_up_nothing_new(
    plant: Plant, sightglass: Sightglass
) -> None:
    """What is new is loaded before it; the application has failed, and its post is awaited."""
    sightglass("run")
    application_id = active(plant)
    posted(sightglass.home, post("m1", ("dog", 0.9, AT - 30 * 86_400)), label=application_id)
    plant.cogniac.advance(records=30)
    of_the_post = str(int(AT - 30 * 86_400 - 1))[:8]
    plant.cogniac.fault = Script(
        Rule(
            path=f"{application_id}/detections",
            query=f"start={of_the_post}",
            times=FOREVER,
            answer=Answer(status=500),
        )
    )
    ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0")

    loaded = {row["updated_at"] for row in rows(sightglass.home, "cogniac.results")}
    newest = max(row["updated_at"] for row in plant.cogniac.truth(application_id))
    assert 3 == ran.code
    assert round(newest * 1_000_000) in loaded
    assert [("dog", "awaited")] == states(sightglass)


def test_an_inbox_that_cannot_be_emptied_holds_up_nothing(plant: Plant, sightglass: Sightglass) -> None:
    """Each run says so, loads what is new, and has each post once."""
    bound = replace(sightglass, bound=True)
    bound("run")
    posted(bound.home, post("m1", ("dog", 0.9, AT)))
    (bound.home / "inbox").chmod(0o500)
    plant.cogniac.advance(records=10)
    first, second = bound("run"), bound("run")
    (bound.home / "inbox").chmod(0o700)
    last = bound("run")

    assert (3, 3, 0) == (first.code, second.code, last.code)
    assert "cannot read the inbox" in second.err
    assert "make it writable" in second.err
    assert ["m1"] == [row["media_id"] for row in postbacks(bound.home)]
    assert [("dog", "missing")] == states(bound)
    assert [] == list((bound.home / "inbox").iterdir())
    assert 0 < sum(row["updated_at"] > AT * 1_000_000 for row in rows(bound.home, "cogniac.results"))


@pytest.mark.parametrize("ending", ["open", "closed", "left"])
def test_a_file_that_cannot_be_read_holds_up_no_other_posts(sightglass: Sightglass, ending: str) -> None:
    """As one of another user, who has listened once; what is wrong is named by each run."""
    path = sightglass.home / "inbox" / f"0000000000000001-a.{ending}"
    path.mkdir(parents=True)
    posted(sightglass.home, post("m1", ("dog", 0.9, AT)))
    first, second = sightglass("run"), sightglass("run")

    said = f"cogniac postbacks failed: cannot read the inbox {path}: Is a directory; move away what stands in"
    assert (3, 3, True, True) == (first.code, second.code, said in first.err, said in second.err)
    assert ["m1"] == [row["media_id"] for row in postbacks(sightglass.home)]
    assert [path] == list((sightglass.home / "inbox").iterdir())


def test_posts_are_looked_for_though_the_inbox_is_gone(sightglass: Sightglass) -> None:
    """Who listens no more, or has restored the warehouse alone, is told what is missing all the same."""
    posted(sightglass.home, post("m1", ("dog", 0.9, AT)), ago=timedelta(0))
    sightglass("run")
    (sightglass.home / "inbox").rmdir()
    before = gaps(sightglass.home)
    code = run_later(sightglass, timedelta(hours=1))

    assert 0 == code
    assert ([], [("the assertion on dog in m1 that was posted", "polling does not show it")]) == (
        before,
        gaps(sightglass.home),
    )


def test_a_file_in_the_place_of_the_inbox_is_named(sightglass: Sightglass) -> None:
    """By the listener, which does not begin, and by each run."""
    sightglass("run")
    (sightglass.home / "inbox").write_text("not a folder")
    ran, listened = sightglass("run"), sightglass("listen", "--port", "0")

    assert (3, 2) == (ran.code, listened.code)
    assert "inbox: Not a directory; move away what stands in its place" in ran.err
    assert "inbox: File exists; move away what stands in its place" in listened.err
