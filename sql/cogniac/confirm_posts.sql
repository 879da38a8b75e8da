-- Note which posts polling shows by now: the assertion itself or a later state of it, or a later state of the same
-- region in which it is no more. A post that says no time was sent soon after its assertion.
UPDATE cogniac.postbacks AS posts
SET polled_at = $now
WHERE posts.polled_at IS NULL
    AND (
        EXISTS (
            FROM cogniac.detections AS polled
            WHERE polled.media_id = posts.media_id
                AND polled.focus_key = posts.focus_key
                AND polled.subject_uid = posts.subject_uid
                AND polled.updated_at >= coalesce(posts.updated_at, posts.received_at - INTERVAL 5 MINUTE)
                AND (posts.application_id IS NULL OR polled.application_id = posts.application_id)
        )
        OR EXISTS (
            FROM cogniac.results AS polled
            WHERE polled.media_id = posts.media_id
                AND polled.focus_key = posts.focus_key
                AND polled.updated_at > coalesce(posts.updated_at, posts.received_at)
                AND (posts.application_id IS NULL OR polled.application_id = posts.application_id)
        )
    )
