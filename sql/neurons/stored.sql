-- Media that are not known to be gone.
SELECT media_id
FROM neurons.media
WHERE deleted_at IS NULL
ORDER BY created_at, media_id
