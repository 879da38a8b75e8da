-- When and for how long is each area of interest, such as a brand, on screen, and is anybody looking?
-- One row per video and area of interest that is found in its frames. Deleted videos are left out. Seconds
-- are those that any file of results states; where none does, shares are told all the same, by frames. Which
-- frames of a video were looked at, say every fifth one, is told by its files of metrics per frame alone, for
-- a file of areas lacks the frames without any: where there is no such file, neither how long an area is on
-- screen nor its share is known.
--
--   media_id           Video the area of interest is in.
--   media_name         Name of the file the video came in.
--   asset              File of results that finds the area: brand_detection.
--   aoi_id             Id of the area of interest, or its name where it has no id.
--   aoi                Name of the area of interest, or its id where no name is known.
--   first_second       Time at which it is first on screen, in seconds.
--   last_second        Time at which it is last on screen, in seconds.
--   frames_on_screen   Number of frames with it.
--   seconds_on_screen  For how many seconds it is on screen: the frames of the files of metrics with it, each
--                      as long as it takes on the average from one of these to the next; NULL where no frame
--                      of such a file has it, or too few times are known.
--   share_on_screen    Share of the frames of the files of metrics with it, 0..1; NULL where none has it.
--   mean_focus         Mean focus of the video while it is on screen, in the scale of the file metrics; NULL
--                      where that file is not there.
--   mean_focus_without  Mean focus of the video while it is not.
WITH
-- Frames are numbered as in the video, but not each is looked at: what counts is their place.
sampled AS (
    SELECT DISTINCT
        media_id,
        frame
    FROM neurons.frame_metrics
),
placed AS (
    SELECT
        sampled.media_id,
        sampled.frame,
        times.time_s,
        row_number() OVER (PARTITION BY sampled.media_id ORDER BY sampled.frame) AS place
    FROM sampled
    JOIN staging.frame_times AS times
        ON times.media_id = sampled.media_id
        AND times.frame = sampled.frame
),
videos AS (
    SELECT
        media_id,
        count(*) AS frames,
        (max(time_s) - min(time_s))
            / nullif(
                max(place) FILTER (WHERE time_s IS NOT NULL) - min(place) FILTER (WHERE time_s IS NOT NULL),
                0
            ) AS frame_seconds
    FROM placed
    GROUP BY media_id
),
focus AS (
    SELECT
        media_id,
        frame,
        value
    FROM neurons.frame_metrics
    WHERE asset = 'metrics'
        AND metric = 'focus'
        AND value IS NOT NULL
),
totals AS (
    SELECT
        media_id,
        count(*) AS frames,
        sum(value) AS focus
    FROM focus
    GROUP BY media_id
),
shown AS (
    SELECT
        media_id,
        asset,
        aoi_id,
        frame,
        max(aoi_name) AS aoi_name
    FROM neurons.aoi_frames
    GROUP BY
        media_id,
        asset,
        aoi_id,
        frame
),
exposures AS (
    SELECT
        shown.media_id,
        shown.asset,
        shown.aoi_id,
        max(shown.aoi_name) AS aoi_name,
        min(times.time_s) AS first_second,
        max(times.time_s) AS last_second,
        count(*) AS frames_on_screen,
        nullif(count(sampled.frame), 0) AS sampled_frames,
        count(focus.value) AS focus_frames,
        sum(focus.value) AS focus
    FROM shown
    JOIN staging.frame_times AS times
        ON times.media_id = shown.media_id
        AND times.frame = shown.frame
    LEFT JOIN sampled
        ON sampled.media_id = shown.media_id
        AND sampled.frame = shown.frame
    LEFT JOIN focus
        ON focus.media_id = shown.media_id
        AND focus.frame = shown.frame
    GROUP BY
        shown.media_id,
        shown.asset,
        shown.aoi_id
)
SELECT
    exposures.media_id,
    media.name AS media_name,
    exposures.asset,
    exposures.aoi_id,
    coalesce(exposures.aoi_name, exposures.aoi_id) AS aoi,
    exposures.first_second,
    exposures.last_second,
    exposures.frames_on_screen,
    exposures.sampled_frames * videos.frame_seconds AS seconds_on_screen,
    CAST(exposures.sampled_frames AS DOUBLE) / videos.frames AS share_on_screen,
    exposures.focus / nullif(exposures.focus_frames, 0) AS mean_focus,
    (totals.focus - coalesce(exposures.focus, 0)) / nullif(totals.frames - exposures.focus_frames, 0)
        AS mean_focus_without
FROM exposures
LEFT JOIN videos ON videos.media_id = exposures.media_id
JOIN neurons.media AS media ON media.media_id = exposures.media_id
LEFT JOIN totals ON totals.media_id = exposures.media_id
WHERE media.deleted_at IS NULL
