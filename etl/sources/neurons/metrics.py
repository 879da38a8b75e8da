"""Names of Neurons metrics: two spellings and two ways to name a time window, brought to one."""

NEWER = {"buy": "intent", "trustworthy": "trust", "annoying": "avoidance"}
"""The spelling of the version 2.0 documents, and that of the current ones for the same metric."""

WINDOWS = {"_start": "start", "_first_two": "start", "_end": "end", "_last_two": "end"}


def canonical_metric(raw: str) -> tuple[str, str]:
    """The newer name of a metric of whole media without its time window, and the window."""
    for suffix, window in WINDOWS.items():
        if raw.endswith(suffix) and raw != suffix:
            metric = raw.removesuffix(suffix)
            return NEWER.get(metric, metric), window
    return NEWER.get(raw, raw), "total"
