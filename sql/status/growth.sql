-- On what day the first run began, and how many records of these streams a day were new since the day after it, of the
-- last days.
WITH first AS (
    SELECT CAST(min(started_at) AT TIME ZONE 'UTC' AS DATE) AS day
    FROM etl.runs
)
SELECT
    first.day AS began,
    coalesce(sum(streams.inserted), 0) / greatest(least($days, date_diff('day', first.day, $today) - 1), 1) AS per_day
FROM first
LEFT JOIN etl.runs AS runs
    ON CAST(runs.started_at AT TIME ZONE 'UTC' AS DATE) > first.day
    AND CAST(runs.started_at AT TIME ZONE 'UTC' AS DATE) < $today
    AND date_diff('day', CAST(runs.started_at AT TIME ZONE 'UTC' AS DATE), $today) <= $days
LEFT JOIN etl.run_streams AS streams
    ON streams.run_id = runs.run_id
    AND list_contains($streams, streams.source || '.' || streams.stream)
GROUP BY first.day
