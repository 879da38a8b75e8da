-- Files of sizes that nobody wants to be archived any more are not missing.
DELETE FROM cogniac.media_files
WHERE state = 'missing'
    AND NOT list_contains(CAST($sizes AS VARCHAR[]), rendition)
