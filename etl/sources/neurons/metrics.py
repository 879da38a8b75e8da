"""Names of Neurons metrics: two spellings and two ways to name a time window, brought to one."""

from collections.abc import Mapping
from typing import Any

from etl.errors import RecordError
from etl.sources.neurons.signed_links import unsigned

NEWER = {"buy": "intent", "trustworthy": "trust", "annoying": "avoidance"}
"""The spelling of the version 2.0 documents, and that of the current ones for the same metric."""

WINDOWS = {"_start": "start", "_first_two": "start", "_end": "end", "_last_two": "end"}


def canonical_metric(raw: str) -> tuple[str, str]:
    """Return the newer name of a metric of whole media without its time window, and the window."""
    for suffix, window in WINDOWS.items():
        if raw.endswith(suffix) and raw != suffix:
            metric = raw.removesuffix(suffix)
            return NEWER.get(metric, metric), window
    return NEWER.get(raw, raw), "total"


def enrich_medium(medium: Any, _context: Mapping[str, str]) -> None:  # noqa: ANN401 -- a type made from the schema
    """Make rows of the metrics, and keep the names of the results without their links.

    Of links in fields that nobody declared the signatures are left out too.
    """
    for field in medium.__struct_fields__:
        if field.startswith("undeclared_"):
            setattr(medium, field, unsigned(getattr(medium, field)))
    medium.added_asset_names = sorted(_mapping(medium.results, "$.results"))
    metrics = []
    for raw, value in _mapping(medium.metrics, "$.metrics").items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise RecordError(f"Expected `float | null`, got `{type(value).__name__}`", f"$.metrics.{raw}")
        metric, window = canonical_metric(raw)
        metrics.append({"metric": metric, "time_window": window, "value": value, "metric_raw": raw})
    medium.added_metrics = metrics


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise RecordError("must be an object", path)
