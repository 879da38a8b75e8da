-- When a run last went well.
SELECT epoch(max(finished_at) FILTER (WHERE status = 'ok')) AS last_success_timestamp_seconds
FROM etl.runs
