-- Mark media that are gone from Neurons; what is known of them stays.
UPDATE neurons.media
SET deleted_at = $now
WHERE media_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
    AND deleted_at IS NULL
