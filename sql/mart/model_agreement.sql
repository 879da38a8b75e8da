-- How often do people agree with each model, week by week, and how sure was it when they did not?
-- Each assertion of a model that a user judged counts once, in the week the model made it, by the last
-- judgement known, replaced ones included. What is an assertion of a model, and when a user agrees with it, is
-- told in staging.reviewed_pairs. What people review is no random sample, but mostly what the model was unsure
-- of: of all that it said, it may be right more often. The bounds are those of Wilson's interval at 95 %, which
-- holds for small numbers too, of a random sample.
--
--   application_id              Application that holds the assertions.
--   application_name            Name people gave the application.
--   model_id                    Model that was judged; NULL for assertions that were replaced before they
--                               could be loaded.
--   subject_uid                 Subject the model looked for.
--   subject_name                Name of the subject.
--   week                        Monday of the week in which the model made the assertions, or the user where
--                               that is not known; in the time zone that mart.settings names.
--   reviewed                    Number of the model's assertions that a user judged.
--   agreed                      Number of these the user confirmed.
--   overruled                   Number of these the user did not confirm.
--   confirmed_present           Number of these where both said that the subject was there, and read the same.
--   confirmed_absent            Number of these where both said that it was not.
--   wrongly_seen                Number of these where the model alone said that the subject was there.
--   overlooked                  Number of these where the user alone said so.
--   misread                     Number of these where the user read another text or count.
--   agreed_share                Share of the reviewed assertions that the user confirmed, 0..1.
--   agreed_share_low            Lower bound of this share.
--   agreed_share_high           Upper bound of this share.
--   precision                   Of those where the model said that the subject was there, the share that the
--                               user confirmed, 0..1; NULL where there are none, as with the others.
--   precision_low               Lower bound of the precision.
--   precision_high              Upper bound of the precision.
--   recall                      Of those where the user said that the subject was there, the share where the
--                               model had said so, and read the same, 0..1.
--   recall_low                  Lower bound of the recall.
--   recall_high                 Upper bound of the recall.
--   false_positive_rate         Of those where the user said that the subject was not there, the share where
--                               the model had said that it was, 0..1.
--   false_positive_rate_low     Lower bound of this rate.
--   false_positive_rate_high    Upper bound of this rate.
--   mean_probability_overruled  Mean probability the model had given where it was overruled, 0..1;
--                               NULL where it never was.
WITH
-- The square of the 97.5th percentile of the normal distribution.
z AS (
    SELECT CAST(3.841458820694124 AS DOUBLE) AS squared
),
dated AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(coalesce(model_asserted_at, user_asserted_at) AT TIME ZONE 'UTC' AS DATE) AS day,
        verdict,
        is_present,
        model_probability
    FROM staging.reviewed_pairs
    WHERE is_last_word
        AND verdict IS NOT NULL
),
weekly AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(date_trunc('week', day) AS DATE) AS week,
        verdict,
        is_present,
        model_probability
    FROM dated
),
counted AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        week,
        count(*) AS reviewed,
        count(*) FILTER (WHERE verdict = 'confirmed') AS agreed,
        count(*) FILTER (WHERE verdict = 'confirmed' AND is_present) AS confirmed_present,
        count(*) FILTER (WHERE verdict = 'confirmed' AND NOT is_present) AS confirmed_absent,
        count(*) FILTER (WHERE verdict = 'wrongly seen') AS wrongly_seen,
        count(*) FILTER (WHERE verdict = 'overlooked') AS overlooked,
        count(*) FILTER (WHERE verdict = 'misread') AS misread,
        count(*) FILTER (WHERE verdict <> 'overlooked' AND (is_present OR verdict <> 'confirmed'))
            AS said_present,
        count(*) FILTER (WHERE is_present) AS user_present,
        count(*) FILTER (WHERE NOT is_present) AS user_absent,
        avg(model_probability) FILTER (WHERE verdict <> 'confirmed') AS mean_probability_overruled
    FROM weekly
    GROUP BY
        application_id,
        model_id,
        subject_uid,
        week
),
-- What both bounds of a share have in common, by Wilson.
spread AS (
    SELECT
        counted.application_id,
        counted.model_id,
        counted.subject_uid,
        counted.week,
        counted.reviewed,
        counted.agreed,
        counted.confirmed_present,
        counted.confirmed_absent,
        counted.wrongly_seen,
        counted.overlooked,
        counted.misread,
        counted.said_present,
        counted.user_present,
        counted.user_absent,
        counted.mean_probability_overruled,
        z.squared,
        sqrt(
            z.squared * (
                z.squared
                + CAST(4 * counted.agreed * (counted.reviewed - counted.agreed) AS DOUBLE) / nullif(counted.reviewed, 0)
            )
        ) AS agreed_share_spread,
        sqrt(
            z.squared * (
                z.squared
                + CAST(4 * counted.confirmed_present * (counted.said_present - counted.confirmed_present) AS DOUBLE) / nullif(counted.said_present, 0)
            )
        ) AS precision_spread,
        sqrt(
            z.squared * (
                z.squared
                + CAST(4 * counted.confirmed_present * (counted.user_present - counted.confirmed_present) AS DOUBLE) / nullif(counted.user_present, 0)
            )
        ) AS recall_spread,
        sqrt(
            z.squared * (
                z.squared
                + CAST(4 * counted.wrongly_seen * (counted.user_absent - counted.wrongly_seen) AS DOUBLE) / nullif(counted.user_absent, 0)
            )
        ) AS false_positive_rate_spread
    FROM counted
    CROSS JOIN z
)
-- Each bound as what its square leaves of the other: none is past 0 or 1 by the last digit of a float.
SELECT
    spread.application_id,
    applications.name AS application_name,
    spread.model_id,
    spread.subject_uid,
    subjects.name AS subject_name,
    spread.week,
    spread.reviewed,
    spread.agreed,
    spread.reviewed - spread.agreed AS overruled,
    spread.confirmed_present,
    spread.confirmed_absent,
    spread.wrongly_seen,
    spread.overlooked,
    spread.misread,
    CAST(spread.agreed AS DOUBLE) / nullif(spread.reviewed, 0) AS agreed_share,
    CAST(2 * spread.agreed * spread.agreed AS DOUBLE)
    / (spread.reviewed * (2 * spread.agreed + spread.squared + spread.agreed_share_spread)) AS agreed_share_low,
    1 - CAST(2 * (spread.reviewed - spread.agreed) * (spread.reviewed - spread.agreed) AS DOUBLE)
    / (spread.reviewed * (2 * (spread.reviewed - spread.agreed) + spread.squared + spread.agreed_share_spread)) AS agreed_share_high,
    CAST(spread.confirmed_present AS DOUBLE) / nullif(spread.said_present, 0) AS precision,
    CAST(2 * spread.confirmed_present * spread.confirmed_present AS DOUBLE)
    / (spread.said_present * (2 * spread.confirmed_present + spread.squared + spread.precision_spread)) AS precision_low,
    1 - CAST(2 * (spread.said_present - spread.confirmed_present) * (spread.said_present - spread.confirmed_present) AS DOUBLE)
    / (spread.said_present * (2 * (spread.said_present - spread.confirmed_present) + spread.squared + spread.precision_spread)) AS precision_high,
    CAST(spread.confirmed_present AS DOUBLE) / nullif(spread.user_present, 0) AS recall,
    CAST(2 * spread.confirmed_present * spread.confirmed_present AS DOUBLE)
    / (spread.user_present * (2 * spread.confirmed_present + spread.squared + spread.recall_spread)) AS recall_low,
    1 - CAST(2 * (spread.user_present - spread.confirmed_present) * (spread.user_present - spread.confirmed_present) AS DOUBLE)
    / (spread.user_present * (2 * (spread.user_present - spread.confirmed_present) + spread.squared + spread.recall_spread)) AS recall_high,
    CAST(spread.wrongly_seen AS DOUBLE) / nullif(spread.user_absent, 0) AS false_positive_rate,
    CAST(2 * spread.wrongly_seen * spread.wrongly_seen AS DOUBLE)
    / (spread.user_absent * (2 * spread.wrongly_seen + spread.squared + spread.false_positive_rate_spread)) AS false_positive_rate_low,
    1 - CAST(2 * (spread.user_absent - spread.wrongly_seen) * (spread.user_absent - spread.wrongly_seen) AS DOUBLE)
    / (spread.user_absent * (2 * (spread.user_absent - spread.wrongly_seen) + spread.squared + spread.false_positive_rate_spread)) AS false_positive_rate_high,
    spread.mean_probability_overruled
FROM spread
LEFT JOIN cogniac.applications AS applications ON applications.application_id = spread.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = spread.subject_uid
