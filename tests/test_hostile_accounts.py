"""Whose warehouse it is, which sources are loaded; settings and terminals that are not as they should be."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import ROOT, Plant, Row, Sightglass, all_rows, rows
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Placed,
    Request,
    Routes,
    Said,
    T,
    cogniac,
    medium,
    of_cogniac,
    of_neurons,
    record,
    serving,
)

KEYS = {"old": range(12), "new": range(12), "other": range(100, 124), "third": range(200, 203)}
"""By key, the media of its account: `new` is another key of the account of `old`."""


def accounts(hidden: Mapping[str, range] | None = None) -> Routes:
    """The media of each key; of some keys the list shows only these."""

    def media_of(asked: Request) -> list[Row]:
        return [medium(number) for number in KEYS[asked.headers["X-API-Key"]]]

    def listed(asked: Request) -> Said:
        key = asked.headers["X-API-Key"]
        if key not in KEYS:
            return Answer(b'{"detail": "no such key"}', 401)
        shown = [medium(number) for number in (hidden or {}).get(key, KEYS[key])]
        return {"media": shown[int(asked.query["offset"]) :], "pagination": {"total": len(shown)}}

    def one(asked: Request) -> Said:
        name = asked.path.rpartition("/")[2]
        missing = Answer(b'{"detail": "no such medium"}', 404)
        return next((each for each in media_of(asked) if each["media_id"] == name), missing)

    return {MEDIA: listed, f"{MEDIA}/.*": one}


def neurons_ids(home: Path) -> dict[str, bool]:
    """Each stored medium, and whether it is marked as deleted."""
    return {row["media_id"]: "deleted_at" in row for row in rows(home, "neurons.media")}


def bound(home: Path) -> dict[str, str]:
    """By source, the account that the warehouse is bound to."""
    return {row["source"]: row["account"] for row in rows(home, "etl.accounts")}


def content(home: Path) -> tuple[dict[str, list[Row]], set[Path]]:
    """All rows of the warehouse, and all files of the lake and the archive."""
    files = {path for path in home.glob("*/**/*") if path.is_file()}
    return all_rows(home), files


def test_another_key_of_neurons_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The media of another account are neither mixed in, nor are those that are stored marked as deleted."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        first = sightglass("run", NEURONS_API_KEY="old")
        before = content(sightglass.home)
        asked = server.count(MEDIA)
        ran = sightglass("run", NEURONS_API_KEY="other", SIGHTGLASS_RAW_DAYS="30")
        backfill = sightglass("backfill", "neurons", "--since", "2026-01-01", NEURONS_API_KEY="other")
        after = content(sightglass.home)

    assert (0, 1, 2, 2) == (first.code, asked, ran.code, backfill.code)
    assert ran.err.startswith("sightglass: the warehouse holds neurons data of another account (")
    assert "`sightglass confirm account neurons`" in ran.err
    assert before == after
    assert not {"old", "other"} & {*bound(sightglass.home).values()}


def test_a_new_key_of_the_same_account_takes_over(tmp_path: Path) -> None:
    """Where the list shows media that are stored, the key was rotated; it is asked for once."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        before = bound(sightglass.home)
        counts = [server.count(MEDIA)]
        for _ in range(2):
            assert 0 == sightglass("run", NEURONS_API_KEY="new").code
            counts.append(server.count(MEDIA))

    assert [1, 3, 4] == counts
    assert before != bound(sightglass.home)
    assert {f"n{number}": False for number in range(12)} == neurons_ids(sightglass.home)


def test_a_new_key_is_known_by_a_stored_medium_that_the_list_does_not_show(tmp_path: Path) -> None:
    """Where the first page shares nothing, some stored media are asked for by their ids."""
    with serving(accounts({"new": range(0)})) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        ran = sightglass("run", NEURONS_API_KEY="new")

    assert (0, 2) == (ran.code, len(rows(sightglass.home, "etl.runs")))


def test_a_confirmed_account_is_loaded_into_the_same_warehouse(tmp_path: Path) -> None:
    """It holds once: a third account is refused again, and no medium of the first is held to be deleted."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        old = bound(sightglass.home)
        confirmed = sightglass("confirm", "account", "neurons")
        ran = sightglass("run", NEURONS_API_KEY="other")
        new = bound(sightglass.home)
        third = sightglass("run", NEURONS_API_KEY="third")

    assert (0, 0, 2) == (confirmed.code, ran.code, third.code)
    assert old != new == bound(sightglass.home)
    assert {f"n{number}": False for number in [*range(12), *range(100, 124)]} == neurons_ids(sightglass.home)
    assert "held back" not in ran.err


def test_a_key_that_is_refused_binds_nothing(tmp_path: Path) -> None:
    """A mistyped first key is a login that fails; the right one is bound when its first rows come."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        wrong = sightglass("run", NEURONS_API_KEY="mistyped")
        unbound = bound(sightglass.home)
        right = sightglass("run", NEURONS_API_KEY="old")
        again = sightglass("run", NEURONS_API_KEY="mistyped")

    assert (3, {}, 0, 3) == (wrong.code, unbound, right.code, again.code)
    gaps = [(row["source"], row["stream"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
    said = f"GET {server.url}predict/v2/media answered 401: no such key; check NEURONS_API_KEY"
    assert [("neurons", "media", said)] == gaps


def test_a_warehouse_of_an_older_version_is_bound_to_the_account_it_shares_media_with(tmp_path: Path) -> None:
    """Without a binding another account is refused all the same, and the right one bound."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        unbind(sightglass.home)
        other = sightglass("run", NEURONS_API_KEY="other")
        between = bound(sightglass.home)
        same = sightglass("run", NEURONS_API_KEY="old")

    assert (2, {}, 0, {"neurons"}) == (other.code, between, same.code, {*bound(sightglass.home)})


def unbind(home: Path) -> None:
    """Make the warehouse one of a version that knew no accounts."""
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("DROP TABLE etl.accounts")
        connection.execute("DROP TABLE etl.confirmations")


def tenant(name: str, *, shared: str | None = None) -> Routes:
    """A tenant with one application and one record; its subject may be shared by another tenant."""
    found = dict(cogniac({DETECTIONS: Placed([(T, record(0))])}))
    return {
        "/1/users/current/tenants": {"tenants": [{"tenant_id": name}]},
        "/1/tenants/[^/]+/subjects": {"data": [{"subject_uid": "cat", "tenant_id": shared or name}]},
        **{path: said for path, said in found.items() if "subjects" not in path and "users" not in path},
    }


def test_another_tenant_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Whether the key leads there or COG_TENANT does; with COG_TENANT nothing is asked at all."""
    with serving(tenant("t1")) as server, serving(tenant("t2")) as other:
        sightglass = of_cogniac(tmp_path, server)
        first = sightglass("run")
        before = content(sightglass.home)
        by_key = sightglass("run", COG_URL_PREFIX=other.url)
        asked = len(server.asked)
        by_name = sightglass("run", COG_TENANT="t2")
        after = content(sightglass.home)

    assert (0, 2, 2, []) == (first.code, by_key.code, by_name.code, server.asked[asked:])
    assert (
        by_key.err
        == by_name.err
        == (
            "sightglass: the warehouse holds cogniac data of another account (t1) than the credentials lead "
            "to (t2): set SIGHTGLASS_HOME to another folder, or, to load both accounts into this one, run "
            "`sightglass confirm account cogniac` first\n"
        )
    )
    assert (before, {"cogniac": "t1"}) == (after, bound(sightglass.home))


def test_an_older_warehouse_is_compared_with_the_tenants_of_its_applications(tmp_path: Path) -> None:
    """A tenant whose subjects are stored because it shares them is another one all the same."""
    with serving(tenant("t1", shared="t2")) as server, serving(tenant("t2")) as other:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        unbind(sightglass.home)
        refused = sightglass("run", COG_URL_PREFIX=other.url)
        taken = sightglass("run")

    assert (2, 0, {"cogniac": "t1"}) == (refused.code, taken.code, bound(sightglass.home))
    assert refused.err.startswith("sightglass: the warehouse holds cogniac data of another account than")


def test_an_account_that_cannot_be_asked_for_fails_its_source_alone(tmp_path: Path) -> None:
    """It is neither a mistake in the settings nor a bug: its streams are gaps, the other source is loaded."""
    down = {**tenant("t1"), "/1/users/current/tenants": Answer(b"", 503)}
    with serving(accounts()) as server, serving(down) as other:
        both = {**of_cogniac(tmp_path, other).settings, **of_neurons(tmp_path, server).settings}
        sightglass = Sightglass(tmp_path, {**both, "SIGHTGLASS_RETRY_BUDGET": "0"})
        ran = sightglass("run", NEURONS_API_KEY="old")

    assert (3, 12, {"neurons"}) == (ran.code, len(neurons_ids(sightglass.home)), {*bound(sightglass.home)})
    said = f"GET {other.url}1/users/current/tenants answered 503"
    gaps = [(row["source"], row["stream"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
    assert [("cogniac", "applications", said)] == gaps
    assert 1 == other.count("/tenants")


# Which sources are loaded


def test_a_source_that_was_loaded_and_has_no_credentials_now_is_named(plant: Plant, tmp_path: Path) -> None:
    """The others are loaded and published, and the exit code is 2; SIGHTGLASS_SOURCES leaves it out."""
    sightglass = Sightglass(tmp_path, plant.settings)
    first = sightglass("run")
    rest = replace(sightglass, settings=plant.cogniac_login)
    lapsed = rest("run", "--json")
    named = rest("run", "cogniac")
    chosen = rest("run", SIGHTGLASS_SOURCES="cogniac")

    line = (
        "sightglass: neurons skipped, it has no credentials and was loaded before: set NEURONS_API_KEY, or "
        "name the sources to load in SIGHTGLASS_SOURCES"
    )
    assert (0, 2, 0, 0) == (first.code, lapsed.code, named.code, chosen.code)
    report = lapsed.report
    assert ("partial", 2, ["neurons"]) == (report["status"], report["exit_code"], report["lapsed"])
    assert ({"cogniac"}, True) == ({one["source"] for one in report["streams"]}, bool(report["published"]))
    assert line == lapsed.err.splitlines()[0]
    assert "neurons" not in named.err + chosen.err


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ("cogniac,neurons", "neurons has no credentials: set NEURONS_API_KEY"),
        ("cogniac, acme", "SIGHTGLASS_SOURCES: acme is no source; known are cogniac, neurons"),
    ],
)
def test_sources_that_must_be_loaded_and_cannot_be_are_named(
    plant: Plant, tmp_path: Path, sources: str, complaint: str
) -> None:
    """No API is asked anything, and nothing is written."""
    ran = Sightglass(tmp_path, plant.cogniac_login)("run", SIGHTGLASS_SOURCES=sources)

    assert (2, f"sightglass: {complaint}\n") == (ran.code, ran.err)
    assert ([], []) == (list(plant.cogniac.requests), list(tmp_path.iterdir()))


def test_only_the_sources_that_are_named_are_loaded(plant: Plant, sightglass: Sightglass) -> None:
    """With SIGHTGLASS_SOURCES the other one is left out although it has credentials."""
    ran = sightglass("run", "--json", SIGHTGLASS_SOURCES="neurons")

    assert (0, []) == (ran.code, ran.report["skipped"])
    assert {"neurons"} == {one["source"] for one in ran.report["streams"]}
    assert [] == list(plant.cogniac.requests)


# Settings


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("COG_API_KEY", "", "COG_API_KEY from the environment is empty: give it a value, or leave it out"),
        ("COG_USER", "", "COG_USER from the environment is empty: give it a value, or leave it out"),
        ("COG_PASS", " ", "COG_PASS from the environment is empty: give it a value, or leave it out"),
        (
            "NEURONS_API_KEY",
            "",
            "NEURONS_API_KEY from the environment is empty: give it a value, or leave it out",
        ),
        (
            "SIGHTGLASS_HOME",
            "",
            "SIGHTGLASS_HOME from the environment is empty: give it a value, or leave it out",
        ),
        (
            "NEURONS_API_KEY_FILE",
            "",
            "NEURONS_API_KEY_FILE from the environment is empty: name a file, or leave it out",
        ),
        ("NEURONS_API_KEY_FILE", "empty", "NEURONS_API_KEY_FILE: empty holds nothing"),
        ("NEURONS_API_KEY_FILE", "blank", "NEURONS_API_KEY_FILE: blank holds nothing"),
        (
            "NEURONS_API_KEY_FILE",
            "absent",
            "NEURONS_API_KEY_FILE: cannot read absent: No such file or directory",
        ),
        ("NEURONS_API_KEY_FILE", "folder", "NEURONS_API_KEY_FILE: cannot read folder: Is a directory"),
        (
            "SIGHTGLASS_LAGG",
            "1",
            "the environment: SIGHTGLASS_LAGG is no setting: did you mean SIGHTGLASS_LAG?",
        ),
    ],
)
def test_a_setting_in_the_environment_that_says_nothing_is_named(
    tmp_path: Path, name: str, value: str, complaint: str
) -> None:
    """Nobody sets a credential to nothing, or a setting that there is not, on purpose."""
    (tmp_path / "folder").mkdir()
    for file in ("empty", "blank"):
        (tmp_path / file).write_text(" \n" if file == "blank" else "")

    ran = Sightglass(tmp_path)("run", **{name: value})

    assert (2, "", f"sightglass: {complaint}\n") == (ran.code, ran.out, ran.err)
    assert {"folder", "empty", "blank"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("how", ["file", "flag", "home"])
def test_a_warehouse_without_a_name_is_refused_wherever_it_is_given(tmp_path: Path, how: str) -> None:
    """An empty folder in the file and on the command line is a mistake as in the environment."""
    (tmp_path / "o.toml").write_text('SIGHTGLASS_HOME = ""' if how == "file" else "")
    given = {"file": ["--config", "o.toml"], "flag": ["--set", "SIGHTGLASS_HOME="], "home": ["--home", ""]}
    machine = {name: each for name, each in os.environ.items() if name != "SIGHTGLASS_HOME"}
    ran = subprocess.run(
        [sys.executable, "-m", "etl", "sql", "SELECT 1", *given[how]],
        env={**machine, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    where = "o.toml" if how == "file" else "the command line"
    complaint = f"sightglass: SIGHTGLASS_HOME from {where} is empty: give it a value, or leave it out\n"
    assert (2, complaint) == (ran.returncode, ran.stderr)


def test_the_file_of_a_secret_may_be_named_where_settings_are(tmp_path: Path) -> None:
    """In the settings file and on the command line; the environment beats the one and yields to the other."""
    for name in ("old", "new", "other"):
        (tmp_path / f"{name}.key").write_text(f"{name}\n")
    (tmp_path / "sightglass.toml").write_text('NEURONS_API_KEY_FILE = "old.key"\n')
    flag = ("--set", "NEURONS_API_KEY_FILE=other.key")
    with serving(accounts()) as server:
        by_server = of_neurons(tmp_path, server)
        settings = {name: value for name, value in by_server.settings.items() if "KEY" not in name}
        sightglass = replace(by_server, settings=settings)
        codes = [
            sightglass("run").code,
            sightglass("run", NEURONS_API_KEY="new").code,
            sightglass("run", NEURONS_API_KEY_FILE="new.key").code,
            sightglass("run", *flag, NEURONS_API_KEY="new").code,
        ]
        keys = [each.headers["X-API-Key"] for each in server.asked]

    assert [0, 0, 0, 2] == codes
    assert ["old", "new", "other"] == list(dict.fromkeys(keys))


# Terminals


def published(sightglass: Sightglass) -> Sightglass:
    """The command with something to ask."""
    assert 0 == sightglass("run", "neurons").code
    return sightglass


def test_columns_of_one_name_are_told_apart(sightglass: Sightglass) -> None:
    """No column is lost in JSON or CSV, and no made name is one that another column has."""
    published(sightglass)
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    found = sightglass("sql", "--json", query), sightglass("sql", "--csv", query)

    assert {"columns": ["a", "a_2", "a_1", "a_3"], "rows": [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]} == (
        found[0].report
    )
    assert "a,a_2,a_1,a_3\n1,2,3,4\n" == found[1].out


ENCODINGS: dict[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


@pytest.mark.parametrize("machine", ENCODINGS.values(), ids=ENCODINGS)
def test_what_standard_output_cannot_show_is_shown_by_its_number(
    sightglass: Sightglass, machine: dict[str, str]
) -> None:
    """JSON stays JSON with every character, and neither CSV nor a run ends in a traceback."""
    published(sightglass)
    query = "SELECT 'caf\u00e9 \u2013 \U0001f600' AS said"
    found = [
        as_bytes(sightglass, arguments, machine)
        for arguments in (
            ["sql", "--json", query],
            ["sql", "--csv", query],
            ["run", "--json"],
            ["quarantine"],
        )
    ]

    assert [0, 0, 0, 0] == [code for code, _, _ in found]
    assert {"columns": ["said"], "rows": [{"said": "caf\u00e9 \u2013 \U0001f600"}]} == json.loads(found[0][1])
    assert found[1][1].decode("latin-1").startswith("said\ncaf")
    assert "ok" == json.loads(found[2][1])["status"]


def as_bytes(
    sightglass: Sightglass, arguments: list[Any], machine: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    """How the command ended, and what it said, byte for byte."""
    ours = ("COG_", "NEURONS_", "SIGHTGLASS_")
    there = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    always = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(sightglass.home), "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        [sys.executable, "-m", "etl", *arguments],
        env={**there, **always, **sightglass.settings, **machine},
        cwd=sightglass.folder,
        check=False,
        capture_output=True,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [["sql", b"SELECT '\xff'"], ["run", b"\xff"], ["sql", "SELECT 1", "--home", b"\xff"]],
    ids=["query", "source", "home"],
)
def test_an_argument_that_is_no_text_is_named(tmp_path: Path, arguments: list[Any]) -> None:
    """Bytes that are no UTF-8 are shown by their numbers."""
    code, out, err = as_bytes(Sightglass(tmp_path), arguments, {})

    place = next(place for place, each in enumerate(arguments, start=1) if isinstance(each, bytes))
    shown = arguments[place - 1].decode("latin-1").replace("\xff", "\\udcff")
    complaint = f"sightglass: argument {place} is no UTF-8 text: {shown}\n"
    assert (2, b"", complaint) == (code, out, err.decode())


def test_a_standard_output_that_is_full_or_closed_ends_in_no_traceback(sightglass: Sightglass) -> None:
    """Where it is full one line says so; where it is closed, or nobody can be told, there is silence."""
    published(sightglass)
    program = f"{sys.executable} -m etl"
    commands = ("--help", "sql --json 'SELECT 1'", "sql --csv 'SELECT 1'", "run neurons --json")
    found: dict[str, list[tuple[int, bytes]]] = {}
    for where in (">/dev/full", ">&-", "2>/dev/full", ">&- 2>&-"):
        for each in commands:
            script = ["-c", f"exec {program} {each} {where}"]
            found.setdefault(where, []).append(in_shell(sightglass, script))

    full = b"sightglass: cannot write to standard output: No space left on device\n"
    assert [(2, full)] * 3 == found[">/dev/full"][:3]
    assert (2, True) == (found[">/dev/full"][3][0], found[">/dev/full"][3][1].endswith(full))
    assert [[0] * 4] * 3 == [[code for code, _ in found[where]] for where in list(found)[1:]]
    assert [] == [said for each in found.values() for _, said in each if b"Traceback" in said]


def in_shell(sightglass: Sightglass, script: list[str]) -> tuple[int, bytes]:
    """How a script ended, and what it said to standard error."""
    always = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(sightglass.home)}
    machine = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        ["/bin/sh", *script],
        env={**machine, **always, **sightglass.settings},
        cwd=sightglass.folder,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    return ran.returncode, ran.stderr
