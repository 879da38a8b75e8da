"""How many requests may be in flight to one host: fewer after each 429, slowly more again after successes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etl.extract.deadline import left, postpone


class AdaptiveLimiter:
    """Limits concurrent requests; halves on 429, grows by one for every round of successes."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._allowed = float(most)
        self._in_flight = 0
        self._decreases = 0
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many may be in flight now."""
        return int(self._allowed)

    @contextmanager
    def acquire(self) -> Iterator[int]:
        """Wait for a place and hold it; yields what to pass to `decrease`.

        Raises TimeoutError where none is free before the deadline.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._in_flight < self.allowed, left()):
                raise TimeoutError("other requests took all the time that it had")
            self._in_flight += 1
            since = self._decreases
        try:
            yield since
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def decrease(self, since: int) -> None:
        """Halve the number, once for all requests that were in flight together."""
        with self._changed:
            if since == self._decreases:
                self._allowed = max(1.0, self._allowed / 2)
                self._decreases += 1

    def increase(self) -> None:
        """Allow one more for every round of successes."""
        with self._changed:
            self._allowed = min(self._most, self._allowed + 1 / self._allowed)
            self._changed.notify_all()


def pace(requests: int, interval: float) -> Callable[[], None]:
    """Return what waits until another of so many requests in so many seconds may be made."""
    # Not above: it takes long, and most hosts name no rate.
    from pyrate_limiter import InMemoryBucket, Limiter, Rate, SingleBucketFactory  # noqa: PLC0415

    bucket = InMemoryBucket([Rate(requests, round(interval * 1000))])
    # No thread of its own forgets the requests that are over: it would outlive who asks.
    limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))

    def wait() -> None:
        begun = time.monotonic()
        bucket.leak(bucket.now())  # type: ignore[no-untyped-call]
        if not limiter.try_acquire("request", timeout=2 * interval):
            raise TimeoutError(f"{requests} requests in {interval:g} seconds are as many as may be made")
        # This is no fault of the host: a budget that is shorter than the interval would never be enough.
        postpone(time.monotonic() - begun)

    return wait
