-- Nothing is left out of the archive by a limit any more.
DELETE FROM etl.gaps
WHERE source = 'neurons'
    AND stream = 'assets'
    AND key = 'archive'
