"""`sightglass verify` names what differs and nothing else; `sightglass repair` heals just that."""

# ruff: noqa: S608 -- the damage is our own

import json
import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import filelock
import pytest
from conftest import Plant, Ran, Sightglass, rows
from hostile import DETECTIONS, Placed, T, cogniac, of_cogniac, record, serving
from support.kills import AT_A_STATEMENT, Moment, died, place
from support.tables import Dump, differing, everything

LITTLE = {"applications": 2, "records": 60}
OF_RUNS = {"etl.log", "etl.runs", "etl.run_streams"}
"""What tells of runs: a repair that asks an API is one."""
ONE = "(SELECT min({key}) FROM {table})"


def one(table: str, key: str) -> str:
    """The condition that a row has the least key."""
    return f"{key} = {ONE.format(table=table, key=key)}"


DAMAGE = {
    "a result is lost": (
        f"DELETE FROM cogniac.results WHERE {one('cogniac.results', 'media_id')}",
        {("api", "cogniac.results"), ("tables", "cogniac.results"), ("tables", "cogniac.detections")},
    ),
    "a result is there twice": (
        "INSERT INTO cogniac.results BY NAME SELECT * FROM cogniac.results LIMIT 1",
        {("tables", "cogniac.results"), ("tables", "cogniac.result_versions")},
    ),
    "an assertion says otherwise": (
        f"UPDATE cogniac.detections SET probability = 1 WHERE {one('cogniac.detections', 'detection_id')}",
        {("api", "cogniac.detections"), ("tables", "cogniac.detections")},
    ),
    "a medium says otherwise": (
        f"UPDATE cogniac.media SET filename = 'x' WHERE {one('cogniac.media', 'media_id')}",
        {("tables", "cogniac.media")},
    ),
    "a medium of Neurons has another time": (
        f"UPDATE neurons.media SET updated_at = now() WHERE {one('neurons.media', 'media_id')}",
        {("api", "neurons.media"), ("tables", "neurons.media")},
    ),
    "a medium of Neurons is lost": (
        f"DELETE FROM neurons.media WHERE {one('neurons.media', 'media_id')}",
        {("api", "neurons.media"), ("tables", "neurons.media"), ("tables", "neurons.media_metrics")},
    ),
    "a medium of Neurons counts as deleted": (
        f"UPDATE neurons.media SET deleted_at = updated_at WHERE {one('neurons.media', 'media_id')}",
        {("api", "neurons.media"), ("tables", "neurons.media")},
    ),
    "files are lost": (
        "DELETE FROM neurons.assets WHERE asset = 'metrics'",
        {("api", "neurons.assets"), ("tables", "neurons.assets"), ("tables", "neurons.frame_metrics")},
    ),
    "a cursor is beyond the data": (
        "UPDATE etl.cursors SET cursor_at = cursor_at + INTERVAL 1 YEAR WHERE source = 'cogniac'",
        {("tables", "etl.cursors")},
    ),
    "a history has a hole": (
        "UPDATE cogniac.detection_history SET valid_to = valid_from + (valid_to - valid_from) / 2",
        {("tables", "cogniac.detection_history")},
    ),
    "counts do not add up": (
        "UPDATE etl.run_streams SET unchanged = unchanged + 1 WHERE stream = 'detections'",
        {("runs", "etl.run_streams")},
    ),
}
HEALED_BY_THE_API = ("a result is lost", "a medium of Neurons is lost", "files are lost")


def change(home: Path, statement: str) -> None:
    """Do to the warehouse what no command does."""
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute(statement)


def named(ran: Ran, *, but_for: str = "lake") -> set[tuple[str, str]]:
    """Where differences are, but for those of one place."""
    return {(each["place"], each["table"]) for each in ran.report["differences"] if each["place"] != but_for}


def said(home: Path) -> Dump:
    """All rows of all tables that tell of more than of runs."""
    return {name: dump for name, dump in everything(home).items() if name not in OF_RUNS}


def test_nothing_differs_after_runs_and_nothing_is_written(copied: Sightglass) -> None:
    """Every record is compared, and neither the warehouse nor the lake is touched."""

    def touched() -> dict[str, int]:
        found = (path for path in copied.home.rglob("*") if path.is_file() and "run." not in path.name)
        return {str(path): path.stat().st_mtime_ns for path in found}

    before = touched()
    ran = copied("verify", "--json")

    asked = ran.report["asked"]
    results, media = (len(rows(copied.home, name)) for name in ("cogniac.results", "neurons.media"))
    assert (0, [], [], []) == (
        ran.code,
        ran.report["differences"],
        ran.report["unasked"],
        ran.report["notes"],
    )
    assert asked["cogniac"]["records"] >= results
    assert media == asked["neurons"]["records"]
    assert before == touched()


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_to_the_tables_is_named_and_healed_from_the_log(copied: Sightglass, case: str) -> None:
    """Each is named where it is, and after the repair all rows are what they were, to the last column."""
    statement, places = DAMAGE[case]
    before = said(copied.home)
    change(copied.home, statement)
    found, repaired = copied("verify", "--json"), copied("repair")
    again = copied("verify")

    assert (4, True) == (found.code, places <= named(found)), found.out
    assert (0, 0, "nothing differs") == (repaired.code, again.code, again.err.split(": ")[-1].strip())
    assert {} == differing(before, said(copied.home))


@pytest.mark.parametrize("case", HEALED_BY_THE_API)
def test_what_the_log_does_not_hold_is_read_again(copied: Sightglass, case: str) -> None:
    """Only what is named: all other rows stay as they are, `_loaded_at` included."""
    for source in ("cogniac", "neurons"):
        first = min((copied.home / "raw" / source / "log").rglob("*.zst")).name.partition(".")[0]
        for path in (copied.home / "raw" / source).rglob(f"{first}*"):
            path.unlink()
    noted = copied("verify")
    before = said(copied.home)
    change(copied.home, DAMAGE[case][0])
    lost = {
        name: {row for row in before[name] if row not in set(dump)}
        for name, dump in said(copied.home).items()
    }
    (copied.folder / "named.json").write_text(copied("verify", "--json").out)
    repaired, again = copied("repair", "--from", "named.json"), copied("verify")
    after = said(copied.home)

    assert (0, 0, 0) == (noted.code, repaired.code, again.code), again.out
    assert "the log of cogniac begins with part" in noted.err
    # What came again has the lineage of the repair, and so have the parts that were replaced with it.
    gone = [row for some in lost.values() for row in some]
    keys = {*(row[:2] for row in gone), *(row[0] for row in gone)}
    for name, dump in before.items():
        kept = [row for row in dump if row[:2] not in keys and row[0] not in keys]
        assert set(kept) <= set(after[name]), name
        assert len(dump) == len(after[name]), name


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_is_found_and_healed(copied: Sightglass, seed: int) -> None:
    """Rows that are deleted, doubled and altered anywhere."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    before = said(copied.home)
    names = [name for name, dump in before.items() if dump and not name.startswith("etl.")]
    hit = set()
    for how in ("DELETE FROM {0} WHERE rowid = {1}", "INSERT INTO {0} FROM {0} WHERE rowid = {1}", None):
        name = chance.choice(names)
        hit.add(name)
        at = chance.randrange(len(before[name]))
        change(copied.home, (how or "UPDATE {0} SET _extra = '{{}}' WHERE rowid = {1}").format(name, at))
    found = copied("verify", "--json")
    repaired, again = copied("repair"), copied("verify")

    assert hit <= {each["table"] for each in found.report["differences"] if each["place"] == "tables"}
    assert (4, 0, 0) == (found.code, repaired.code, again.code)
    assert {} == differing(before, said(copied.home))


def altered(path: Path) -> None:
    """Flip a bit in a file."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize("harm", [altered, Path.unlink])
def test_damage_to_the_lake_is_named_and_healed_without_an_api(copied: Sightglass, harm: Any) -> None:  # noqa: ANN401
    """By its file; nobody is asked, and the warehouse stays as it is."""
    path = max((copied.home / "versions" / "cogniac" / "results").glob("*[!0].*.parquet"))
    before = everything(copied.home)
    harm(path)
    found = copied("verify", "--json", "--quick")
    (copied.folder / "named.json").write_text(found.out)
    repaired = Sightglass(copied.folder, {})("repair", "--from", "named.json")
    again = copied("verify", "--quick")

    assert [("lake", "cogniac.results", str(path.relative_to(copied.home)))] == [
        (each["place"], each["table"], each["file"]) for each in found.report["differences"]
    ]
    assert (4, 0, 0) == (found.code, repaired.code, again.code)
    assert "the tables were not held against the log" in found.report["notes"][0]
    assert {} == differing(before, everything(copied.home))


def test_readers_who_see_something_else_get_what_is_stored(copied: Sightglass) -> None:
    """Though the files are as they were written, and the rows of one lineage."""
    change(copied.home, "UPDATE cogniac.detections SET probability = 0.5")
    (copied.home / "rebuilt").touch()
    assert copied("publish").code == 0
    shutil.copy(copied.home / "warehouse.duckdb", copied.folder / "altered")
    found = copied("verify", "cogniac")
    repaired, again = copied("repair"), copied("verify")
    with duckdb.connect(copied.home / "bi.duckdb", read_only=True) as connection:
        query = "SELECT count(DISTINCT probability) > 1 FROM cogniac.detections"
        assert [(True,)] == connection.execute(query).fetchall()

    assert (4, 0, 0) == (found.code, repaired.code, again.code)


@pytest.mark.parametrize("harm", [altered, Path.unlink])
@pytest.mark.parametrize("stream", ["log", "detections"])
def test_damage_to_the_log_is_named_and_set_aside(copied: Sightglass, harm: Any, stream: str) -> None:  # noqa: ANN401
    """From then on it is known what the log lacks; what it held is in the tables."""
    # Of the first parts nobody can tell whether they were pruned.
    path = sorted((copied.home / "raw" / "cogniac" / stream).rglob("*.zst"), key=lambda one: one.name)[1]
    before = everything(copied.home)
    harm(path)
    found, repaired = copied("verify", "--json", "--quick"), copied("repair", "cogniac")
    differ = differing(before, everything(copied.home))
    again, ran = copied("verify"), copied("run")

    assert {("log", "")} == named(found)
    assert (4, 0, 0, 0) == (found.code, repaired.code, again.code, ran.code)
    assert "the log of cogniac lacks parts that are known to be lost: 1" in again.err
    assert {} == differ


def test_what_no_run_has_applied_is_named_and_applied(served: Plant, tmp_path: Path) -> None:
    """A run that was killed between sealing and committing leaves such parts."""
    sightglass = place(tmp_path / "place", served)
    assert died(sightglass, Moment(AT_A_STATEMENT, 60))
    found = sightglass("verify", "--json", "--quick")
    repaired = sightglass("repair")

    unapplied = [each for each in found.report["differences"] if each["place"] == "log"]
    assert (4, 0) == (found.code, repaired.code)
    assert ["no run has applied them" in each["what"] for each in unapplied]
    assert sightglass("run").code == 0
    assert sightglass("verify").code == 0


def test_the_api_has_moved_on(tmp_path: Path) -> None:
    """What it shows late, behind the cursor, is missing; what it changed or deleted since is not."""
    placed = Placed([(each["updated_at"], each) for each in map(record, range(0, 40, 2))])
    with serving({**cogniac({DETECTIONS: placed})}) as server:
        sightglass = of_cogniac(tmp_path, server).but_for({"SIGHTGLASS_RAW_DAYS": "30"})
        assert sightglass("run").code == 0
        kept = [*placed.records[2:], (T + 50, record(4, T + 50)), (T + 60, record(60))]
        placed.records[:] = [one for one in kept if one[1] != record(4)]
        since = sightglass("verify", "--json")
        placed.records.append((T + 7, record(7)))
        found = sightglass("verify", "--json")
        before, stood = said(sightglass.home), rows(sightglass.home, "etl.cursors")
        placed.pages = 0
        repaired = sightglass("repair", "--json")
        again = sightglass("verify")

    assert (0, 4, 0, 0) == (since.code, found.code, repaired.code, again.code)
    assert [("cogniac.results", "m7"), ("cogniac.media", "m7")] == [
        (each["table"], each["key"]["media_id"]) for each in found.report["differences"]
    ]
    assert {"the API has it, the table has not"} == {each["what"] for each in found.report["differences"]}
    assert 1 == repaired.report["run"]["streams"][0]["inserted"]
    assert ["detections"] == [each["stream"] for each in repaired.report["run"]["streams"]]
    assert stood == rows(sightglass.home, "etl.cursors")
    for name, dump in before.items():
        assert set(dump) <= set(said(sightglass.home)[name])


def test_what_is_in_quarantine_is_named_as_that(tmp_path: Path) -> None:
    """A record that was refused is no difference; one that would be refused and is not there is one."""
    bad = record(1)
    bad["detections"][0]["probability"] = 5
    listed: list[tuple[float, Any]] = [(one["updated_at"], one) for one in (record(0), bad, record(2))]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert sightglass("run").code == 4
        found = sightglass("verify", "--json")
        change(sightglass.home, "DELETE FROM etl.quarantine")
        lost = sightglass("verify", "--json")
        repaired, again = sightglass("repair"), sightglass("verify")

    assert (0, 1) == (found.code, found.report["asked"]["cogniac"]["quarantined"])
    assert (4, {("api", "")}) == (lost.code, named(lost))
    assert (4, 0) == (repaired.code, again.code)


def test_an_api_that_is_away_is_named_and_the_inside_is_looked_at(copied: Sightglass) -> None:
    """Exit 3, with what differs inside."""
    change(copied.home, DAMAGE["a result is there twice"][0])
    found = copied("verify", "--json", COG_URL_PREFIX="http://127.0.0.1:9", SIGHTGLASS_RETRY_BUDGET="1")
    without = Sightglass(copied.folder, {})("verify", "--json", "--quick")

    assert (3, 1) == (found.code, len(found.report["unasked"]))
    assert ("tables", "cogniac.results") in named(found)
    assert (3, 2) == (without.code, len(without.report["unasked"]))
    healed = copied("repair")
    said = Sightglass(copied.folder, {})("verify", "--quick").err.splitlines()[-1]
    assert (0, "sightglass: nothing of what was compared differs") == (healed.code, said)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since="], "--since is empty: give it a date or a time in ISO 8601"),
        (["--until="], "--until is empty: give it a date or a time in ISO 8601"),
        (
            ["--since=2026-04-05", "--until=2026-04-01"],
            "--since must be earlier than --until, which 2026-04-05 is not",
        ),
    ],
)
def test_a_range_that_holds_nothing_is_refused(
    sightglass: Sightglass, arguments: list[str], complaint: str
) -> None:
    """It would prove nothing, and say that nothing differs."""
    assert Ran(2, "", f"sightglass: {complaint}\n") == sightglass("verify", *arguments)


def test_windows_are_drawn_by_a_seed(tmp_path: Path) -> None:
    """The same ones again, and fewer records than there are."""
    listed: list[tuple[float, Any]] = [(one["updated_at"], one) for one in map(record, range(1_000))]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert sightglass("run").code == 0
        drawn = [
            sightglass("verify", "--json", "--sample", "2", "--seed", seed).report["asked"]["cogniac"]
            for seed in ("1", "1", "4")
        ]
        ranged = sightglass("verify", "--json", "--since", "2026-03-04", "--until", "2026-03-05")

    assert drawn[0] == drawn[1]
    assert all(each["windows"] == 2 and 100 <= each["records"] <= 205 for each in drawn)
    assert 0 == ranged.code


def test_a_run_that_works_is_not_disturbed(copied: Sightglass) -> None:
    """Both commands leave with 75 while another process holds the lock."""
    with filelock.FileLock(copied.home / "run.lock"):
        assert [75, 75] == [copied(name).code for name in ("verify", "repair")]


@pytest.mark.parametrize("number", [3, 40, 150, 400])
def test_a_repair_that_is_killed_is_done_by_the_next(copied: Sightglass, number: int) -> None:
    """Whatever it was doing."""
    before = said(copied.home)
    for case in ("a result is lost", "a medium says otherwise", "files are lost"):
        change(copied.home, DAMAGE[case][0])
    altered(max((copied.home / "versions" / "cogniac" / "subjects").glob("*[!0].*.parquet")))
    is_killed = died(copied, Moment(AT_A_STATEMENT, number), "repair")
    repaired, again = copied("repair"), copied("verify")

    assert (True, 0, 0, {}) == (
        is_killed,
        repaired.code,
        again.code,
        differing(before, said(copied.home)),
    )


def test_a_verify_that_is_killed_leaves_nothing_behind(copied: Sightglass) -> None:
    """The next one finds nothing that differs."""
    assert died(copied, Moment(AT_A_STATEMENT, 30), "verify")
    assert 0 == copied("verify").code
    assert not (copied.home / "verify").exists()


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", '{"differences": [{"place": "nowhere"}]}', json.dumps({"other": 1})]
)
def test_what_verify_has_not_printed_is_refused(copied: Sightglass, content: str) -> None:
    """On one line, with exit code 2."""
    (copied.folder / "named.json").write_text(content)
    ran = copied("repair", "--from", "named.json")

    missing = copied("repair", "--from", "missing.json")

    assert (2, 1) == (ran.code, len(ran.err.splitlines()))
    assert Ran(2, "", "sightglass: cannot read missing.json: No such file or directory\n") == missing
    assert "--from must name what `sightglass verify --json` has printed" in ran.err
