-- Which videos hold the attention of their first two seconds to the end?
SELECT
    media_name AS video,
    round(focus_start, 1) AS focus_at_start,
    round(focus_end, 1) AS focus_at_end,
    round(round(focus_end, 1) - round(focus_start, 1), 1) AS change
FROM mart.creative_compare
WHERE media_type = 'video'
ORDER BY change DESC NULLS LAST, video
LIMIT 5
