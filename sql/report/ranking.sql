-- Which images and videos have the five highest and the five lowest values of each metric?
-- Over the whole of each medium; with fewer than ten media, none is listed at both ends. Videos and focus come first, and at each end what is furthest out.
WITH places AS (
    SELECT
        media_type,
        metric,
        media_id,
        coalesce(media_name, media_id) AS medium,
        value,
        media_count AS media,
        row_number() OVER (PARTITION BY media_type, metric ORDER BY value DESC, media_id) AS place
    FROM mart.metric_ranking
    WHERE time_window = 'total'
)
SELECT
    media_type,
    metric,
    CASE WHEN place <= 5 THEN 'highest' ELSE 'lowest' END AS at_the_end,
    place,
    medium,
    value,
    media
FROM places
WHERE place <= 5
    OR place > media - 5
ORDER BY
    media_type DESC,
    metric <> 'focus',
    metric,
    at_the_end,
    CASE WHEN place <= 5 THEN place ELSE -place END
