-- Of each part of a stream what runs found that went well: what the last one cost and brought, and how many records a
-- second were new or changed since the first one, which loaded all that there was, over the 28 days before the newest.
WITH good AS (
    SELECT
        streams.source,
        streams.stream,
        streams.partition,
        runs.started_at,
        streams.requests,
        streams.fetched,
        streams.inserted + streams.updated AS news,
        max(runs.started_at) OVER () - INTERVAL '672' HOUR AS since,
        row_number() OVER (
            PARTITION BY streams.source, streams.stream, streams.partition
            ORDER BY runs.started_at
        ) AS number
    FROM etl.run_streams AS streams
    JOIN etl.runs AS runs ON runs.run_id = streams.run_id
    WHERE streams.status = 'ok'
        AND coalesce(runs.command, 'run') = 'run'
)
SELECT
    good.source,
    good.stream,
    good.partition,
    any_value(epoch_us(cursors.cursor_at)) AS cursor_us,
    max_by(good.requests, good.started_at) AS requests,
    max_by(good.fetched, good.started_at) AS fetched,
    sum(good.news) FILTER (WHERE good.number > 1 AND good.started_at > good.since)
    / nullif(
        epoch(max(good.started_at)) - epoch(min(good.started_at) FILTER (WHERE good.started_at > good.since)),
        0
    ) AS news_per_s,
    any_value(health.is_read) AS is_read
FROM good
JOIN mart.pipeline_health AS health
    ON health.source = good.source
    AND health.stream = good.stream
    AND health.partition = good.partition
LEFT JOIN etl.cursors AS cursors
    ON cursors.source = good.source
    AND cursors.stream = good.stream
    AND cursors.partition = good.partition
GROUP BY
    good.source,
    good.stream,
    good.partition
ORDER BY
    good.source,
    good.stream,
    good.partition
