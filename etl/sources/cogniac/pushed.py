"""What Cogniac pushed: moved from the inbox to the tables, and looked for in what polling shows."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from os.path import lexists

from etl.errors import EnvironmentFaultError, SourceError
from etl.extract.stream import Action, Bundle, Checkpoint, RequestStats, SourceContext, Stream, Watermark
from etl.inbox.reader import Inbox, Segment
from etl.sources.cogniac.postbacks import STREAM, pages
from etl.values import micros_of, moment

GRACE = timedelta(minutes=5)
"""How long after a post, and after what it says, polling may not show it yet."""
AROUND_US = 1_000_000
"""Microseconds before and after an assertion that are read again to find it."""
NEIGHBOURS_US = 60_000_000
"""Assertions that are no further apart are looked for together."""
MOST_WINDOWS = 200
"""Windows of an application that one run reads again; those that are left are read by the runs after it."""


class Postbacks:
    """The posts of one run: those that have come since the last one, and those that polling has not shown."""

    def __init__(self, inbox: Inbox, context: SourceContext) -> None:
        self._inbox = inbox
        self._context = context
        self._moved: list[Segment] = []
        self._damaged: list[str] = []
        self._unpolled: list[tuple[str | None, int]] = []
        self._unread: set[str] = set()
        self._is_told = True
        """Whether the first stream could say all that is wrong with the inbox."""

    def first(self) -> list[Stream]:
        """Return the stream that moves what was posted, to be read before anything is polled.

        None where there is no inbox: what was posted before is looked for all the same.
        """
        return [Stream(STREAM, self._move)] if lexists(self._inbox.folder) else []

    def settle(self) -> None:
        """Remove what was moved, for it is committed, and look up what polling has not shown.

        What cannot be removed is moved again by the next run, which changes nothing.
        """
        try:
            for segment in self._moved:
                segment.delete()
            self._inbox.clear()
        except EnvironmentFaultError as error:
            self._damaged.append(str(error))
            self._is_told = False
        self._unpolled = [
            (application_id, asserted_us)
            for application_id, asserted_us in self._context.ask(
                "cogniac/unpolled_posts", now=self._context.started
            )
        ]

    def last(self) -> list[Stream]:
        """Return the stream that notes what polling has shown, to be read after it; none without need."""
        return [Stream(STREAM, self._reconcile)] if self._unpolled or not self._is_told else []

    def expect(self, application_ids: Collection[str]) -> None:
        """Take it that polling tells nothing of these applications until they are polled."""
        self._unread.update(application_ids)

    def polled(
        self, application_id: str, checkpoint: Checkpoint, read: Callable[[Checkpoint], Iterator[Bundle]]
    ) -> Iterator[Bundle]:
        """Yield what `read` yields of an application, and of the times of posts that it would leave out.

        These come last: where they cannot be read, what is new is there all the same.
        """
        self._unread.add(application_id)
        yield from read(checkpoint)
        for start, end in self._windows(application_id, checkpoint):
            window = replace(checkpoint, start=start, end=end, done=(), settled=0)
            for bundle in read(window):
                yield [each for each in bundle if not isinstance(each, Watermark)]
        self._unread.discard(application_id)

    def _windows(self, application_id: str, checkpoint: Checkpoint) -> list[tuple[int, int]]:
        """Return the times that are looked at again for posts, from when to when."""
        windows: list[tuple[int, int]] = []
        for poster, asserted_us in self._unpolled:
            if poster not in (None, application_id) or asserted_us >= checkpoint.start:
                continue
            if windows and asserted_us - windows[-1][1] <= NEIGHBOURS_US:
                windows[-1] = (windows[-1][0], asserted_us + AROUND_US)
            else:
                windows.append((max(0, asserted_us - AROUND_US), asserted_us + AROUND_US))
        return windows[:MOST_WINDOWS]

    def _move(self, _checkpoint: Checkpoint, _stats: RequestStats) -> Iterator[Bundle]:
        """Yield what was posted.

        SourceError, after all that can be read, where posts are lost or cannot be read.
        """
        notices: list[str] = []
        known: set[str] = set()
        for segment in self._finished():
            try:
                contents = segment.read()
            except EnvironmentFaultError as error:
                self._damaged.append(str(error))
                continue
            (self._damaged if contents.is_damaged else notices).extend(contents.notices)
            posts = ((each.body, each.label, str(moment(each.received_at))) for each in contents.entries)
            yield pages(posts, known)
            self._moved.append(segment)
        if notices:
            yield [Watermark(None, notice="; ".join(notices))]
        self._complain()

    def _finished(self) -> list[Segment]:
        try:
            return self._inbox.finished()
        except EnvironmentFaultError as error:
            raise SourceError(str(error)) from error

    def _reconcile(self, _checkpoint: Checkpoint, _stats: RequestStats) -> Iterator[Bundle]:
        """Yield what notes the posts that polling shows by now, and names those that it should show."""
        before_us = micros_of(self._context.started - GRACE)
        about = {"before_us": before_us, "unread": sorted(self._unread)}
        yield [Action("confirm_posts", {}), Action("list_unpolled_posts", about)]
        # Of the two streams of one name, the last one says how it went.
        self._complain()

    def _complain(self) -> None:
        if self._damaged:
            raise SourceError("; ".join(self._damaged))
