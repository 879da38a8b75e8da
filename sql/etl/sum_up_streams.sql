-- Add old streams to the sums of their days.
MERGE INTO etl.run_days AS kept
USING (
    SELECT
        CAST(streams.started_at AS DATE) AS day,
        streams.source,
        streams.stream,
        streams.partition,
        count(*) AS runs,
        count(*) FILTER (WHERE streams.status <> 'ok') AS failed,
        sum(streams.fetched) AS fetched,
        sum(streams.inserted) AS inserted,
        sum(streams.updated) AS updated,
        sum(streams.unchanged) AS unchanged,
        sum(streams.quarantined) AS quarantined,
        sum(streams.requests) AS requests,
        sum(streams.retries) AS retries,
        sum(streams.bytes) AS bytes
    FROM etl.run_streams AS streams
    SEMI JOIN old_streams USING (run_id, source, stream, partition)
    GROUP BY ALL
) AS found
ON (
    kept.day = found.day
    AND kept.source = found.source
    AND kept.stream = found.stream
    AND kept.partition = found.partition
)
WHEN MATCHED THEN UPDATE SET
    runs = kept.runs + found.runs,
    failed = kept.failed + found.failed,
    fetched = kept.fetched + found.fetched,
    inserted = kept.inserted + found.inserted,
    updated = kept.updated + found.updated,
    unchanged = kept.unchanged + found.unchanged,
    quarantined = kept.quarantined + found.quarantined,
    requests = kept.requests + found.requests,
    retries = kept.retries + found.retries,
    bytes = kept.bytes + found.bytes
WHEN NOT MATCHED THEN INSERT BY NAME
