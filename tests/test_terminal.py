"""No name, message or value from outside steers or deceives the terminal that shows it."""

import csv
import io
import json
import os
import pty
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Ran, Sightglass, read_terminal
from hostile import Answer, Placed, cogniac, record, serving

from etl.cli.output import DECEIVING

TITLE = "\x1b]0;owned\x07"
"""Names the window of a terminal."""
EVIL = f"x[/b]{TITLE}\u202e\x9b31m\nsightglass: all is well"
SHOWN = "x[/b]\\x1b]0;owned\\x07\\u202e\\x9b31m\\nsightglass: all is well"
NEW_LINE = "\\n"
LETTERS = "".join(chr(each) for each in DECEIVING if each)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightglass]:
    """The command for an API all of whose names are hostile; one of its records was refused by now."""
    refused = record(1) | {EVIL: 1}
    refused["detections"][0]["probability"] = EVIL
    answered = cogniac(
        {
            "/1/applications/.*/detections": Placed(
                [(each["updated_at"], each) for each in (record(0), refused)]
            ),
            "/1/tenants/[^/]+/subjects": Answer(json.dumps({"message": EVIL}).encode(), 403),
        },
        applications=[{"application_id": EVIL, "active": True}],
    )
    with serving(answered) as server:
        settings = {"COG_API_KEY": "id:secret-of-the-case", "COG_URL_PREFIX": server.url}
        sightglass = Sightglass(tmp_path_factory.mktemp("evil"), settings)
        assert "Traceback" not in sightglass("run", "--set", "SIGHTGLASS_RETRY_BUDGET=0").err
        yield sightglass


def steering(text: str) -> set[str]:
    """The signs in a text, but for line feeds, that a terminal obeys."""
    return {each for each in text if ord(each) in DECEIVING} - {"\n"}


def on_terminal(sightglass: Sightglass, *arguments: str, shows: str) -> tuple[int, str]:
    """The exit code of a command, and what it shows on the terminal that is its output, or its errors."""
    ours, theirs = pty.openpty()
    looks = {"TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
    on = replace(sightglass, settings={**sightglass.settings, **looks})
    with on.start(*arguments, **{shows: theirs}) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        process.communicate()
    return process.returncode, shown.replace("\r\n", "\n")


def test_messages_are_lines_of_ours(evil: Sightglass) -> None:
    """What an API says stands in one line each, with its signs written out."""
    ran = evil("run")

    said = ran.err.splitlines()
    assert (3, set()) == (ran.code, steering(ran.err))
    assert ["sightglass: "] * len(said) == [line[:12] for line in said]
    assert f"/subjects answered 403: {SHOWN.replace(NEW_LINE, ' ')}; check " in ran.err
    assert f"\nsightglass: undeclared fields, kept in _extra: cogniac.detections:{SHOWN}\n" in ran.err
    assert not re.search("(?m)^sightglass: all is well", ran.err)


def test_progress_shows_names_as_they_are(evil: Sightglass) -> None:
    """Brackets in a name are no markup, and its signs are written out."""
    code, shown = on_terminal(evil, "run", shows="err")

    assert (3, False, True) == (code, TITLE in shown or "\x9b" in shown, f"detections {SHOWN}"[:40] in shown)


def test_quarantine_is_shown_written_out(evil: Sightglass) -> None:
    """The list has one line for each entry, and what is shown of one cannot look like more of it."""
    listed = evil("quarantine")
    (line,) = listed.out.splitlines()
    shown = evil("quarantine", "show", line.split()[0])
    head, _, content = shown.out.partition("\n\n")

    names = ["reason", "path", "came by", "context", "state"]
    assert (0, set(), True) == (listed.code, steering(listed.out), SHOWN in line)
    assert (0, set()) == (shown.code, steering(shown.out))
    assert names == [each.partition(":")[0] for each in head.splitlines()]
    assert '"probability": "x[/b]' in content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", EVIL], f"sightglass: {SHOWN} is no source; known are cogniac, neurons"),
        ([EVIL], f"Error: No such command '{SHOWN}'."),
        (["run", "--set", EVIL], f"Error: --set takes NAME=VALUE, not {SHOWN}"),
        (
            ["run", "--config", EVIL],
            f"sightglass: cannot read the settings file {SHOWN}: No such file or directory",
        ),
        (
            ["quarantine", "show", EVIL],
            f"sightglass: there is no {SHOWN} in quarantine; `sightglass quarantine`",
        ),
    ],
)
def test_arguments_are_shown_written_out(evil: Sightglass, arguments: list[str], said: str) -> None:
    """Messages of exit code 2 repeat what was given with its signs written out."""
    ran = evil(*arguments)

    assert (2, "", set()) == (ran.code, ran.out, steering(ran.err))
    assert ran.err.splitlines()[-1].startswith(said)


def test_query_that_fails_is_one_line_and_where(evil: Sightglass) -> None:
    """DuckDB's first line is ours; where in the query something is wrong stands below, set in."""
    ran = evil("sql", f"SELECT '{EVIL}'::INTEGER")

    first, *more = ran.err.splitlines()
    assert (2, set()) == (ran.code, steering(ran.err))
    assert first.startswith("sightglass: the query failed: Conversion Error: Could not convert string 'x[/b]")
    assert [] == [line for line in more if not line.startswith("  ")]


QUERY = f"SELECT '{EVIL}' AS name, chr(27) || '[31m' AS colour"


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"], ["--spreadsheet"]])
def test_answer_on_a_terminal_is_written_out(evil: Sightglass, form: list[str]) -> None:
    """However an answer is printed, a terminal is sent no sign that it obeys."""
    code, shown = on_terminal(evil, "sql", *form, QUERY, shows="out")

    assert (0, set(), False) == (code, steering(shown), bool(re.search("(?m)^sightglass", shown)))


def test_answer_for_machines_is_as_it_is(evil: Sightglass) -> None:
    """In a pipe CSV and JSON hold every sign."""
    signs = " || ".join(f"chr({ord(each)})" for each in LETTERS)
    as_csv, as_json = (evil("sql", form, f"SELECT {signs} AS signs") for form in ("--csv", "--json"))
    printed = list(csv.reader(io.StringIO(as_csv.out.partition("\n")[2], newline="")))

    assert [[LETTERS.replace("\r", "\n")]] == [[cell.replace("\r", "\n") for cell in row] for row in printed]
    assert [{"signs": LETTERS}] == as_json.report["rows"]
    assert steering(as_json.out) == set()


def test_spreadsheet_gets_no_formulas(evil: Sightglass) -> None:
    """Text that a spreadsheet would work out has an apostrophe before it; numbers are numbers."""
    query = """
        SELECT '=1+1' AS "=a", '-1.5' AS b, -1.5::DOUBLE AS c, '@x' AS d, '-x' AS e,
        -2.5::DECIMAL(3, 1) AS f, '+1e5' AS g, [-1] AS h,
        chr(9) || 'x' AS i, NULL AS j, '' AS k, 'a=b' AS l"""
    safe, plain = evil("sql", "--spreadsheet", query), evil("sql", "--csv", query)

    names = "a,b,c,d,e,f,g,h,i,j,k,l"
    harmless = "'=1+1,-1.5,-1.5,'@x,'-x,-2.5,+1e5,[-1],\"'\tx\",,\"\",a=b"
    as_it_is = '=1+1,-1.5,-1.5,@x,-x,-2.5,+1e5,[-1],\tx,,"",a=b'
    assert Ran(0, f"'={names}\n{harmless}\n", "") == safe
    assert Ran(0, f"={names}\n{as_it_is}\n", "") == plain


def test_file_with_a_hostile_name_is_told_written_out(evil: Sightglass, tmp_path: Path) -> None:
    """Where a report was written is shown with its signs written out."""
    ran = evil("report", f"{tmp_path}/{TITLE}.html")

    assert Ran(0, "", f"sightglass: wrote {tmp_path}/\\x1b]0;owned\\x07.html\n") == ran
