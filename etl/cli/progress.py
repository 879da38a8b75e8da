"""A progress display on a terminal; silence everywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from etl.cli.output import Voice, shown
from etl.load.stream_stats import StreamStats
from etl.pipeline.source_loader import Progress


@contextmanager
def watched() -> Iterator[Progress]:
    """Provide a function to tell the counts to.

    It draws them where standard error is a terminal that is told all, and only there.
    """
    if not sys.stderr.isatty() or Voice.least:
        yield lambda _stats, _pending: None
        return
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 -- cron never needs it

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.TextColumn("{task.completed:,.0f} rows"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as display:
        tasks = {}

        def tell(stats: StreamStats, pending: int) -> None:
            name = shown(" ".join(filter(None, [stats.source, stats.stream, stats.partition])))
            if name not in tasks:
                tasks[name] = display.add_task(name, total=None, rate="")
            speed = next(
                task.finished_speed or task.speed for task in display.tasks if task.id == tasks[name]
            )
            display.update(
                tasks[name], completed=stats.fetched + pending, rate=f"{speed:,.0f}/s" if speed else ""
            )

        yield tell
