"""What tests of several files share with `test_fault_damage`."""

from collections.abc import Callable
from pathlib import Path

from conftest import Sightglass
from faults import Fault

Harm = Callable[[Path], object]
WAREHOUSE = "warehouse.duckdb"
LOG = f"{WAREHOUSE}.wal"


def to(pattern: str, harm: Harm) -> Callable[[Sightglass], None]:
    """Do this harm to the newest file that is called like this."""

    def happens(sightglass: Sightglass) -> None:
        found = [path for path in sightglass.home.glob(pattern) if path.stat().st_size > 1]
        harm(max(found))

    return happens


def away(*names: str) -> Callable[[Sightglass], None]:
    """Move files away, as the recovery chapter says."""

    def undone(sightglass: Sightglass) -> None:
        for name in names:
            path = sightglass.home / name
            if path.exists():
                path.replace(sightglass.folder / f"{name}.damaged")

    return undone


def lost(happens: Callable[[Sightglass], None], says: str) -> Fault:
    """Damage to the warehouse, after which it begins anew."""
    return Fault(happens, 2, says, away(WAREHOUSE, LOG))


def damaged(harm: Harm, says: str = "damaged: ") -> Fault:
    """Damage that DuckDB finds when it opens the warehouse, or reads on."""
    return lost(to(WAREHOUSE, harm), says)
