-- Those of these runs that have brought rows, or refused some.
SELECT DISTINCT run_id
FROM etl.run_streams
WHERE run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
    AND inserted + updated + quarantined > 0
