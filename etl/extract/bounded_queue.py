"""A queue between threads that holds so many items, and so many bytes, and whose readers may go away."""

from collections import deque
from queue import Empty
from threading import Condition
from typing import Generic, TypeVar

MOST_BYTES = 8 * 2**20
"""Bytes that may wait; a larger item waits alone."""

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """A bounded queue; safe to use from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._is_wanted = True
        self._changed = Condition()

    def put(self, item: T, size: int = 0) -> bool:
        """Wait for room and leave an item there; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_wanted or self.has_room(size))
            if self._is_wanted:
                self._items.append((item, size))
                self._bytes += size
                self._changed.notify_all()
            return self._is_wanted

    def get(self, timeout: float | None = None) -> T:
        """Take the next item; Empty when none has come for so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._items), timeout):
                raise Empty
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let those go who wait for room: nothing more is wanted."""
        with self._changed:
            self._is_wanted = False
            self._changed.notify_all()

    def has_room(self, size: int) -> bool:
        """Whether an item of so many bytes need not wait."""
        with self._changed:
            is_within = len(self._items) < self._most and self._bytes + size <= MOST_BYTES
            return is_within or not self._items
