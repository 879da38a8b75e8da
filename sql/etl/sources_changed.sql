-- The sources of which these runs have brought something, as their counts and cursors say.
SELECT source
FROM etl.run_streams
WHERE run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
    AND inserted + updated + quarantined > 0
UNION
SELECT source
FROM etl.cursors
WHERE run_id IN (SELECT unnest(CAST($runs AS VARCHAR[])))
