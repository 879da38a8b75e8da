-- Forget the ranges of a stream that was read to its end; the newest time in each.
DELETE FROM etl.stretches
WHERE source = $source AND stream = $stream AND partition = $partition
RETURNING epoch_us(newest_at)
