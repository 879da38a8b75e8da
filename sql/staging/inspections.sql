-- Which media did each application look at, when, and did anybody review what it saw?
-- One row per application and media item, whether or not anything was asserted in it.
--
--   application_id    Application that looked at the media item.
--   media_id          Media item it looked at.
--   day               Day of the first assertion in it, or of its result where nothing was asserted, in the
--                     time zone that mart.settings names.
--   results           Number of results: the media item, or regions of it.
--   reviewed_results  Number of these in which a user asserts something.
WITH asserted AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        min(coalesce(created_at, updated_at)) AS asserted_at,
        count(*) FILTER (WHERE asserted_by = 'user') AS reviews
    FROM cogniac.detections
    GROUP BY
        application_id,
        media_id,
        focus_key
),
inspected AS (
    SELECT
        results.application_id,
        results.media_id,
        min(coalesce(asserted.asserted_at, results.updated_at)) AS inspected_at,
        count(*) AS results,
        count(*) FILTER (WHERE asserted.reviews > 0) AS reviewed_results
    FROM cogniac.results AS results
    LEFT JOIN asserted
        ON asserted.application_id = results.application_id
        AND asserted.media_id = results.media_id
        AND asserted.focus_key = results.focus_key
    GROUP BY
        results.application_id,
        results.media_id
)
SELECT
    application_id,
    media_id,
    CAST(inspected_at AT TIME ZONE 'UTC' AS DATE) AS day,
    results,
    reviewed_results
FROM inspected
