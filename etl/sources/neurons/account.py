"""Which account a key of Neurons leads to: the API tells no name, so the key and what it shows must do."""

import hashlib
from collections.abc import Callable, Collection, Hashable
from datetime import timedelta

from etl.extract.list_page import ListPage
from etl.extract.stream import Query
from etl.extract.survey import Part, Survey
from etl.setting import Secret
from etl.sources.neurons.listing import PAGE, read_one

CONTEXT = b"sightglass: account of Neurons Predict"
"""Keeps the fingerprint of a key from being of use anywhere else."""
PROBED = 20
"""Stored media that are asked for by their ids to see whether a key leads to them."""


def fingerprint(key: Secret) -> str:
    """Return a name for the key: slow to make, so that nobody finds the key by trying."""
    made = hashlib.scrypt(key.reveal().strip().encode(), salt=CONTEXT, n=2**12, r=8, p=1, dklen=8)
    return made.hex()


def shares_media(
    ask: Query,
    listed: Callable[[], Collection[Hashable]],
    one: Callable[[str], bytes | None],
) -> bool:
    """Whether the key leads to media that are stored, or nothing is stored yet.

    `listed` gives the ids on the first page of the list, `one` a medium by its id.
    """
    stored = {row[0] for row in ask("neurons/ever_stored")}
    if not stored or not stored.isdisjoint(listed()):
        return True
    for (media_id,) in ask("neurons/to_probe", most=PROBED):
        record = one(media_id)
        medium = read_one(record) if record is not None else None
        if medium is not None and medium.media_id == media_id:
            return True
    return False


def surveyed(page: ListPage, account: str, partition: str, skew: timedelta | None) -> Survey:
    """Return what the first page of the list tells of an account; a partition is its end alone."""
    count = len(page.records)
    total = page.total if page.total is not None else count if count < PAGE else None
    sees = f"media: {total:,}" if total is not None else f"media: {count:,} or more"
    part = Part("media", partition, is_list=True, holds=None if partition else total, page=PAGE)
    return Survey(account, sees, [part], names_account=False, skew=skew)
