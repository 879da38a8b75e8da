"""What tests of several files share with `test_neurons_simulator`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from etl.demo.neurons.simulator import NeuronsSimulator
from etl.demo.server import serve

Record = dict[str, Any]


@contextmanager
def served(simulator: NeuronsSimulator) -> Iterator[httpx.Client]:
    """A client of the simulator with its key, files being served too."""
    with serve(simulator.app) as url, serve(simulator.files) as files_url:
        simulator.files_url = files_url
        with httpx.Client(base_url=url, headers={"X-API-Key": simulator.api_key}) as client:
            yield client
