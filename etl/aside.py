"""The transform stage in a process of its own: in one, it and the load stage wait for one interpreter."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from socket import socketpair
from threading import Thread

from etl import schema
from etl.errors import SettingsError
from etl.extract.stream import Delivery
from etl.registry import declared_settings, source_module
from etl.transform.batch import Cut, Transformer

Cuts = dict[str, Cut]
"""What `Transformer.cut` makes: the rows of each stream, by its name."""

KILLED = (
    "the process that makes rows of records was killed: is there enough memory? "
    "What was loaded is kept, the next run goes on from there"
)


class Aside:
    """A transformer that works in another process; it ends with this one, however this one ends."""

    def __init__(self, source: str) -> None:
        ours, its = socketpair()
        with its:
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-m", __name__, source, str(its.fileno())],
                pass_fds=[its.fileno()],
                env=_without_credentials(os.environ),
                process_group=0,  # ^C is for us alone
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._unknown: list[str] = []
        self._waiting: SimpleQueue[Future[Cuts] | None] = SimpleQueue()
        self._receiver = Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def unknown(self) -> list[str]:
        """The undeclared fields met so far, as `Transformer.unknown` gives them."""
        return self._unknown

    def put(self, deliveries: Sequence[Delivery], made: Future[Cuts]) -> None:
        """Have deliveries transformed; `made` gets what `Transformer.cut` makes of them, in this order.

        It gets SettingsError where the process was killed, most likely for want of memory.
        """
        sent = ForkingPickler.dumps(deliveries)
        self._waiting.put(made)
        with suppress(OSError):
            self._connection.send_bytes(sent)

    def close(self) -> None:
        """Let the process end once it has answered."""
        self._waiting.put(None)
        self._receiver.join()
        self._connection.close()
        self._process.wait()

    def _receive(self) -> None:
        while made := self._waiting.get():
            try:
                cuts, self._unknown = self._connection.recv()
            except (EOFError, OSError):
                cuts = SettingsError(KILLED)
            if isinstance(cuts, Exception):
                made.set_exception(cuts)
            else:
                made.set_result(cuts)


def _without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for who asks nobody: without credentials, and without proxies, which can hold some."""
    kept = {name for setting in declared_settings() if setting.is_credential for name in setting.names}
    return {
        name: value
        for name, value in environ.items()
        if name not in kept and not name.lower().endswith("_proxy")
    }


def serve(source: str, connection: Connection) -> None:
    """Transform what comes until nothing more can come."""
    transformer = Transformer(source_module(source), schema.source(source))
    with suppress(EOFError, OSError):
        while True:
            deliveries = connection.recv()
            try:
                made: Cuts | Exception = transformer.cut(deliveries)
            except Exception as error:  # noqa: BLE001 -- raised where the rows are waited for
                made = error
            connection.send((made, transformer.unknown()))


if __name__ == "__main__":
    serve(sys.argv[1], Connection(int(sys.argv[2])))
