-- The streams that failed lack what they lacked.
INSERT INTO missing BY NAME
SELECT source, stream, key, what, error
FROM etl.gaps
WHERE source = $source
    AND starts_with(what, 'what changed after')
