"""Media of the simulated plant: a number is enough to know everything about one, id included."""

import random
from base64 import b32decode, b32encode
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Any

import msgspec

from etl.demo import timeline

FRAMES_PER_VIDEO = 8
FPS = 24
VIDEO = 1 << 40
"""Set in the number of a video whose frames are media of their own; the rest is their common number."""

_ODD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_BACK = pow(_ODD, -1, 1 << 64)
_STILL_SIZES = ((1280, 960), (1600, 1200), (1920, 1080), (2448, 2048))
_FILE_NOTES = ("filler A", "filler B", "after maintenance", "night shift")

JsonDict = dict[str, Any]


class Lane(IntEnum):
    """Where a medium comes from."""

    STILL = 0
    FRAME = 1
    VIDEO = 2
    PALLET = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What planning and rendering must agree on about a medium."""

    lane: Lane
    width: int
    height: int
    labels: int
    """How many labels are in it; downstream applications look at each."""
    dice: int
    """64 bits of chance for whoever needs a decision that stays."""


class Album:
    """All media of one seed: `look`, `media_id` and the way back cost no memory."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._key = int.from_bytes(blake2b(f"{seed}:album".encode(), digest_size=8).digest())

    def look(self, number: int) -> Look:
        """Return the few facts of a medium that others build on."""
        if number & VIDEO:
            return Look(Lane.VIDEO, 1920, 1080, 0, 0)
        dice = self._scatter(number)
        lane = Lane.STILL
        if self._scatter(number // FRAMES_PER_VIDEO + VIDEO) % 100 < 12:
            lane = Lane.FRAME
        elif dice % 100 < 4:
            lane = Lane.VIDEO
        elif dice % 100 < 28:
            lane = Lane.PALLET
        width, height = _STILL_SIZES[dice >> 8 & 3]
        if lane is not Lane.STILL:
            width, height = (4000, 3000) if lane is Lane.PALLET else (1920, 1080)
        labels = 0 if lane is Lane.PALLET else (0, 1, 1, 1, 1, 2, 2, 3)[dice >> 10 & 7]
        return Look(lane, width, height, labels, dice >> 16)

    def media_id(self, number: int) -> str:
        """Return the 28 characters that name a medium."""
        scrambled = (number ^ self._key) * _ODD & _MASK
        return b32encode(scrambled.to_bytes(8) + self._seal(number))[:28].decode()

    def number(self, media_id: str) -> int | None:
        """Return the number behind an id of this album, None for any other text."""
        try:
            raw = b32decode(media_id + "====")
        except ValueError:
            return None
        number = (int.from_bytes(raw[:8]) * _BACK & _MASK) ^ self._key
        return number if self.media_id(number) == media_id else None

    def boxes(self, number: int, look: Look) -> list[JsonDict]:
        """Where the labels are, as app_data's `box` shows it, left to right."""
        rng = random.Random(f"{self._seed}:boxes:{number}")
        column = look.width // max(1, look.labels)
        boxes = []
        for place in range(look.labels):
            width, height = int(column * rng.uniform(0.3, 0.6)), int(look.height * rng.uniform(0.2, 0.45))
            x0 = place * column + rng.randrange(1, column - width)
            y0 = rng.randrange(1, look.height - height)
            boxes.append({"x0": x0, "x1": x0 + width, "y0": y0, "y1": y0 + height})
        return boxes

    def _scatter(self, number: int) -> int:
        mixed = (number ^ self._key) * _ODD & _MASK
        return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 >> 7 & _MASK

    def _seal(self, number: int) -> bytes:
        return blake2b(f"{self._seed}:{number}".encode(), digest_size=9).digest()


class Camera:
    """Renders the media object of any medium whose time of capture is known."""

    def __init__(self, seed: int, album: Album, tenant_id: str) -> None:
        self._seed = seed
        self._album = album
        self._tenant_id = tenant_id
        self.files_url = "https://media.example.com/"
        """What links begin with; may be changed at any time."""

    def medium(self, number: int, look: Look, media_id: str, taken: int) -> JsonDict:
        """Return the full media object."""
        rng = random.Random(f"{self._seed}:media:{number}")
        url = f"{self.files_url}{media_id}"
        medium = _BLANK | {
            "created_at": timeline.seconds(taken + rng.randrange(20_000, 900_000)),
            "image_height": look.height,
            "image_width": look.width,
            "md5": f"{rng.getrandbits(128):032x}",
            "media_id": media_id,
            "media_timestamp": timeline.seconds(taken),
            "media_url": url,
            "parent_media_ids": [],
            "resize_urls": {"454": f"{url}_max_454", "750": f"{url}_max_750"},
            "set_assignment": "training" if look.dice % 5 else "validation",
            "size": int(look.width * look.height * rng.uniform(0.06, 0.16)),
            "tenant_id": self._tenant_id,
            "domain_unit": f"PAL-{number // 3 % 100_000:05d}" if look.lane is Lane.PALLET else None,
        }
        if look.lane is Lane.FRAME:
            medium |= self._frame(number)
        elif look.lane is Lane.VIDEO:
            medium |= _video(rng, number)
        else:
            medium |= _still(rng, number)
        return medium | _notes(rng)

    def _frame(self, number: int) -> JsonDict:
        parent = self._album.media_id(VIDEO | number // FRAMES_PER_VIDEO)
        return {
            "frame": number % FRAMES_PER_VIDEO * FPS,
            "parent_media_id": parent,
            "parent_media_ids": [parent],
        }


def _still(rng: random.Random, number: int) -> JsonDict:
    return {
        "filename": f"cam{number % 3 + 1}_{number:07d}.jpg",
        "external_media_id": f"mes-{rng.getrandbits(40):010x}" if rng.random() < 0.4 else None,
        "network_camera_id": f"nc{number % 3 + 1:04d}",
        "uploaded_by_user": "ada@example.com" if rng.random() < 0.1 else None,
    }


def _video(rng: random.Random, number: int) -> JsonDict:
    frames = rng.randrange(5, 40) * FPS
    return {
        "duration": frames / FPS,
        "filename": f"line_{number % VIDEO:07d}.mp4",
        "fps": float(FPS),
        "media_format": "MP4",
        "num_frames": frames,
        "size": frames * rng.randrange(9_000, 24_000),
        "time_base": 90,
        "video": True,
    }


def _notes(rng: random.Random) -> JsonDict:
    """Tags and custom data, the latter at times as JSON text, as the real service was seen to send it."""
    note: JsonDict = {
        "shift": rng.choice("ABC"),
        "operator": rng.randrange(100, 999),
        "ok": rng.random() < 0.9,
    }
    chance = rng.random()
    custom: JsonDict | str | None = None if chance < 0.6 else note
    if chance > 0.85:
        custom = msgspec.json.encode(note).decode()
    tags = [rng.choice(_FILE_NOTES)] if rng.random() < 0.5 else []
    return {"custom_data": custom, "meta_tags": [*tags, "plant"] if tags else None}


_BLANK: JsonDict = {
    "author": None,
    "author_profile_url": None,
    "created_at": None,
    "custom_data": None,
    "domain_unit": None,
    "external_media_id": None,
    "filename": None,
    "frame": None,
    "image_height": None,
    "image_width": None,
    "license": None,
    "md5": None,
    "media_format": "JPEG",
    "media_id": None,
    "media_src": "edgeflow",
    "media_timestamp": None,
    "media_url": None,
    "meta_tags": None,
    "network_camera_id": None,
    "original_landing_url": None,
    "original_url": None,
    "parent_media_id": None,
    "parent_media_ids": None,
    "preview_url": None,
    "resize_urls": None,
    "set_assignment": None,
    "size": None,
    "source_url": None,
    "status": "success",
    "tenant_id": None,
    "title": None,
    "uploaded_by_user": None,
    "video": False,
}
"""The fields in the order of the documented sample; what no medium of the plant has stays null."""
