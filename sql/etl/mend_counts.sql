-- Let the counts of a stream add up where they do not, and say so.
UPDATE etl.run_streams
SET
    fetched = inserted + updated + unchanged + quarantined,
    notice = concat_ws('; ', notice, 'the counts did not add up and were mended')
WHERE fetched <> inserted + updated + unchanged + quarantined
