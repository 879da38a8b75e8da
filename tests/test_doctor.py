"""`sightglass doctor`: each fault is named with its cure and its exit code, and nothing is written."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Sightglass
from faults import Healthy
from hostile import Answer
from support.kills import PAUSED, started
from test_plan import everything

from etl.config import load
from etl.doctor import apis, machine
from etl.doctor.check import Check
from etl.load.lock import hold
from etl.publish.size import Sizes
from etl.sources import own_settings

Row = dict[str, Any]
LIST = "/1/tenants/[^/]+/applications"
TOKEN = "/1/token"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANEW = "`sightglass publish` writes it anew from the warehouse"
USUAL = {"settings", "owner", "modes", "disk", "lock", "versions", "warehouse", "bi.duckdb", "lake"}


def found(ran: Ran, name: str) -> Row:
    """The one check of this name."""
    (check,) = [check for check in ran.report["checks"] if check["name"] == name]
    assert isinstance(check, dict)
    return check


def amiss(ran: Ran) -> list[tuple[str, str]]:
    """The checks that are not ok, and how they are; cron's apart, which is the machine's own."""
    checks = ran.report["checks"]
    return [(one["name"], one["level"]) for one in checks if one["level"] != "ok" and one["name"] != "cron"]


def test_all_is_well_and_nothing_is_written(loaded: Healthy) -> None:
    """Each check has its line; each API was asked for its login and one list; not a byte is changed."""
    loaded.restore()
    before, asked = everything(loaded.sightglass.folder), len(loaded.server.asked)

    ran = loaded.sightglass("doctor", "--json")

    names = {check["name"] for check in ran.report["checks"]}
    assert (0, "", []) == (ran.code, ran.err, amiss(ran))
    assert {*USUAL, "cron", "cogniac", "cogniac clock", "neurons", "neurons clock"} <= names
    assert "the login works; tenant t1, applications: 1, of which it reads 1" == found(ran, "cogniac")["says"]
    assert "the login works; media: 5" == found(ran, "neurons")["says"]
    assert 4 == len(loaded.server.asked) - asked
    assert before == everything(loaded.sightglass.folder)


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


NEWEST = "lake/.versions/cogniac/results/2026-06.*.parquet"
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
        "damaged, missing or unreadable: .versions/cogniac/results/",
        ANEW,
    ),
    "a file of the lake that is gone": (
        lambda home: one_of(home, NEWEST).unlink(),
        "lake",
        "fail",
        2,
        "damaged, missing or unreadable: .versions/cogniac/results/",
        ANEW,
    ),
    "an older file of the lake that breaks every query": (
        lambda home: (home / "lake/.versions/cogniac/results/old.1.parquet").write_bytes(b"x"),
        *("lake", "fail", 2, "damaged, missing or unreadable: .versions/cogniac/results/old.1.parquet", ANEW),
    ),
    "a damaged commit": (
        lambda home: flip(max(home.glob("lake/.versions/*.commit"))),
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
    assert f"it reads another lake, {sightglass.home / 'lake'}" == check["says"]
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


API_FAULTS: dict[str, tuple[str, Answer, str, str]] = {
    "a refused login": (
        TOKEN,
        Answer(b'{"message": "no such key"}', 401),
        "answered 401: no such key",
        "COG_",
    ),
    "an API that is down": (
        LIST,
        Answer(b"", 503),
        "/1/tenants/current/applications answered 503",
        "wait and",
    ),
    "an API that talks nonsense": (LIST, Answer(b"<html>", 200), "that is not JSON", "wait and look again"),
}


@pytest.mark.parametrize(("path", "said", "says", "cure"), API_FAULTS.values(), ids=API_FAULTS)
def test_fault_of_an_api_is_exit_code_3(
    path: str, said: Answer, says: str, cure: str, loaded: Healthy
) -> None:
    """The other API is looked at all the same."""
    loaded.restore()
    loaded.server.instead[path] = said
    try:
        ran = loaded.sightglass("doctor", "--json", SIGHTGLASS_RETRY_BUDGET="0")
    finally:
        loaded.server.instead.clear()

    check = found(ran, "cogniac")
    assert (3, [("cogniac", "fail")]) == (ran.code, amiss(ran))
    assert (True, True) == (says in check["says"], cure in check["cure"]), check
    assert "ok" == found(ran, "neurons")["level"]


def test_the_login_of_another_tenant_is_exit_code_2(loaded: Healthy) -> None:
    """A run would refuse it; the tenant that the warehouse holds is named."""
    loaded.restore()
    loaded.server.instead["/1/users/current/tenants"] = {"tenants": [{"tenant_id": "t2"}]}
    try:
        ran = loaded.sightglass("doctor", "--json")
    finally:
        loaded.server.instead.clear()

    assert (2, [("cogniac", "fail")]) == (ran.code, amiss(ran))
    assert found(ran, "cogniac")["says"].endswith("leads to t2; the warehouse holds t1")


LOGINS = [
    ({"NEURONS_API_KEY": ""}, 2, {"neurons": "fail"}, "set NEURONS_API_KEY"),
    ({"COG_API_KEY": "no-colon"}, 2, {"cogniac": "fail"}, "see to COG_API_KEY, or COG_USER and COG_PASS"),
]


@pytest.mark.parametrize(("settings", "code", "expected", "cure"), LOGINS)
def test_a_source_that_was_loaded_before_needs_its_login(
    settings: dict[str, str], code: int, expected: dict[str, str], cure: str, loaded: Healthy
) -> None:
    """As a run needs it."""
    loaded.restore()

    ran = loaded.sightglass.but_for(settings)("doctor", "--json")

    assert (code, expected) == (ran.code, dict(amiss(ran)))
    assert cure == found(ran, next(iter(expected)))["cure"]


def test_no_login_at_all_is_exit_code_2(tmp_path: Path) -> None:
    """There is nothing that a run could do."""
    ran = Sightglass(tmp_path)("doctor", "--json")

    assert (2, [("cogniac", "warn"), ("neurons", "warn"), ("sources", "fail")]) == (ran.code, amiss(ran))


@pytest.mark.parametrize(
    ("off", "level", "code", "says"),
    [
        (timedelta(minutes=0), "ok", 0, "it agrees with this machine's"),
        (timedelta(minutes=10), "warn", 0, "it is 10 minutes behind this machine's"),
        (timedelta(minutes=-10), "warn", 0, "it is 10 minutes ahead of this machine's"),
        (timedelta(hours=2), "fail", 2, "it is 120 minutes behind this machine's"),
    ],
)
def test_clocks_that_differ_are_named(
    off: timedelta, level: str, code: int, says: str, loaded: Healthy
) -> None:
    """By how much, and which way."""
    loaded.restore()
    settings = load(
        own_settings(), {**loaded.sightglass.settings, "SIGHTGLASS_HOME": str(loaded.sightglass.home)}
    )

    checks = {check.name: check for check in apis.logins(settings, lambda: datetime.now(UTC) + off)}

    check = checks["cogniac clock"]
    assert (level, says, code) == (check.level, check.says, check.code)
    assert ("" if level == "ok" else "set this machine's clock (NTP)") == check.cure


def test_a_run_that_works_for_more_than_a_day_is_a_warning(tmp_path: Path) -> None:
    """It may be stuck; the command that ends it is told."""
    settings = load((), {"SIGHTGLASS_HOME": str(tmp_path)})
    with hold(tmp_path, NOW):
        levels = [
            [check.level for check in machine.lock(settings, NOW + timedelta(hours=hours))]
            for hours in (1, 24, 25)
        ]
        (stuck,) = machine.lock(settings, NOW + timedelta(hours=25))

    assert [["ok"], ["ok"], ["warn"]] == levels
    assert f"if it is stuck, end it: kill {os.getpid()}" == stuck.cure


def test_room_is_measured_by_what_a_run_may_write(tmp_path: Path) -> None:
    """Three times what came on the largest day, and what DuckDB may log."""
    settings = load((), {"SIGHTGLASS_HOME": str(tmp_path / "not" / "there")})
    free = shutil.disk_usage(tmp_path).free

    def levels(received: int) -> list[tuple[str, int]]:
        sizes = Sizes(0, 0, received, 0, {NOW.date(): received}, 0)
        return [(check.level, check.code) for check in machine.room(settings, sizes)]

    assert [[("ok", 0)], [("warn", 0)], [("fail", 2)]] == [
        levels(received) for received in (0, free // 6, free // 2)
    ]


def test_cron_finds_the_command_or_is_told_where_it_is(tmp_path: Path) -> None:
    """With the few folders that cron looks into."""
    before = list(machine.cron(str(tmp_path)))
    command = tmp_path / "sightglass"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)

    assert [("cron", "warn", f"with PATH={tmp_path} it does not find sightglass", True)] == [
        (check.name, check.level, check.says, check.cure.endswith(" in the crontab")) for check in before
    ]
    assert [Check("cron", "ok", f"finds {command}")] == list(machine.cron(str(tmp_path)))


def test_word_of_a_holder_that_is_no_time_is_no_traceback(tmp_path: Path) -> None:
    """Whatever stands in the file."""
    settings = load((), {"SIGHTGLASS_HOME": str(tmp_path)})
    word = json.dumps({"pid": os.getpid(), "since": "long ago", "run": "r1"})
    with hold(tmp_path, NOW):
        (tmp_path / "run.holder.json").write_text(word)

        checks = list(machine.lock(settings, NOW))

    assert [Check("lock", "ok", f"held by process {os.getpid()}, since long ago: a run works")] == checks
