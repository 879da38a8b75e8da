-- Where a stream stands, in microseconds since 1970 or as JSON; no row before its first load.
SELECT
    epoch_us(cursor_at),
    cursor_value
FROM etl.cursors
WHERE source = $source AND stream = $stream AND partition = $partition
