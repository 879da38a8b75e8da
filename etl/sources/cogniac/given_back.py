"""Posts that are taken out of the tables again: nobody sends them once more, so the inbox gets them back."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from etl.extract.stream import Page, as_received
from etl.inbox.writer import MOST_BYTES, Post
from etl.inbox.writer import give_back as write
from etl.sources.cogniac.postbacks import STREAM, Envelope
from etl.values import UNREADABLE, micros_of

TYPE = "application/json"
"""Of a post; which one was sent is not kept."""


def give_back(home: Path, pages: Iterable[Page]) -> int:
    """Put into the inbox what was posted among these records; how many posts.

    In segments no larger than those of a listener: a run holds one at a time. OSError where they cannot be
    written.
    """
    count, size, some = 0, 0, list[Post]()
    for post in (post for page in pages if page.stream == STREAM for post in _posts(page)):
        if some and size + len(post.body) > MOST_BYTES:
            write(home, some)
            size, some = 0, []
        count, size = count + 1, size + len(post.body)
        some.append(post)
    if some:
        write(home, some)
    return count


def _posts(page: Page) -> Iterator[Post]:
    for record in page.records:
        body = as_received(record)
        if body != bytes(record):
            # It could not be read: what is known of it stands beside it.
            yield Post(_micros(page.context["received_at"]), page.context["address"], TYPE, body)
            continue
        try:
            envelope = msgspec.json.decode(body, type=Envelope)
        except UNREADABLE:
            continue
        sent = bytes(envelope.post) if envelope.as_received is None else envelope.as_received.encode()
        yield Post(_micros(envelope.received_at), envelope.address, TYPE, sent)


def _micros(received_at: str) -> int:
    return micros_of(datetime.fromisoformat(received_at))
