-- Media that were found to be gone.
SELECT media_id
FROM neurons.media
WHERE deleted_at IS NOT NULL
