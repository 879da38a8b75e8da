"""Damage to files of the warehouse: it heals, or one line names it, and the next run is healthy."""

from collections.abc import Iterator

import pytest
from faults import Fault, Healthy, healthy, meets

NOTHING = Fault(lambda _sightglass: None)

FAULTS = {
    "nothing at all": NOTHING,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    """A warehouse that was loaded well, from two APIs that are still there."""
    with healthy(tmp_path_factory.mktemp("healthy")) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_damage_heals_or_is_named(loaded: Healthy, fault: Fault) -> None:
    """One line and its exit code, then a run after which tables and readers have what they had."""
    meets(fault, loaded)
