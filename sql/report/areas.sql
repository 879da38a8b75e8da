-- How do the areas of interest of the latest videos score?
-- The 8 areas of each video with the highest value of attention, and 8 metrics of them; a number that two files hold is listed once. Areas with one name are told apart by their ids, lines of aoi_scores by their numbers.
WITH lines AS (
    SELECT
        ranking.media_id,
        ranking.aoi_id,
        ranking.aoi,
        ranking.asset,
        ranking.row_number,
        ranking.metric,
        ranking.is_attention,
        ranking.value,
        -- Of several lines about one area the first goes with what other files hold about it.
        dense_rank() OVER (
            PARTITION BY ranking.media_id, ranking.asset, ranking.aoi_id
            ORDER BY ranking.row_number
        ) AS line
    FROM mart.aoi_ranking AS ranking
    JOIN report_videos AS latest ON latest.media_id = ranking.media_id
),
numbers AS (
    SELECT
        media_id,
        aoi_id,
        line,
        row_number,
        aoi,
        metric,
        is_attention,
        value
    FROM lines
    QUALIFY row_number() OVER (
        PARTITION BY media_id, aoi_id, line, metric
        ORDER BY row_number IS NOT NULL, asset
    ) = 1
),
areas AS (
    SELECT
        media_id,
        aoi_id,
        line,
        max(aoi) AS aoi,
        max(row_number) AS row_number,
        max(value) FILTER (WHERE is_attention) AS attention
    FROM numbers
    GROUP BY
        media_id,
        aoi_id,
        line
),
ordered AS (
    SELECT
        media_id,
        aoi_id,
        line,
        CASE
            WHEN aoi IS NULL THEN 'line ' || row_number
            WHEN count(*) OVER (PARTITION BY media_id, aoi) = 1 THEN aoi
            WHEN line = 1 AND aoi_id <> aoi THEN aoi || ' (' || aoi_id || ')'
            ELSE coalesce(aoi || ' (line ' || row_number || ')', aoi)
        END AS area,
        row_number() OVER (
            PARTITION BY media_id
            ORDER BY attention DESC NULLS LAST, aoi, aoi_id, line
        ) AS place,
        count(*) OVER (PARTITION BY media_id) AS areas
    FROM areas
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
    AND numbers.aoi_id IS NOT DISTINCT FROM ordered.aoi_id
    AND numbers.line = ordered.line
JOIN columns
    ON columns.media_id = numbers.media_id
    AND columns.metric = numbers.metric
WHERE ordered.place <= 8
    AND columns.place <= 8
ORDER BY
    ordered.media_id,
    ordered.place,
    numbers.metric
