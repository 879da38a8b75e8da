-- What Prometheus is told of each stream.
SELECT
    source,
    stream,
    partition,
    epoch(last_good_at) AS last_success_timestamp_seconds,
    epoch(newest_record_at) AS newest_record_timestamp_seconds,
    open_quarantine AS quarantine_open,
    open_gaps AS gaps
FROM mart.pipeline_health
ORDER BY ALL
