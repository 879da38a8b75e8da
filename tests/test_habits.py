"""What the Makefile and its lists name is there."""

import re
from pathlib import Path

import pytest
from conftest import SLOW

TESTS = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_test_that_is_left_out_exists(name: str) -> None:
    """What `make test` leaves out is a file, or a function in one: a new name does not make it quick."""
    file, _, function = name.partition("::")

    assert (TESTS / file).is_file()
    assert not function or re.search(
        rf"^def {function}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE
    )
