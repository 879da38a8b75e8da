-- At which second of each video does attention fall most?
-- Attention is the metric focus, as a mean per second; the fall is measured from one second to the next one.
-- Of equal falls the first counts. A file that states no times has those that another file of the same video
-- states for the same frames. Videos without any times, with no two seconds in a row that have focus, or whose
-- focus never falls from one to the next are left out, as are deleted ones; videos_left_out says how many.
--
--   media_id         Video that loses attention.
--   media_name       Name of the file the video came in.
--   asset            File of results the focus comes from; a video has one row for each file that holds its
--                    focus.
--   second           Second of the video with the largest fall, counted from 0.
--   focus_drop       By how much focus is lower than in the second before, in the scale of the file.
--   focus_before     Mean focus of the second before.
--   focus_after      Mean focus of this second.
--   has_own_times    Whether the file states its times itself.
--   videos_left_out  Number of videos with focus per frame that are in no row, deleted ones apart; the same in
--                    all rows.
WITH focused AS (
    SELECT
        metrics.media_id,
        media.name AS media_name,
        metrics.asset,
        metrics.frame,
        metrics.time_s,
        metrics.value
    FROM neurons.frame_metrics AS metrics
    JOIN neurons.media AS media ON media.media_id = metrics.media_id
    WHERE metrics.metric = 'focus'
        AND metrics.value IS NOT NULL
        AND media.deleted_at IS NULL
),
seconds AS (
    SELECT
        focused.media_id,
        focused.media_name,
        focused.asset,
        CAST(floor(coalesce(focused.time_s, times.time_s)) AS BIGINT) AS second,
        avg(focused.value) AS focus,
        count(focused.time_s) > 0 AS has_own_times
    FROM focused
    LEFT JOIN staging.frame_times AS times
        ON times.media_id = focused.media_id
        AND times.frame = focused.frame
    WHERE coalesce(focused.time_s, times.time_s) IS NOT NULL
    GROUP BY
        focused.media_id,
        focused.media_name,
        focused.asset,
        CAST(floor(coalesce(focused.time_s, times.time_s)) AS BIGINT)
),
neighbours AS (
    SELECT
        media_id,
        media_name,
        asset,
        second,
        focus,
        has_own_times,
        lag(second) OVER (PARTITION BY media_id, asset ORDER BY second) AS second_before,
        lag(focus) OVER (PARTITION BY media_id, asset ORDER BY second) AS focus_before
    FROM seconds
),
falls AS (
    SELECT
        media_id,
        media_name,
        asset,
        second,
        focus,
        has_own_times,
        focus_before,
        row_number() OVER (PARTITION BY media_id, asset ORDER BY focus_before - focus DESC, second) AS place
    FROM neighbours
    WHERE second_before = second - 1
        AND focus < focus_before
),
videos AS (
    SELECT count(DISTINCT focused.media_id) - count(DISTINCT falls.media_id) AS left_out
    FROM focused
    LEFT JOIN falls ON falls.media_id = focused.media_id
)
SELECT
    falls.media_id,
    falls.media_name,
    falls.asset,
    falls.second,
    falls.focus_before - falls.focus AS focus_drop,
    falls.focus_before,
    falls.focus AS focus_after,
    falls.has_own_times,
    videos.left_out AS videos_left_out
FROM falls
CROSS JOIN videos
WHERE falls.place = 1
