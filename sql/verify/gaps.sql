-- How much of a source is named as missing.
SELECT count(*)
FROM etl.gaps
WHERE source = $source
