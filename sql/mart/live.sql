-- What is known of each media item at this moment, pushed or polled?
-- One row per subject that is asserted in a region of a media item: the latest assertion that polling shows,
-- or a post that is newer and that polling has not shown yet. Of a post that names a subject twice the last
-- counts.
--
--   application_id  Application that says so; NULL for a post that does not name its application.
--   media_id        Media item the assertion is about.
--   focus_key       Region of the media item, as canonical JSON; the empty string stands for the whole media
--                   item.
--   subject_uid     Subject that is asserted to be there, or not.
--   probability     Probability that it is, 0..1.
--   asserted_by     Who asserts: model, user or capture (a user, outside any application); NULL for a post,
--                   which does not say.
--   updated_at      Time of the assertion, or of the latest one in the same result.
--   known_by        polled, or pushed (a post that polling has not shown yet).
--   known_at        When it was loaded, or received.
WITH known AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        probability,
        asserted_by,
        updated_at,
        created_at,
        detection_id,
        CAST(0 AS BIGINT) AS subject_index,
        'polled' AS known_by,
        _loaded_at AS known_at
    FROM cogniac.detections
    UNION ALL
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        probability,
        CAST(NULL AS VARCHAR) AS asserted_by,
        coalesce(updated_at, received_at) AS updated_at,
        CAST(NULL AS TIMESTAMPTZ) AS created_at,
        post_id AS detection_id,
        subject_index,
        'pushed' AS known_by,
        received_at AS known_at
    FROM cogniac.postbacks
    WHERE polled_at IS NULL
),
ranked AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        probability,
        asserted_by,
        updated_at,
        known_by,
        known_at,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid
            ORDER BY
                updated_at DESC,
                known_by,
                created_at DESC NULLS LAST,
                detection_id DESC,
                subject_index DESC
        ) AS age
    FROM known
)
SELECT
    application_id,
    media_id,
    focus_key,
    subject_uid,
    probability,
    asserted_by,
    updated_at,
    known_by,
    known_at
FROM ranked
WHERE age = 1
