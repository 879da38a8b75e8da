-- Which version is here, of which warehouse, and whether what was replaced is still to be removed for good.
SELECT
    version,
    home,
    publisher,
    forgotten,
    is_vacuum_due
FROM etl.published
