-- Files that are not in the archive any more, though they once were.
UPDATE cogniac.media_files
SET
    state = 'missing',
    archive_path = NULL,
    error = 'it is not in the archive any more'
WHERE archive_path IN (SELECT unnest(CAST($paths AS VARCHAR[])))
