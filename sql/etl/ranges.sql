-- The ranges of time that runs which were broken off have read beyond the cursor.
SELECT
    epoch_us(start_at),
    epoch_us(end_at)
FROM etl.stretches
WHERE source = $source AND stream = $stream AND partition = $partition
ORDER BY start_at
