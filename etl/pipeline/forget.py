"""Forget a medium or a person: out of the tables, the log, the inbox and the lake, and never loaded again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from msgspec.structs import replace as replaced

from etl import schema
from etl.config import Settings
from etl.errors import OK, QUARANTINED, ConfigError, worst
from etl.extract import forgotten as store
from etl.extract.forgotten import Forgotten
from etl.extract.log import RAW, Log, Part, StreamHead
from etl.extract.log_reader import DamagedPartError, read
from etl.extract.log_rewriter import remove, rewrite, set_aside, stray
from etl.extract.mentions import Kind, may_name
from etl.extract.stream import Delivery, Page, as_received, one_line
from etl.load import lock
from etl.load.completing import FORMER
from etl.load.forgetting import Wish, copy_without, is_known, renamed_refusals
from etl.load.run_store import RunStore
from etl.load.warehouse import NAME, Warehouse, opened
from etl.pipeline.forget_files import ArchivePlace, forget_files
from etl.pipeline.forget_posts import forget_posts
from etl.pipeline.forget_search import still_holding
from etl.pipeline.log_applier import recover
from etl.pipeline.missing import must_be_there
from etl.pipeline.rebuild import ASIDE, bring_in, clear_aside
from etl.pipeline.transform_worker import PartTransformer
from etl.process import interruptible
from etl.publish import Published, publish
from etl.publish.lake import Lake
from etl.redact import Redactor
from etl.schema import literal
from etl.sources import source_module
from etl.transform.forgetting import Forgetter, members_of
from etl.transform.recognize import RecordHasher, steady


@dataclass(slots=True)
class Forgot:
    """What was forgotten, and what may still hold it."""

    kind: Kind
    rows: dict[str, int] = field(default_factory=dict)
    """By table, rows that went or are others now."""
    parts: dict[str, int] = field(default_factory=dict)
    """By source, parts of the log that were written once more."""
    posts: int = 0
    """Posts in the inbox that went or are others now."""
    files: int = 0
    """Files that were removed from the archive."""
    left: list[str] = field(default_factory=list)
    """What in the folder of the warehouse may still hold it, and must be seen to by hand."""
    log_notices: list[str] = field(default_factory=list)
    published: Published | None = None
    exit_code: int = OK


def forget(
    settings: Settings, kind: Kind, text: str, now: Callable[[], datetime], archive: ArchivePlace
) -> Forgot:
    """Forget one; ConfigError where nothing knows it, or knows it as something else."""
    home, report = settings.home, Forgot(kind)
    if not (home / NAME).exists():
        raise ConfigError(f"there is no warehouse in {home} yet: there is nothing to forget")
    must_be_there(home)
    with lock.hold(home, now()):
        logs = {name: Log(home / RAW / name) for name in schema.names()}
        known = store.begun(home)
        one = known.with_one(kind, text)
        with _open(settings) as warehouse:
            _bring_up_to_date(warehouse, settings, logs, report, now())
            is_there = is_known(warehouse, kind, text) or known.knows(kind, text)
            renamed = renamed_refusals(warehouse, one, text)
            warehouse.connection.execute("CHECKPOINT")
        own = members_of(*map(schema.source, logs))
        searched = _LogSearch(one, text, renamed)
        if not is_there and not forget_posts(home, one, own, writes=False)[0] and not searched.finds(logs):
            raise ConfigError(f"no {kind} of this id is known: nothing was changed")
        # From here on it is kept out, whatever happens to this process.
        store.remember(home, one)
        report.posts, report.left = forget_posts(home, one, own)
        searched.rewrite(logs, report)
        if kind == "medium":
            with _open(settings) as warehouse:
                is_again = known.knows(kind, text)
                report.files, left = forget_files(warehouse, text, archive, is_again=is_again)
                report.left += left
        _make(settings, Wish(one, text, searched.hashes), report)
        bring_in(home, home / ASIDE, fewer=True)
        _publish(settings, report)
        report.left += still_holding(home, kind, text)
        store.remember(home, one.finished(kind, text))
    report.exit_code = worst([report.exit_code, QUARANTINED if report.left else OK])
    return report


@contextmanager
def _open(settings: Settings) -> Iterator[Warehouse]:
    with opened(settings.home) as warehouse, interruptible(warehouse, is_wanted_after=True):
        yield warehouse


def _bring_up_to_date(
    warehouse: Warehouse, settings: Settings, logs: Mapping[str, Log], report: Forgot, now: datetime
) -> None:
    """Apply what is sealed: what is in the log is in the tables then."""
    redact = Redactor(each.reveal() for each in settings.secrets)
    for name, log in logs.items():
        report.log_notices += recover(warehouse, log, name, redact).notices
    with warehouse.transaction():
        RunStore(warehouse, "").close_dead(now)


class _LogSearch:
    """Looks for one in the log, and takes it out."""

    def __init__(self, forgotten: Forgotten, text: str, renamed: Mapping[str, str]) -> None:
        self._forgotten = forgotten
        self._renamed = renamed
        self._text = text
        self.hashes: dict[int, int] = {}
        """By the hash of a record as it was, the one that it has now."""

    def finds(self, logs: Mapping[str, Log]) -> bool:
        """Whether the log names it."""
        for name, log in logs.items():
            change = self._change(name)
            for part in log.parts():
                try:
                    received = read(log, part).received
                except DamagedPartError:
                    continue
                if any(change(each) is not each for one in received for each in one.bundle):
                    return True
        return False

    def rewrite(self, logs: Mapping[str, Log], report: Forgot) -> None:
        """Write the parts that name it once more, and remove the files that they had."""
        for name, log in logs.items():
            change = self._change(name)
            for part in log.parts():
                try:
                    if rewrite(log, part, change, _with_cursors(log, name)):
                        report.parts[name] = report.parts.get(name, 0) + 1
                except DamagedPartError as error:
                    report.left.append(str(error))
            for path in [*stray(log), *set_aside(log)]:
                remove(path)

    def _change(self, name: str) -> Callable[[Delivery], Delivery | None]:
        """Return what is to become of a delivery."""
        declared = schema.source(name)
        forgetter = Forgetter(declared, self._forgotten, self._renamed)
        source, hashers = source_module(name), dict[str, RecordHasher]()

        def changed(delivery: Delivery) -> Delivery | None:
            if not isinstance(delivery, Page):
                return forgetter.delivery(delivery)
            if not any(map(self._may_name, delivery.records)):
                return delivery
            stream = delivery.stream
            hasher = hashers.setdefault(stream, RecordHasher(declared, stream, steady(source)))
            left, is_same = list[bytes](), True
            for record in delivery.records:
                new = forgetter.record(stream, record) if self._may_name(record) else record
                is_same = is_same and new is record
                if new is not None:
                    left.append(new)
                    if new is not record:
                        old_hash, new_hash = hasher.hashes(
                            [one_line(record), one_line(new)], delivery.context
                        )
                        self.hashes[old_hash] = new_hash
            return delivery if is_same else Page(stream, left, delivery.context) if left else None

        return changed

    def _may_name(self, record: bytes) -> bool:
        return may_name(self._text, as_received(bytes(record)).decode(errors="surrogateescape"))


def _with_cursors(log: Log, name: str) -> Callable[[Part], Sequence[StreamHead]]:
    """Return what gives the heads of a part in which the times that its records had move cursors still.

    Without the record that was the newest, the log would have a cursor go back that the tables keep.
    """

    def heads(part: Part) -> list[StreamHead]:
        made = PartTransformer(log, name, Forgotten()).rows(part)
        # A text could be the id itself.
        return [
            replaced(head, newest=batch.newest) if isinstance(batch.newest, int) else head
            for head, batch in zip(made.head.streams, made.streams, strict=True)
        ]

    return heads


def _make(settings: Settings, wish: Wish, report: Forgot) -> None:
    """Make the tables aside, without it."""
    folder = settings.home / ASIDE
    clear_aside(folder)
    with opened(folder) as warehouse, interruptible(warehouse, is_wanted_after=True):
        former = literal(str(settings.home / NAME))
        warehouse.connection.execute(f"ATTACH {former} AS {FORMER} (READ_ONLY)")
        report.rows = copy_without(warehouse, wish)
        warehouse.connection.execute(f"DETACH {FORMER}")
        warehouse.connection.execute("CHECKPOINT")


def _publish(settings: Settings, report: Forgot) -> None:
    """Publish the tables, whatever checks say, and keep nothing of what was published before."""
    at_once = replace(settings, lake_grace=0)
    with _open(settings) as warehouse:
        report.published = publish(warehouse, at_once, force=True)
    report.exit_code = worst([report.exit_code, report.published.exit_code])
    lake = Lake(settings.home)
    for _ in range(2):
        # What is taken out of sight by one is removed by the next.
        lake.clean(0)
