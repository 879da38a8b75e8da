-- Which videos have a page of their own, and how does focus change in them?
SELECT
    latest.media_id,
    latest.video,
    latest.created_at,
    metrics.focus,
    metrics.focus_start,
    metrics.focus_end,
    latest.videos
FROM report_videos AS latest
LEFT JOIN mart.creative_compare AS metrics ON metrics.media_id = latest.media_id
ORDER BY latest.place
