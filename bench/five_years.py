"""Five years of increments: `python -m bench.five_years FOLDER MONTHS DAYS` prints what they come to.

A hundredth of the rows in partitions of a hundredth: as many files as 2 million rows a month make. An
increment brings what is new, and what people have looked at meanwhile, seldom what is old; each is published.
"""

import json
import os
import statistics
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb

from etl.cli import settings_for
from etl.load.warehouse import make_folder, open_for_writing
from etl.publish import publish
from etl.publish.lake import Lake
from etl.publish.layout import BI, Layout
from etl.publish.limits import PUBLISH_LIMITS

HUNDREDTH = replace(PUBLISH_LIMITS, partition_rows=PUBLISH_LIMITS.partition_rows // 100, ahead=0.005)
A_MONTH = 20_000
TABLE = "cogniac.results"
BEGIN = "TIMESTAMPTZ '2021-01-01 00:00:00+00'"
OLDER = 3
"""Records of an increment that changed though they are older than a week."""
TURNS = 5
GRACE_SECONDS = 1
"""As many versions are kept beside the newest as 20 minutes keep of increments ten minutes apart, or more."""

ARRIVE = f"""
INSERT INTO cogniac.results BY NAME
SELECT
    'a' AS application_id, 'm' || $day || '-' || i AS media_id, '' AS focus_key, 'r' || $day AS _run_id,
    {BEGIN} + to_days($day) + to_seconds(86400.0 * i / $rows) AS updated_at,
    {BEGIN} + to_days($day + 1) AS _loaded_at
FROM range($rows) t(i)
"""
REVIEW = f"""
UPDATE cogniac.results
SET
    updated_at = {BEGIN} + to_days($day) + to_microseconds(CAST(hash(media_id) % 86400000000 AS BIGINT)),
    _loaded_at = {BEGIN} + to_days($day + 1), _run_id = 'r' || $day
WHERE hash(media_id, $day) % 1000000
    < CASE WHEN updated_at > {BEGIN} + to_days($day - 7) THEN 30000 ELSE 1000000 * {OLDER} / $older END
"""


def simulate(folder: Path, months: int, days: int) -> dict[str, float]:
    """Return what so many months, published every few days, leave behind."""
    given = {"SIGHTGLASS_HOME": str(folder), "SIGHTGLASS_LAKE_GRACE": str(GRACE_SECONDS)}
    settings = settings_for(given, {}, Path(os.devnull))
    lake, layout = Lake(folder, HUNDREDTH), Layout(folder)
    make_folder(folder)
    took, written, peak = [], [], 0
    with closing(open_for_writing(folder)) as warehouse:
        for day in range(0, 30 * months, days):
            for each in range(day, day + days):
                warehouse.connection.execute(ARRIVE, {"day": each, "rows": A_MONTH // 30})
                warehouse.connection.execute(REVIEW, {"day": each, "older": A_MONTH * (1 + each // 30)})
            begun = time.perf_counter()
            published = publish(warehouse, settings, force=True, limits=HUNDREDTH)
            took.append(time.perf_counter() - begun)
            written.append(published.files)
            peak = max(peak, sum(1 for _ in layout.of_table(TABLE).glob("*.parquet")))
        ((rows,),) = warehouse.connection.execute("SELECT count(*) FROM cogniac.results").fetchall()
    parts = lake.state().tables[TABLE]
    tenth = len(took) // 10 or 1
    return {
        "increments": len(took),
        "rows": rows,
        "partitions": len(parts),
        "most_files": peak,
        "commit_bytes": layout.commit(lake.newest()).stat().st_size,
        "metadata_bytes": sum(path.stat().st_size for path in layout.versions.iterdir() if path.is_file()),
        "first_s": statistics.median(took[1 : tenth + 1]),
        "last_s": statistics.median(took[-tenth:]),
        "written": statistics.mean(written[-tenth:]),
        "day_s": answered(folder, f"WHERE updated_at >= {BEGIN} + to_days({30 * months - 1})"),
        "all_s": answered(folder, ""),
    }


def answered(folder: Path, condition: str) -> float:
    """Seconds that a reader waits for the sum of a column."""
    took = []
    with duckdb.connect(folder / BI, read_only=True) as reader:
        for _ in range(TURNS):
            begun = time.perf_counter()
            reader.execute(f"SELECT count(*), max(updated_at) FROM cogniac.results {condition}").fetchall()
            took.append(time.perf_counter() - begun)
    return statistics.median(took)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(simulate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))) + "\n")
