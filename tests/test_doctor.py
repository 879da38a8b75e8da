"""`sightglass doctor`: each fault is named with its cure and its exit code, and nothing is written."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Sightglass
from faults import Healthy
from support.doctor import amiss, found
from support.folders import contents
from support.kills import PAUSED, started

ANEW = "`sightglass publish` writes it anew from the warehouse"
USUAL = {"settings", "owner", "modes", "disk", "lock", "versions", "warehouse", "bi.duckdb", "lake"}


def test_all_is_well_and_nothing_is_written(loaded: Healthy) -> None:
    """Each check has its line; each API was asked for its login and one list; not a byte is changed."""
    loaded.restore()
    before, asked = contents(loaded.sightglass.folder), len(loaded.server.asked)

    ran = loaded.sightglass("doctor", "--json")

    names = {check["name"] for check in ran.report["checks"]}
    assert (0, "", []) == (ran.code, ran.err, amiss(ran))
    assert {*USUAL, "cron", "cogniac", "cogniac clock", "neurons", "neurons clock"} <= names
    assert "the login works; tenant t1, applications: 1, of which it reads 1" == found(ran, "cogniac")["says"]
    assert "the login works; media: 5" == found(ran, "neurons")["says"]
    assert 4 == len(loaded.server.asked) - asked
    assert before == contents(loaded.sightglass.folder)


def test_people_get_a_line_for_each_check(loaded: Healthy) -> None:
    """Each begins with ok, warn or fail, and says what was found."""
    loaded.restore()

    ran = loaded.sightglass("doctor")

    lines = ran.out.splitlines()
    assert (0, "") == (ran.code, ran.err)
    assert {"ok  ", "warn"} >= {line[:4] for line in lines}
    assert "ok    lock: free" in lines


def test_settings_are_told_with_their_origins_and_no_secret(loaded: Healthy, tmp_path: Path) -> None:
    """The command line, the environment, the settings file, the file of a secret, and the default."""
    loaded.restore()
    key = tmp_path / "key"
    key.write_text("id:secret-of-the-file")
    key.chmod(0o600)
    file = tmp_path / "settings.toml"
    file.write_text(f'SIGHTGLASS_LAG = 7\nCOG_API_KEY_FILE = "{key}"\n')
    sightglass = loaded.sightglass.but_for({"COG_API_KEY": ""})

    ran = sightglass("doctor", "--json", "--set", "SIGHTGLASS_OVERLAP=1800", "--config", str(file))

    told = {one["name"]: (one["value"], one["origin"]) for one in ran.report["settings"]}
    assert ("1800.0", "the command line") == told["SIGHTGLASS_OVERLAP"]
    assert ("2.0", "the environment") == told["SIGHTGLASS_RETRY_BUDGET"]
    assert ("7.0", "settings.toml") == told["SIGHTGLASS_LAG"]
    assert ("set", f"{key}, which settings.toml names") == told["COG_API_KEY"]
    assert ("set", "the environment") == told["NEURONS_API_KEY"]
    assert (None, "the default") == told["COG_USER"]
    assert ("8", "the default") == told["SIGHTGLASS_CONCURRENCY"]
    assert [] == [
        secret for secret in ("secret-of-the-file", "key-of-the-case") if secret in ran.out + ran.err
    ]


def test_wrong_settings_are_a_check_that_fails(loaded: Healthy) -> None:
    """There is one JSON object all the same."""
    ran = loaded.sightglass("doctor", "--json", SIGHTGLASS_OVERLAP="soon")

    says = "SIGHTGLASS_OVERLAP from the environment must be a number of at least 0, not 'soon'"
    check = {
        "name": "settings",
        "level": "fail",
        "says": says,
        "cure": "nothing else was looked at",
        "code": 2,
    }
    assert (2, [check], []) == (ran.code, ran.report["checks"], ran.report["settings"])


def test_doctor_works_before_the_first_run(loaded: Healthy) -> None:
    """Nothing is there yet, and nothing is made."""
    fresh = Sightglass(loaded.sightglass.folder / "new", loaded.sightglass.settings)
    fresh.folder.mkdir(exist_ok=True)

    ran = fresh("doctor", "--json")

    assert (0, []) == (ran.code, amiss(ran))
    assert f"{fresh.home} is not there yet, the first run makes it" == found(ran, "folder")["says"]
    assert [] == list(fresh.folder.iterdir())


def flip(path: Path) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def one_of(home: Path, pattern: str) -> Path:
    """The last file of a pattern, by name."""
    return max(home.glob(pattern))


def replaced(home: Path) -> None:
    """Put a file in the place of the folder."""
    shutil.rmtree(home)
    home.write_text("")


def posted(home: Path, name: str) -> Path:
    """A segment of the inbox."""
    (home / "inbox").mkdir(mode=0o700)
    (home / "inbox" / name).write_text("")
    return home / "inbox" / name


NEWEST = "versions/cogniac/results/2026-06.*.parquet"
FAULTS: dict[str, tuple[Callable[[Path], object], str, str, int, str, str]] = {
    "a file in the place of the folder": (replaced, "folder", "fail", 2, "is no folder", "move it away"),
    "a warehouse that others may read": (
        lambda home: (home / "warehouse.duckdb").chmod(0o644),
        "modes",
        "warn",
        0,
        "others may use warehouse.duckdb in",
        "chmod go-rwx warehouse.duckdb, there",
    ),
    "a warehouse that is none": (
        lambda home: (home / "warehouse.duckdb").write_bytes(b"x" * 5000),
        "warehouse",
        "fail",
        2,
        "is no DuckDB file",
        "docs/recovery.md says what to do",
    ),
    "a damaged bi.duckdb": (
        lambda home: (home / "bi.duckdb").write_bytes(b"x" * 5000),
        "bi.duckdb",
        "fail",
        2,
        "it cannot be opened: ",
        ANEW,
    ),
    "no bi.duckdb": (
        lambda home: (home / "bi.duckdb").unlink(),
        "bi.duckdb",
        "fail",
        2,
        "it is not there, though a version is published",
        ANEW,
    ),
    "a flipped bit in the lake": (
        lambda home: flip(one_of(home, NEWEST)),
        "lake",
        "fail",
        2,
        "damaged, missing or unreadable: versions/cogniac/results/",
        ANEW,
    ),
    "a file of the lake that is gone": (
        lambda home: one_of(home, NEWEST).unlink(),
        "lake",
        "fail",
        2,
        "damaged, missing or unreadable: versions/cogniac/results/",
        ANEW,
    ),
    "an older file of the lake that breaks every query": (
        lambda home: (home / "versions/cogniac/results/old.1.parquet").write_bytes(b"x"),
        *("lake", "fail", 2, "damaged, missing or unreadable: versions/cogniac/results/old.1.parquet", ANEW),
    ),
    "a damaged commit": (
        lambda home: flip(max(home.glob("versions/*.commit"))),
        "lake",
        "fail",
        2,
        ".commit is damaged",
        ANEW,
    ),
    "a damaged segment": (
        lambda home: posted(home, "1.damaged"),
        "inbox",
        "warn",
        0,
        "damaged in ",
        "what could be read of it is loaded; look into it, then move it away",
    ),
    "posts that nobody takes": (
        lambda home: os.utime(posted(home, "1.closed"), (1_700_000_000, 1_700_000_000)),
        "inbox",
        "warn",
        0,
        "1 segments wait for longer than a day",
        "see that runs come",
    ),
}
"""What happens to a home; which check names it, how, with which exit code, what it says, and the cure."""


@pytest.mark.parametrize(("happens", "name", "level", "code", "says", "cure"), FAULTS.values(), ids=FAULTS)
def test_fault_of_a_home_is_named_with_its_cure(  # noqa: PLR0913, PLR0917 -- a case has as many parts
    happens: Callable[[Path], object],
    name: str,
    level: str,
    code: int,
    says: str,
    cure: str,
    loaded: Healthy,
) -> None:
    """Nothing else is amiss."""
    loaded.restore()
    happens(loaded.sightglass.home)
    try:
        ran = loaded.sightglass("doctor", "--json")
    finally:
        if loaded.sightglass.home.is_file():
            loaded.sightglass.home.unlink()

    check = found(ran, name)
    assert (code, [(name, level)]) == (ran.code, amiss(ran))
    assert (True, True) == (says in check["says"], check["cure"].startswith(cure)), check


def test_a_copied_home_that_reads_the_lake_of_another_is_named(loaded: Healthy) -> None:
    """Its `bi.duckdb` shows what the other folder holds, until it is published from here."""
    loaded.restore()
    sightglass = loaded.sightglass
    copied = str(sightglass.folder / "copied")
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(sightglass.home, copied)

    ran = sightglass("doctor", "--json", "--home", copied)
    published = sightglass("publish", "--home", copied)
    again = sightglass("doctor", "--json", "--home", copied)

    check = found(ran, "bi.duckdb")
    assert (2, [("bi.duckdb", "fail")]) == (ran.code, amiss(ran))
    assert f"it reads another lake, {sightglass.home}" == check["says"]
    assert f"if this folder was copied or moved, {ANEW}" == check["cure"]
    assert (0, 0, []) == (published.code, again.code, amiss(again))


def test_what_this_user_cannot_write_is_named(loaded: Healthy) -> None:
    """A folder that is closed to it is exit code 2."""
    loaded.restore()
    home = loaded.sightglass.home
    home.chmod(0o500)
    try:
        ran = Sightglass(home.parent, loaded.sightglass.settings, bound=True)("doctor", "--json")
    finally:
        home.chmod(0o700)

    check = found(ran, "folder")
    assert (2, f"{home} cannot be written", "make it writable, or set SIGHTGLASS_HOME") == (
        ran.code,
        check["says"],
        check["cure"],
    )


def test_a_secret_that_anybody_may_read_is_named(loaded: Healthy, tmp_path: Path) -> None:
    """With the command that closes it."""
    loaded.restore()
    key = tmp_path / "key"
    key.write_text("id:secret-of-the-file")
    key.chmod(0o644)

    ran = loaded.sightglass.but_for({"COG_API_KEY": "", "COG_API_KEY_FILE": str(key)})("doctor", "--json")

    check = found(ran, "COG_API_KEY_FILE")
    assert (0, "warn", f"chmod o-rwx {key}") == (ran.code, check["level"], check["cure"])


def test_doctor_works_beside_a_run_and_names_one_that_was_killed(loaded: Healthy) -> None:
    """Who holds the lock is told; who died while holding it is a warning, for the next run heals it."""
    loaded.restore()
    with started(loaded.sightglass, PAUSED, "run") as process:
        assert process.stderr is not None
        assert "about to publish\n" == process.stderr.readline()
        beside = loaded.sightglass("doctor", "--json")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=100)
        after = loaded.sightglass("doctor", "--json")

    held, free = found(beside, "lock"), found(after, "lock")
    assert (0, "ok", True) == (
        beside.code,
        held["level"],
        f"held by process {process.pid}, since" in held["says"],
    )
    assert (0, [("lock", "warn")]) == (after.code, amiss(after))
    assert "nothing: the next run goes on from there" == free["cure"]
