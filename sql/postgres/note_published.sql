-- Note the version that is here from now on; its time is in microseconds since 1970.
INSERT INTO etl.published
SELECT
    $1::text,
    timestamptz 'epoch' + $1::text::bigint * interval '1 microsecond',
    $2::text,
    $3::text,
    (SELECT coalesce(sum(nul_characters), 0) FROM etl.published_partitions),
    $4::text,
    $5::text::boolean
