-- Which areas of interest, such as brands, draw most attention in each video?
-- One row per number about an area of interest, ranked among the areas of the same video by the same metric,
-- highest first. Names of metrics come from the files and are not fixed: is_attention picks those that speak
-- of attention. Deleted videos are left out, as are cells that hold no number.
--
--   media_id      Video the area of interest was found in.
--   media_name    Name of the file the video came in.
--   asset         File of results the number comes from: brand_detection_metrics or aoi_scores.
--   aoi_id        Id of the area of interest, which tells areas of one name apart; its name where it has no id,
--                 or where aoi_scores names it and not just one area of brand_detection_metrics has that name.
--   aoi           Name of the area of interest, or its id where no name is known.
--   row_number    Line of the area in aoi_scores, counted from 1; NULL for brand_detection_metrics.
--   metric        Name of the metric.
--   is_attention  Whether the name of the metric speaks of attention.
--   value         Value of the metric, in a scale that is not documented.
--   aoi_rank      Place of the area in its video, from 1 for the highest value; equal values share a place.
--   aoi_count     Number of areas (in aoi_scores: of lines) of the video with a value of this metric in this file.
WITH names AS (
    SELECT
        media_id,
        aoi_id,
        max(aoi_name) AS aoi_name
    FROM neurons.aoi_metrics
    GROUP BY
        media_id,
        aoi_id
),
-- A line of scores can be known by its name: where one area alone has it, that is the one.
lone_names AS (
    SELECT
        media_id,
        aoi_name,
        min(aoi_id) AS aoi_id
    FROM names
    WHERE aoi_name IS NOT NULL
    GROUP BY
        media_id,
        aoi_name
    HAVING count(*) = 1
),
-- Or by its id, with its name as a text in a cell of its own.
line_names AS (
    SELECT
        media_id,
        asset,
        row_number,
        max(text_value) AS aoi_name
    FROM neurons.aoi_scores
    WHERE lower(metric) = 'name'
    GROUP BY
        media_id,
        asset,
        row_number
),
numbers AS (
    SELECT
        media_id,
        asset,
        aoi_id,
        coalesce(aoi_name, aoi_id) AS aoi,
        CAST(NULL AS BIGINT) AS row_number,
        metric,
        value
    FROM neurons.aoi_metrics
    WHERE value IS NOT NULL
    UNION ALL
    SELECT
        scores.media_id,
        scores.asset,
        coalesce(names.aoi_id, lone_names.aoi_id, scores.aoi_name) AS aoi_id,
        coalesce(line_names.aoi_name, names.aoi_name, scores.aoi_name) AS aoi,
        scores.row_number,
        scores.metric,
        scores.value
    FROM neurons.aoi_scores AS scores
    LEFT JOIN line_names
        ON line_names.media_id = scores.media_id
        AND line_names.asset = scores.asset
        AND line_names.row_number = scores.row_number
    LEFT JOIN names
        ON names.media_id = scores.media_id
        AND names.aoi_id = scores.aoi_name
    LEFT JOIN lone_names
        ON lone_names.media_id = scores.media_id
        AND lone_names.aoi_name = scores.aoi_name
    WHERE scores.value IS NOT NULL
)
SELECT
    numbers.media_id,
    media.name AS media_name,
    numbers.asset,
    numbers.aoi_id,
    numbers.aoi,
    numbers.row_number,
    numbers.metric,
    lower(numbers.metric) LIKE '%attention%' AS is_attention,
    numbers.value,
    rank() OVER (
        PARTITION BY numbers.media_id, numbers.asset, numbers.metric
        ORDER BY numbers.value DESC
    ) AS aoi_rank,
    count(*) OVER (PARTITION BY numbers.media_id, numbers.asset, numbers.metric) AS aoi_count
FROM numbers
JOIN neurons.media AS media ON media.media_id = numbers.media_id
WHERE media.deleted_at IS NULL
