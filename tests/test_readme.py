"""What the README promises is there: commands, targets, settings, exit codes."""

import re
import tomllib
from pathlib import Path
from typing import Any

from etl.cli import COMMANDS, own_areas
from etl.config import Settings
from etl.errors import BUG, OK, QUARANTINED, WORST_FIRST, BusyError, EnvironmentFaultError, SourceError
from etl.setting import declared

CHECKOUT = Path(__file__).parents[1]
README, CONTRIBUTING = (
    (CHECKOUT / f"{name}.md").read_text(encoding="utf-8") for name in ("README", "CONTRIBUTING")
)


def test_every_command_is_in_the_readme_and_every_command_there_exists() -> None:
    """The commands named as `sightglass <command>` are those of the program."""
    named = set(re.findall(r"sightglass ([a-z]+(?:-[a-z]+)*)\b", README)) - {"opens"}

    assert set(COMMANDS) == named


def test_every_make_target_that_is_named_exists() -> None:
    """Each `make <target>` of README and CONTRIBUTING is a target of the Makefile."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"`?\bmake ([a-z-]+)(?=`|  )", README + CONTRIBUTING)) <= targets


def test_each_extra_is_named_with_its_weight() -> None:
    """In one table, which has no others."""
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = README.split("| extra | MB |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)

    assert sorted(declared["optional-dependencies"]) == sorted(name for name, _ in named)
    assert len(table.splitlines()) - 2 == len(named)


def test_settings_table_lists_every_setting_with_its_default() -> None:
    """Each declared setting stands in the table with the default it has, and nothing else does."""
    areas: list[type[Any]] = [Settings, *own_areas()]
    settings = [each for area in areas for each in declared(area).values()]
    table = README.split("| variable |")[1].split("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    written = {
        name: row[3].strip().replace("`", "")
        for row in rows
        for name in re.findall(r"`([A-Z_]{8,})`", row[1])
    }
    told_in_words = {
        "COG_TENANT": "the user's only tenant",
        "SIGHTGLASS_COGNIAC_APPLICATIONS": "all active ones",
    }

    assert {each.name: told_in_words.get(each.name, each.default) for each in settings} == written


def test_exit_codes_in_the_readme_are_those_of_the_program() -> None:
    """The table of exit codes lists all of them, and the order in which one wins over another is the same."""
    table = README.split("| code |")[1].split("\n\n")[0]
    order = re.search(r"wins in the order ([\d, ]+)", README)

    assert order is not None
    assert {
        OK,
        BUG,
        EnvironmentFaultError.exit_code,
        SourceError.exit_code,
        QUARANTINED,
        BusyError.exit_code,
    } == {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert [code for code in WORST_FIRST if code] == [int(code) for code in re.findall(r"\d+", order[1])]
