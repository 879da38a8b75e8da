-- Of each table here, by partition, in which version its rows came to be as they are; of a mart, what it holds.
CREATE TABLE IF NOT EXISTS etl.published_partitions (
    table_name text NOT NULL,
    partition_name text NOT NULL,
    shape text NOT NULL,
    since text NOT NULL,
    begins_at bigint,
    ends_at bigint,
    nul_characters bigint NOT NULL,
    PRIMARY KEY (table_name, partition_name)
)
