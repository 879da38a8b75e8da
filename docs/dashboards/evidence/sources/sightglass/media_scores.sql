SELECT
    media_name,
    media_type,
    created_at,
    focus,
    cognitive_demand,
    engagement,
    memory
FROM mart.media_scores
ORDER BY created_at DESC
