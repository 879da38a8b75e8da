SELECT
    queue_rank,
    application_name,
    subject_name,
    filename,
    probability,
    threshold,
    asserted_at
FROM mart.review_queue
ORDER BY queue_rank
LIMIT 1000
