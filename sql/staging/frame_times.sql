-- At which time of its video is each frame?
-- One row per frame of a video that any file of results names. Where one file states no times, those that
-- another states for the same frames hold for it too.
--
--   media_id  Video the frame belongs to.
--   frame     Number of the frame.
--   time_s    Time of the frame in seconds; NULL where no file states one.
WITH stated AS (
    SELECT
        media_id,
        frame,
        time_s
    FROM neurons.frame_metrics
    UNION ALL
    SELECT
        media_id,
        frame,
        time_s
    FROM neurons.aoi_frames
)
SELECT
    media_id,
    frame,
    min(time_s) AS time_s
FROM stated
GROUP BY
    media_id,
    frame
