"""Read several streams side by side, at most so many at once, into one queue that is bounded."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty
from types import TracebackType
from typing import Self

from etl.errors import SourceError
from etl.event import heard
from etl.extract.bounded_queue import BoundedQueue
from etl.extract.stream import Bundle, Checkpoint, RequestStats, Stream, size_of

QUIET = 1.0  # seconds without anything new after which whoever reads may see to what has come


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream has come to its end, or failed."""

    error: SourceError | None


Item = tuple[Stream, RequestStats, Bundle | Ended]


class StreamReader:
    """The bundles of a group of streams as they come; a context manager, for threads stand behind it."""

    def __init__(
        self, streams: Sequence[Stream], checkpoint: Callable[[Stream], Checkpoint], at_once: int
    ) -> None:
        self._waiting = deque(streams)
        self._checkpoint = checkpoint
        self._running = len(streams)
        self._queue: BoundedQueue[Item | BaseException] = BoundedQueue(at_once)
        self._unwanted = threading.Event()
        # Daemons: one that waits for a slow answer must not hold up a run that was told to stop.
        self._threads = [threading.Thread(target=heard(self._work), daemon=True) for _ in streams[:at_once]]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwanted.set()
        self._queue.close()

    def __iter__(self) -> Iterator[Item | None]:
        """Each stream's bundles in their order, and its end; a bug in a source is raised here.

        None stands for a while in which nothing came.
        """
        while self._running:
            try:
                item = self._queue.get(QUIET)
            except Empty:
                yield None
                continue
            if isinstance(item, BaseException):
                raise item
            self._running -= isinstance(item[2], Ended)
            yield item

    def _work(self) -> None:
        """Read one stream after the other while there are some."""
        while self._waiting and not self._unwanted.is_set():
            try:
                stream = self._waiting.popleft()
            except IndexError:
                return
            self._read(stream)

    def _read(self, stream: Stream) -> None:
        stats = RequestStats()
        try:
            for bundle in stream.deliver(self._checkpoint(stream), stats):
                if not self._queue.put((stream, stats, bundle), size_of(bundle)):
                    return
            self._queue.put((stream, stats, Ended(None)))
        except SourceError as error:
            self._queue.put((stream, stats, Ended(error)))
        except BaseException as error:  # noqa: BLE001 -- a bug must stop the run, not vanish with its thread
            self._queue.put(error)
