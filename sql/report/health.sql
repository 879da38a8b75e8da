-- Which streams are loaded, which failed, and which are late?
-- Late: not loaded well within the 25 hours before the report was made, so that a daily run is in time.
-- Off: no longer read, since its application was switched off or is gone, or since a backfill alone read it.
-- The 20 that need a look most come first, and are all that is listed; of what each of them lacks, the 3 things that are missing longest.
WITH aged AS (
    SELECT
        health.source,
        health.stream,
        health.partition,
        coalesce(CASE WHEN trim(applications.name) <> '' THEN applications.name END, health.partition) AS part,
        health.is_read,
        health.last_status,
        health.last_good_at,
        health.newest_record_at,
        -- As of when the report was made, whenever the question is asked.
        health.age_hours - (epoch(current_timestamp) - epoch($made_at)) / 3600 AS age_hours,
        health.last_run_at,
        health.open_quarantine AS refused,
        health.open_gaps AS missing,
        health.last_error AS error
    FROM mart.pipeline_health AS health
    LEFT JOIN cogniac.applications AS applications
        ON health.source = 'cogniac'
        AND applications.application_id = health.partition
),
streams AS (
    SELECT
        source,
        stream,
        partition,
        part,
        CASE
            WHEN NOT is_read THEN 'off'
            WHEN last_status = 'failed' THEN 'failed'
            WHEN coalesce(age_hours > 25, last_run_at < $made_at - INTERVAL 25 HOUR) THEN 'late'
            ELSE last_status
        END AS state,
        last_good_at,
        age_hours,
        newest_record_at,
        refused,
        missing,
        error
    FROM aged
),
listed AS (
    SELECT
        source,
        stream,
        partition,
        part,
        state,
        last_good_at,
        age_hours,
        newest_record_at,
        refused,
        missing,
        error,
        count(*) OVER () AS streams,
        count(*) FILTER (WHERE state = 'off') OVER () AS off_streams,
        count(*) FILTER (WHERE state = 'failed') OVER () AS failed_streams,
        count(*) FILTER (WHERE state = 'late') OVER () AS late_streams,
        row_number() OVER (
            ORDER BY
                CASE state WHEN 'failed' THEN 1 WHEN 'late' THEN 2 WHEN 'running' THEN 3 WHEN 'ok' THEN 4 ELSE 5 END,
                refused + missing = 0,
                source,
                stream,
                part,
                partition
        ) AS place
    FROM streams
    QUALIFY place <= 20
),
gaps AS (
    SELECT
        listed.place,
        gaps.what,
        coalesce(media.name, files.name, gaps.key) AS whose,
        gaps.since,
        row_number() OVER (PARTITION BY listed.place ORDER BY gaps.since, gaps.key) AS gap_place
    FROM listed
    JOIN staging.gaps_of_parts AS gaps
        ON gaps.source = listed.source
        AND gaps.stream = listed.stream
        AND gaps.partition = listed.partition
    LEFT JOIN neurons.media AS media
        ON gaps.source = 'neurons'
        AND media.media_id = gaps.key
    LEFT JOIN neurons.media AS files
        ON gaps.source = 'neurons'
        AND files.media_id = regexp_replace(gaps.key, '/[^/]*$', '')
),
lacking AS (
    SELECT
        place,
        list(what ORDER BY gap_place) AS whats,
        list(whose ORDER BY gap_place) AS whose,
        list(since ORDER BY gap_place) AS since
    FROM gaps
    WHERE gap_place <= 3
    GROUP BY place
)
SELECT
    listed.source,
    listed.stream,
    listed.part,
    listed.state,
    listed.last_good_at,
    listed.age_hours,
    listed.newest_record_at,
    listed.refused,
    listed.missing,
    listed.error,
    listed.streams,
    listed.off_streams,
    listed.failed_streams,
    listed.late_streams,
    lacking.whats AS missing_what,
    lacking.whose AS missing_of,
    lacking.since AS missing_since
FROM listed
LEFT JOIN lacking ON lacking.place = listed.place
ORDER BY listed.place
