-- What was added to the sums.
DELETE FROM etl.run_streams AS streams
USING old_streams AS old
WHERE streams.run_id = old.run_id
    AND streams.source = old.source
    AND streams.stream = old.stream
    AND streams.partition = old.partition
