"""The tutorial, as a newcomer does it: each command as it stands there, and what it shows, to the letter.

Where an output has changed on purpose, `make tutorial` writes the page anew. Read what it prints: the text
around an output may have to change too. The command that is run is the one of this checkout: to install it is
tried in `tests/test_package.py`.
"""

import re

import pytest
from support.tutorial import BLOCK, PAGE, blocks, matches, shortened, written_anew

TEXT = PAGE.read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)")


def test_each_command_shows_what_the_page_says() -> None:
    """In one go, in an empty home: all that is different is what the page says differs."""
    assert TEXT == written_anew(TEXT)


def test_what_is_exported_is_what_was_printed() -> None:
    """The reader copies it from the first terminal."""
    (printed,) = [each.shown for each in blocks(TEXT) if each.told == "first terminal"]
    (copied,) = [each.text for each in blocks(TEXT) if "export COG_URL_PREFIX" in each.text and not each.told]

    exports = re.compile(r"^export .*$", re.MULTILINE)
    assert exports.findall(printed or "") == exports.findall(copied) != []


def test_all_is_run_but_what_needs_a_network_or_keys() -> None:
    """Each fence of the page belongs to a block that is known; no other is left out."""
    known = list(BLOCK.finditer(TEXT))
    left_out = [each.text.splitlines()[0] for each in blocks(TEXT) if each.told.startswith("not run")]

    assert 2 * len(known) == len(re.findall(r"^```", TEXT, re.MULTILINE))
    assert ["cd ~", "unset COG_URL_PREFIX NEURONS_URL COG_API_KEY NEURONS_API_KEY"] == left_out


def test_every_link_leads_somewhere() -> None:
    """To a file of this checkout, and to a heading in it where one is named."""
    missing = []
    for name, anchor in LINK.findall(TEXT):
        path = PAGE.parent / name
        headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        missing += [f"{name}#{anchor}"] if anchor and anchor not in anchors else []

    assert [] == missing


@pytest.mark.parametrize(
    ("shown", "found", "expected"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\nb\n", "a\nb\nc\n", False),
        ("", "a\n", False),
        ("a\n", "", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", False),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("a\n...\n", "a\nb\nc\n", True),
        ("...\nc\n", "a\nb\nc\n", True),
        ("run 20261130T090112-4bd248 ok: 1\n", "run 20270101T000000-00ff00 ok: 1\n", True),
        ("run 20261130T090112-4bd248 ok: 1\n", "run 20270101T000000-00ff00 ok: 2\n", False),
        ("at 2026-11-30 09:01\n", "at 2027-01-01 10:00\n", True),
        ("at 2026-04-05 16:07\n", "at 2026-04-05 16:08\n", False),
        ("age  gaps\n9 s     0\n", "age    gaps\n1,234 d   0\n", True),
        ("age  gaps\n9 s     0\n", "age   gaps\n12 min   1\n", False),
        ("a  b\n", "a b\n", False),
    ],
)
def test_what_differs_by_nature_is_no_difference(shown: str, found: str, *, expected: bool) -> None:
    """Run ids, times of today, ages and the width they take; all else is, to the letter."""
    assert expected == matches(shown, found)


@pytest.mark.parametrize(
    ("shown", "found", "expected"),
    [
        ("x\n", "a\nb\n", "a\nb\n"),
        ("x\n...\n", "a\nb\nc\n", "a\n...\n"),
        ("x\n...\ny\n", "a\nb\nc\nd\n", "a\n...\nd\n"),
        ("x\n...\ny\n", "a\nb\n", "a\nb\n"),
    ],
)
def test_what_is_written_anew_leaves_out_as_much_as_before(shown: str, found: str, expected: str) -> None:
    """As many lines stay before and after; where nothing is between them, all of it is shown."""
    assert expected == shortened(shown, found)
