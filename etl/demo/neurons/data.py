"""All media the simulated Neurons account holds: images and videos, finished, open and failed.

The asset files have synthetic shapes: no real one is published.
"""

import copy
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from etl.demo import timeline
from etl.demo.neurons.assets import clip, spelled, still, video_asset
from etl.demo.neurons.film import FELT, SEEN, Subject, film, film_metrics
from etl.demo.neurons.media import CLIPS, CONTENT_TYPES, OPEN, Medium, Stage, image_metrics

JsonDict = dict[str, Any]
Asset = bytes | tuple[bytes, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronsSize:
    """How much there is at first, spread over thirty days."""

    media: int = 40
    video_share: float = 0.4
    frames: tuple[int, int] = (144, 480)
    """The shortest and the longest video: 6 to 20 seconds of 24 frames."""


@dataclass(frozen=True, slots=True)
class _Own:
    shown: JsonDict
    assets: dict[str, Asset]


class NeuronsData:
    """The truth behind the API. Every method may be called while the server answers."""

    def __init__(self, seed: int, size: NeuronsSize) -> None:
        self.lock = threading.RLock()
        self._seed = seed
        self._size = size
        self._rng = random.Random(f"{seed}:neurons")
        self._media: dict[str, Medium] = {}
        self._own: dict[str, _Own] = {}
        self._made = 0
        done = timeline.work(timeline.START)
        month = timeline.work(timeline.START + timeline.SPAN) - done
        self._pace = month / max(size.media, 20)  # a handful of media must not make `advance` leap by weeks
        for count in range(size.media):
            self._add(timeline.moment(done + (count + self._rng.random()) * month / size.media))
        self._leave_open(size.media)

    # What changes it

    def advance(self, media: int = 1) -> None:
        """Finish everything open, predict one finished medium anew, and let so many new media arrive."""
        with self.lock:
            done = timeline.work(self._newest() + timeline.SECOND)
            opened = [one for one in self._media.values() if one.stage in OPEN]
            finished = [one for one in self._media.values() if one.stage is Stage.DONE]
            again = self._rng.sample(finished, k=min(1, len(finished)))
            for one in [*opened, *again]:
                done += self._pace * self._rng.uniform(0.05, 0.2)
                run = one.run + (one in again)
                self._media[one.media_id] = replace(
                    one, stage=Stage.DONE, run=run, updated=timeline.moment(done)
                )
            for _ in range(media):
                done += self._pace * self._rng.uniform(0.2, 1.8)
                self._add(timeline.moment(done))
            self._leave_open(media)

    def rerun(self, media_id: str, at: float | None = None) -> None:
        """Predict a generated medium anew: its metrics, the content of its assets and `updated_at` change."""
        with self.lock:
            one = self._generated(media_id)
            stage = Stage.DONE if one.stage is Stage.FAILED else one.stage
            self._media[media_id] = replace(one, stage=stage, run=one.run + 1, updated=self._moment(at))

    def finish(self, media_id: str, at: float | None = None) -> None:
        """End the prediction of a medium; where it may have areas of interest, looking for them begins."""
        with self.lock:
            one = self._generated(media_id)
            if one.stage not in {Stage.WAITING, Stage.PARTIAL}:
                raise ValueError(f"the prediction of {media_id} has ended before")
            stage = Stage.AOI_OPEN if one.finds_brands else Stage.DONE
            self._media[media_id] = replace(one, stage=stage, updated=self._moment(at))

    def finish_aois(self, media_id: str, at: float | None = None, *, silently: bool = False) -> None:
        """End looking for areas of interest: their three assets appear; `silently` leaves `updated_at`."""
        with self.lock:
            one = self._generated(media_id)
            if one.stage is not Stage.AOI_OPEN:
                raise ValueError(f"nobody is looking for areas of interest in {media_id}")
            updated = one.updated if silently else self._moment(at)
            self._media[media_id] = replace(one, stage=Stage.DONE, updated=updated)

    def put(self, medium: JsonDict, assets: Mapping[str, Asset] | None = None) -> None:
        """Insert or replace a medium as it shall be shown; its `results` will link to each of the assets.

        `results` it brings along win over these links, so that a link may lead anywhere. Without `created_at`
        the medium is the newest.
        """
        with self.lock:
            shown = copy.deepcopy(medium)
            shown.setdefault("created_at", _iso(self._newest() + timeline.SECOND))
            self._own.pop(shown["media_id"], None)
            self._own[shown["media_id"]] = _Own(shown, dict(assets or {}))

    def remove(self, media_id: str) -> None:
        """Let a medium be gone: no list shows it, and asking for it is answered 404."""
        with self.lock:
            self._media.pop(media_id, None)
            self._own.pop(media_id, None)

    # What it says

    def truth(self) -> Iterator[JsonDict]:
        """All current media as the API shows them, oldest first, but with `results` as a list of names."""
        with self.lock:
            media = [self.shown(media_id) for media_id in self.media_ids()]
        yield from media

    def asset_bytes(self, media_id: str, asset: str) -> bytes:
        """Return the content of an asset as it is now, by its key in `results`."""
        with self.lock:
            return self.asset(media_id, asset)[0]

    def media_ids(self) -> list[str]:
        """All ids, oldest first."""
        created = {one.media_id: _iso(one.created) for one in self._media.values()}
        created |= {media_id: str(own.shown["created_at"]) for media_id, own in self._own.items()}
        return sorted(created, key=created.__getitem__)

    def holds(self, media_id: str) -> bool:
        """Whether there is such a medium."""
        return media_id in self._own or media_id in self._media

    def shown(self, media_id: str) -> JsonDict:
        """One medium, `results` being the list of its assets."""
        if media_id in self._own:
            own = self._own[media_id]
            return {**own.shown, "results": sorted({*own.assets, *own.shown.get("results", ())})}
        one = self._media[media_id]
        statuses = {Stage.DONE: "done", Stage.AOI_OPEN: "done", Stage.FAILED: "failed"}
        aoi_status = "unspecified"
        if one.finds_brands:
            aoi_status = {Stage.DONE: "done", Stage.AOI_OPEN: "started"}.get(one.stage, "unspecified")
        return {
            "media_id": media_id,
            "name": f"spot_{one.number:03d}" if one.style is not None else f"banner_{one.number:03d}",
            "status": statuses.get(one.stage, "started"),
            "type": "image" if one.style is None else "video",
            "aoi_status": aoi_status,
            "results": one.assets,
            "metrics": self._metrics(one),
            "created_at": _iso(one.created),
            "updated_at": _iso(one.updated),
        }

    def own_results(self, media_id: str) -> object:
        """Return the `results` a hand-written medium insists on, however odd, {} where it has none."""
        return self._own[media_id].shown.get("results", {}) if media_id in self._own else {}

    def asset(self, media_id: str, asset: str) -> tuple[bytes, str]:
        """Return the content and the content type of an asset; KeyError where there is none."""
        kind = CONTENT_TYPES["." + self.filename(media_id, asset).rpartition(".")[2]]
        if media_id in self._own:
            content = self._own[media_id].assets[asset]
            return content if isinstance(content, tuple) else (content, kind)
        one = self._media[media_id]
        if asset not in one.assets:
            raise KeyError(asset)
        if one.style is None:
            return still(media_id, asset, one.run), kind
        if asset in CLIPS:
            return clip(media_id, asset, one.run), kind
        return video_asset(asset, film(self._subject(one)), one.style, media_id=media_id, old=one.old), kind

    def filename(self, media_id: str, asset: str) -> str:
        """Return the last part of an asset's link."""
        if asset == "aoi_scores":
            return "media_aoi_scores.csv"
        if asset in {"brand_detection", "brand_detection_metrics"}:
            return f"media_{asset}.json"
        if asset in {"metrics", "frt_frame_metrics"}:
            return "media_nvai_metrics.json" if asset == "metrics" else "media_frt_metrics.json"
        is_video = self.shown(media_id).get("type") == "video"
        return f"media_nvai_{spelled(asset, old=True)}.{'mp4' if is_video else 'jpeg'}"

    def _generated(self, media_id: str) -> Medium:
        if media_id not in self._media:
            raise LookupError(f"there is no generated medium {media_id}; `put` changes one that was put")
        return self._media[media_id]

    def _moment(self, at: float | None) -> int:
        """Return a time in microseconds; without one, a second after everything so far."""
        return self._newest() + timeline.SECOND if at is None else round(at * timeline.SECOND)

    def _metrics(self, one: Medium) -> dict[str, float]:
        if one.stage in {Stage.WAITING, Stage.FAILED}:
            return {}
        if one.style is None:
            values = image_metrics(random.Random(f"{self._seed}:image:{one.number}:{one.run}"))
        else:
            values = film_metrics(self._subject(one), FELT if one.stage is Stage.PARTIAL else (*SEEN, *FELT))
        return {spelled(name, old=one.old): value for name, value in values.items()}

    def _subject(self, one: Medium) -> Subject:
        return Subject(self._seed, one.number, one.run, self._size.frames)

    def _newest(self) -> int:
        return max((one.updated for one in self._media.values()), default=timeline.START)

    def _add(self, created: int) -> None:
        number, share = self._made, self._size.video_share
        self._made += 1
        style = int(number * share) if int((number + 1) * share) > int(number * share) else None
        took = self._rng.randrange(90, 1500) * timeline.SECOND
        media_id = str(UUID(int=self._rng.getrandbits(128), version=4))
        self._media[media_id] = Medium(
            number=number,
            style=style,
            media_id=media_id,
            created=created,
            updated=created if style is None else created + took,
            stage=Stage.FAILED if number % 17 == 11 else Stage.DONE,
        )

    def _leave_open(self, newest: int) -> None:
        """Of the newest media, leave the last videos in each of the open stages."""
        recent = list(self._media.values())[-newest:] if newest else []
        videos = [one for one in recent if one.style is not None]
        for stage, one in zip(OPEN, reversed(videos), strict=False):
            self._media[one.media_id] = replace(one, stage=stage)


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment // timeline.SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
