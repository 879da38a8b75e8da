-- For how long is each area of interest of the latest videos on screen, and is anybody looking?
-- The 8 areas of each video that are in most of its frames, those with one name told apart by their ids.
SELECT
    exposure.media_id,
    CASE
        WHEN count(*) OVER (PARTITION BY exposure.media_id, exposure.aoi) = 1 THEN exposure.aoi
        ELSE exposure.aoi || ' (' || exposure.aoi_id || ')'
    END AS area,
    exposure.frames_on_screen,
    exposure.seconds_on_screen,
    exposure.share_on_screen,
    exposure.mean_focus,
    exposure.mean_focus_without
FROM mart.brand_exposure AS exposure
JOIN report_videos AS latest ON latest.media_id = exposure.media_id
QUALIFY row_number() OVER (
    PARTITION BY exposure.media_id
    ORDER BY exposure.frames_on_screen DESC, exposure.aoi, exposure.aoi_id
) <= 8
ORDER BY
    exposure.media_id,
    exposure.frames_on_screen DESC,
    exposure.aoi,
    exposure.aoi_id
