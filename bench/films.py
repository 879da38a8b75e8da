"""Generated Neurons media as bytes: `python -m bench.films FOLDER VIDEOS FRAMES`.

`media.json` holds the list as the API shows it, with links to files; `files` holds their contents end to end,
and `index.json` where each begins and ends.
"""

import json
import sys
from pathlib import Path

from etl.demo.neurons.data import NeuronsData, NeuronsSize

SEED = 7
HOST = "http://files.invalid"
"""Stands for the server in links; as long as it does, nothing can be fetched."""
SPARE = 1.1
"""Of the generated media some have failed, and the last are unfinished: only finished ones are kept."""


def make(folder: Path, videos: int, frames: int) -> None:
    """Render so many finished videos of so many frames; complete once `media.json` is there."""
    size = NeuronsSize(media=round(videos * SPARE) + 10, video_share=1.0, frames=(frames, frames))
    data = NeuronsData(SEED, size)
    finished = [each for each in data.truth() if each["status"] == "done" and each["aoi_status"] != "started"]
    folder.mkdir(parents=True, exist_ok=True)
    media, index = [], {}
    with (folder / "files").open("wb") as out:
        for medium in finished[:videos]:
            media_id = medium["media_id"]
            links = {}
            for asset in medium["results"]:
                path = f"/files/{media_id}/{data.filename(media_id, asset)}"
                links[asset] = f"{HOST}{path}?signature=none"
                begin = out.tell()
                out.write(data.asset_bytes(media_id, asset))
                index[path] = (begin, out.tell())
            media.append({**medium, "results": links})
    if len(media) != videos:
        raise RuntimeError(f"only {len(media)} of {videos} videos are finished")
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "media.json").write_text(json.dumps(media))


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
