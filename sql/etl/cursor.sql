-- Where a stream stands, in microseconds since 1970; no row before its first load.
SELECT epoch_us(cursor_at)
FROM etl.cursors
WHERE source = $source AND stream = $stream AND partition = $partition
