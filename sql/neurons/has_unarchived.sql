-- Whether anything is named as not archived: a row where it is.
SELECT 1 AS is_named
FROM etl.gaps
WHERE source = 'neurons'
    AND stream = 'assets'
    AND key = 'archive'
UNION ALL
SELECT 1
WHERE EXISTS (
    FROM neurons.assets
    WHERE state = 'skipped' AND error IS NOT NULL
)
