-- All media that were ever loaded, deleted ones too.
SELECT media_id
FROM neurons.media
