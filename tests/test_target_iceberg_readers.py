"""Iceberg tables as other engines read them: by the folder, or by the metadata of a whole version."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Plant, Sightglass
from support.iceberg import complete, put
from support.kills import place
from support.lake import plain
from support.open_tables import TWO, Made, Rows, in_lake

FLOOR = Path(os.environ.get("TEST_DUCKDB_FLOOR", Path(sys.prefix, "duckdb-floor")))
SPARK = Path(os.environ.get("TEST_SPARK", Path(sys.prefix, "spark")))
DUCKDB = """
import json, sys
from pathlib import Path
import duckdb, duckdb_extension_avro, duckdb_extension_iceberg
sources, answers = json.loads(sys.argv[1]), Path(sys.argv[2])
connection = duckdb.connect()
for module in (duckdb_extension_avro, duckdb_extension_iceberg):
    (extension,) = Path(module.__file__).parent.rglob("*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
connection.execute("SET TimeZone = 'UTC'")
for name, source in sources.items():
    connection.execute(f"COPY (FROM iceberg_scan('{source}')) TO '{answers / name}.parquet'")
"""


@pytest.fixture(scope="module")
def loaded(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse with Iceberg tables."""
    sightglass = place(tmp_path_factory.mktemp("loaded") / "place", served, SIGHTGLASS_LAKE_FORMAT="iceberg")
    assert 0 == sightglass("run").code
    return sightglass


def in_duckdb(sources: dict[str, str], answers: Path) -> Rows:
    """The rows of tables, by name, as the extension of DuckDB 1.5.5 reads them."""
    answers.mkdir()
    command = [sys.executable, "-c", DUCKDB, json.dumps(sources), str(answers)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(FLOOR)}, check=True)
    return {name: plain(pq.read_table(answers / f"{name}.parquet")) for name in sources}


def in_sail(sources: dict[str, str], answers: Path) -> Rows:
    """The same as Sail reads them, which is a server of Spark Connect."""
    answers.mkdir()
    job = {
        "format": "iceberg",
        "tables": sources,
        "statements": [],
        "zones": ["UTC"],
        "views": [*sources],
        "folder": str(answers),
    }
    ran = subprocess.run(
        [sys.executable, ROOT / "tests" / "spark.py"],
        env={**os.environ, "PYTHONPATH": str(SPARK), "NO_PROXY": "127.0.0.1"},
        input=json.dumps(job) + "\n",
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert '""\n' == ran.stdout
    return {name: plain(pq.read_table(answers / f"0.{name}.parquet")) for name in sources}


@pytest.mark.parametrize("reader", ["native", "pyiceberg"])
def test_polars_reads_the_same(
    loaded: Sightglass, reader: Literal["native", "pyiceberg"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the columns and rows that the lake has, by either of its readers, by folder and by metadata."""
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # as where its own is not installed
    folder = loaded.home / "iceberg"
    tables = complete(folder)

    for name, rows in in_lake(loaded.home).items():
        lake = pl.read_parquet(loaded.home / "lake" / name.replace(".", "/") / "*.parquet")
        for source in (str(folder / name.replace(".", "/")), tables[name].metadata_location):
            read = pl.scan_iceberg(source, reader_override=reader).collect()
            assert (lake.schema, rows) == (read.schema, plain(read.to_arrow()))
    fields = tables["cogniac.results"].schema().fields
    assert [] == [field.name for field in fields if not field.doc]


def test_duckdb_reads_the_same(loaded: Sightglass, tmp_path: Path) -> None:
    """By folder and by metadata."""
    folder = loaded.home / "iceberg"
    lake = in_lake(loaded.home)
    by_folder = {name: str(folder / name.replace(".", "/")) for name in lake}
    by_metadata = {name: table.metadata_location for name, table in complete(folder).items()}

    assert lake == in_duckdb(by_folder, tmp_path / "folder")
    assert lake == in_duckdb(by_metadata, tmp_path / "metadata")


def test_spark_connect_reads_the_same(loaded: Sightglass, tmp_path: Path) -> None:
    """By folder."""
    folder = loaded.home / "iceberg"
    lake = in_lake(loaded.home)

    assert lake == in_sail(
        {name: str(folder / name.replace(".", "/")) for name in lake}, tmp_path / "answers"
    )


def test_all_read_the_newest_version_alone(tmp_path: Path) -> None:
    """Where files were replaced, added and taken away, and columns changed."""
    made = Made(tmp_path)
    put(made, TWO)
    put(made, {"a.two": {"2024-02": [4], "2024-01": None, "2024-04": [5, 6]}})
    made.columns = {"id": "integer", "more": "text"}
    folder = put(made, {"a.one": {"all": []}, "a.two": {"2024-02": [7], "2024-03": [], "2024-04": [8]}})
    sources = {name: str(folder / name.replace(".", "/")) for name in made.rows()}

    assert made.rows() == in_duckdb(sources, tmp_path / "duckdb")
    assert made.rows() == in_sail(sources, tmp_path / "sail")
