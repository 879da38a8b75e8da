-- What is missing of Cogniac besides streams that failed: records that its paging skips stay missing, and posts until
-- polling shows what they say.
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
