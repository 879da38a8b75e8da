-- Which streams are loaded, which failed, and which are late?
-- Late: not loaded well within the 25 hours before the report was made, so that a daily run is in time.
-- Off: no longer read, since its application was switched off.
-- The 20 that need a look most come first, and are all that is listed.
WITH streams AS (
    SELECT
        health.source,
        health.stream,
        coalesce(applications.name, health.partition) AS part,
        CASE
            WHEN NOT applications.active AND health.last_run_at < max(health.last_run_at) OVER () THEN 'off'
            WHEN health.last_status = 'failed' THEN 'failed'
            WHEN coalesce(health.last_good_at, health.last_run_at) < $made_at - INTERVAL 25 HOUR THEN 'late'
            ELSE health.last_status
        END AS state,
        health.last_good_at,
        health.newest_record_at,
        health.open_quarantine AS refused,
        health.open_gaps AS missing,
        health.last_error AS error
    FROM mart.pipeline_health AS health
    LEFT JOIN cogniac.applications AS applications
        ON health.source = 'cogniac'
        AND applications.application_id = health.partition
)
SELECT
    source,
    stream,
    part,
    state,
    last_good_at,
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
