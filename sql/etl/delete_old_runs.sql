-- What was added to the sums.
DELETE FROM etl.runs
WHERE started_at < $before
    AND run_id NOT IN (SELECT run_id FROM etl.run_streams)
