"""The records of one application as a few numbers each, kept in order of their latest change."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

OWN = 0xFFFF_FFFF
"""Stands for the medium of a record that was put in by hand."""
CAPTURED = 255
"""The doubt of a record that a person captured to a subject beside the model's opinion."""

JsonDict = dict[str, Any]
Key = tuple[str, str]
"""Media id and canonical focus: what makes a record the same record."""


class Ledger:
    """36 bytes a record; `times` and `order` are sorted by time, the other columns are by record id."""

    def __init__(self) -> None:
        self.media = array("I")
        self.focus = array("B")
        """0: the whole medium, n: its n-th box."""
        self.doubt = array("B")
        """How unsure the model was, 0 to 254, or CAPTURED."""
        self.versions = array("H")
        self.born = array("q")
        self.updated = array("q")
        self.times = array("q")
        self.order = array("I")
        self._earlier: dict[int, tuple[int, ...]] = {}
        self._own: dict[int, JsonDict] = {}
        self._own_ids: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self.times)

    @property
    def newest(self) -> int:
        """The time of the latest change, 0 when there is none."""
        return self.times[-1] if self.times else 0

    def append(self, media: int, focus: int, doubt: int) -> int:
        """Return a new record, without a place in the order yet; returns its id."""
        self.media.append(media)
        self.focus.append(focus)
        self.doubt.append(doubt)
        self.versions.append(0)
        self.born.append(0)
        self.updated.append(0)
        return len(self.media) - 1

    def sort(self) -> None:
        """Give every record its place; for the first filling, where one by one would be slow."""
        self.order = array("I", sorted(range(len(self.media)), key=self.updated.__getitem__))
        self.times = array("q", map(self.updated.__getitem__, self.order))

    def enter(self, record: int, moment: int) -> None:
        """Give a new record its time and place."""
        self.born[record] = self.updated[record] = moment
        self._insert(record, moment)

    def bump(self, record: int, moment: int) -> None:
        """Move a record to the time of its new version."""
        self.withdraw(record)
        self.note_version(record, moment)
        self._insert(record, moment)

    def note_version(self, record: int, moment: int) -> None:
        """Count a version without touching the order."""
        if self.versions[record]:
            self._earlier[record] = (*self._earlier.get(record, ()), self.updated[record])
        self.versions[record] += 1
        self.updated[record] = moment

    def bumps(self, record: int) -> tuple[int, ...]:
        """When the record changed after its birth."""
        if not self.versions[record]:
            return ()
        return (*self._earlier.get(record, ()), self.updated[record])

    def put(self, key: Key, record: JsonDict, moment: int) -> None:
        """Insert or replace a hand-written record."""
        known = self._own_ids.get(key)
        if known is None:
            known = self._own_ids[key] = self.append(OWN, 0, 0)
        else:
            self.withdraw(known)
        self._own[known] = record
        self.enter(known, moment)

    def own(self, record: int) -> JsonDict | None:
        """Return the hand-written record with this id, None for a generated one."""
        return self._own.get(record)

    def own_id(self, key: Key) -> int | None:
        """Return the id of a hand-written record."""
        return self._own_ids.get(key)

    def own_ids_of(self, media_id: str) -> list[int]:
        """Ids of the hand-written records of one medium."""
        return [record for key, record in self._own_ids.items() if key[0] == media_id]

    def holds(self, record: int) -> bool:
        """Whether a record is in the order, that is: shown."""
        at = self.place(self.updated[record], record)
        return at < len(self.order) and self.order[at] == record

    def of_medium(self, number: int) -> Iterator[int]:
        """Ids of the generated records of one medium; planned together, they are neighbours."""
        try:
            record = self.media.index(number)
        except ValueError:
            return
        while record < len(self.media) and self.media[record] == number:
            yield record
            record += 1

    def withdraw(self, record: int) -> None:
        """Take a record out of the order, if it still is in it: the API shows it no longer."""
        if self.holds(record):
            at = self.place(self.updated[record], record)
            del self.times[at], self.order[at]

    def place(self, moment: int, record: int) -> int:
        """Return the index of the first entry at or after (moment, record).

        Ties stand in order of their ids.
        """
        low, high = bisect_left(self.times, moment), bisect_right(self.times, moment)
        return bisect_left(self.order, record, low, high)

    def _insert(self, record: int, moment: int) -> None:
        at = self.place(moment, record)
        self.times.insert(at, moment)
        self.order.insert(at, record)
