-- Finds the values of these columns that more than one row has.
{% test is_key(model, columns) %}
{%- set names = [] -%}
{%- for column in columns %}{% do names.append(adapter.quote(column)) %}{% endfor -%}
SELECT
    {{ names | join(', ') }},
    count(*) AS row_count
FROM {{ model }}
GROUP BY {{ names | join(', ') }}
HAVING count(*) > 1
{% endtest %}
