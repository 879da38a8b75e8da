-- Has polling seen what Cogniac posted as it occurred, and after how long?
-- One row per post and subject. A post that polling does not show within five minutes is listed in etl.gaps,
-- and its time is read again until it does.
--
--   post_id             Fingerprint of the post.
--   subject_index       Place of the subject in its post, counted from 0.
--   application_id      Application that posted, where the address names it.
--   media_id            Media item the post is about.
--   focus_key           Region of the media item, as canonical JSON; the empty string stands for the whole
--                       media item.
--   subject_uid         Subject that is asserted to be there, or not.
--   probability         Probability as posted, 0..1.
--   updated_at          Time of the assertion; NULL where the post has none.
--   received_at         When the post was received.
--   polled_at           When polling first showed the assertion, or a later state of the same region; NULL
--                       while it has not.
--   state               confirmed (polling shows the subject, then or later), superseded (polling shows only
--                       a later state without it), missing (polling should show it and does not) or awaited.
--   hours_until_polled  Hours from the receipt until polling showed it.
SELECT
    posts.post_id,
    posts.subject_index,
    posts.application_id,
    posts.media_id,
    posts.focus_key,
    posts.subject_uid,
    posts.probability,
    posts.updated_at,
    posts.received_at,
    posts.polled_at,
    CASE
        WHEN posts.polled_at IS NULL AND gaps.key IS NOT NULL THEN 'missing'
        WHEN posts.polled_at IS NULL THEN 'awaited'
        WHEN EXISTS (
            SELECT 1
            FROM cogniac.detection_history AS polled
            WHERE polled.media_id = posts.media_id
                AND polled.focus_key = posts.focus_key
                AND polled.subject_uid = posts.subject_uid
                AND (posts.application_id IS NULL OR polled.application_id = posts.application_id)
                AND (
                    polled.valid_to IS NULL
                    OR polled.valid_to > coalesce(posts.updated_at, posts.received_at)
                )
        ) THEN 'confirmed'
        ELSE 'superseded'
    END AS state,
    (extract(EPOCH FROM posts.polled_at) - extract(EPOCH FROM posts.received_at)) / 3600 AS hours_until_polled
FROM cogniac.postbacks AS posts
LEFT JOIN etl.gaps AS gaps
    ON gaps.source = 'cogniac'
    AND gaps.stream = 'postbacks'
    AND gaps.key = posts.post_id || ' ' || CAST(posts.subject_index AS VARCHAR)
