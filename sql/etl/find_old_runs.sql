-- The streams of runs that are to be summed up by day. The last row of each stream stays, and the last one of each way
-- in which it can have ended, with and without requests, of each command: what tells how a stream stands looks for these.
CREATE OR REPLACE TEMP TABLE old_streams AS
SELECT
    run_id,
    source,
    stream,
    partition
FROM (
    SELECT
        streams.run_id,
        streams.source,
        streams.stream,
        streams.partition,
        streams.started_at,
        row_number() OVER (
            PARTITION BY
                streams.source,
                streams.stream,
                streams.partition,
                streams.status = 'ok',
                streams.requests > 0,
                coalesce(runs.command, 'run')
            ORDER BY streams.rowid DESC
        ) AS age
    FROM etl.run_streams AS streams
    LEFT JOIN etl.runs AS runs ON runs.run_id = streams.run_id
)
WHERE started_at < $before
    AND age > 1
