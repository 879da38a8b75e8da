-- Take out the version that was here.
DELETE FROM etl.published
