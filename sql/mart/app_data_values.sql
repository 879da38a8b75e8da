-- Which texts, codes and counts were read each day, and how often?
-- One row per application, subject, day and reading of the current assertions: lot codes that OCR read, or how
-- many of something were counted.
--
--   application_id    Application that holds the assertions.
--   application_name  Name people gave the application.
--   subject_uid       Subject that was read or counted.
--   subject_name      Name of the subject.
--   day               Day of the assertions, in the time zone that mart.settings names.
--   app_data_type     What was read: ocr (a text) or count.
--   reading           What was read, a count as a number such as 12.0.
--   count_value       The count; NULL for texts.
--   results           Number of results (media, or regions of them) with this reading.
--   by_users          Number of assertions of users among them.
--   first_read_at     When it was first read on that day.
--   last_read_at      When it was last read on that day.
--   mean_probability  Mean probability of the assertions, 0..1.
WITH dated AS (
    SELECT
        application_id,
        subject_uid,
        coalesce(created_at, updated_at) AS read_at,
        CAST(coalesce(created_at, updated_at) AT TIME ZONE 'UTC' AS DATE) AS day,
        app_data_type,
        reading,
        media_id || ' ' || focus_key AS result,
        asserted_by,
        probability
    FROM cogniac.detections
    WHERE reading IS NOT NULL
),
daily AS (
    SELECT
        application_id,
        subject_uid,
        day,
        app_data_type,
        reading,
        count(DISTINCT result) AS results,
        count(*) FILTER (WHERE asserted_by = 'user') AS by_users,
        min(read_at) AS first_read_at,
        max(read_at) AS last_read_at,
        avg(probability) AS mean_probability
    FROM dated
    GROUP BY
        application_id,
        subject_uid,
        day,
        app_data_type,
        reading
)
SELECT
    daily.application_id,
    applications.name AS application_name,
    daily.subject_uid,
    subjects.name AS subject_name,
    daily.day,
    daily.app_data_type,
    daily.reading,
    CASE WHEN daily.app_data_type = 'count' THEN CAST(daily.reading AS DOUBLE) END AS count_value,
    daily.results,
    daily.by_users,
    daily.first_read_at,
    daily.last_read_at,
    daily.mean_probability
FROM daily
LEFT JOIN cogniac.applications AS applications ON applications.application_id = daily.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = daily.subject_uid
