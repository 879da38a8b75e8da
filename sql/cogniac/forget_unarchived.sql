-- Nothing is left out of the archive by a limit any more.
DELETE FROM etl.gaps
WHERE source = 'cogniac'
    AND stream = 'media_files'
    AND key = 'archive'
