"""What tests of several files share with `test_warehouse`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from etl.load.warehouse import Warehouse, open_for_reading, open_for_writing

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Opener = Callable[[Path], Warehouse]
OPENED = pytest.mark.parametrize("opener", [open_for_writing, open_for_reading])


def message_of(kind: type[Exception], action: Callable[[], object]) -> str:
    """What an action that is refused says."""
    with pytest.raises(kind) as caught:
        action()
    return str(caught.value)
