"""Detections that Cogniac posted as they occurred: from the inbox to records, one for each post.

What is posted: the vendor's page on application detections, "Detection Post URLs". Its sample is no JSON: a
comma is missing, one is too many, and some quotes are single. A post with such slips is read as it must have
been meant; one with others is refused, as received.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from etl.extract.stream import Page, stand_in
from etl.values import UNREADABLE, canonical

STREAM = "postbacks"

TOKEN = re.compile(
    r"""\s*+(?:(?P<string>"(?:[^"\\]++|\\.)*+")"""
    r"""|'(?P<single>(?:[^'\\]++|\\.)*+)'"""
    r"""|(?P<sign>[\[\]{},:])"""
    r"""|(?P<literal>[^\s"'\[\]{},:]++))""",
    re.DOTALL,
)
"""Nothing in it is tried twice: else a few blanks would take hours, and a medium a gigabyte."""
IN_SINGLE = re.compile(r"""\\'|"|\\.""", re.DOTALL)
"""What double quotes write otherwise than single ones, and what is escaped in both."""


class Envelope(msgspec.Struct, omit_defaults=True):
    """A post as a record: what was posted, and what is known of its receipt."""

    post_id: str
    received_at: str
    """ISO 8601 in UTC."""
    address: str
    """What the address ended with, after the secret."""
    post: msgspec.Raw
    as_received: str | None = None
    """The text as received, where it was no JSON."""


def envelope_of(body: bytes, address: str, received_at: str) -> Envelope | None:
    """Return a post with what is known of it; None where nobody can tell what was meant."""
    mended = None
    try:
        post = msgspec.json.decode(body)
    except UNREADABLE:
        try:
            mended = mended_json(body.decode())
            post = msgspec.json.decode(mended)
        except UNREADABLE:
            return None
    # Quotes and blanks aside: what is sent again may be written otherwise.
    content = b"\n".join((address.encode(), canonical(post)))
    envelope = Envelope(
        hashlib.sha256(content).hexdigest()[:32], received_at, address, msgspec.Raw(body.strip())
    )
    if mended is not None:
        envelope.post, envelope.as_received = msgspec.Raw(mended.encode()), body.decode()
    return envelope


def mended_json(text: str) -> str:
    """Return the text with double quotes, commas between values, and none before a bracket that closes.

    Whether that is JSON is for others to say. A text that is not made of tokens stays as it is.
    """
    written: list[str] = []
    ends_value, end = False, 0
    text_end = len(text.rstrip())
    while end < text_end:
        token = TOKEN.match(text, end)
        if token is None:
            return text
        end = token.end()
        if (sign := token["sign"]) is not None and sign in "]},:":
            if sign in "]}" and written[-1:] == [","]:
                written.pop()
            written.append(sign)
            ends_value = sign in "]}"
            continue
        if ends_value:
            written.append(",")
        single = token["single"]
        written.append(token[0].strip() if single is None else _double_quoted(single))
        ends_value = sign is None
    return "".join(written)


def _double_quoted(single: str) -> str:
    """Return a text in double quotes that stood in single ones."""
    spelled = {"\\'": "'", '"': '\\"'}
    return '"' + IN_SINGLE.sub(lambda found: spelled.get(found[0], found[0]), single) + '"'


def pages(posts: Iterable[tuple[bytes, str, str]], known: set[str]) -> list[Page]:
    """Return posts, each its body, address and time of receipt, as pages.

    What cannot be read stands alone. What is known already is left out, and `known` gathers the rest: of a
    post that came several times the first receipt counts.
    """
    read: list[bytes] = []
    unread: list[Page] = []
    for body, address, received_at in posts:
        envelope = envelope_of(body, address, received_at)
        if envelope is None:
            about = {"address": address, "received_at": received_at}
            unread.append(Page(STREAM, [stand_in(body)], about))
        elif envelope.post_id not in known:
            known.add(envelope.post_id)
            read.append(msgspec.json.encode(envelope))
    return [*([Page(STREAM, read)] if read else []), *unread]
