"""Traces for OpenTelemetry: a span of the run, one of each source in it, one of each stage in these.

The variables of OpenTelemetry itself say where they go: OTEL_EXPORTER_OTLP_ENDPOINT and its like.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etl import __version__
from etl.notify import NotTold, Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SECONDS = 5.0
"""How long a collector may take."""
NANOSECONDS = 1_000_000_000


def are_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a collector."""
    return any(environ.get(name) for name in ENDPOINTS) and environ.get("OTEL_SDK_DISABLED", "") != "true"


def send_traces(outcome: Outcome, seconds: float = SECONDS) -> None:
    """Send the spans of a run as OTLP over HTTP; NotTold where the collector does not take them in time."""
    try:
        _send(outcome, seconds)
    except ImportError as error:
        raise NotTold(f"traces need {error.name or error}: pip install 'sightglass-etl[otel]'") from error
    except (OSError, ValueError) as error:
        # What its own variables hold is not repeated: a header among them may be a secret.
        raise NotTold(
            f"the collector of traces cannot be asked: {type(error).__name__}; see to the variables OTEL_*"
        ) from error


def _send(outcome: Outcome, seconds: float) -> None:
    """Send them; ValueError where a variable that its modules read as they load makes no sense."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    # It would tell standard error, at length and with the address.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    provider = TracerProvider(
        resource=Resource.create({"service.name": "sightglass", "service.version": __version__})
    )
    spans = InMemorySpanExporter()
    _record(provider, spans, outcome)
    exporter = OTLPSpanExporter(timeout=seconds)
    try:
        # All at once: one request, one wait.
        if exporter.export(spans.get_finished_spans()) is not SpanExportResult.SUCCESS:
            raise NotTold("the collector of traces did not take those of this run")
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]  # so it is in OpenTelemetry


def _record(provider: "TracerProvider", spans: Any, outcome: Outcome) -> None:  # noqa: ANN401 -- an extra
    """Record the spans of a run that is over."""
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("sightglass", __version__)
    begun, ended = (_nanoseconds(each.timestamp()) for each in (outcome.begun, outcome.ended))
    run = tracer.start_span("run", start_time=begun, attributes=_attributes(outcome))
    run.set_status(StatusCode.ERROR if outcome.is_failure else StatusCode.OK)
    parents = {"": trace.set_span_in_context(run)}
    # A source before its stages: the empty stage is the source itself.
    for (source, stage), (start, end, busy) in sorted(outcome.spans.items()):
        about: dict[str, str | float] = {"sightglass.source": source, "sightglass.busy_seconds": busy}
        context = parents.get(source, parents[""])
        span = tracer.start_span(stage or f"source {source}", context, start_time=start, attributes=about)
        if not stage:
            parents[source] = trace.set_span_in_context(span)
        span.end(end)
    run.end(ended)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def _attributes(outcome: Outcome) -> dict[str, str | int]:
    """Return what is told of the run as a whole."""
    told = {name: outcome.report.get(name) for name in ("run_id", "status", "gaps", "newly_quarantined")}
    counts: dict[str, int] = {}
    for each in outcome.report.get("streams", ()):
        for name, value in each.items():
            if isinstance(value, int):
                counts[name] = counts.get(name, 0) + value
    return {
        f"sightglass.{name}": value
        for name, value in {**told, **counts, "exit_code": outcome.exit_code}.items()
        if value is not None
    }
