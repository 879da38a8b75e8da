-- When was each source last loaded, and after how many hours is that unusually long ago?
-- Of a source the newest load counts in which any of its streams went well. Of ten pauses between the loads of the 28 days up to the newest one, nine are no longer than the usual pause; it is a day where there were fewer than three, or all were shorter. An hour is added, so that a load may take its time.
WITH loads AS (
    SELECT DISTINCT
        streams.source,
        runs.started_at
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    WHERE streams.status = 'ok'
        AND coalesce(runs.command, 'run') = 'run'
),
newest AS (
    SELECT
        source,
        max(started_at) AS started_at
    FROM loads
    GROUP BY source
),
pauses AS (
    SELECT
        loads.source,
        epoch(loads.started_at - lag(loads.started_at) OVER (PARTITION BY loads.source ORDER BY loads.started_at)) / 3600 AS hours
    FROM loads
    JOIN newest ON newest.source = loads.source
    WHERE loads.started_at >= newest.started_at - INTERVAL 672 HOUR
),
usual AS (
    SELECT
        source,
        CASE WHEN count(hours) >= 3 THEN quantile_disc(hours, 0.9) END AS hours
    FROM pauses
    GROUP BY source
)
SELECT
    newest.source,
    newest.started_at AS loaded_at,
    greatest(coalesce(usual.hours, 24), 24) + 1 AS usual_hours
FROM newest
JOIN usual ON usual.source = newest.source
ORDER BY newest.source
