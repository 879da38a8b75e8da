"""What tests of several files share with `test_stops`."""

import re
import threading

from conftest import Plant, Truth
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


class Hanging:
    """A fault that lets no request to some paths be answered, and says when one waits."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.waits = threading.Event()

    def __call__(self, request: Request) -> ASGIApp | None:
        """Let all others pass."""
        return self._hang if re.search(self._path, request.url.path) else None

    async def _hang(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait for the client to go."""
        self.waits.set()
        while (await receive())["type"] != "http.disconnect":
            pass


def hang(plant: Plant, where: str) -> Hanging:
    """Let one of the APIs answer no more: to a login, at the last application, the list of media, a file."""
    if where == "login":
        plant.cogniac.fault = hanging = Hanging("/token$")
    elif where == "detections":
        plant.cogniac.fault = hanging = Hanging(f"/{list(Truth.now(plant).records)[-1]}/detections$")
    elif where == "list":
        plant.neurons.fault = hanging = Hanging("/media$")
    else:
        plant.neurons.file_watch.fault = hanging = Hanging("")
    return hanging


def answer_again(plant: Plant) -> None:
    """Let all requests be answered."""
    plant.cogniac.fault = plant.neurons.fault = plant.neurons.file_watch.fault = None
