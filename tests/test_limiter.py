"""How many requests are in flight, and how many a while: fewer after a 429, never none, and more again."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyrate_limiter
import pytest
import stamina
from conftest import DEFAULTS, serving
from pyrate_limiter import InMemoryBucket, Limiter, Rate, SingleBucketFactory
from starlette.types import Receive, Scope, Send

from etl.config import Settings, load
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.script import Answer
from etl.demo.server import serve
from etl.extract.deadline import within
from etl.extract.http import Api
from etl.extract.limiter import AdaptiveLimiter, pace
from etl.extract.stream import RequestStats
from etl.pipeline import run as pipeline
from etl.sources.neurons import OwnSettings

IN_FLIGHT = 8
TIMEOUT_SECONDS = 10.0  # seconds after which a test fails that would wait for ever
BUSY = Answer(status=429, body=b'{"detail": "too many"}')
FINE = Answer(body=b"{}")


@pytest.fixture(autouse=True)
def _here_and_without_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine is asked, and nothing waits between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


def settings(at_once: int = IN_FLIGHT) -> Settings:
    """What an API must be told."""
    return replace(DEFAULTS, concurrency=at_once, retry_budget=60, body_memory=16)


@pytest.mark.parametrize(("most", "expected"), [(1, [1, 1, 1, 1]), (5, [5, 2, 1, 1]), (8, [8, 4, 2, 1])])
def test_each_complaint_halves_what_may_be_in_flight(most: int, expected: list[int]) -> None:
    """One stays allowed, however often the host complains."""
    limiter = AdaptiveLimiter(most)

    found = [limiter.allowed]
    for _ in expected[1:]:
        with limiter.acquire() as since:
            limiter.decrease(since)
        found.append(limiter.allowed)
    assert expected == found


def test_requests_in_flight_together_halve_it_once() -> None:
    """Eight complaints about the same crowd are one; a complaint about a request sent later is another."""
    limiter = AdaptiveLimiter(8)
    with ExitStack() as crowd:
        for since in [crowd.enter_context(limiter.acquire()) for _ in range(8)]:
            limiter.decrease(since)
        after_the_crowd = limiter.allowed
    with limiter.acquire() as since:
        limiter.decrease(since)

    assert (4, 2) == (after_the_crowd, limiter.allowed)


def test_successes_let_more_pass_again() -> None:
    """One more for each round of as many successes as are allowed, and never more than at first."""
    limiter = AdaptiveLimiter(4)
    for _ in range(3):
        with limiter.acquire() as since:
            limiter.decrease(since)

    found = []
    for _ in range(20):
        limiter.increase()
        found.append(limiter.allowed)
    # 1, 2, 2.5, 2.9, 3.24 ..., until there is no more to allow.
    assert [2, 2, 2, 3, 3, 3] == found[:6]
    assert [4] * 5 == found[-5:]


def test_as_many_threads_pass_as_are_allowed() -> None:
    """Of twelve threads three are inside at a time: all three places are used, and there is no fourth."""
    limiter, together = AdaptiveLimiter(12), threading.Barrier(3)
    for _ in range(2):
        with limiter.acquire() as since:
            limiter.decrease(since)
    inside, most, lock = 0, 0, threading.Lock()

    def work(_number: int) -> int:
        nonlocal inside, most
        with limiter.acquire():
            with lock:
                inside += 1
                most = max(most, inside)
            together.wait(TIMEOUT_SECONDS)
            with lock:
                inside -= 1
            return 1

    with ThreadPoolExecutor(12) as pool:
        done = sum(pool.map(work, range(36)))
    assert (36, 3) == (done, most)


def test_a_place_is_free_again_after_a_failure() -> None:
    """What is raised inside leaves the limiter as it was."""
    limiter = AdaptiveLimiter(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), limiter.acquire():
            raise ValueError("inside")

    with limiter.acquire() as since:
        assert 0 == since


def test_who_gets_no_place_in_time_goes_without_one() -> None:
    """The wait for a place counts against the deadline, and takes none away."""
    limiter = AdaptiveLimiter(1)
    with (
        limiter.acquire(),
        within(0.01),
        pytest.raises(TimeoutError, match="took all the time"),
        limiter.acquire(),
    ):
        pass

    with limiter.acquire() as since:
        assert 0 == since


class Host:
    """Answers 429 to each request that finds too many in flight, once the first so many have arrived."""

    def __init__(self, limit: int, crowd: int) -> None:
        self.limit = limit
        self.crowd = crowd
        self.in_flight = 0
        self.arrived: list[int] = []
        """For each request, how many were in flight with it."""
        self.refused = 0
        self.latency = 0.05
        self._full = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the crowd, then answer."""
        self.in_flight += 1
        self.arrived.append(self.in_flight)
        answer = BUSY if self.in_flight > self.limit else FINE
        self.refused += answer is BUSY
        if len(self.arrived) >= self.crowd:
            self._full.set()
        await asyncio.wait_for(self._full.wait(), TIMEOUT_SECONDS)
        # Whoever is sent at the same time shall find this one here.
        await asyncio.sleep(self.latency)
        self.in_flight -= 1
        await answer(scope, receive, send)

    def meet(self, crowd: int) -> None:
        """From now on hold all until so many more are there; nobody may be in flight."""
        self.arrived.clear()
        self.crowd, self.limit = crowd, crowd
        self._full.clear()


def in_parallel(ask: Callable[[], Any], times: int) -> list[Any]:
    """So many answers, asked for by as many threads as may be in flight."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return [each.result(TIMEOUT_SECONDS) for each in [pool.submit(ask) for _ in range(times)]]


def test_a_host_that_finds_it_too_many_gets_fewer() -> None:
    """After the first complaints half as many are in flight; when they end, as many as at first."""
    host, request_stats = Host(limit=2, crowd=IN_FLIGHT), RequestStats()
    with serve(host) as url, closing(Api(url, settings())) as api:
        answers = in_parallel(lambda: api.get(dict, "/x", request_stats), 2 * IN_FLIGHT)
        first, later = host.arrived[:IN_FLIGHT], host.arrived[IN_FLIGHT:]
        refused = host.refused
        host.limit, host.latency = IN_FLIGHT, 0
        for _ in range(5 * IN_FLIGHT):
            api.get(dict, "/x", request_stats)
        host.meet(IN_FLIGHT)
        together = in_parallel(lambda: api.get(dict, "/x", request_stats), IN_FLIGHT)

    assert [{}] * 2 * IN_FLIGHT == answers
    assert list(range(1, IN_FLIGHT + 1)) == first
    # Eight in flight, then four; with the fourteen successes that are left there are six again at most.
    assert max(later) <= 6
    assert refused == request_stats.retries >= IN_FLIGHT - 2
    assert [{}] * IN_FLIGHT == together


def test_a_host_with_a_rate_is_not_asked_more_often() -> None:
    """Two in a tenth of a second, by whatever thread: six take at least two tenths."""
    request_stats = RequestStats()
    with serve(FINE) as url, closing(Api(url, settings(), rate=(2, 0.1))) as api:
        began = time.monotonic()
        in_parallel(lambda: api.get(dict, "/x", request_stats), 6)
        took = time.monotonic() - began

    assert (6, True) == (request_stats.requests, took >= 0.19)


def test_a_rate_leaves_neither_a_thread_nor_requests_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred requests, each long after the other, one is remembered."""
    now, buckets = count(step=1_000), list[InMemoryBucket]()

    class Watched(InMemoryBucket):
        """Goes by another clock, and can be looked into."""

        def __init__(self, rates: list[Rate]) -> None:
            super().__init__(rates)
            buckets.append(self)

        def now(self) -> int:
            return next(now)

    monkeypatch.setattr(pyrate_limiter, "InMemoryBucket", Watched)
    threads, wait = threading.active_count(), pace(200, 0.5)
    for _ in range(100):
        wait()

    assert (threads, [1]) == (threading.active_count(), [each.count() for each in buckets])


def test_what_is_tried_again_counts_in_the_rate_too() -> None:
    """One in a tenth of a second: the third attempt of one request is made after two tenths."""
    answers, request_stats = iter([Answer(status=503), Answer(status=503), FINE]), RequestStats()

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await next(answers)(scope, receive, send)

    with serve(host) as url, closing(Api(url, settings(), rate=(1, 0.1))) as api:
        began = time.monotonic()
        api.get(dict, "/x", request_stats)
        took = time.monotonic() - began

    assert (3, 2, True) == (request_stats.requests, request_stats.retries, took >= 0.19)


def test_neurons_is_asked_within_its_documented_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question to the API is let through by one limiter of 200 in 10 s at most; downloads by none."""
    made: list[list[str]] = []
    rates: list[tuple[int, int]] = []

    class Counting(Limiter):
        """Notes what it is asked."""

        def __init__(self, factory: SingleBucketFactory) -> None:
            rates.extend((rate.limit, rate.interval) for rate in factory.bucket.rates)
            made.append([])
            super().__init__(factory)

        def try_acquire(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 -- as inherited
            made[0].append(str(args))
            return super().try_acquire(*args, **options)

    monkeypatch.setattr(pyrate_limiter, "Limiter", Counting)
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=12, frames=(50, 60)))) as plant:
        environ = {**plant.neurons_login, "SIGHTGLASS_HOME": str(tmp_path)}
        told = load([OwnSettings], environ, file=Path("/dev/null"))
        pipeline.run(told, ["neurons"], lambda: datetime.now(UTC), lambda _stats, _records: None)
        asked, fetched = len(plant.neurons.requests), len(plant.neurons.file_requests)

    ((limit, interval),) = rates
    assert (True, True) == (limit <= 200, interval >= 10_000)
    assert [asked] == [len(each) for each in made]
    assert min(asked, fetched) > 0
