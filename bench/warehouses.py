"""Large warehouses, made of a small one by SQL: `python -m bench.warehouses FOLDER TEMPLATE COPIES`.

The template is loaded by the real pipeline from a month of records. Each copy of it stands for one month
earlier, with media, assertions and runs of its own; so a larger warehouse reaches further back, and its last
month is the same in all sizes. Afterwards it is published once.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from duckdb import DuckDBPyConnection

from bench.lab import DONE, MONTH, SIGHTGLASS
from etl import schema
from etl.load.database import connected
from etl.load.relation import MARK, is_marked
from etl.load.tables import prepare
from etl.schema import Table, quote

STREAM = "detections"
MEMORY = 4_000
"""Megabytes."""

MACROS = """
CREATE TEMP MACRO renamed(id, copy) AS
    CASE WHEN copy = 0 THEN id ELSE upper(left(md5(id || ':' || copy), 28)) END;
CREATE TEMP MACRO reasserted(id, copy) AS
    CASE WHEN copy = 0 THEN id ELSE upper(left(md5(id || ':' || copy), 12)) || regexp_extract(id, ':.*$') END;
CREATE TEMP MACRO relinked(link, id, copy) AS
    CASE WHEN copy = 0 THEN link ELSE replace(link, id, renamed(id, copy)) END;
CREATE TEMP MACRO hour_after(moment) AS date_trunc('hour', moment) + INTERVAL 1 HOUR;
CREATE TEMP MACRO run_of(moment) AS strftime(hour_after(moment), '%Y%m%dT%H0000-bench0');
"""

RUNS = """
CREATE TEMP TABLE hours AS
SELECT unnest(generate_series(first, last, INTERVAL 1 HOUR)) AS hour
FROM (
    SELECT hour_after(min(updated_at)) AS first, hour_after(max(updated_at)) AS last FROM cogniac.results
);
INSERT INTO etl.runs (run_id, started_at, finished_at, status, exit_code, version)
SELECT run_of(hour - INTERVAL 1 HOUR), hour, hour + INTERVAL 3 SECOND, 'ok', 0, '0.1.0' FROM hours;
INSERT INTO etl.run_streams BY NAME
SELECT
    run_of(hour - INTERVAL 1 HOUR) AS run_id, 'cogniac' AS source, 'detections' AS stream,
    application_id AS partition, hour AS started_at, 'ok' AS status,
    coalesce(records, 0) AS fetched, coalesce(records, 0) AS inserted, 0 AS updated, 0 AS unchanged,
    0 AS quarantined, 1 AS requests, 0 AS retries, 2000 * coalesce(records, 0) AS bytes, cursor
FROM hours
CROSS JOIN (SELECT application_id FROM template.cogniac.applications)
LEFT JOIN (
    SELECT application_id, hour_after(updated_at) AS hour, count(*) AS records, max(updated_at) AS cursor
    FROM cogniac.results GROUP BY ALL
) USING (application_id, hour);
INSERT INTO etl.runs BY NAME FROM template.etl.runs;
INSERT INTO etl.run_streams BY NAME FROM template.etl.run_streams;
INSERT INTO etl.cursors BY NAME FROM template.etl.cursors;
INSERT INTO cogniac.applications BY NAME FROM template.cogniac.applications;
INSERT INTO cogniac.subjects BY NAME FROM template.cogniac.subjects;
"""


def build(folder: Path, template: Path, copies: int) -> None:
    """Make the warehouse, publish it, and say that it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [each for each in schema.source("cogniac").tables.values() if each.declared.stream == STREAM]
    for copy in reversed(range(copies)):
        # Opened for each, as by a run: how it is written depends on how large it is.
        with _opened(folder, template) as connection:
            connection.begin()
            for table in tables:
                connection.execute(f"INSERT INTO {table.qualified} BY NAME {_copied(table, copy)}")
            connection.commit()
    with _opened(folder, template) as connection:
        for statement in RUNS.split(";"):
            if statement.strip():
                connection.execute(statement)
    shutil.rmtree(folder / "spill", ignore_errors=True)
    (folder / "warehouse.duckdb").chmod(0o600)
    # What must hold does so by the way it was made: looking for it would take as long as all the rest.
    subprocess.run([SIGHTGLASS, "publish", "--force", "--home", folder], check=True)
    (folder / DONE).touch()


@contextmanager
def _opened(folder: Path, template: Path) -> Iterator[DuckDBPyConnection]:
    """Provide the warehouse in a folder, and the template beside it."""
    connection, _ = connected(folder / "warehouse.duckdb", MEMORY, read_only=False)
    with closing(connection):
        connection.execute(f"ATTACH '{template}/warehouse.duckdb' AS template (READ_ONLY)")
        connection.execute(MACROS)
        prepare(connection, *schema.sources())
        yield connection


def _copied(table: Table, copy: int) -> str:
    """Return the rows of a table as they would have been so many months ago, oldest first."""
    columns = ", ".join(_columns(table, copy))
    return f"SELECT {columns} FROM template.{table.qualified} ORDER BY {quote(table.by_month)}"


def _columns(table: Table, copy: int) -> Iterator[str]:
    moment = f"{quote(table.by_month)} - INTERVAL {copy * MONTH} DAY"
    changed = {
        "_run_id": f"run_of({moment})",
        "_loaded_at": f"hour_after({moment})",
        "detection_id": f"reasserted(detection_id, {copy})",
        "media_url": f"relinked(media_url, media_id, {copy})",
        "resize_urls": f"CAST(relinked(CAST(resize_urls AS VARCHAR), media_id, {copy}) AS JSON)",
        "parent_media_ids": (
            f"CAST(relinked(CAST(parent_media_ids AS VARCHAR), parent_media_id, {copy}) AS JSON)"
        ),
        **{
            name: f"renamed({name}, {copy})" for name in ("media_id", "assertion_media_id", "parent_media_id")
        },
    }
    for name, column in table.columns.items():
        value = quote(name)
        if name in changed:
            value = changed[name]
        elif column.type == "timestamp":
            value = f"{value} - INTERVAL {copy * MONTH} DAY"
        yield f"{value} AS {quote(name)}"
    if is_marked(schema.source(table.schema), table):
        yield MARK


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
