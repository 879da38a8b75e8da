"""What tests share that put the lake in an object store."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from etl import schema
from etl.load.warehouse import open_for_writing
from etl.publish import publish
from etl.publish.bi import definitions
from etl.publish.lake import Lake
from etl.publish.store.limits import StoreLimits
from etl.publish.store.objects import Objects
from etl.publish.store.writer import StoreTarget
from etl.publish.target import Release, release_of
from support.partitions import settings_of
from support.publish_kills import CONTENT, Seen
from support.s3 import Store, serving_store

URL = "s3://bucket/lake"
UNDER = "bucket/lake/"
SOON = StoreLimits(ahead=0.3, ahead_per_file=0.005, timeout=5)
"""A version is awaited for only a moment."""
DECLARED = {table.qualified: table for source in schema.sources() for table in source.tables.values()}
RESULTS = """
    INSERT INTO cogniac.results BY NAME
    SELECT
        'a' AS application_id, 'm' || i AS media_id, '' AS focus_key, 'r' AS _run_id, now() AS _loaded_at,
        TIMESTAMPTZ '2025-01-15' + to_months(CAST(i % 3 AS INTEGER)) AS updated_at
    FROM range(30) t(i)"""
CHANGE = "UPDATE cogniac.results SET detection_count = coalesce(detection_count, 0) + 1, _loaded_at = now()"


@contextmanager
def served_store() -> Iterator[tuple[Store, dict[str, str]]]:
    """Serve an empty store, with the variables that lead the command to it."""
    with serving_store() as (store, variables):
        del variables["SIGHTGLASS_ARCHIVE"]
        yield store, {**variables, "SIGHTGLASS_LAKE_STORE": URL}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store, to which this process has access."""
    with served_store() as (served, variables):
        for name, value in variables.items():
            if not name.startswith("SIGHTGLASS"):
                monkeypatch.setenv(name, value)
        yield served


def changed(home: Path, *statements: str, **more: str) -> Release:
    """What is published in a folder after changes to its warehouse."""
    settings = settings_of(home, **more)
    with closing(open_for_writing(home)) as warehouse:
        for statement in statements:
            warehouse.connection.execute(statement)
        publish(warehouse, settings)
    lake = Lake(home)
    return release_of(lake, DECLARED, lake.newest(), settings)


def put(release: Release, limits: StoreLimits = SOON, **more: Any) -> None:  # noqa: ANN401 -- what it takes
    """Bring the store to a version."""
    StoreTarget(URL, Objects(URL, "SIGHTGLASS_LAKE_STORE", limits), URL, limits, **more).put(release)


def seen_in(store: Store, folder: Path, query: str = CONTENT) -> Seen:
    """What the views find in the objects of a store; nothing where nothing counts."""
    for path, content in dict(store.objects).items():
        if path.startswith(f"{UNDER}versions/"):
            file = folder / path.removeprefix(UNDER)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    with duckdb.connect() as reader:
        try:
            for statement in definitions(str(folder), "UTC", folder):
                reader.execute(statement)
            return reader.execute(query).fetchall()
        except duckdb.IOException:
            return []


def files(store: Store) -> list[str]:
    """The names of all objects of versions, and of what is aside."""
    return sorted(
        path.removeprefix(UNDER) for path in store.objects if {"versions", ".aside"} & {*path.split("/")}
    )


def current(store: Store, release: Release) -> bool:
    """Whether the store holds the version's partitions and commits, and nothing besides."""
    data = [path for path in files(store) if path.endswith(".parquet")]
    return len(data) == sum(map(len, release.partitions.values())) and ".aside" not in str(data)


def holding(store: Store, folder: Path, text: str) -> list[str]:
    """The names of objects of which a row holds a text, whatever it is compressed with."""
    folder.mkdir()
    found = []
    for number, (path, content) in enumerate(store.objects.items()):
        file = folder / f"{number}.parquet"
        file.write_bytes(content)
        if path.endswith(".parquet") and text in str(pq.read_table(file).to_pylist()):
            found.append(path)
    return found


def environment(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a process that has access to the store."""
    return {**os.environ, **variables}
