-- How many records and files these runs refused first that are still open.
SELECT count(*)
FROM etl.quarantine
WHERE state = 'open'
    AND run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
