-- Whether anything is named as not archived: a row where it is.
SELECT 1 AS is_named
FROM etl.gaps
WHERE source = 'cogniac'
    AND stream = 'media_files'
    AND key = 'archive'
UNION ALL
SELECT 1
WHERE EXISTS (
    FROM cogniac.media_files
    WHERE state = 'missing'
)
