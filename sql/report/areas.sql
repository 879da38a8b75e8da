-- How do the areas of interest of the latest videos score?
-- The 8 areas of each video with the highest value of attention; a number that two files hold is listed once.
WITH latest AS (
    SELECT media_id
    FROM neurons.media
    WHERE deleted_at IS NULL
        AND media_id IN (SELECT media_id FROM neurons.frame_metrics)
    ORDER BY
        created_at DESC,
        media_id
    LIMIT 50
),
numbers AS (
    SELECT
        ranking.media_id,
        ranking.aoi AS area,
        ranking.metric,
        ranking.is_attention,
        ranking.value
    FROM mart.aoi_ranking AS ranking
    JOIN latest ON latest.media_id = ranking.media_id
    QUALIFY row_number() OVER (
        PARTITION BY ranking.media_id, ranking.aoi, ranking.metric
        ORDER BY ranking.row_number NULLS FIRST, ranking.asset
    ) = 1
),
ordered AS (
    SELECT
        media_id,
        area,
        row_number() OVER (
            PARTITION BY media_id
            ORDER BY max(value) FILTER (WHERE is_attention) DESC NULLS LAST, area
        ) AS place,
        count(*) OVER (PARTITION BY media_id) AS areas
    FROM numbers
    GROUP BY
        media_id,
        area
)
SELECT
    ordered.media_id,
    ordered.area,
    numbers.metric,
    numbers.value,
    ordered.areas
FROM ordered
JOIN numbers
    ON numbers.media_id = ordered.media_id
    AND numbers.area = ordered.area
WHERE ordered.place <= 8
ORDER BY
    ordered.media_id,
    ordered.place,
    numbers.metric
