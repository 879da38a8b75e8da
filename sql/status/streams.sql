-- Every part of every stream that was ever read, and what is known of it; those of an API that need a look first.
SELECT
    health.source,
    health.stream,
    health.partition,
    applications.name,
    health.is_read,
    health.last_run_id,
    epoch_us(health.last_run_at) AS last_run_us,
    health.last_status,
    health.last_error,
    epoch_us(health.last_good_at) AS last_good_us,
    -- By the clock that the command goes by, to the millisecond.
    round(health.age_hours * 3600 - (epoch_us(current_timestamp) - $now_us) / 1000000, 3) AS age_s,
    epoch_us(health.newest_record_at) AS newest_record_us,
    health.lag_hours * 3600 AS lag_s,
    health.open_quarantine,
    health.open_gaps
FROM mart.pipeline_health AS health
LEFT JOIN cogniac.applications AS applications
    ON health.source = 'cogniac'
    AND applications.application_id = health.partition
ORDER BY
    health.source,
    health.stream,
    health.partition
