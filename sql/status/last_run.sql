-- The newest run that is published; no row before the first.
SELECT
    run_id,
    coalesce(command, 'run'),
    epoch_us(started_at),
    epoch_us(finished_at),
    status,
    exit_code
FROM etl.runs
ORDER BY
    started_at DESC,
    run_id DESC
LIMIT 1
