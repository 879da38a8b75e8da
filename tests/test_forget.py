"""`sightglass forget`: no file of the home holds the id any more, and nothing brings it back."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Row, Sightglass, rows, table
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving
from support.folders import holding
from support.kills import AT_A_COMMIT, AT_A_STATEMENT, Moment, at_a_call, content, died, place
from support.posts import AT, post, posted
from support.tables import differing, everything

from etl.extract.forgotten import load

LITTLE = {"applications": 2, "records": 60}


@pytest.fixture(scope="module")
def grown(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse of three runs with history, posts and what was refused; and posts that no run has taken."""
    sightglass = place(tmp_path_factory.mktemp("grown") / "place", served, SIGHTGLASS_RAW_DAYS="forever")
    assert sightglass("run").code == 0
    for _ in range(2):
        served.cogniac.advance(records=30, corrections=30)
        served.neurons.advance(media=3)
        seen = medium(sightglass)
        posted(
            sightglass.home, post(seen, ("dog", 0.9, AT)), post("other", ("cat", 0.9, AT)), f"no post {seen}"
        )
        assert sightglass("run").code in (0, 4)
    posted(sightglass.home, post(medium(sightglass), ("dog", 0.8, AT)), post("next", ("dog", 0.9, AT)))
    return sightglass


@pytest.fixture
def copied(grown: Sightglass, tmp_path: Path) -> Sightglass:
    """A copy of it."""
    shutil.copytree(grown.folder, tmp_path / "place")
    return Sightglass(tmp_path / "place", grown.settings)


def medium(sightglass: Sightglass) -> str:
    """The medium of Cogniac with the most assertions in its history."""
    query = "SELECT media_id FROM cogniac.detection_history GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    fallback = "SELECT min(media_id) FROM cogniac.results"
    found = table(sightglass.home, query) or table(sightglass.home, fallback)
    return str(found[0][0])


def film(sightglass: Sightglass) -> str:
    """A video of Neurons with frames."""
    return str(table(sightglass.home, "SELECT min(media_id) FROM neurons.frame_metrics")[0][0])


def person(sightglass: Sightglass) -> str:
    """A person who has made assertions."""
    query = (
        "SELECT user_id FROM cogniac.detections WHERE user_id LIKE '%@%' GROUP BY 1 ORDER BY count(*) DESC, 1"
    )
    return str(table(sightglass.home, query)[0][0])


NAMED = {"medium": ("--media", medium), "film": ("--media", film), "person": ("--user", person)}


@pytest.mark.parametrize("who", NAMED)
def test_no_file_holds_what_was_forgotten(copied: Sightglass, who: str) -> None:
    """Before, the tables, the lake and the log do; afterwards nothing; readers see the rest."""
    option, which = NAMED[who]
    one = which(copied)
    before, held = everything(copied.home), holding(copied.home, one)
    ran = copied("forget", option, one, "--json")
    after = everything(copied.home)

    assert {"warehouse.duckdb", "lake", "raw"} <= {each.partition("/")[0] for each in held}
    assert (0, [], []) == (ran.code, holding(copied.home, one), ran.report["left"])
    assert one not in ran.out + ran.err
    changed = {name for name in before if before[name] != after[name]}
    assert ran.report["rows"].keys() <= changed
    with duckdb.connect(copied.home / "bi.duckdb", read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM cogniac.detections").fetchall()
    assert [(len(after["cogniac.detections"]),)] == found


@pytest.mark.parametrize("who", NAMED)
def test_what_is_left_is_as_it_was(copied: Sightglass, who: str) -> None:
    """Rows about other media stay, to the last column; a person has the same pseudonym everywhere."""
    option, which = NAMED[who]
    one, before = which(copied), everything(copied.home)
    assert copied("forget", option, one).code == 0
    after, name = everything(copied.home), ""
    if who == "person":
        name = load(copied.home).pseudonym(one)
        before = {
            key: sorted(
                (tuple(None if each is None else each.replace(one, name) for each in row) for row in found),
                key=str,
            )
            for key, found in before.items()
        }
        after = {key: sorted(found, key=str) for key, found in after.items()}
    hashed = ("cogniac.results", "cogniac.applications", "cogniac.subjects", "etl.quarantine")
    kept = {
        key: [row for row in found if not any(each and one in each for each in row)]
        for key, found in before.items()
    }

    assert {} == differing(
        {key: found for key, found in kept.items() if key not in hashed},
        {key: found for key, found in after.items() if key not in hashed},
    )
    assert [len(kept[key]) for key in hashed] == [len(after[key]) for key in hashed]
    assert (who == "person") == (name in str(after["cogniac.detection_history"]) and bool(name))


@pytest.mark.parametrize("who", NAMED)
def test_a_rebuild_gives_the_same(copied: Sightglass, who: str) -> None:
    """The log was written once more as if it had never been there, with checksums that hold."""
    option, which = NAMED[who]
    one = which(copied)
    assert copied("forget", option, one).code == 0
    before = everything(copied.home)
    ran = copied("rebuild", "--json")

    assert (0, {}, []) == (ran.code, differing(before, everything(copied.home)), ran.report["damaged"])
    assert [] == holding(copied.home, one)


@pytest.mark.parametrize(
    "which",
    [
        "SELECT arg_max(media_id, updated_at) FROM neurons.media WHERE deleted_at IS NULL",
        "SELECT arg_max(media_id, updated_at) FROM cogniac.results",
    ],
)
def test_cursors_stay_sound(copied: Sightglass, which: str) -> None:
    """Though the newest medium of all is gone, by which a cursor has moved: log and tables say the same."""
    ((newest,),) = table(copied.home, which)
    before = table(copied.home, "SELECT * FROM etl.cursors ORDER BY ALL")
    assert 0 == copied("forget", "--media", newest).code
    verified = copied.but_for({"COG_API_KEY": "", "NEURONS_API_KEY": ""})("verify", "--json")
    rebuilt = copied("rebuild")

    of_tables = [each for each in verified.report["differences"] if each["place"] == "tables"]
    assert ([], 0) == (of_tables, rebuilt.code)
    assert before == table(copied.home, "SELECT * FROM etl.cursors ORDER BY ALL")


@pytest.mark.parametrize("who", NAMED)
def test_no_run_brings_it_back(copied: Sightglass, who: str) -> None:
    """A backfill of everything reads it again: it is left out, counted as unchanged, and said."""
    option, which = NAMED[who]
    one = which(copied)
    assert copied("forget", option, one).code == 0
    expected = content(copied.home)
    ran = [copied("backfill", source, "--since", "2000-01-01", "--json") for source in ("cogniac", "neurons")]
    ran.append(copied("run", "--json"))

    assert [0, 0] == [each.code for each in ran[:2]]
    assert ran[2].code in (0, 4)
    assert [] == holding(copied.home, one)
    found = content(copied.home)
    own = [name for name in expected if name.startswith(("cogniac.result", "cogniac.det", "neurons."))]
    assert [expected[name] for name in own] == [found[name] for name in own]
    for each in (stats for one_run in ran for stats in one_run.report["streams"]):
        counts = [each[name] for name in ("inserted", "updated", "unchanged", "quarantined")]
        assert each["fetched"] == sum(counts)
    said = "".join(each.err for each in ran)
    assert (who != "person") == ("left out, for it is about media that are to be forgotten: " in said)


def test_another_folder_to_rebuild_into_knows_it(copied: Sightglass, tmp_path: Path) -> None:
    """What is loaded there later leaves it out, too; a folder that knows of others keeps its word."""
    gone = medium(copied)
    assert 0 == copied("forget", "--media", gone).code
    other = tmp_path / "other"
    made = copied("rebuild", "--into", str(other))
    read = copied("backfill", "cogniac", "--since", "2000-01-01", "--home", str(other))
    found = [row for row in table(other, "SELECT media_id FROM cogniac.media") if row == (gone,)]
    for name in ("forgotten.json", "forgotten.key"):
        (copied.home / name).unlink()
    assert 0 == copied("forget", "--media", medium(copied)).code
    (other / "warehouse.duckdb").unlink()
    refused = copied("rebuild", "--into", str(other))

    assert (0, 0, []) == (made.code, read.code, found)
    said = f"sightglass: {other}/forgotten.json is of another warehouse: name an empty folder\n"
    assert (2, said) == (refused.code, refused.err)


def test_an_old_log_that_is_brought_back_does_not_bring_it_back(copied: Sightglass, tmp_path: Path) -> None:
    """Neither a rebuild nor a run loads from it whom it still holds."""
    one = medium(copied)
    shutil.copytree(copied.home / "raw", tmp_path / "backup")
    assert copied("forget", "--media", one).code == 0
    shutil.rmtree(copied.home / "raw")
    shutil.copytree(tmp_path / "backup", copied.home / "raw")
    ran = copied("rebuild")

    assert (0, False) == (ran.code, one in str(everything(copied.home)))


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--media", "nothing-of-this-name", "no medium of this id is known"),
        ("--user", "nobody@example.com", "no person of this id is known"),
        ("--user", "image", "this is the id of no person: it stands in "),
        ("--media", "media_id", "this is the id of no medium: tables, columns or fields of records are"),
        ("--media", "id", "this is the id of no medium: tables, columns or fields of records are called so"),
        ("--media", "detections", "this is the id of no medium: tables, columns or fields of records are"),
        ("--user", "USER_ID", "this is the id of no person: tables, columns or fields of records are"),
    ],
)
def test_what_is_unknown_changes_nothing(copied: Sightglass, option: str, given: str, said: str) -> None:
    """It is a matter of what was typed."""
    before = everything(copied.home)
    ran = copied("forget", option, given)

    assert (2, True, {}) == (ran.code, said in ran.err, differing(before, everything(copied.home)))


def test_a_post_that_breaks_off_is_named(copied: Sightglass) -> None:
    """It may be about anybody, and a segment that was set aside as damaged stays for good."""
    gone = medium(copied)
    posted(copied.home, post("another", ("subject", 0.5, AT)), post(gone, ("subject", 0.5, AT)))
    path = max((copied.home / "inbox").glob("*.closed"))
    head, first, second, _ = path.read_bytes().split(b"\n", 3)
    path.unlink()
    damaged = path.with_name(f"{path.name}.damaged")
    damaged.write_bytes(b"\n".join([head, first, second[:-20]]))
    ran = copied("forget", "--media", gone, "--json")

    assert (4, [str(damaged)]) == (ran.code, ran.report["left"])
    assert f"may still hold it, see to it by hand: {damaged}\n" in ran.err


@pytest.mark.parametrize("damage", ["a line", "no seal"])
def test_what_is_lost_of_a_segment_is_still_told(copied: Sightglass, damage: str) -> None:
    """A post that was answered and cannot be read is named by the next run, whoever went beside it."""
    gone, said = medium(copied), ("subject", 0.5, AT)
    posted(copied.home, post(gone, said), post("another", said), post("a third", said))
    path = max((copied.home / "inbox").glob("*.closed"))
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "a line":
        lines[2] = lines[2].replace(b"entry", b"ENTRY")
    path.write_bytes(b"".join(lines[:-1] if damage == "no seal" else lines))
    assert 0 == copied("forget", "--media", gone).code
    ran = copied("run")

    said_of_it = f"cogniac postbacks failed: {path} does not hold all that was written to it"
    assert (3, True) == (ran.code, said_of_it in ran.err)


def test_an_application_is_not_forgotten_as_a_medium(copied: Sightglass) -> None:
    """Its id stands in tables, but not as that of a medium."""
    one = str(rows(copied.home, "cogniac.applications")[0]["application_id"])
    ran = copied("forget", "--media", one)

    assert (2, True) == (ran.code, "this is the id of no medium: it stands in cogniac." in ran.err)


def test_files_of_others_are_named(copied: Sightglass) -> None:
    """What Sightglass did not write it does not change, and says so with exit code 4."""
    one = medium(copied)
    (copied.home / "notes.txt").write_text(f"seen {one}")
    copied("snapshot", "copy.duckdb")
    (copied.folder / "copy.duckdb").rename(copied.home / "copy.duckdb")
    ran = copied("forget", "--media", one, "--json")

    named = [str(copied.home / name) for name in ("copy.duckdb", "notes.txt")]
    assert (4, named) == (ran.code, ran.report["left"])


def test_what_was_refused_is_forgotten_as_well(tmp_path: Path) -> None:
    """What was refused about a medium goes; where it names a person it stays, with another name."""
    bad, about = record(1), record(2)
    bad["detections"][0] |= {"probability": 5, "user_id": "ann@example.com"}
    about["detections"][0] |= {"probability": 5}
    one = about["media"]["media_id"]
    listed: list[tuple[float, Any]] = [(each["updated_at"], each) for each in (record(0), bad, about)]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server).but_for({"SIGHTGLASS_RAW_DAYS": "forever"})
        sightglass("run")
        codes = [
            sightglass("forget", "--media", one).code,
            sightglass("forget", "--user", "Ann@Example.com").code,
        ]
        before = everything(sightglass.home)
        rebuilt = sightglass("rebuild")
        after = everything(sightglass.home)
        again = sightglass("run", "--json")

    assert ([0, 0], 0, {}) == (codes, rebuilt.code, differing(before, after))
    assert ([], []) == (holding(sightglass.home, one), holding(sightglass.home, "ann@example.com"))
    (left,) = rows(sightglass.home, "etl.quarantine")
    assert load(sightglass.home).pseudonym("ann@example.com") in left["record"]
    assert 0 == again.report["newly_quarantined"]


@pytest.mark.parametrize("lost", ["forgotten.key", "forgotten.json"])
def test_without_its_key_or_its_list_nothing_is_loaded(copied: Sightglass, lost: str) -> None:
    """Else whoever is to be forgotten would come back in silence."""
    assert copied("forget", "--media", medium(copied)).code == 0
    path = copied.home / lost
    assert 0o600 == path.stat().st_mode & 0o777
    path.unlink()
    ran = copied("run")

    assert (2, True) == (ran.code, f"{lost} is gone" in ran.err)


def test_a_forget_that_is_killed_as_it_begins_forgets_nobody(copied: Sightglass) -> None:
    """A list of nobody may stand there without a key: the next forget makes both anew."""
    is_killed = died(copied, Moment(AT_A_SECRET, 2, "before"), "forget", "--media", medium(copied))
    left = [(copied.home / name).exists() for name in ("forgotten.json", "forgotten.key")]
    ran = copied("run", "--json")
    again = copied("forget", "--media", medium(copied))

    assert (True, [True, False], 0, 0) == (is_killed, left, ran.code, again.code)


AT_A_SECRET = at_a_call("etl.extract.forgotten", "owner", "_write")
AT_A_PART = at_a_call("etl.extract.log_rewriter", "owner.LogWriter", "seal")
AT_A_REMOVAL = at_a_call("etl.pipeline.forget", "owner", "remove")
DEATHS = [
    *(Moment(AT_A_STATEMENT, number) for number in (40, 120, 150, 175)),
    *(Moment(AT_A_COMMIT, number, side) for number in (2, 4, 6) for side in ("before", "after")),
    *(Moment(AT_A_PART, number, side) for number in (1, 2) for side in ("before", "after")),
    *(Moment(AT_A_REMOVAL, number, side) for number in (1, 2) for side in ("before", "after")),
]


@pytest.mark.parametrize("between", ["nothing", "run"])
@pytest.mark.parametrize("moment", DEATHS, ids=lambda each: f"{len(each.code)}-{each.number}-{each.side}")
def test_a_kill_at_any_moment_is_made_good_by_the_next(
    copied: Sightglass, moment: Moment, between: str
) -> None:
    """Run again it comes to its end, also where a run came between, which names what is left to do."""
    one = medium(copied)
    is_killed = died(copied, moment, "forget", "--media", one)
    is_begun = bool(load(copied.home))
    said = copied("run").err if between == "run" else copied("verify", "--quick", "--json").report["notes"]
    ran = copied("forget", "--media", one, "--json")
    before = everything(copied.home)
    rebuilt = copied("rebuild", "--json")

    assert (True, 0, []) == (is_killed, ran.code, holding(copied.home, one))
    assert ({}, []) == (differing(before, everything(copied.home)), rebuilt.report["damaged"])
    if between == "run":
        assert is_begun == ("`sightglass forget` was killed; run it again" in said)
    else:
        assert is_begun == ("`sightglass forget` was killed: run it again, before anything is mended" in said)


@pytest.mark.parametrize("written", [r"ann\u0040example.com", r"\u0061nn@example.com", "ann@example.com"])
def test_who_is_named_in_what_was_refused_is_forgotten_however_it_is_written(
    tmp_path: Path, written: str
) -> None:
    """Behind backslashes, any character of an id may stand in a record as received."""
    refused = json.dumps(record(1)).replace('"user_id": null', f'"user_id": "{written}"')
    refused = refused.replace('"probability": 0.5', '"probability": "high"')
    good = record(2)
    good["detections"][0]["user_id"] = "ann@example.com"
    listed: list[tuple[float, Row | bytes]] = [(1.0, refused.encode()), (good["updated_at"], good)]
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert sightglass("run").code == 4
        forgot = sightglass("forget", "--user", "ann@example.com")

    (kept,) = table(sightglass.home, "SELECT record FROM etl.quarantine")
    assert (0, False, True) == (forgot.code, "example.com" in str(kept), "m1" in str(kept))


def test_who_is_named_in_an_undeclared_field_alone_is_forgotten(tmp_path: Path) -> None:
    """Also where the log does not hold it any more, as what an upgrade has moved there."""
    named = record(1, undeclared_by="bob@example.com", others=["bob@example.com", "eve"])
    with serving(cogniac({DETECTIONS: Placed([(named["updated_at"], named)])})) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert sightglass("run").code == 0
        forgot = sightglass("forget", "--user", "bob@example.com")

    (extra,) = table(sightglass.home, "SELECT CAST(_extra AS VARCHAR) FROM cogniac.results")
    assert (0, False) == (forgot.code, "bob" in str(extra))
    assert "eve" in str(extra)
