-- In which share of the media that are inspected is each subject seen, and on which days was that out of control?
-- The days of the report, of the 6 rates of each application that has a page, and of the 9 of all, that were out of control on most of these days; then those of the most media. The lines are those of mart.defect_rate_daily.
WITH daily AS MATERIALIZED (
    SELECT
        rates.application_id,
        coalesce(CASE WHEN trim(rates.application_name) <> '' THEN rates.application_name END, rates.application_id)
            AS application,
        rates.network_camera_id AS camera,
        rates.subject_uid,
        coalesce(named.subject, rates.subject_uid) AS subject,
        rates.day,
        rates.inspected,
        rates.defective,
        rates.defect_rate,
        rates.moving_mean,
        rates.center_line,
        rates.lower_limit,
        rates.upper_limit,
        rates.is_out_of_control
    FROM mart.defect_rate_daily AS rates
    JOIN report_days AS days ON rates.day BETWEEN days.first_day AND days.last_day
    LEFT JOIN report_subjects AS named
        ON named.application_id = rates.application_id
        AND named.subject_uid = rates.subject_uid
),
counted AS (
    SELECT
        application_id,
        camera,
        subject_uid,
        count(*) FILTER (WHERE is_out_of_control) AS out_days,
        sum(inspected) AS media
    FROM daily
    GROUP BY
        application_id,
        camera,
        subject_uid
),
placed AS (
    SELECT
        application_id,
        camera,
        subject_uid,
        out_days,
        row_number() OVER (
            PARTITION BY application_id
            ORDER BY out_days DESC, media DESC, subject_uid, camera NULLS LAST
        ) AS place,
        row_number() OVER (
            ORDER BY out_days DESC, media DESC, application_id, subject_uid, camera NULLS LAST
        ) AS place_of_all,
        count(*) OVER (PARTITION BY application_id) AS rates_of_application,
        count(*) FILTER (WHERE out_days > 0) OVER (PARTITION BY application_id) AS out_of_application,
        count(*) OVER () AS rates_of_all,
        count(*) FILTER (WHERE out_days > 0) OVER () AS out_of_all
    FROM counted
),
shown AS (
    SELECT
        application_id,
        camera,
        subject_uid,
        out_days,
        place,
        place_of_all,
        rates_of_application,
        out_of_application,
        rates_of_all,
        out_of_all
    FROM placed
    WHERE place_of_all <= 9
        OR (place <= 6 AND application_id IN (SELECT application_id FROM report_applications))
)
SELECT
    shown.application_id,
    max(daily.application) AS application,
    shown.camera,
    max(daily.subject) AS subject,
    max(daily.center_line) AS center_line,
    shown.out_days,
    list(daily.day ORDER BY daily.day) AS days,
    list(daily.inspected ORDER BY daily.day) AS inspected,
    list(daily.defective ORDER BY daily.day) AS defective,
    list(round(daily.defect_rate, 5) ORDER BY daily.day) AS rates,
    list(round(daily.moving_mean, 5) ORDER BY daily.day) AS means,
    list(round(daily.lower_limit, 5) ORDER BY daily.day) AS lower_limits,
    list(round(daily.upper_limit, 5) ORDER BY daily.day) AS upper_limits,
    list(daily.is_out_of_control ORDER BY daily.day) AS are_out,
    shown.place,
    shown.place_of_all,
    shown.rates_of_application,
    shown.out_of_application,
    shown.rates_of_all,
    shown.out_of_all
FROM shown
JOIN daily
    ON daily.application_id = shown.application_id
    AND daily.camera IS NOT DISTINCT FROM shown.camera
    AND daily.subject_uid = shown.subject_uid
GROUP BY
    shown.application_id,
    shown.camera,
    shown.subject_uid,
    shown.out_days,
    shown.place,
    shown.place_of_all,
    shown.rates_of_application,
    shown.out_of_application,
    shown.rates_of_all,
    shown.out_of_all
ORDER BY shown.place_of_all
