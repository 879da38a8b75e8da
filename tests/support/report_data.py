"""What reports are made of in tests: a plant with odd ids, videos, and runs."""

from datetime import UTC, datetime
from urllib.parse import quote

import duckdb
from report_page import empty

NOW = datetime(2026, 7, 31, 12, tzinfo=UTC)
ODD = 'a/b?c#d %20&"><img src=x onerror=alert(1)>\\é'
"""An id that could end an address, or the page."""
FILM = "50%/../#video/x"
COGNIAC = """
    INSERT INTO cogniac.applications BY NAME
    SELECT unnest([$odd, 'pl%61in', '']) AS application_id, unnest(['Twin', 'Twin', 'Nameless']) AS name;
    INSERT INTO cogniac.application_thresholds BY NAME
    SELECT $odd AS application_id, 'scratch' AS subject_uid, 0.8 AS threshold;
    INSERT INTO cogniac.threshold_history BY NAME
    SELECT
        $odd AS application_id, 'scratch' AS subject_uid, 0.8 AS threshold, $now - to_days(60) AS valid_from;
    INSERT INTO cogniac.results BY NAME
    SELECT
        application_id, 'M' || number AS media_id, '' AS focus_key,
        $now - to_days(CAST(number % 30 AS INTEGER)) AS updated_at
    FROM (SELECT unnest([$odd, 'pl%61in']) AS application_id), range(600) AS numbers (number);
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, '' AS focus_key, 'D' || media_id AS detection_id, 'scratch' AS subject_uid,
        'model' AS asserted_by, updated_at, updated_at AS created_at,
        CASE
            WHEN updated_at = $now - to_days(7) AND application_id = $odd THEN 0.9 ELSE 0.1
        END AS probability
    FROM cogniac.results
    UNION ALL
    SELECT
        '' AS application_id, 'M0' AS media_id, '' AS focus_key, 'late' AS detection_id,
        'scratch' AS subject_uid, 'model' AS asserted_by, $now + to_days(days) AS updated_at,
        $now + to_days(days) AS created_at, 0.5 AS probability
    FROM (SELECT unnest([-3, 400]) AS days);
"""
NEURONS = """
    INSERT INTO neurons.media BY NAME
    SELECT
        unnest([$film, 'other']) AS media_id, unnest(['Film', 'Other']) AS name, 'video' AS type,
        $now AS created_at;
    INSERT INTO neurons.frame_metrics BY NAME
    SELECT
        media_id, 'metrics' AS asset, frame, 'focus' AS metric, frame * 1.0 AS time_s, 60.0 - frame AS value
    FROM neurons.media, range(CASE media_id WHEN 'other' THEN 4 ELSE 9 END) AS frames (frame);
"""
RUNS = """
    INSERT INTO etl.runs BY NAME
    SELECT 'run' || age AS run_id, $now - to_hours(age * $every) AS started_at, 'ok' AS status, '1' AS version
    FROM range(10) AS ages (age);
    INSERT INTO etl.run_streams BY NAME
    SELECT
        run_id, 'cogniac' AS source, unnest(['applications', 'subjects']) AS stream, '' AS partition,
        'ok' AS status,
        0 AS fetched, 0 AS inserted, 0 AS updated, 0 AS unchanged, 0 AS quarantined, 0 AS requests,
        0 AS retries, 0 AS bytes
    FROM etl.runs;
    INSERT INTO etl.gaps BY NAME
    SELECT
        'cogniac' AS source, 'subjects' AS stream, 'S' || number AS key, 'the name' AS what,
        $now - to_days(number) AS since, 1 AS attempts, $now AS next_at
    FROM range(5) AS numbers (number);
"""


def filled(script: str, **named: object) -> duckdb.DuckDBPyConnection:
    """A database with what a script puts into it."""
    connection = empty()
    given = {"now": NOW, "odd": ODD, "film": FILM, "every": 24, **named}
    for statement in script.split(";")[:-1]:
        asked = {name: value for name, value in given.items() if f"${name}" in statement}
        connection.execute(statement, asked or None)
    return connection


def of(kind: str, name: str) -> str:
    """The address of a page within the file."""
    return f"#{kind}/{quote(name, safe='')}"
