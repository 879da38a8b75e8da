"""Read several streams side by side, at most so many at once, into one queue of bounded length."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Full, Queue
from types import TracebackType
from typing import Self

from etl.errors import SourceError
from etl.extract.stream import Bundle, Meter, Position, Stream

PATIENCE = 0.1  # seconds after which a waiting thread looks whether it is still wanted


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream has come to its end, or failed."""

    error: SourceError | None


Item = tuple[Stream, Meter, Bundle | Ended]


class Reading:
    """The bundles of a group of streams as they come; a context manager, for threads stand behind it."""

    def __init__(
        self, streams: Sequence[Stream], position: Callable[[Stream], Position], at_once: int
    ) -> None:
        self._streams = streams
        self._position = position
        self._queue: Queue[Item | BaseException] = Queue(2 * at_once)
        self._unwanted = threading.Event()
        self._pool = ThreadPoolExecutor(at_once, "read")

    def __enter__(self) -> Self:
        for stream in self._streams:
            self._pool.submit(self._read, stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwanted.set()
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Item]:
        """Each stream's bundles in their order, and its end; a bug in a source is raised here."""
        running = len(self._streams)
        while running:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            running -= isinstance(item[2], Ended)
            yield item

    def _read(self, stream: Stream) -> None:
        meter = Meter()
        try:
            for bundle in stream.deliver(self._position(stream), meter):
                if not self._hand_over((stream, meter, bundle)):
                    return
            self._hand_over((stream, meter, Ended(None)))
        except SourceError as error:
            self._hand_over((stream, meter, Ended(error)))
        except BaseException as error:  # noqa: BLE001 -- a bug must stop the run, not vanish with its thread
            self._hand_over(error)

    def _hand_over(self, item: Item | BaseException) -> bool:
        """Put the item into the queue; False when nobody wants it any more."""
        while not self._unwanted.is_set():
            try:
                self._queue.put(item, timeout=PATIENCE)
            except Full:
                continue
            return True
        return False
