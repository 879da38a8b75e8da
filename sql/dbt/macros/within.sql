-- Finds the values below or above the limits of a column; a limit that is not given is none.
{% test within(model, column_name, least=none, greatest=none) %}
SELECT {{ column_name }}
FROM {{ model }}
WHERE FALSE
{%- if least is not none %} OR {{ column_name }} < {{ least }}{% endif %}
{%- if greatest is not none %} OR {{ column_name }} > {{ greatest }}{% endif %}
{% endtest %}
