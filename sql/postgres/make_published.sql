-- What readers look at to know which version this database holds, and what the next publish goes by.
CREATE TABLE IF NOT EXISTS etl.published (
    version text NOT NULL,
    since timestamptz NOT NULL,
    home text NOT NULL,
    publisher text NOT NULL,
    nul_characters bigint NOT NULL,
    forgotten text NOT NULL,
    is_vacuum_due boolean NOT NULL
)
