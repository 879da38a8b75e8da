-- Files that are not in the archive any more, though they once were.
UPDATE cogniac.media_files
SET
    state = 'missing',
    archive_path = NULL,
    error = 'it is not in the archive any more',
    _run_id = $run_id,
    _loaded_at = $now
WHERE archive_path IN (SELECT unnest(CAST($paths AS VARCHAR[])))
