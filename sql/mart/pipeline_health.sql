-- Is every stream being loaded, how far is it behind, and what is open?
-- One row per part of a stream that was ever read, by runs that were not undone. Everything is measured against the start of the newest
-- run, not against the clock, so that the answer is the same whenever it is asked; but for `age_hours` and
-- `record_age_hours`, which are measured against the clock: they show that no run has come for long.
--
--   source            The API.
--   stream            What is read from it.
--   partition         Part of the stream with a cursor of its own (a Cogniac application id); empty where
--                     there is only one.
--   last_run_id       Newest run that read it; backfills and replays count only where no run did.
--   last_run_at       When that run began.
--   last_status       How it went in that run: running, ok or failed.
--   last_error        Why it failed in that run; NULL where it did not.
--   last_good_at      When the newest run began in which it went well; NULL where it never did. Backfills and
--                     replays do not count.
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
--   is_read           Whether runs still read it: false of a part that a newer run left out which read all
--                     lists of the source well, as it does with an application that is switched off or gone,
--                     and of what backfills alone read.
--   age_hours         Hours from the last good run to this moment; of a stream that is read in whole or in
--                     part, from the newer of both. A stream that went well, and of which a newer good run
--                     of its source had no news, is as old as that run. NULL where it never went well.
--   record_age_hours  Hours from the newest record to this moment; NULL where the stream has no cursor.
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
        runs.started_at,
        coalesce(runs.command, 'run') = 'run' AS is_run,
        streams.status,
        runs.started_at > newest_run.started_at - INTERVAL '168' HOUR AS is_recent,
        streams.fetched,
        streams.inserted,
        streams.updated,
        streams.run_id,
        streams.error,
        -- What a run found counts before what backfills and replays did; then the newest.
        row_number() OVER (
            PARTITION BY streams.source, streams.stream, streams.partition
            ORDER BY coalesce(runs.command, 'run') = 'run' DESC, runs.started_at DESC, streams.run_id DESC
        ) AS age
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    CROSS JOIN newest_run
    WHERE streams.status <> 'undone'
),
totals AS (
    SELECT
        source,
        stream,
        partition,
        max(run_id) FILTER (WHERE age = 1) AS last_run_id,
        max(started_at) FILTER (WHERE age = 1) AS last_run_at,
        max(status) FILTER (WHERE age = 1) AS last_status,
        max(error) FILTER (WHERE age = 1) AS last_error,
        bool_or(is_run) AS last_is_run,
        max(started_at) FILTER (WHERE status = 'ok' AND is_run) AS last_good_at,
        CAST(coalesce(sum(fetched) FILTER (WHERE is_recent), 0) AS DOUBLE) / 7 AS fetched_per_day,
        CAST(coalesce(sum(inserted) FILTER (WHERE is_recent), 0) AS DOUBLE) / 7 AS inserted_per_day,
        CAST(coalesce(sum(updated) FILTER (WHERE is_recent), 0) AS DOUBLE) / 7 AS updated_per_day
    FROM readings
    GROUP BY
        source,
        stream,
        partition
),
-- Lists say which parts there are: what a run left out that read all of them well is not read any more.
listings AS (
    SELECT
        streams.source,
        max(runs.started_at) AS started_at
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    WHERE coalesce(runs.command, 'run') = 'run'
    GROUP BY
        streams.source,
        streams.run_id
    HAVING coalesce(
        bool_and(streams.status = 'ok') FILTER (WHERE streams.partition = ''),
        bool_and(streams.status = 'ok')
    )
),
listed AS (
    SELECT
        source,
        max(started_at) AS started_at
    FROM listings
    GROUP BY source
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
missing AS (
    SELECT
        source,
        stream,
        partition,
        count(*) AS open_gaps
    FROM staging.gaps_of_parts
    GROUP BY
        source,
        stream,
        partition
),
-- What is read in whole and in part is as old as the newer of both.
whole AS (
    SELECT
        source,
        stream,
        max(last_good_at) AS last_good_at
    FROM totals
    GROUP BY
        source,
        stream
)
SELECT
    totals.source,
    totals.stream,
    totals.partition,
    totals.last_run_id,
    totals.last_run_at,
    totals.last_status,
    totals.last_error,
    totals.last_good_at,
    cursors.cursor_at AS newest_record_at,
    (extract(EPOCH FROM newest_run.started_at) - extract(EPOCH FROM cursors.cursor_at)) / 3600 AS lag_hours,
    totals.fetched_per_day,
    totals.inserted_per_day,
    totals.updated_per_day,
    coalesce(refused.open_quarantine, 0) AS open_quarantine,
    coalesce(missing.open_gaps, 0) AS open_gaps,
    totals.last_is_run
    AND (
        totals.partition = ''
        OR listed.started_at IS NULL
        OR totals.last_run_at >= listed.started_at
    ) AS is_read,
    (
        extract(EPOCH FROM current_timestamp)
        - extract(
            EPOCH FROM CASE
                WHEN totals.partition <> '' THEN totals.last_good_at
                WHEN totals.last_status = 'ok' AND totals.last_is_run
                    AND (whole.last_good_at < listed.started_at OR whole.last_good_at IS NULL)
                    THEN listed.started_at
                ELSE whole.last_good_at
            END
        )
    ) / 3600 AS age_hours,
    (extract(EPOCH FROM current_timestamp) - extract(EPOCH FROM cursors.cursor_at)) / 3600 AS record_age_hours
FROM totals
CROSS JOIN newest_run
JOIN whole
    ON whole.source = totals.source
    AND whole.stream = totals.stream
LEFT JOIN listed ON listed.source = totals.source
LEFT JOIN etl.cursors AS cursors
    ON cursors.source = totals.source
    AND cursors.stream = totals.stream
    AND cursors.partition = totals.partition
LEFT JOIN refused
    ON refused.source = totals.source
    AND refused.stream = totals.stream
    AND refused.partition = totals.partition
LEFT JOIN missing
    ON missing.source = totals.source
    AND missing.stream = totals.stream
    AND missing.partition = totals.partition
