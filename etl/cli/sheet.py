"""A table of plain text, as wide as what is in it."""

from collections.abc import Iterator, Sequence

from etl.cli.output import shown

BETWEEN = "  "


def sheet(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with a head; numbers and their like stand to the right."""
    lines = [[shown(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(row[place][:1].isdigit() for row in rows) and bool(rows) for place in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        )
        yield BETWEEN.join(cells).rstrip()
