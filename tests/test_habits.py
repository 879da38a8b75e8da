"""How one works here: which tests are slow, what is locked."""

import re
from pathlib import Path

import pytest
from share import FEWER, SLOW

TESTS = Path(__file__).parent


@pytest.mark.parametrize("name", sorted({*SLOW, *FEWER}))
def test_a_test_that_is_left_out_exists(name: str) -> None:
    """What `make test` leaves out is a file, or a function in one: a new name does not make it quick."""
    file, _, function = name.partition("::")

    assert (TESTS / file).is_file()
    assert not function or re.search(
        rf"^def {function}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE
    )


def test_only_of_slow_tests_are_cases_left_out() -> None:
    """A name of another test would leave out nothing, and nobody would see it."""
    assert [] == [name for name in FEWER if SLOW.isdisjoint({name, name.partition("::")[0]})]


def locked(name: str) -> dict[str, str]:
    """The versions in a lock file."""
    text = (TESTS.parent / f"requirements{name}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_the_demo_runs_on_what_is_tested_and_on_nothing_else() -> None:
    """Its versions are those of the tests; no tests, linters or browser driver are there."""
    demo, tested = locked("-demo"), locked("")

    assert demo.items() <= tested.items()
    assert not demo.keys() & {"coverage", "cogniac", "hypothesis", "mypy", "playwright", "pytest", "ruff"}


def test_one_duckdb_is_locked_for_all() -> None:
    """Tests, demo and benchmark use the same; those that are older are the oldest supported and read."""
    assert {locked(name)["duckdb"] for name in ("", "-demo", "-bench")} == {"2.0.1"}
