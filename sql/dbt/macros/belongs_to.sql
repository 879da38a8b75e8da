-- Finds the rows whose columns name a row of another table that is not there; NULL names none.
{% test belongs_to(model, columns, parent) %}
SELECT
    {%- for column in columns %}
    child.{{ adapter.quote(column) }}{{ ',' if not loop.last }}
    {%- endfor %}
FROM {{ model }} AS child
WHERE NOT EXISTS (
    SELECT 1
    FROM {{ parent }} AS parent
    WHERE
        {%- for column in columns %}
        {{ 'AND ' if not loop.first }}parent.{{ adapter.quote(column) }} = child.{{ adapter.quote(column) }}
        {%- endfor %}
)
{%- for column in columns %}
AND child.{{ adapter.quote(column) }} IS NOT NULL
{%- endfor %}
{% endtest %}
