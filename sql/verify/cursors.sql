-- Where the streams of a source stand, in microseconds since 1970.
SELECT
    stream,
    partition,
    epoch_us(cursor_at)
FROM etl.cursors
WHERE source = $source
ORDER BY stream, partition
