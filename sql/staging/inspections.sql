-- Which media did each application look at, when, and did anybody review what it saw?
-- One row per application and media item, whether or not anything was asserted in it.
--
--   application_id    Application that looked at the media item.
--   media_id          Media item it looked at.
--   day               Day of the first assertion in it, replaced ones included, so that no review and no new
--                     model moves it; or of its result where nothing was ever asserted. In the time zone that
--                     mart.settings names.
--   results           Number of results: the media item, or regions of it.
--   reviewed_results  Number of these in which a user asserts something.
WITH asserted AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        min(asserted_at) AS asserted_at
    FROM staging.assertions
    GROUP BY
        application_id,
        media_id,
        focus_key
),
reviewed AS (
    SELECT DISTINCT
        application_id,
        media_id,
        focus_key
    FROM cogniac.detections
    WHERE asserted_by = 'user'
),
inspected AS (
    SELECT
        results.application_id,
        results.media_id,
        min(coalesce(asserted.asserted_at, results.updated_at)) AS inspected_at,
        count(*) AS results,
        count(reviewed.media_id) AS reviewed_results
    FROM cogniac.results AS results
    LEFT JOIN asserted
        ON asserted.application_id = results.application_id
        AND asserted.media_id = results.media_id
        AND asserted.focus_key = results.focus_key
    LEFT JOIN reviewed
        ON reviewed.application_id = results.application_id
        AND reviewed.media_id = results.media_id
        AND reviewed.focus_key = results.focus_key
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
