-- At which second of the latest videos does attention fall most?
SELECT
    drops.media_id,
    drops.asset,
    drops.second,
    drops.focus_before,
    drops.focus_after,
    drops.videos_left_out
FROM mart.attention_drop AS drops
JOIN report_videos AS latest ON latest.media_id = drops.media_id
ORDER BY
    drops.media_id,
    drops.asset DESC
