-- Say of runs that they were undone.
UPDATE etl.runs
SET status = 'undone'
WHERE run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
