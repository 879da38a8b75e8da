-- How many records and files are refused and not dealt with, and how many things are known to be missing.
SELECT
    (SELECT count(*) FROM etl.quarantine WHERE state = 'open') AS open_quarantine,
    (SELECT count(*) FROM etl.gaps) AS open_gaps
