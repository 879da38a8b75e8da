"""Whatever values records hold, each reader of the tables sees what was sent."""

import json
import math
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import Row
from hostile import DETECTIONS, Placed, T, cogniac, of_cogniac, serving

from etl import schema
from etl.declaration import Column
from etl.values import micros_of

TABLES = {name: schema.source("cogniac").tables[name] for name in ("results", "media", "detections")}
WORKED_OUT = ("focus", "other_media", "media_list", "custom_data", "app_data", "app_data_type", "updated_at")
"""Fields that decide on others, or are brought to one shape: tests of their own hold them."""
BY_WHOM = ("user_id", "model_id", "app_id")
TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "e\u0301",
    "\U0001f600",
    "\u202e",
    "\ufeff",
    "NaN",
    "-0",
    "{",
    '{"a":1}',
    "x" * 5000,
)
FLOATS = (-0.0, 5e-324, 1.7976931348623157e308, -1e308, 0.1, 1 / 3, 2.0**53, 1e22, 1e23, 123456789.12345679)
INTEGERS = (0, -1, 2**53 + 1, 2**63 - 1, -(2**63))
TIMES = (0, -1, -1.5, 0.000001, -62_135_596_800, 253_402_300_799, 1_772_600_000.123456)
NAMES = ("new", "x y", "_extra", "_run_id", "+reading", "a.b", "$", "\U0001f600")


class Drawn:
    """Records drawn by chance, and the rows that they must be."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- no secret
        self.records: list[tuple[float, Row | bytes]] = []
        self.rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        for number in range(60):
            self._record(number)

    def _json(self, depth: int = 0) -> Any:  # noqa: ANN401 -- any JSON
        leaf = self._random.choice((None, True, *TEXTS, *FLOATS, *INTEGERS, 2**64, 10**30))
        inner = [self._json(depth + 1) for _ in range(self._random.randrange(3))] if depth < 3 else []
        return self._random.choice((leaf, inner, dict(zip(("", "a\x00"), inner, strict=False))))

    def _value(self, column: Column) -> Any:  # noqa: ANN401 -- any JSON
        low, high = (-math.inf if column.min is None else column.min), (column.max or math.inf)
        choices: dict[str, tuple[Any, ...]] = {
            "text": TEXTS,
            "boolean": (True, False),
            "timestamp": TIMES,
            "integer": tuple(each for each in INTEGERS if low <= each <= high),
            "number": tuple(each for each in (*FLOATS, 0, 1) if low <= each <= high),
        }
        return self._json() if column.type == "json" else self._random.choice(choices[column.type])

    def _object(self, table: str, about: Row, **key: str) -> Row:
        """An object with some of its fields, some of them null, and with some that nobody declared."""
        said, row = dict(key), {**about, **key}
        for name, column in TABLES[table].columns.items():
            if isinstance(column.path, str | tuple | list) or name in (*row, *WORKED_OUT, *BY_WHOM):
                continue
            if name in TABLES[table].content and self._random.random() < 0.8:
                said[name] = self._value(column) if self._random.random() < 0.8 else None
                row[name] = shown(column.type, said[name])
        names = [each for each in NAMES if self._random.random() < 0.1]
        row["_extra"] = {name: said.setdefault(name, self._json()) for name in names} or None
        self.rows[table].append({name: value for name, value in row.items() if value is not None})
        return said

    def _record(self, number: int) -> None:
        medium = f"m{number}{self._random.choice(TEXTS[:6])}"
        key = {"application_id": "a1", "media_id": medium, "focus_key": ""}
        times = {"updated_at": (T + number) * 1_000_000}
        about: Row = {**key, **times}
        detections = [
            self._object("detections", about, detection_id=f"d{each}", subject_uid="\x00s")
            for each in range(self._random.randrange(3))
        ]
        said = self._object("results", {**about, "detection_count": len(detections)})
        said |= {"media": self._object("media", {}, media_id=medium), "detections": detections}
        self.records.append((T + number, {**said, "updated_at": T + number}))


def shown(kind: str, value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """A value as tables hold it: times in microseconds, numbers as floats."""
    if value is None:
        return None
    return round(value * 1_000_000) if kind == "timestamp" else float(value) if kind == "number" else value


def readers(home: Path, name: str) -> Iterator[tuple[str, list[Row]]]:
    """The rows of a table as each reader sees them."""
    for database in ("warehouse", "bi"):
        with duckdb.connect(home / f"{database}.duckdb", read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            relation = connection.execute(f"FROM cogniac.{name}")
            names = [each[0] for each in relation.description or ()]
            yield database, [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    files = sorted((home / "lake" / "cogniac" / name).rglob("*.parquet"))
    yield "pyarrow", [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    frames = [pl.read_parquet(file, hive_partitioning=False) for file in files]
    yield "polars", [row for frame in frames for row in frame.to_dicts()]


def told(table: schema.Table, row: Row) -> str:
    """What a row says of its record, as a text in which no two values are the same."""
    said = {name: row[name] for name in (*table.content, "_extra") if row[name] is not None}
    for name, value in said.items():
        if isinstance(value, datetime):
            said[name] = micros_of(value)
        elif table.columns[name].type == "json":
            said[name] = json.loads(value)
    return json.dumps(said, sort_keys=True)


@pytest.mark.parametrize("seed", range(2))
def test_every_reader_sees_the_values_that_were_sent(tmp_path: Path, seed: int) -> None:
    """Large and tiny numbers, times at the edges, any text and JSON, declared or not, and nothing else."""
    drawn = Drawn(seed)

    with serving(cogniac({DETECTIONS: Placed(drawn.records)})) as server:
        command = of_cogniac(tmp_path, server)
        ran, again = command("run", "--json"), command("run", "--json")

    assert [(0, len(drawn.records)), (0, 0)] == [
        (each.code, each.report["streams"][-1]["inserted"]) for each in (ran, again)
    ]
    for name, table in TABLES.items():
        sent = sorted(json.dumps(row, sort_keys=True) for row in drawn.rows[name])
        for reader, found in readers(tmp_path / "home", name):
            assert sent == sorted(told(table, row) for row in found), (reader, name)
