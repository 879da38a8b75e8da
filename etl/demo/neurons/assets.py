"""The files behind the links of a medium: five of a video as JSON and CSV, all others as pictures.

Their shapes are synthetic: no real one is published. Each video takes the next of the shapes that the prose
allows, so that a dozen videos show every orientation, wrapping and dialect, and two videos rarely look alike.
"""

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec

from etl.demo.neurons.film import FELT, FPS, SEEN, Brand, Film
from etl.demo.picture import picture

OLD_SPELLING = {"intent": "buy", "trust": "trustworthy", "avoidance": "annoying"}
ROW_LABELS: tuple[tuple[str, ...], ...] = (
    ("frame",),
    (),
    ("frame", "time_s"),
    ("time",),
    ("frame", "timestamp"),
)
DELIMITERS = ",;\t"
JSON_IN_CSV = 11  # one sentence of the documentation calls aoi_scores JSON; so it is, once in so many videos

JsonDict = dict[str, Any]

if TYPE_CHECKING:
    from collections.abc import Callable


def spelled(name: str, *, old: bool) -> str:
    """Return a metric's name in the spelling of the medium, its suffix untouched."""
    head, underscore, tail = name.partition("_")
    return OLD_SPELLING.get(head, head) + underscore + tail if old else name


def frame_metrics(film: Film, names: tuple[str, ...], style: int, *, media_id: str, old: bool) -> bytes:
    """One number per frame and metric: as rows, as columns or keyed by frame, bare or wrapped."""
    columns = {spelled(name, old=old): film.curves[name] for name in names}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    body: Any = columns
    if style % 3 == 0:
        labels = ROW_LABELS[style // 3 % len(ROW_LABELS)]
        body = [_labelled(frame, labels) | row for frame, row in enumerate(rows, start=1)]
    elif style % 3 == 2:
        body = {str(frame): row for frame, row in enumerate(rows, start=1)}
    return msgspec.json.encode(_wrapped(body, style // 3, media_id, "metrics"))


def brand_detection(film: Film, style: int, *, media_id: str) -> bytes:
    """Return the brands of each frame: as rows or keyed by frame.

    Frames without any are empty or left out.
    """
    seen = {frame: _seen(film, frame, style) for frame in range(1, film.frames + 1)}
    body: Any
    if style % 2:
        body = {str(frame): found for frame, found in seen.items() if found}
    else:
        labels = ROW_LABELS[0] if style % 4 else ROW_LABELS[2]
        inside = "aois" if style % 3 == 0 else "detections"
        body = [_labelled(frame, labels) | {inside: found} for frame, found in seen.items()]
    return msgspec.json.encode(_wrapped(body, style // 2, media_id, "brand_detection"))


def brand_detection_metrics(film: Film, style: int, *, media_id: str) -> bytes:
    """Return the aggregates of each brand.

    A list named in one of three ways, or an object keyed by name or uuid.
    """
    del media_id
    scores, names = film.scores(), {brand.uuid: brand.name for brand in film.brands}
    bodies: tuple[Callable[[], Any], ...] = (
        lambda: [{"uuid": uuid, "name": names[uuid], **score} for uuid, score in scores.items()],
        lambda: {names[uuid]: score for uuid, score in scores.items()},
        lambda: [{"id": uuid, "name": names[uuid], **score} for uuid, score in scores.items()],
        lambda: {uuid: {"name": names[uuid], **score} for uuid, score in scores.items()},
        lambda: [{"name": names[uuid], **score} for uuid, score in scores.items()],
    )
    return msgspec.json.encode(bodies[style % len(bodies)]())


def aoi_scores(film: Film, style: int, *, media_id: str) -> bytes:
    """Return the same aggregates as CSV of any dialect."""
    if style % JSON_IN_CSV == JSON_IN_CSV - 1:
        return brand_detection_metrics(film, 0, media_id=media_id)
    scores, out = film.scores(), io.StringIO()
    comma = style // 2 % 2 == 1
    writer = csv.writer(out, delimiter=DELIMITERS[style % 3], lineterminator="\r\n" if style % 4 else "\n")
    titles = ["name", "availability", "total_attention", "relative_attention", "rating"]
    writer.writerow(["uuid", *titles] if style % 5 == 4 else titles)
    for brand in film.brands:
        score = scores[brand.uuid]
        numbers = [f"{value:.6f}".replace(".", "," if comma else ".") for value in score.values()]
        rating = "high" if score["relative_attention"] > 50 else "low"
        row = [brand.name, *numbers, rating]
        writer.writerow([brand.uuid, *row] if style % 5 == 4 else row)
    return out.getvalue().encode("utf-8-sig" if style % 2 else "utf-8")


def still(media_id: str, asset: str, run: int) -> bytes:
    """Return a small JPEG that says whose it is."""
    return picture(f"simulated {asset} of {media_id}, run {run}")


def clip(media_id: str, asset: str, run: int) -> bytes:
    """Return a few bytes that begin as a MP4 does and say whose they are."""
    note = f"simulated {asset} of {media_id}, run {run}".encode()
    return b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00" + (len(note) + 8).to_bytes(4) + b"free" + note


def video_asset(asset: str, film: Film, style: int, *, media_id: str, old: bool) -> bytes:
    """One of the five files of a video, by its key in `results`."""
    if asset == "metrics":
        return frame_metrics(film, SEEN, style, media_id=media_id, old=old)
    if asset == "frt_frame_metrics":
        return frame_metrics(film, FELT, style + 4, media_id=media_id, old=old)
    writers = {
        "brand_detection": brand_detection,
        "brand_detection_metrics": brand_detection_metrics,
        "aoi_scores": aoi_scores,
    }
    return writers[asset](film, style, media_id=media_id)


def _labelled(frame: int, labels: tuple[str, ...]) -> JsonDict:
    seconds = (frame - 1) / FPS
    return {label: frame if label == "frame" else seconds for label in labels}


def _wrapped(body: object, wrapping: int, media_id: str, name: str) -> object:
    wrappings = (body, {"media_id": media_id, "fps": FPS, "frames": body}, {name: body})
    return wrappings[wrapping % len(wrappings)]


def _seen(film: Film, frame: int, style: int) -> list[JsonDict]:
    names: tuple[Callable[[Brand], JsonDict], ...] = (
        lambda brand: {"id": brand.uuid, "name": brand.name},
        lambda brand: {"name": brand.name},
        lambda brand: {"uuid": brand.uuid, "name": brand.name},
    )
    found = []
    for brand in film.brands:
        for x0, y0, x1, y1 in brand.boxes(frame):
            where: JsonDict = {"box": {"x0": x0, "y0": y0, "x1": x1, "y1": y1}}
            if style // 2 % 2 == 0:
                corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
                where = {"points": [{"x": x, "y": y} for x, y in corners]}
            found.append(names[style % 3](brand) | where)
    return found
