-- When the last run began that listed all media to the end, in microseconds since 1970; NULL when none did.
SELECT epoch_us(max(runs.started_at))
FROM etl.run_streams AS streams
JOIN etl.runs AS runs USING (run_id)
WHERE streams.source = 'neurons'
    AND streams.stream = 'media'
    AND streams.partition = ''
    AND streams.status = 'ok'
    AND streams.requests > 0
