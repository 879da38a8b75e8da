"""What tests of several files share with `test_neurons_variants`."""

from typing import Any

import httpx

from etl.demo.neurons.simulator import NeuronsSize
from support.neurons_simulator import Record

TEN_MEDIA = NeuronsSize(media=10, frames=(50, 60))
LIST = "predict/v2/media"


def unpacked(body: Any) -> list[Record]:  # noqa: ANN401 -- any JSON
    """The media of an answer in any envelope."""
    found: list[Record] = body if isinstance(body, list) else body.get("media", body.get("data"))
    return found


def ids(client: httpx.Client, **params: int) -> list[str]:
    """The media of one answer, by id."""
    return [medium["media_id"] for medium in unpacked(client.get(LIST, params=params).json())]
