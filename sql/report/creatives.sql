-- How do images and videos compare, and what do they look like?
-- The 40 newest that have any metric or picture; `media` says of how many.
SELECT
    media_id,
    coalesce(CASE WHEN trim(media_name) <> '' THEN media_name END, media_id) AS medium,
    media_type,
    strftime(created_at AT TIME ZONE settings.time_zone, '%Y-%m-%d') AS handed_in_on,
    focus,
    cognitive_demand,
    engagement,
    memory,
    intent,
    trust,
    avoidance,
    thumbnail_path,
    count(*) OVER () AS media
FROM mart.creative_compare
CROSS JOIN mart.settings AS settings
WHERE coalesce(focus, cognitive_demand, engagement, memory, intent, trust, avoidance) IS NOT NULL
    OR archived_files > 0
ORDER BY
    CASE WHEN created_at <= $made_at THEN created_at END DESC NULLS LAST,
    media_id
LIMIT 40
