-- What is missing of Cogniac besides streams that failed: records that its paging skips stay missing, posts until
-- polling shows what they say, and files that are wanted in the archive until they are there.
SELECT source, stream, key, what, error
FROM etl.gaps
WHERE source = 'cogniac'
    AND stream = 'detections'
    AND contains(key, ' at ')
UNION ALL
SELECT
    gaps.source,
    gaps.stream,
    gaps.key,
    gaps.what,
    gaps.error
FROM etl.gaps AS gaps
JOIN cogniac.postbacks AS posts
    ON gaps.key = posts.post_id || ' ' || posts.subject_index
WHERE gaps.source = 'cogniac'
    AND gaps.stream = 'postbacks'
    AND posts.polled_at IS NULL
UNION ALL
SELECT
    'cogniac',
    'media_files',
    media_id || '/' || rendition,
    'file in the archive',
    error
FROM cogniac.media_files
WHERE state = 'missing'
UNION ALL
SELECT source, stream, key, what, error
FROM etl.gaps
WHERE source = 'cogniac'
    AND stream = 'media_files'
    AND key = 'archive'
