-- Which streams are loaded, which failed, and which are late?
-- Late: not loaded well within the 25 hours before the report was made, so that a daily run is in time.
-- Off: no longer read, since its application was switched off or is gone, or since a backfill alone read it.
-- The 20 that need a look most come first, and are all that is listed.
WITH aged AS (
    SELECT
        health.source,
        health.stream,
        coalesce(applications.name, health.partition) AS part,
        health.is_read,
        health.last_status,
        health.last_good_at,
        health.newest_record_at,
        -- As of when the report was made, whenever the question is asked.
        health.age_hours - (epoch(current_timestamp) - epoch($made_at)) / 3600 AS age_hours,
        health.last_run_at,
        health.open_quarantine AS refused,
        health.open_gaps AS missing,
        health.last_error AS error
    FROM mart.pipeline_health AS health
    LEFT JOIN cogniac.applications AS applications
        ON health.source = 'cogniac'
        AND applications.application_id = health.partition
),
streams AS (
    SELECT
        source,
        stream,
        part,
        CASE
            WHEN NOT is_read THEN 'off'
            WHEN last_status = 'failed' THEN 'failed'
            WHEN coalesce(age_hours > 25, last_run_at < $made_at - INTERVAL 25 HOUR) THEN 'late'
            ELSE last_status
        END AS state,
        last_good_at,
        age_hours,
        newest_record_at,
        refused,
        missing,
        error
    FROM aged
)
SELECT
    source,
    stream,
    part,
    state,
    last_good_at,
    age_hours,
    newest_record_at,
    refused,
    missing,
    error,
    count(*) OVER () AS streams,
    count(*) FILTER (WHERE state = 'failed') OVER () AS failed_streams,
    count(*) FILTER (WHERE state = 'late') OVER () AS late_streams
FROM streams
ORDER BY
    CASE state WHEN 'failed' THEN 1 WHEN 'late' THEN 2 WHEN 'running' THEN 3 WHEN 'ok' THEN 4 ELSE 5 END,
    refused + missing = 0,
    source,
    stream,
    part
LIMIT 20
