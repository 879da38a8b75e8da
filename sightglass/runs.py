"""Load what is new, from Python: as `sightglass run` does, without printing or ending the process."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from logging import WARNING
from threading import RLock

from etl import process
from etl.config import Settings
from etl.errors import SightglassError
from etl.event import Event, Listener, event, heard_by
from etl.notify.announce import announcing
from etl.pipeline import run as pipeline
from etl.pipeline.run_report import RunReport, run_report
from etl.redact import Redactor, without_secrets
from sightglass.settings import Given, hiding_secrets, settings_of

OnEvent = Callable[[Event], object]


class EventError(SightglassError):
    """`on_event` has raised an exception, which is the cause of this one; the run has come to its end."""

    def __init__(self, report: RunReport) -> None:
        super().__init__(
            "on_event raised an exception, and was told nothing more; the run went on, and everything was "
            "loaded: see `report`"
        )
        self.report = report
        """What the run did."""


class _Told:
    """Hands events on, one at a time and without secrets, until that fails."""

    def __init__(self, on_event: OnEvent, redact: Redactor) -> None:
        self._on_event = on_event
        self._redact = redact
        self._lock = RLock()
        self.error: Exception | None = None

    def __call__(self, happened: Event) -> None:
        with self._lock:
            if self.error is not None:
                return
            fields = without_secrets(dict(happened.fields), self._redact)
            try:
                self._on_event(Event(happened.time, happened.level, happened.name, fields))
            except Exception as error:  # noqa: BLE001 -- raised at the end of the run
                self.error = error


def run(settings: Given = None, *, sources: Sequence[str] = (), on_event: OnEvent | None = None) -> RunReport:
    """Do what `sightglass.run` says."""
    found = settings_of(settings)
    wanted = [sources] if isinstance(sources, str) else sources
    redact = Redactor(each.reveal() for each in found.secrets)
    told = _Told(on_event or (lambda _event: None), redact)
    try:
        made = _ran(found, wanted, redact, told if on_event is not None else None)
    except BaseException as error:
        if told.error is not None:
            error.add_note(f"on_event had raised {redact(repr(told.error))}, and was told nothing more")
        raise
    if told.error is not None:
        raise EventError(made) from told.error
    return made


def _ran(settings: Settings, wanted: Sequence[str], redact: Redactor, told: Listener | None) -> RunReport:
    with process.InterruptedByHand(process.writing), ExitStack() as stack:
        stack.enter_context(hiding_secrets(redact))
        if told is not None:
            stack.enter_context(heard_by(told))
        announced = stack.enter_context(announcing(settings, _warn))
        report = pipeline.run(settings, wanted, lambda: datetime.now(UTC), lambda _stats, _pending: None)
        made = run_report(report)
        announced.report, announced.exit_code = made.as_json(), made.exit_code
        announced.spans = report.stages.as_spans()
    return made


def _warn(message: str) -> None:
    event("message", WARNING, message=message)
