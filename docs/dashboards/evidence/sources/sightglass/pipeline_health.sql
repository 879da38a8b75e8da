SELECT
    source,
    stream,
    partition,
    last_status,
    last_good_at,
    open_gaps,
    open_quarantine
FROM mart.pipeline_health
ORDER BY last_good_at NULLS FIRST
