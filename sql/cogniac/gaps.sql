-- What is missing of Cogniac besides streams that failed: records that its paging skips stay missing.
SELECT source, stream, key, what, error
FROM etl.gaps
WHERE source = 'cogniac'
    AND stream = 'detections'
    AND contains(key, ' at ')
