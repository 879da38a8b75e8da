-- Drop their rows here.
DELETE FROM neurons.aoi_scores AS stored
USING dropped
WHERE stored.media_id = dropped.media_id
    AND stored.asset = dropped.asset
