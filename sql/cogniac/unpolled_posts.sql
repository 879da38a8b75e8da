-- Posts that polling has not confirmed and that are due to be looked for: where they are from, and when it was
-- asserted, in microseconds since 1970, the oldest first; more are for later runs. What was looked for in vain is
-- named as a gap, with a time to try again.
SELECT DISTINCT
    posts.application_id,
    epoch_us(coalesce(posts.updated_at, posts.received_at)) AS asserted_us
FROM cogniac.postbacks AS posts
LEFT JOIN etl.gaps AS gaps
    ON gaps.source = 'cogniac'
    AND gaps.stream = 'postbacks'
    AND gaps.key = posts.post_id || ' ' || posts.subject_index
WHERE posts.polled_at IS NULL
    AND coalesce(gaps.next_at <= $now OR gaps.next_at > $now + INTERVAL 1 DAY, TRUE)
ORDER BY asserted_us
LIMIT 20000
