-- How does each metric of a video run from second to second?
-- One row per video, file, metric and second; where the file states no times, one row per frame instead, with
-- second NULL. Deleted videos are left out.
--
--   media_id     Video the metric is about.
--   media_name   Name of the file the video came in.
--   asset        File of results the metric comes from: metrics or frt_frame_metrics (Fast Response Test).
--   metric       Name of the metric.
--   second       Second of the video, counted from 0; NULL where the time of the frame is not known.
--   first_frame  First frame of the second; where the time is not known, the frame itself.
--   mean_value   Mean of the metric, in a scale that is not documented; NULL where no frame has a value.
--   frames       Number of frames the mean is made of.
WITH timed AS (
    SELECT
        media_id,
        asset,
        metric,
        CAST(floor(time_s) AS BIGINT) AS second,
        -- Frames without a time stay apart, those with one are told apart by the second alone.
        CASE WHEN time_s IS NULL THEN frame END AS lone_frame,
        frame,
        value
    FROM neurons.frame_metrics
),
curves AS (
    SELECT
        media_id,
        asset,
        metric,
        second,
        min(frame) AS first_frame,
        avg(value) AS mean_value,
        count(value) AS frames
    FROM timed
    GROUP BY
        media_id,
        asset,
        metric,
        second,
        lone_frame
)
SELECT
    curves.media_id,
    media.name AS media_name,
    curves.asset,
    curves.metric,
    curves.second,
    curves.first_frame,
    curves.mean_value,
    curves.frames
FROM curves
JOIN neurons.media AS media ON media.media_id = curves.media_id
WHERE media.deleted_at IS NULL
