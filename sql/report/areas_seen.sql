-- When are the areas of interest of the latest videos in the picture?
-- The 8 areas of each video that are in most of its frames, those with one name told apart by their ids. Positions are seconds, or frames where no times are known; in long videos each stands for as many of them as step says.
WITH placed AS (
    SELECT
        frames.media_id,
        frames.aoi_id,
        max(CASE WHEN trim(frames.aoi_name) <> '' THEN frames.aoi_name END)
            OVER (PARTITION BY frames.media_id, frames.aoi_id) AS aoi_name,
        frames.frame,
        frames.time_s IS NULL AS by_frame,
        coalesce(CAST(floor(frames.time_s) AS BIGINT), frames.frame) AS position
    FROM neurons.aoi_frames AS frames
    JOIN report_videos AS latest ON latest.media_id = frames.media_id
),
stepped AS (
    SELECT
        media_id,
        aoi_id,
        coalesce(aoi_name, aoi_id) AS aoi,
        frame,
        by_frame,
        position,
        1 + (
            max(position) OVER (PARTITION BY media_id, by_frame) - min(position) OVER (PARTITION BY media_id, by_frame)
        ) // 300 AS step
    FROM placed
),
counted AS (
    SELECT
        media_id,
        aoi_id,
        aoi,
        by_frame,
        step,
        count(DISTINCT frame) AS frames,
        list_sort(list(DISTINCT position // step * step)) AS positions
    FROM stepped
    GROUP BY
        media_id,
        aoi_id,
        aoi,
        by_frame,
        step
),
areas AS (
    SELECT
        media_id,
        CASE
            WHEN count(*) OVER (PARTITION BY media_id, aoi, by_frame) = 1 THEN aoi
            ELSE aoi || ' (' || aoi_id || ')'
        END AS area,
        by_frame,
        step,
        frames,
        positions
    FROM counted
)
SELECT
    media_id,
    area,
    by_frame,
    step,
    frames,
    positions,
    count(*) OVER (PARTITION BY media_id) AS areas
FROM areas
QUALIFY row_number() OVER (PARTITION BY media_id ORDER BY frames DESC, area) <= 8
ORDER BY
    media_id,
    frames DESC,
    area
