-- Is every stream being loaded, how far is it behind, and what is open?
-- One row per part of a stream that was ever read. Everything is measured against the start of the newest
-- run, not against the clock, so that the answer is the same whenever it is asked.
--
--   source            The API.
--   stream            What is read from it.
--   partition         Part of the stream with a cursor of its own (a Cogniac application id); empty where
--                     there is only one.
--   last_run_id       Newest run that read it.
--   last_run_at       When that run began.
--   last_status       How it went in that run: running, ok or failed.
--   last_error        Why it failed in that run; NULL where it did not.
--   last_good_at      When the newest run began in which it went well; NULL where it never did.
--   newest_record_at  Newest time in the data that is loaded with everything before it (the cursor); NULL
--                     where the stream has none.
--   lag_hours         Hours from the newest record to the start of the newest run of all; NULL where the
--                     stream has no cursor.
--   fetched_per_day   Records or files the API sent per day, over the 7 days up to the start of the newest
--                     run.
--   inserted_per_day  Of these: not known before.
--   updated_per_day   Of these: changed what is in the tables.
--   open_quarantine   Number of records or files refused and not dealt with.
--   open_gaps         Number of things known to be missing.
WITH newest_run AS (
    SELECT max(started_at) AS started_at
    FROM etl.runs
),
-- The seven days are given in hours, since a day is longer or shorter where clocks change.
readings AS (
    SELECT
        streams.source,
        streams.stream,
        streams.partition,
        streams.run_id,
        runs.started_at,
        streams.status,
        streams.error,
        runs.started_at > newest_run.started_at - INTERVAL '168' HOUR AS is_recent,
        streams.fetched,
        streams.inserted,
        streams.updated,
        row_number() OVER (
            PARTITION BY streams.source, streams.stream, streams.partition
            ORDER BY runs.started_at DESC, streams.run_id DESC
        ) AS age
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    CROSS JOIN newest_run
),
totals AS (
    SELECT
        source,
        stream,
        partition,
        max(started_at) FILTER (WHERE status = 'ok') AS last_good_at,
        coalesce(sum(fetched) FILTER (WHERE is_recent), 0) / 7.0 AS fetched_per_day,
        coalesce(sum(inserted) FILTER (WHERE is_recent), 0) / 7.0 AS inserted_per_day,
        coalesce(sum(updated) FILTER (WHERE is_recent), 0) / 7.0 AS updated_per_day
    FROM readings
    GROUP BY
        source,
        stream,
        partition
),
refused AS (
    SELECT
        source,
        stream,
        partition,
        count(*) AS open_quarantine
    FROM etl.quarantine
    WHERE state = 'open'
    GROUP BY
        source,
        stream,
        partition
),
-- A gap names a partition, or a time in one; else it belongs to the stream, whose only partition is empty.
missing AS (
    SELECT
        totals.source,
        totals.stream,
        totals.partition,
        count(*) AS open_gaps
    FROM totals
    JOIN etl.gaps AS gaps
        ON gaps.source = totals.source
        AND gaps.stream = totals.stream
        AND (
            totals.partition = ''
            OR gaps.key = totals.partition
            OR gaps.key LIKE totals.partition || ' at %'
        )
    GROUP BY
        totals.source,
        totals.stream,
        totals.partition
)
SELECT
    readings.source,
    readings.stream,
    readings.partition,
    readings.run_id AS last_run_id,
    readings.started_at AS last_run_at,
    readings.status AS last_status,
    readings.error AS last_error,
    totals.last_good_at,
    cursors.cursor_at AS newest_record_at,
    (extract(EPOCH FROM newest_run.started_at) - extract(EPOCH FROM cursors.cursor_at)) / 3600 AS lag_hours,
    totals.fetched_per_day,
    totals.inserted_per_day,
    totals.updated_per_day,
    coalesce(refused.open_quarantine, 0) AS open_quarantine,
    coalesce(missing.open_gaps, 0) AS open_gaps
FROM readings
CROSS JOIN newest_run
JOIN totals
    ON totals.source = readings.source
    AND totals.stream = readings.stream
    AND totals.partition = readings.partition
LEFT JOIN etl.cursors AS cursors
    ON cursors.source = readings.source
    AND cursors.stream = readings.stream
    AND cursors.partition = readings.partition
LEFT JOIN refused
    ON refused.source = readings.source
    AND refused.stream = readings.stream
    AND refused.partition = readings.partition
LEFT JOIN missing
    ON missing.source = readings.source
    AND missing.stream = readings.stream
    AND missing.partition = readings.partition
WHERE readings.age = 1
