-- The counts of a stream of a run, in the order of the declaration.
SELECT
    source,
    stream,
    partition,
    fetched,
    inserted,
    updated,
    unchanged,
    quarantined,
    requests,
    retries,
    bytes,
    epoch_us(cursor),
    status,
    error,
    notice
FROM etl.run_streams
WHERE run_id = $run_id AND source = $source AND stream = $stream AND partition = $partition
