"""What happens in the simulated plant and when: which records come to be, which are corrected later."""

import random
from array import array
from collections.abc import Iterator

from etl.demo import timeline
from etl.demo.cogniac.catalog import FINDER, GATE, KINDS, LABELS, LOT_CODES, PALLETS, SEALS
from etl.demo.cogniac.ledger import CAPTURED, Ledger
from etl.demo.cogniac.media import FRAMES_PER_VIDEO, Album, Lane

SEALS_UNTIL = 0.3  # the share of the month after which the old line was taken down
CORRECTABLE = 0.5  # at full doubt; over all records about one in eight is corrected
TRIES = 50  # of finding a record that deserves a correction, before any will do
BATCH_EVERY, BATCH = 400, 4  # an edge that was offline delivers several records in one moment

Route = tuple[int, int]
"""Index of an application, focus in the medium."""


class Plan:
    """Fills ledgers with `records` records over the first month, and goes on from there."""

    def __init__(self, seed: int, album: Album, ledgers: list[Ledger], records: int) -> None:
        self._album = album
        self._ledgers = ledgers
        self._lines = -(-len(ledgers) // len(KINDS))
        self._rng = random.Random(f"{seed}:plan")
        self.taken = array("q")
        """When each medium was captured, by its number."""
        self._route_all(records)
        self._pace = self._capture_all()
        self._date_all()
        self._correct_some()
        for ledger in ledgers:
            ledger.sort()

    @property
    def newest(self) -> int:
        """The time of the latest change anywhere."""
        return max((ledger.newest for ledger in self._ledgers), default=0) or timeline.START

    def advance(self, records: int, corrections: int) -> None:
        """Let new records arrive after everything so far, and old ones be corrected in between."""
        done = timeline.work(self.newest + timeline.SECOND)
        while records or corrections:
            done += self._pace * self._rng.uniform(0.2, 1.8)
            now = timeline.moment(done)
            if self._rng.random() * (records + corrections) < corrections:
                if not self._correct_one(now):
                    raise ValueError("there is no generated record to correct")
                corrections -= 1
            else:
                records -= self._arrive(now, records)
                done = timeline.work(self.newest)

    def _route_all(self, records: int) -> None:
        made, number = 0, 0
        while made < records:
            for application, focus in self._routes(number, made / records):
                if made < records:
                    self._ledgers[application].append(number, focus, self._doubt(application, focus))
                    made += 1
            number += 1
        self.taken = array("q", bytes(8 * number))

    def _routes(self, number: int, progress: float) -> Iterator[Route]:
        """Yield the applications that a medium goes through, in order."""
        look = self._album.look(number)
        line = number // FRAMES_PER_VIDEO % self._lines
        roles: list[Route] = [(FINDER, 0)]
        if look.lane is Lane.PALLET:
            roles = [(PALLETS, 0), *([(GATE, 0)] if look.dice % 3 == 0 else [])]
        else:
            roles += [(LABELS, focus + 1) for focus in range(look.labels)]
            roles += [(LOT_CODES, 1)] if look.labels and look.dice % 5 < 3 else []
            roles += [(SEALS, 0)] if progress < SEALS_UNTIL and look.dice % 7 < 3 else []
        for role, focus in roles:
            application = role + line * len(KINDS)
            if application < len(self._ledgers):
                yield application, focus

    def _doubt(self, application: int, focus: int) -> int:
        """Mostly sure, sometimes not: the cube makes probabilities gather far from the threshold."""
        if not focus and application % len(KINDS) in (FINDER, PALLETS, SEALS) and self._rng.random() < 0.02:
            return CAPTURED
        return int(CAPTURED * self._rng.random() ** 3)

    def _capture_all(self) -> float:
        """Spread the media over the month; returns the work between two of those to come."""
        begin, end = timeline.work(timeline.START), timeline.work(timeline.START + timeline.SPAN)
        pace = (end - begin) / max(1, len(self.taken))  # of the first month
        for number in range(len(self.taken)):
            first = number - number % FRAMES_PER_VIDEO
            if number != first and self._album.look(number).lane is Lane.FRAME:
                self.taken[number] = self.taken[first] + (number - first) * timeline.SECOND
            else:
                self.taken[number] = timeline.moment(begin + (number + self._rng.random()) * pace)
        return min(pace, (end - begin) / 200)  # a handful of records must not make `advance` leap by weeks

    def _date_all(self) -> None:
        for application, ledger in enumerate(self._ledgers):
            for record, number in enumerate(ledger.media):
                at = self._assertion_time(application, self.taken[number])
                if record and ledger.media[record - 1] == number and self._rng.random() < 0.25:
                    at = ledger.born[record - 1]  # all boxes of a medium answered in one go
                elif record % BATCH_EVERY in range(1, BATCH) and ledger.born[record - 1] > at - timeline.DAY:
                    at = max(at, ledger.born[record - 1])
                    for earlier in range(record - record % BATCH_EVERY, record):
                        ledger.born[earlier] = ledger.updated[earlier] = at
                ledger.born[record] = ledger.updated[record] = at

    def _assertion_time(self, application: int, taken: int) -> int:
        stage = 1 + application % len(KINDS) % 3
        return taken + int(timeline.SECOND * (0.8 * stage + self._rng.expovariate(1.5)))

    def _correct_some(self) -> None:
        end = timeline.START + timeline.SPAN
        for ledger in self._ledgers:
            last = 0
            for record, doubt in enumerate(ledger.doubt):
                if doubt == CAPTURED or self._rng.random() > CORRECTABLE * doubt / CAPTURED:
                    continue
                wait = self._rng.expovariate(0.4)  # in hours of work, so people answer while at work
                at = timeline.moment(timeline.work(ledger.updated[record]) + wait)
                if last > ledger.updated[record] and self._rng.random() < 0.08:
                    at = last  # one person sends several corrections at once
                if at < end:
                    ledger.note_version(record, at)
                    last = at

    def _arrive(self, now: int, wanted: int) -> int:
        """One more medium with up to `wanted` records; returns how many it has."""
        number = len(self.taken)
        self.taken.append(now)
        made = 0
        for application, focus in self._routes(number, 1.0):
            if made < wanted:
                ledger = self._ledgers[application]
                record = ledger.append(number, focus, self._doubt(application, focus))
                ledger.enter(record, self._assertion_time(application, now))
                made += 1
        return made

    def _correct_one(self, now: int) -> bool:
        """Correct one record, the doubtful first; False when there is none."""
        chosen: tuple[Ledger, int] | None = None
        sizes = [len(ledger) for ledger in self._ledgers]
        for _ in range(TRIES if any(sizes) else 0):
            ledger = self._rng.choices(self._ledgers, sizes)[0]
            record = ledger.order[self._rng.randrange(len(ledger))]
            doubt = ledger.doubt[record]
            if ledger.own(record) or doubt == CAPTURED:
                continue
            chosen = ledger, record
            if self._rng.random() < 0.02 + doubt / CAPTURED:
                break
        if chosen:
            chosen[0].bump(chosen[1], now)
        return chosen is not None
