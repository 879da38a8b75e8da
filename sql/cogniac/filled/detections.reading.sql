-- What an assertion read that was loaded before there was a column for it: a text, or a count as a number.
CASE app_data_type
    WHEN 'ocr' THEN app_data ->> '$'
    WHEN 'count' THEN CASE
        WHEN isfinite(TRY_CAST(app_data ->> '$' AS DOUBLE))
            THEN CAST(TRY_CAST(app_data ->> '$' AS DOUBLE) AS VARCHAR)
    END
END
