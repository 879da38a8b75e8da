-- What is known to be missing, and of which part of a stream?
-- One row per thing that is missing and part that lacks it, of the parts that were ever read, by runs that were not
-- undone. A gap names a part, or a time in one; else all of the stream lacks it, whose only part is the empty one.
--
--   source     The API.
--   stream     What is read from it.
--   partition  Part of the stream (a Cogniac application id); empty where there is only one.
--   key        What it belongs to, as `etl.gaps` has it.
--   what       What is missing.
--   since      When it was found missing.
WITH parts AS (
    SELECT DISTINCT
        streams.source,
        streams.stream,
        streams.partition
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    WHERE streams.status <> 'undone'
)
SELECT
    parts.source,
    parts.stream,
    parts.partition,
    gaps.key,
    gaps.what,
    gaps.since
FROM parts
JOIN etl.gaps AS gaps
    ON gaps.source = parts.source
    AND gaps.stream = parts.stream
    AND (
        parts.partition = ''
        OR gaps.key = parts.partition
        OR substr(gaps.key, 1, length(parts.partition) + 4) = parts.partition || ' at '
    )
