-- Media that may still change, or of which a file is missing.
SELECT media_id
FROM neurons.media
WHERE deleted_at IS NULL
    AND (NOT is_complete OR aoi_status = 'started')
ORDER BY created_at, media_id
