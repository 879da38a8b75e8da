-- What Prometheus is told of each source.
WITH refused AS (
    SELECT
        source,
        count(*) AS quarantine_open
    FROM etl.quarantine
    WHERE state = 'open'
    GROUP BY source
),
missing AS (
    SELECT
        source,
        count(*) AS gaps
    FROM etl.gaps
    GROUP BY source
)
SELECT
    sources.source,
    coalesce(missing.gaps, 0) AS gaps,
    coalesce(refused.quarantine_open, 0) AS quarantine_open
FROM (
    SELECT DISTINCT source
    FROM etl.run_streams
) AS sources
LEFT JOIN missing ON missing.source = sources.source
LEFT JOIN refused ON refused.source = sources.source
ORDER BY ALL
