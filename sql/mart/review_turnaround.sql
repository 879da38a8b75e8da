-- How long does it take until a person looks at what a model said?
-- One row per application and week in which its models first said something of a result, out of every
-- assertion ever seen: from the first one of a model to the first one of a user that follows it. A capture
-- outside an application is no review. Weeks that are not over yet, or just are, have much that is still to be
-- reviewed: the times are those of what was.
--
--   application_id            Application that holds the results.
--   application_name          Name people gave the application.
--   week                      Monday of the week of the first assertion of a model, in the time zone that
--                             mart.settings names.
--   results                   Number of results (media, or regions of them) that a model first spoke of then.
--   reviewed                  Number of these that a user has judged since.
--   not_reviewed              Number of these that none has.
--   reviewed_within_24_hours  Number of these that a user judged within 24 hours.
--   median_hours              Median of the hours until the first judgement; NULL where there is none.
--   mean_hours                Their mean.
--   longest_hours             The longest of them.
WITH firsts AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        min(asserted_at) AS asserted_at
    FROM staging.assertions
    WHERE asserted_by = 'model'
    GROUP BY
        application_id,
        media_id,
        focus_key
),
reviews AS (
    SELECT
        firsts.application_id,
        firsts.media_id,
        firsts.focus_key,
        min(judgements.asserted_at) AS reviewed_at
    FROM firsts
    JOIN staging.assertions AS judgements
        ON judgements.application_id = firsts.application_id
        AND judgements.media_id = firsts.media_id
        AND judgements.focus_key = firsts.focus_key
        AND judgements.asserted_at >= firsts.asserted_at
    WHERE judgements.asserted_by = 'user'
    GROUP BY
        firsts.application_id,
        firsts.media_id,
        firsts.focus_key
),
dated AS (
    SELECT
        firsts.application_id,
        CAST(firsts.asserted_at AT TIME ZONE 'UTC' AS DATE) AS day,
        (extract(EPOCH FROM reviews.reviewed_at) - extract(EPOCH FROM firsts.asserted_at)) / 3600 AS hours
    FROM firsts
    LEFT JOIN reviews
        ON reviews.application_id = firsts.application_id
        AND reviews.media_id = firsts.media_id
        AND reviews.focus_key = firsts.focus_key
),
weekly AS (
    SELECT
        application_id,
        CAST(date_trunc('week', day) AS DATE) AS week,
        hours
    FROM dated
),
counted AS (
    SELECT
        application_id,
        week,
        count(*) AS results,
        count(hours) AS reviewed,
        count(*) FILTER (WHERE hours <= 24) AS reviewed_within_24_hours,
        median(hours) AS median_hours,
        avg(hours) AS mean_hours,
        max(hours) AS longest_hours
    FROM weekly
    GROUP BY
        application_id,
        week
)
SELECT
    counted.application_id,
    applications.name AS application_name,
    counted.week,
    counted.results,
    counted.reviewed,
    counted.results - counted.reviewed AS not_reviewed,
    counted.reviewed_within_24_hours,
    counted.median_hours,
    counted.mean_hours,
    counted.longest_hours
FROM counted
LEFT JOIN cogniac.applications AS applications ON applications.application_id = counted.application_id
