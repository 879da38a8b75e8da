-- How do the areas of interest of the latest videos score?
-- The 8 areas of each video with the highest value of attention, and 8 metrics of them; a number that two files hold is listed once, and of areas with one name, which nothing here tells apart, the highest.
WITH numbers AS (
    SELECT
        ranking.media_id,
        ranking.aoi AS area,
        ranking.metric,
        ranking.is_attention,
        ranking.value
    FROM mart.aoi_ranking AS ranking
    JOIN report_videos AS latest ON latest.media_id = ranking.media_id
    QUALIFY row_number() OVER (
        PARTITION BY ranking.media_id, ranking.aoi, ranking.metric
        ORDER BY ranking.row_number IS NOT NULL, ranking.asset, ranking.value DESC
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
),
columns AS (
    SELECT
        media_id,
        metric,
        row_number() OVER (PARTITION BY media_id ORDER BY bool_or(is_attention) DESC, count(*) DESC, metric) AS place,
        count(*) OVER (PARTITION BY media_id) AS metrics
    FROM numbers
    GROUP BY
        media_id,
        metric
)
SELECT
    ordered.media_id,
    ordered.area,
    numbers.metric,
    numbers.value,
    ordered.areas,
    columns.metrics
FROM ordered
JOIN numbers
    ON numbers.media_id = ordered.media_id
    AND numbers.area = ordered.area
JOIN columns
    ON columns.media_id = numbers.media_id
    AND columns.metric = numbers.metric
WHERE ordered.place <= 8
    AND columns.place <= 8
ORDER BY
    ordered.media_id,
    ordered.place,
    numbers.metric
