-- Keep what was refused by runs that are not undone and is accepted by now: it was loaded at its place.
INSERT INTO etl.quarantine BY NAME
SELECT * REPLACE ('replayed' AS state)
FROM former.etl.quarantine AS former
WHERE former.source = $source
    AND former.run_id NOT IN (SELECT unnest(CAST($runs AS VARCHAR[])))
    AND former.quarantine_id NOT IN (SELECT kept.quarantine_id FROM etl.quarantine AS kept)
