-- When the last run began that listed all media to the end, in microseconds since 1970; no row when none did. The last
-- is the one entered last: by its time it would be one whose clock was ahead, until true time catches up.
SELECT epoch_us(streams.started_at)
FROM etl.run_streams AS streams
WHERE streams.source = 'neurons'
    AND streams.stream = 'media'
    AND streams.partition = ''
    AND streams.status = 'ok'
    AND streams.requests > 0
ORDER BY streams.rowid DESC
LIMIT 1
