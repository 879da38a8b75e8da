-- Which images and videos have the five highest and the five lowest values of each metric?
-- The 30 metrics of a kind of media that the most media have; `metrics` says of how many. Over the whole of each medium; with fewer than ten media, none is listed at both ends. Videos and focus come first, and at each end what is furthest out.
WITH places AS (
    SELECT
        media_type,
        metric,
        media_id,
        coalesce(CASE WHEN trim(media_name) <> '' THEN media_name END, media_id) AS medium,
        value,
        media_count AS media,
        row_number() OVER (PARTITION BY media_type, metric ORDER BY value DESC, media_id) AS place
    FROM mart.metric_ranking
    WHERE time_window = 'total'
),
listed AS (
    SELECT
        media_type,
        metric,
        max(media_count) AS media,
        row_number() OVER (ORDER BY max(media_count) DESC, metric <> 'focus', metric, media_type) AS place,
        count(*) OVER () AS metrics
    FROM mart.metric_ranking
    WHERE time_window = 'total'
    GROUP BY
        media_type,
        metric
)
SELECT
    places.media_type,
    places.metric,
    CASE WHEN places.place <= 5 THEN 'highest' ELSE 'lowest' END AS at_the_end,
    places.place,
    places.media_id,
    places.medium,
    places.value,
    places.media,
    listed.metrics
FROM places
JOIN listed
    ON listed.media_type IS NOT DISTINCT FROM places.media_type
    AND listed.metric = places.metric
WHERE (places.place <= 5 OR places.place > places.media - 5)
    AND listed.place <= 30
ORDER BY
    places.media_type DESC,
    places.metric <> 'focus',
    places.metric,
    at_the_end,
    CASE WHEN places.place <= 5 THEN places.place ELSE -places.place END
