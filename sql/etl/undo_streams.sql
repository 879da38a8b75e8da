-- Say of the streams of runs that they were undone: whether anything was read is not for these runs to say.
UPDATE etl.run_streams
SET status = 'undone'
WHERE run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
