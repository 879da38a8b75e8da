-- Streams of all runs of which not every record fetched is accounted for.
SELECT
    run_id,
    source,
    stream,
    partition
FROM etl.run_streams
WHERE fetched <> inserted + updated + unchanged + quarantined
ORDER BY run_id, source, stream, partition
