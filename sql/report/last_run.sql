-- How did the last run end, and how did those of the seven days before it?
-- Runs that were undone do not count. It is late if it began more than 25 hours before the report was made: a daily run is in time.
WITH runs AS (
    SELECT
        started_at,
        status,
        exit_code,
        row_number() OVER (ORDER BY started_at DESC, run_id DESC) AS age,
        max(started_at) OVER () - INTERVAL 168 HOUR AS week_begins_at
    FROM etl.runs
    WHERE status <> 'undone'
)
SELECT
    max(started_at) FILTER (WHERE age = 1) AS started_at,
    max(status) FILTER (WHERE age = 1) AS status,
    max(exit_code) FILTER (WHERE age = 1) AS exit_code,
    max(started_at) < $made_at - INTERVAL 25 HOUR AS is_late,
    count(*) AS runs_of_the_week,
    count(*) FILTER (WHERE status NOT IN ('ok', 'running')) AS not_ok_of_the_week
FROM runs
WHERE started_at > week_begins_at
HAVING count(*) > 0
