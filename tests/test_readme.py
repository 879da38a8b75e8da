"""What README and pages promise is there: commands, targets, settings, exit codes, links."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from etl.cli import COMMANDS
from etl.errors import (
    BUG,
    EXIT_CODES,
    OK,
    QUARANTINED,
    WORST_FIRST,
    BusyError,
    EnvironmentFaultError,
    SourceError,
)
from etl.manual import BLOCK, MADE, filled

CHECKOUT = Path(__file__).parents[1]
README, CONTRIBUTING = (
    (CHECKOUT / f"{name}.md").read_text(encoding="utf-8") for name in ("README", "CONTRIBUTING")
)
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "docs").glob("*.md"))}


def test_every_command_that_is_named_exists() -> None:
    """README and pages name no command `sightglass <command>` that there is not."""
    named = {
        name
        for text in (README, *PAGES.values())
        for name in re.findall(r"(?m)(?:^|`)sightglass ([a-z]+(?:-[a-z]+)*)\b", text)
    }

    assert set(COMMANDS) == named


def test_every_make_target_that_is_named_exists() -> None:
    """Each `make <target>` of README and CONTRIBUTING is a target of the Makefile."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"`?\bmake ([a-z-]+)(?=`|  )", README + CONTRIBUTING)) <= targets


def test_each_extra_is_named_with_its_weight() -> None:
    """In one table, which has no others."""
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = PAGES["install.md"].split("| extra | MB |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)

    assert sorted(declared["optional-dependencies"]) == sorted(name for name, _ in named)
    assert len(table.splitlines()) - 2 == len(named)


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if BLOCK.search(text)])
def test_what_pages_show_of_the_code_is_current(name: str) -> None:
    """Otherwise: `make docs`."""
    assert filled(PAGES[name]) == PAGES[name]


def test_commands_settings_and_exit_codes_are_shown() -> None:
    """Each once, wherever."""
    assert sorted(MADE) == sorted(block[2] for text in PAGES.values() for block in BLOCK.finditer(text))


def test_all_exit_codes_are_told() -> None:
    """Those of errors and outcomes, and of a process that was told to stop."""
    errors = (EnvironmentFaultError, SourceError, BusyError)

    assert {OK, BUG, QUARANTINED, *(each.exit_code for each in errors)} == set(WORST_FIRST)
    assert [*sorted(str(code) for code in WORST_FIRST), "130, 143"] == sorted(EXIT_CODES, key=_as_shown)


def _as_shown(codes: str) -> tuple[bool, str]:
    return "," in codes, codes


def test_the_website_has_all_pages_and_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    """It is made without a network, and each page is reached from its navigation."""
    program = [sys.executable, str(CHECKOUT / "docs" / "site.py"), str(tmp_path)]
    ran = subprocess.run(program, capture_output=True, text=True, check=False)
    nav = (CHECKOUT / "zensical.toml").read_text(encoding="utf-8")
    reached = re.findall(r'= "([\w-]+\.md)"', nav)

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == sorted(reached)
    assert all(
        (tmp_path / "site" / name.removesuffix(".md")).is_dir() for name in reached if name != "index.md"
    )


def test_option_that_means_something_else_is_told_with_its_command() -> None:
    """`demo --home` empties its folder: it is not the option that many commands have."""
    told = PAGES["commands.md"].partition("## sightglass demo\n")[2].partition("\n## ")[0]

    said = "| `--home DIR` | Folder to load into; emptied first. [default: demo-warehouse] |"
    assert said in told.splitlines()
