"""What tests of several files share with `test_lake`."""

import pyarrow as pa


def plain(rows: pa.Table) -> list[str]:
    """The rows as they print, in order: so -0.0 is not 0.0."""
    return sorted(map(repr, rows.to_pylist()))
