-- Media that were gone and are there again.
UPDATE neurons.media
SET deleted_at = NULL
WHERE media_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
