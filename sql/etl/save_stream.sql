-- Enter the counts of a stream as they stand now.
MERGE INTO etl.run_streams AS kept
USING (
    SELECT
        $run_id AS run_id,
        $source AS source,
        $stream AS stream,
        $partition AS partition,
        (SELECT runs.started_at FROM etl.runs AS runs WHERE runs.run_id = $run_id) AS started_at,
        $status AS status,
        $fetched AS fetched,
        $inserted AS inserted,
        $updated AS updated,
        $unchanged AS unchanged,
        $quarantined AS quarantined,
        $requests AS requests,
        $retries AS retries,
        $bytes AS bytes,
        make_timestamptz(CAST($cursor AS BIGINT)) AS cursor,
        CAST($cursor_value AS JSON) AS cursor_value,
        $error AS error,
        $notice AS notice
) AS now
ON (
    kept.run_id = now.run_id
    AND kept.source = now.source
    AND kept.stream = now.stream
    AND kept.partition = now.partition
)
WHEN MATCHED THEN UPDATE SET
    status = now.status,
    fetched = now.fetched,
    inserted = now.inserted,
    updated = now.updated,
    unchanged = now.unchanged,
    quarantined = now.quarantined,
    requests = now.requests,
    retries = now.retries,
    bytes = now.bytes,
    cursor = now.cursor,
    cursor_value = now.cursor_value,
    error = now.error,
    notice = now.notice
WHEN NOT MATCHED THEN INSERT BY NAME
