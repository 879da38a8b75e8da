-- Archived files of a medium that are no other medium's as well.
SELECT archive_path
FROM (
    SELECT
        media_id,
        archive_path
    FROM cogniac.media_files
    UNION ALL
    SELECT
        media_id,
        archive_path
    FROM neurons.assets
)
WHERE archive_path IS NOT NULL
GROUP BY archive_path
HAVING bool_and(media_id = $media_id)
ORDER BY archive_path
