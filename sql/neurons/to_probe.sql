-- Some stored media that tell whether a key leads to their account: the newest, those that are not deleted first.
SELECT media_id
FROM neurons.media
ORDER BY
    deleted_at IS NOT NULL,
    created_at DESC,
    media_id
LIMIT $most
