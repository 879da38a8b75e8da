"""Serves prepared Neurons media and their files: `python -m bench.film_server FOLDER LATENCY`."""

import asyncio
import json
import mmap
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.server import Answer, serve

MEDIA = "/predict/v2/media"
USUAL, MOST = 50, 100
HOST = b"http://files.invalid"


class Films:
    """The list of media, each medium by its id, and the files behind the links."""

    def __init__(self, folder: Path) -> None:
        media = json.loads((folder / "media.json").read_bytes())
        self._media = [json.dumps(each).encode() for each in media]
        self._places = {each["media_id"]: place for place, each in enumerate(media)}
        self._index = json.loads((folder / "index.json").read_bytes())
        with (folder / "files").open("rb") as file:
            self._files = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def answer(self, target: str, host: str) -> Answer | None:
        """Return the body of the answer; None where there is no such thing."""
        parts = urlsplit(target)
        if parts.path in self._index:
            begin, end = self._index[parts.path]
            return [self._files[begin:end]]
        here = f"http://{host}".encode()
        if parts.path == MEDIA:
            return [self._list(parse_qs(parts.query)).replace(HOST, here)]
        place = self._places.get(parts.path.removeprefix(f"{MEDIA}/"))
        return None if place is None else [self._media[place].replace(HOST, here)]

    def _list(self, asked: dict[str, list[str]]) -> bytes:
        offset, limit = int(asked.get("offset", ["0"])[-1]), int(asked.get("limit", [str(USUAL)])[-1])
        about = {"total": len(self._media), "offset": offset, "limit": limit}
        some = b",".join(self._media[offset : offset + min(limit, MOST)])
        return b'{"pagination":' + json.dumps(about).encode() + b',"media":[' + some + b"]}"


if __name__ == "__main__":
    asyncio.run(serve(Films(Path(sys.argv[1])), float(sys.argv[2])))
