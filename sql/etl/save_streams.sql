-- Enter the counts of streams as they stand now, each list a column.
MERGE INTO etl.run_streams AS kept
USING (
    SELECT
        $run_id AS run_id,
        unnest(CAST($source AS VARCHAR[])) AS source,
        unnest(CAST($stream AS VARCHAR[])) AS stream,
        unnest(CAST($partition AS VARCHAR[])) AS partition,
        (SELECT runs.started_at FROM etl.runs AS runs WHERE runs.run_id = $run_id) AS started_at,
        unnest(CAST($status AS VARCHAR[])) AS status,
        unnest(CAST($fetched AS BIGINT[])) AS fetched,
        unnest(CAST($inserted AS BIGINT[])) AS inserted,
        unnest(CAST($updated AS BIGINT[])) AS updated,
        unnest(CAST($unchanged AS BIGINT[])) AS unchanged,
        unnest(CAST($quarantined AS BIGINT[])) AS quarantined,
        unnest(CAST($requests AS BIGINT[])) AS requests,
        unnest(CAST($retries AS BIGINT[])) AS retries,
        unnest(CAST($bytes AS BIGINT[])) AS bytes,
        make_timestamptz(unnest(CAST($cursor AS BIGINT[]))) AS cursor,
        unnest(CAST($cursor_value AS JSON[])) AS cursor_value,
        unnest(CAST($error AS VARCHAR[])) AS error,
        unnest(CAST($notice AS VARCHAR[])) AS notice
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
