-- The newest time in the ranges that runs which were broken off have read beyond the cursor of a stream.
SELECT epoch_us(max(newest_at))
FROM etl.stretches
WHERE source = $source AND stream = $stream AND partition = $partition
