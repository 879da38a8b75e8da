"""What `sightglass doctor` finds of the machine: who holds the lock, room, and what cron finds."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from etl.config import load
from etl.doctor import machine
from etl.doctor.check import Check
from etl.load.lock import hold
from etl.publish.size import Sizes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


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
