-- Add old runs of which no stream is left to the sums of their days.
MERGE INTO etl.run_days AS kept
USING (
    SELECT
        CAST(started_at AS DATE) AS day,
        '' AS source,
        '' AS stream,
        '' AS partition,
        count(*) AS runs,
        count(*) FILTER (WHERE status <> 'ok') AS failed,
        0 AS fetched,
        0 AS inserted,
        0 AS updated,
        0 AS unchanged,
        0 AS quarantined,
        0 AS requests,
        0 AS retries,
        0 AS bytes
    FROM etl.runs
    WHERE started_at < $before
        AND run_id NOT IN (SELECT run_id FROM etl.run_streams)
    GROUP BY ALL
) AS found
ON (kept.day = found.day AND kept.source = '')
WHEN MATCHED THEN UPDATE SET runs = kept.runs + found.runs, failed = kept.failed + found.failed
WHEN NOT MATCHED THEN INSERT BY NAME
