"""What a simulated video does to its viewers, frame by frame, and which brands move through it.

The numbers are synthetic, and so are the shapes of the asset files made of them: no real one is published.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import fmean
from uuid import UUID

FPS = 24
WINDOW = 2 * FPS  # `_start` and `_end` are the first and last two seconds
SEEN = ("focus", "cognitive_demand")
FELT = ("engagement_new", "memory", "intent", "trust", "avoidance")
"""What the faster model answers: Neurons calls it FRT."""
BRANDS = ("Nordlicht Cola", "Café Müller", "Svala, Sko & Co", 'Uhren "Zeit"', "Pão Quente", "Åker Bikes")

Curve = list[float | None]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the numbers of a video start from; a new run of the prediction is another subject."""

    seed: int
    number: int
    run: int
    frames: tuple[int, int]
    """The shortest and the longest film."""


@dataclass(frozen=True, slots=True)
class Brand:
    """One brand that drifts through the picture while it is visible."""

    uuid: str
    name: str
    first: int
    last: int
    center: Point
    drift: Point
    size: Point
    twice: bool
    """Seen a second time beside itself, in every third frame."""

    def boxes(self, frame: int) -> list[tuple[float, float, float, float]]:
        """Where it is in a frame: x0, y0, x1, y1 in 0..1 for each instance."""
        if not self.first <= frame <= self.last:
            return []
        since = frame - self.first
        x, y = self.center[0] + self.drift[0] * since, self.center[1] + self.drift[1] * since
        places = [(x, y), (x - 0.25, y)] if self.twice and frame % 3 == 0 else [(x, y)]
        return [self._around(place) for place in places]

    def _around(self, place: Point) -> tuple[float, float, float, float]:
        (x, y), (width, height) = place, self.size
        x0, y0 = min(max(x - width / 2, 0.0), 1 - width), min(max(y - height / 2, 0.0), 1 - height)
        return round(x0, 6), round(y0, 6), round(x0 + width, 6), round(y0 + height, 6)


@dataclass(frozen=True, slots=True)
class Film:
    """All numbers of one video."""

    frames: int
    curves: dict[str, Curve]
    brands: tuple[Brand, ...]

    def metrics(self, names: Sequence[str]) -> dict[str, float]:
        """Return the aggregates of some curves, named as the API names them."""
        found = {}
        for name in names:
            begin, end = ("_first_two", "_last_two") if name == "focus" else ("_start", "_end")
            curve = self.curves[name]
            found[name] = _mean(curve)
            if name != "cognitive_demand":  # the documented sample has no window of it
                found |= {name + begin: _mean(curve[:WINDOW]), name + end: _mean(curve[-WINDOW:])}
        return found

    def scores(self) -> dict[str, dict[str, float]]:
        """Availability and attention of each brand, by its uuid, consistent with the frames."""
        focus = [value or 0.0 for value in self.curves["focus"]]
        totals: dict[str, float] = {}
        shares: dict[str, float] = {}
        for brand in self.brands:
            visible = range(brand.first, brand.last + 1)
            area = brand.size[0] * brand.size[1]
            totals[brand.uuid] = fmean(focus[frame - 1] for frame in visible) * min(1.0, 6 * area)
            shares[brand.uuid] = len(visible) / self.frames
        everything = sum(totals.values())
        return {
            uuid: {
                "availability": shares[uuid],
                "total_attention": total,
                "relative_attention": 100 * total / everything,
            }
            for uuid, total in totals.items()
        }


@lru_cache(maxsize=64)
def film(subject: Subject) -> Film:
    """Return the film of a subject, always the same."""
    rng = random.Random(f"{subject.seed}:film:{subject.number}:{subject.run}")
    frames = rng.randint(*subject.frames)
    cuts = [1, *sorted(rng.sample(range(WINDOW, max(frames - FPS, WINDOW + 5)), k=min(4, frames // 72)))]
    curves: dict[str, Curve] = {}
    for name in (*SEEN, *FELT):
        pull = -rng.uniform(4, 10) if name in {"avoidance", "cognitive_demand"} else rng.uniform(8, 22)
        curves[name] = _curve(rng, frames, cuts, pull)
    if subject.number % 4 == 0:
        for name in FELT:
            curves[name][:3] = [None] * 3  # the model has no opinion before its third frame
    return Film(frames, curves, tuple(_brands(rng, frames)))


@lru_cache(maxsize=10_000)
def film_metrics(subject: Subject, names: tuple[str, ...]) -> dict[str, float]:
    """Return the aggregates of a film, kept longer than its frames: every listing shows them."""
    return film(subject).metrics(names)


def _curve(rng: random.Random, frames: int, cuts: Sequence[int], pull: float) -> Curve:
    """Return a peak at the start and a smaller one at each cut, over a sinking level, with noise."""
    level, sinking = rng.uniform(38, 72), rng.uniform(2, 10) / frames
    curve: Curve = []
    for scene, (begin, end) in enumerate(pairwise([*cuts, frames + 1])):
        peak = pull if scene == 0 else pull * rng.uniform(0.3, 0.8)
        for frame in range(begin, end):
            value = level - sinking * frame + peak * 0.96 ** (frame - begin) + rng.gauss(0, 0.7)
            curve.append(min(max(value, 0.0), 100.0))
    return curve


def _brands(rng: random.Random, frames: int) -> list[Brand]:
    brands = []
    for name in rng.sample(BRANDS, k=rng.randint(1, 4)):
        first = rng.randint(1, frames // 2)
        size = round(rng.uniform(0.06, 0.25), 4), round(rng.uniform(0.05, 0.2), 4)
        brands.append(
            Brand(
                uuid=str(UUID(int=rng.getrandbits(128), version=4)),
                name=name,
                first=first,
                last=rng.randint(first + FPS, frames) if first + FPS < frames else frames,
                center=(rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.8)),
                drift=(rng.uniform(-0.0015, 0.0015), rng.uniform(-0.0008, 0.0008)),
                size=size,
                twice=rng.random() < 0.3,
            )
        )
    return brands


def _mean(curve: Curve) -> float:
    return fmean(value for value in curve if value is not None)
