-- How much did each application look at each day, and how much of it has anybody reviewed?
-- One row per application and day on which it looked at anything.
--
--   application_id    Application that looked at the media.
--   application_name  Name people gave the application.
--   day               Day on which it did, in the time zone that mart.settings names.
--   media             Number of media items.
--   results           Number of results: media items, or regions of them.
--   reviewed_results  Number of results in which a user asserts something at present.
--   reviewed_media    Number of media items with such a result.
--   reviewed_share    Share of the results that are reviewed, 0..1.
WITH daily AS (
    SELECT
        application_id,
        day,
        count(*) AS media,
        CAST(sum(results) AS BIGINT) AS results,
        CAST(sum(reviewed_results) AS BIGINT) AS reviewed_results,
        count(*) FILTER (WHERE reviewed_results > 0) AS reviewed_media
    FROM staging.inspections
    GROUP BY
        application_id,
        day
)
SELECT
    daily.application_id,
    applications.name AS application_name,
    daily.day,
    daily.media,
    daily.results,
    daily.reviewed_results,
    daily.reviewed_media,
    CAST(daily.reviewed_results AS DOUBLE) / daily.results AS reviewed_share
FROM daily
LEFT JOIN cogniac.applications AS applications ON applications.application_id = daily.application_id
