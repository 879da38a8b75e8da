"""Whose warehouse it is: every source is bound to the account that it was first loaded from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from etl.errors import ConfigError, SourceError
from etl.extract.stream import (
    AccountSession,
    Action,
    Bundle,
    Checkpoint,
    RequestStats,
    Session,
    SourceContext,
    Stream,
)
from etl.load.stored import Stored
from etl.load.warehouse import Warehouse

ACCOUNT = "account"
DELETIONS = "deletions"
WHAT = (DELETIONS, ACCOUNT)
"""What can be confirmed."""


def admitted(warehouse: Warehouse | Stored, source: str, session: Session, run_id: str) -> Session:
    """Return the session, which binds its source where it is not bound yet; ConfigError for another account.

    Nothing is written here. Where the API does not say which account it is, all streams fail with its reason.
    """
    if not isinstance(session, AccountSession):
        return session
    stored = [row[0] for row in warehouse.ask("etl/account", source=source)]
    bound = stored[0] if stored else None
    is_confirmed = any(at for _, at in warehouse.ask("etl/confirmation", source=source, what=ACCOUNT))
    try:
        account = session.account()
        is_another = account != bound and not session.owns(warehouse.ask, bound)
        if is_another and not is_confirmed:
            raise _another(source, account, bound)
    except SourceError as error:
        return Wrapped(session, partial(_failing, str(error)))
    if account == bound and not is_confirmed:
        return session
    about = {"source": source, "account": account}
    actions = [Action("bind_account", about | {"is_mixed": is_another, "run_id": run_id})]
    if is_confirmed:
        actions.append(Action("forget_confirmation", {"source": source, "what": ACCOUNT}))
    return Wrapped(session, partial(_binding, actions))


def _another(source: str, account: str, bound: str | None) -> ConfigError:
    stored = f" ({bound})" if bound else ""
    return ConfigError(
        f"the warehouse holds {source} data of another account{stored} than the credentials lead to "
        f"({account}): set SIGHTGLASS_HOME to another folder, or, to load both accounts into this one, run "
        f"`sightglass confirm account {source}` first"
    )


Deliver = Callable[[Stream, Checkpoint, RequestStats], Iterator[Bundle]]


class Wrapped:
    """A session whose streams deliver in another way."""

    def __init__(self, session: Session, deliver: Deliver) -> None:
        self._session = session
        self._deliver = deliver

    def streams(self, source_context: SourceContext) -> Iterator[list[Stream]]:
        """Yield the groups of streams of the session."""
        for group in self._session.streams(source_context):
            yield [replace(each, deliver=partial(self._deliver, each)) for each in group]

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def _failing(reason: str, _stream: Stream, _checkpoint: Checkpoint, _stats: RequestStats) -> Iterator[Bundle]:
    raise SourceError(reason)
    yield []


def _binding(
    actions: list[Action], stream: Stream, checkpoint: Checkpoint, stats: RequestStats
) -> Iterator[Bundle]:
    """Yield what the stream delivers, and the binding with the first bundle of all.

    By then the login worked.
    """
    for bundle in stream.deliver(checkpoint, stats):
        now, actions[:] = list(actions), []
        yield [*bundle, *now]
