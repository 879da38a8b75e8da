-- The last part of the log of a source that is applied; no row where none is.
SELECT applied
FROM etl.log
WHERE source = $source
