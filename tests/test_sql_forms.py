"""The forms of an answer of `sightglass sql` hold what the query gives, and are whole or seen not to be."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Ran, Sightglass, serving

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize

LATE = "SELECT (CASE WHEN i = 90000 THEN 'x' ELSE '1' END)::INTEGER AS a FROM range(100000) t(i)"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightglass]:
    """A warehouse with a little in it."""
    with serving(CogniacSimulator(1, CogniacSize(records=10))) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("sql"), plant.cogniac_login)
        assert 0 == sightglass("run").code
        yield sightglass


def arrow(loaded: Sightglass, query: str) -> subprocess.CompletedProcess[bytes]:
    """What `--arrow` prints."""
    command = [sys.executable, "-m", "etl", "sql", "--arrow", query]
    return subprocess.run(command, env=loaded.environment, capture_output=True, check=False)


HUGE = "340282366920938463463374607431768211455"
HELD: dict[str, Any] = {
    f"{HUGE}::UHUGEINT": HUGE,
    "'12:00:00+05:30'::TIMETZ": "12:00:00+05:30",
    "'101'::BIT": "101",
    f"'1{HUGE}'::BIGNUM": f"1{HUGE}",
    "99999999999999999999999999999999999999::HUGEINT": Decimal(99999999999999999999999999999999999999),
    f"[{HUGE}::UHUGEINT, NULL]": [HUGE, None],
    f"CAST([{HUGE}] AS UHUGEINT[1])": [HUGE],
    f"{{'a \"b': [{HUGE}::UHUGEINT], 'c': 1, 'd': NULL}}": {'a "b': [HUGE], "c": 1, "d": None},
    "MAP {'1'::BIT: '12:00:00+01'::TIMETZ}": [("1", "12:00:00+01")],
    "row(1, '101'::BIT)": "(1, 101)",
    "union_value(one := '101'::BIT)": "101",
    "[1::HUGEINT]": [Decimal(1)],
    "{'a': 1}": {"a": 1},
    "[{'a': {}}]": [{"a": "{}"}],
}
"""By what is asked for, what Parquet and Arrow hold of it."""


def test_parquet_and_arrow_keep_every_value(loaded: Sightglass, tmp_path: Path) -> None:
    """Types that Arrow has no like of are text, inside of others too; sums stay numbers."""
    names = [f"c{number}" for number in range(len(HELD))]
    query = "SELECT " + ", ".join(f"{asked} AS {name}" for asked, name in zip(HELD, names, strict=True))
    path = tmp_path / "answer.parquet"
    ran = loaded("sql", "--parquet", str(path), query)
    streamed = pa.ipc.open_stream(arrow(loaded, query).stdout).read_all().to_pylist()

    assert (0, "") == (ran.code, ran.err)
    expected = [dict(zip(names, HELD.values(), strict=True))]
    assert expected == pq.read_table(path).to_pylist() == streamed


def test_parquet_holds_spans_and_unions_as_text(loaded: Sightglass, tmp_path: Path) -> None:
    """As DuckDB writes them, inside of others too: a span is what one time less another is."""
    query = (
        "SELECT TIMESTAMP '2026-01-02 02:00' - TIMESTAMP '2026-01-01' AS a, [INTERVAL 1 MONTH, NULL] AS b, "
        "union_value(one := 1) AS c"
    )
    path = tmp_path / "answer.parquet"
    ran = loaded("sql", "--parquet", str(path), query)

    assert (0, "") == (ran.code, ran.err)
    assert [{"a": "1 day 02:00:00", "b": ["1 month", None], "c": "1"}] == pq.read_table(path).to_pylist()


def test_an_integer_that_no_decimal_holds_is_refused(loaded: Sightglass, tmp_path: Path) -> None:
    """A sum of 39 digits ends in exit code 2, not in a wrong number, and leaves no file."""
    query = "SELECT 170141183460469231731687303715884105727::HUGEINT AS a"
    ran = loaded("sql", "--parquet", str(tmp_path / "answer.parquet"), query)

    assert (2, []) == (ran.code, list(tmp_path.iterdir()))
    assert "the query failed: Conversion Error: Could not cast value 1701411834604692317316" in ran.err


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("x;=1+1", '"x;\'=1+1"'),
        ("y\t=2+2", '"y\t\'=2+2"'),
        ("y|  @SUM(A1)", '"y|  \'@SUM(A1)"'),
        ('y;"-1', '"y;""\'-1"'),
        ("y\n+1", '"y\n\'+1"'),
        ("=1;=2", "\"'=1;'=2\""),
        ("a;b", '"a;b"'),
        ("a-b", "a-b"),
    ],
)
def test_no_separator_makes_a_formula(loaded: Sightglass, text: str, cell: str) -> None:
    """Nor is the rest of a text, where a spreadsheet tells cells apart by other signs than commas."""
    query = f"SELECT '{text}' AS a, [' {text}'] AS b"
    ran = loaded("sql", "--spreadsheet", query)

    assert f"a,b\n{cell}," == ran.out[: len(cell) + 5]
    for separator in ";\t|":
        for line in csv.reader(ran.out.splitlines(), delimiter=separator):
            for each in line:
                assert not each.lstrip(' "').startswith(("=", "+", "-", "@"))


def test_csv_tells_null_from_what_is_no_number(loaded: Sightglass) -> None:
    """NaN and both infinities have names, which no spreadsheet takes for formulas; in JSON they are null."""
    query = (
        "SELECT unnest(['nan', 'inf', '-inf', NULL, '0.5'])::DOUBLE AS a, "
        "'inf'::FLOAT AS b, ['nan'::DOUBLE] AS c"
    )
    found = [loaded("sql", option, query).out.splitlines() for option in ("--csv", "--spreadsheet")]

    rest = ",Infinity,[null]"
    assert [f"{each}{rest}" for each in ("NaN", "Infinity", "-Infinity", "", "0.5")] == found[0][1:]
    assert f"'-Infinity{rest}" == found[1][3]


@pytest.mark.parametrize("null", [",", "x\ny", "x\ry", 'a"b'])
def test_null_cannot_break_csv(loaded: Sightglass, null: str) -> None:
    """What stands for NULL has no quotes, so it needs none."""
    ran = loaded("sql", "--null", null, "SELECT NULL AS a")

    assert (2, "") == (ran.code, ran.out)
    assert "--null must hold no comma, quotation mark or line break" in ran.err


@pytest.mark.parametrize("form", [["--json"], ["--arrow"], ["--parquet", "answer.parquet"]])
def test_null_goes_with_csv_alone(loaded: Sightglass, form: list[str]) -> None:
    """Elsewhere NULL is what it is: a text that stands for it is wrong usage, and nothing is written."""
    ran = loaded("sql", "--null", "-", *form, "SELECT NULL AS a")

    assert (2, "", "Error: --null goes only with CSV") == (ran.code, ran.out, ran.err.splitlines()[-1])
    assert not (loaded.folder / "answer.parquet").exists()


def test_who_lists_tables_is_told_where_they_are(loaded: Sightglass) -> None:
    """`SHOW TABLES` lists a schema that has none; the answer alone would read as if nothing were loaded."""
    ran, whole = (loaded("sql", "--csv", query) for query in ("show tables;", "SHOW ALL TABLES"))

    said = "sightglass: SHOW TABLES lists the schema main alone, which is empty: say SHOW ALL TABLES\n"
    assert Ran(0, "name\n", said) == ran
    assert (0, "", True) == (whole.code, whole.err, ",cogniac,detections," in whole.out)


def test_two_answers_go_into_one_file_at_once(loaded: Sightglass, tmp_path: Path) -> None:
    """Each is written aside by itself: the file is one of them, whole, and nothing else is left."""
    path = tmp_path / "answer.parquet"
    query = "SELECT '{letter}' || i AS a FROM range(400000) t(i)"
    started = [
        loaded.start("sql", "--parquet", str(path), query.replace("{letter}", letter)) for letter in "ab"
    ]
    codes = []
    for process in started:
        process.communicate(timeout=100)
        codes.append(process.returncode)

    table = pq.read_table(path)
    assert ([0, 0], 400000, 1) == (codes, table.num_rows, len({each[0] for each in table["a"].to_pylist()}))
    assert [path] == list(tmp_path.iterdir())


def test_the_next_answer_removes_what_a_killed_one_left(loaded: Sightglass, tmp_path: Path) -> None:
    """But not what a process that works is writing, and nobody else's file."""
    path = tmp_path / "answer.parquet"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [tmp_path / f"answer.parquet.{os.getpid()}.0123abcd.part", tmp_path / "answer.parquet.part"]
    for each in [*kept, tmp_path / f"answer.parquet.{ended.pid}.0123abcd.part"]:
        each.touch()

    assert 0 == loaded("sql", "--parquet", str(path), "SELECT 1").code
    assert sorted([path, *kept]) == sorted(tmp_path.iterdir())


def test_only_files_are_replaced(loaded: Sightglass, tmp_path: Path) -> None:
    """A pipe, a device, and standard output by its name stay what they are."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    paths = [str(pipe), str(link), "/dev/null", "/dev/stdout"]
    found = [loaded("sql", "--parquet", each, "SELECT 1") for each in paths]
    snapshot = loaded("snapshot", str(pipe))

    told = [f"{each} is no file that could be replaced; name another" for each in [*paths, str(pipe)]]
    assert [(2, f"sightglass: {each}\n") for each in told] == [
        (ran.code, ran.err) for ran in [*found, snapshot]
    ]
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()
    assert [link, pipe] == sorted(tmp_path.iterdir())


def test_parquet_is_not_printed(loaded: Sightglass) -> None:
    """A hyphen is wrong usage, not a file of that name."""
    ran = loaded("sql", "--parquet", "-", "SELECT 1")

    assert (2, "") == (ran.code, ran.out)
    assert "--parquet needs the name of a file" in ran.err
    assert not (loaded.folder / "-").exists()


@pytest.mark.parametrize(
    "query", ["SELECT " + "+".join(["1"] * 400), "SELECT " + "abs(" * 400 + "1" + ")" * 400]
)
def test_a_query_may_be_nested_deep(loaded: Sightglass, query: str) -> None:
    """As deep as DuckDB takes it."""
    ran = loaded("sql", "--csv", query)

    assert (0, "") == (ran.code, ran.err)


def test_an_answer_that_is_nested_too_deep_is_told(loaded: Sightglass) -> None:
    """In a line, with exit code 2."""
    for option in ("--csv", "--arrow"):
        ran = loaded("sql", option, "SELECT " + "[" * 900 + "1::UHUGEINT" + "]" * 900)
        assert (2, 1) == (ran.code, ran.err.count("sightglass: the query failed: ")), ran.err
        assert "Traceback" not in ran.err


def test_texts_neither_hide_nor_feign_a_change(loaded: Sightglass) -> None:
    """What writes is refused whatever texts stand around it; what only speaks of it is answered."""
    text = """"type":"DELETE_QUERY_NODE" \\"type\\":\\"DELETE_QUERY_NODE" \\"""
    spoken = loaded(
        "sql", "--csv", f"SELECT 1 AS \"{text.replace(chr(34), 2 * chr(34))}\" WHERE '{text}' <> ''"
    )
    hidden = "WITH a AS (COPY (SELECT '{text}') TO '{home}/lake/x.csv') SELECT '{text}' FROM a"
    ran = loaded("sql", hidden.replace("{text}", text).replace("{home}", str(loaded.home)))

    assert (0, "") == (spoken.code, spoken.err)
    assert (2, "sightglass: the query failed: COPY changes something; only reading is allowed\n") == (
        ran.code,
        ran.err,
    )


@pytest.mark.parametrize("arguments", ["-f -", "-"])
def test_a_closed_standard_input_is_told(loaded: Sightglass, arguments: str) -> None:
    """In a line, with exit code 2."""
    ran = subprocess.run(
        ["/bin/sh", "-c", f"exec '{sys.executable}' -m etl sql {arguments} <&-"],
        env=loaded.environment,
        capture_output=True,
        check=False,
    )

    assert (2, b"") == (ran.returncode, ran.stdout)
    assert b"standard input is closed" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_a_stream_of_arrow_that_breaks_off_is_no_whole_one(loaded: Sightglass) -> None:
    """Readers get the rows before, and then an error, not an end."""
    ran = arrow(loaded, LATE)

    assert 2 == ran.returncode
    assert b"the query failed: Conversion Error: Could not convert string 'x' to INT32" in ran.stderr
    with pytest.raises(pa.ArrowInvalid, match="Expected to read 8 metadata bytes"):
        pa.ipc.open_stream(ran.stdout).read_all()
