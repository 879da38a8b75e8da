"""The applications and subjects of the simulated plant, and the models released for them over time."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etl.demo import timeline

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEOPLE = ("ada@example.com", "bruno@example.com", "chidi@example.com", "dana@example.com")
MACHINE = "line-gateway@example.com"
MODELLESS = frozenset({"integration", "http_input", "camera_capture", "network_camera", "kafka_client"})
RELEASES = 90  # enough for a year of `advance`, one every four days

FINDER, LABELS, LOT_CODES, PALLETS, SEALS, GATE = range(6)

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one application of the plant does."""

    name: str
    type: str
    description: str
    subjects: tuple[tuple[str, float], ...]
    """Names of the output subjects, each with its detection threshold."""
    active: bool = True


KINDS = (
    Kind(
        "Find caps and labels",
        "box_detection",
        "Boxes around every cap and label on the filling line; its label boxes feed the next two.",
        (("label", 0.6), ("cap", 0.55)),
    ),
    Kind(
        "Label condition",
        "classification",
        "What each label found upstream looks like.",
        (("label_ok", 0.5), ("label_torn", 0.7), ("label_wrinkled", 0.65), ("label_missing", 0.8)),
    ),
    Kind("Lot code", "ocr", "Reads the lot code printed on the label.", (("lot_code", 0.5),)),
    Kind(
        "Pallet count",
        "point_count_detection",
        "Counts the crates of a pallet and points at the gaps.",
        (("crate", 0.5), ("gap", 0.6)),
    ),
    Kind(
        "Tamper seal (old line)",
        "classification",
        "Kept for its history; the old line was taken down.",
        (("seal_intact", 0.5), ("seal_broken", 0.75)),
        active=False,
    ),
    Kind(
        "Gate passage",
        "integration",
        "What the gate controller reports about the pallets it saw.",
        (("passage", 0.5),),
    ),
)


@dataclass(frozen=True, slots=True)
class Application:
    """What rendering needs to know of one generated application."""

    application_id: str
    role: int
    """Its index in `KINDS`."""
    subjects: tuple[str, ...]
    thresholds: tuple[float, ...]
    released_at: tuple[int, ...]
    models: tuple[str, ...]

    @property
    def has_model(self) -> bool:
        """Whether a model makes this application's assertions."""
        return KINDS[self.role].type not in MODELLESS

    def model_at(self, when: int) -> str:
        """Return the model in production at a moment."""
        return self.models[max(0, bisect_right(self.released_at, when) - 1)]


def word(rng: random.Random, length: int, alphabet: str = ALPHABET) -> str:
    """Return a random word, for identifiers."""
    return "".join(rng.choice(alphabet) for _ in range(length))


def applications(seed: int, count: int) -> Iterator[Application]:
    """`count` applications: the six kinds of the first line, then those of the next."""
    for index in range(count):
        rng = random.Random(f"{seed}:application:{index}")
        kind = KINDS[index % len(KINDS)]
        tail = word(rng, 2, "abcdefghijkmnpqrstuvwxyz0123456789")
        released_at, models = zip(*_releases(rng), strict=True)
        yield Application(
            application_id=word(rng, 8),
            role=index % len(KINDS),
            subjects=tuple(f"{name}_{tail}" for name, _ in kind.subjects),
            thresholds=tuple(threshold for _, threshold in kind.subjects),
            released_at=released_at,
            models=models,
        )


def application_json(application: Application, index: int, tenant_id: str) -> JsonDict:
    """Return the application as the API shows it."""
    kind = KINDS[application.role]
    line = index // len(KINDS) + 1
    created = timeline.START - (200 - index) * timeline.DAY
    model = application.models[0] if application.has_model else None
    return {
        "application_id": application.application_id,
        "tenant_id": tenant_id,
        "name": kind.name if line == 1 else f"{kind.name}, line {line}",
        "description": kind.description,
        "type": kind.type,
        "active": kind.active,
        "realtime": True,
        "release_metrics": "best_F1",
        "input_subjects": [],
        "output_subjects": list(application.subjects),
        "detection_thresholds": dict(zip(application.subjects, application.thresholds, strict=True)),
        "subject_weights": {},
        "app_managers": [PEOPLE[0]],
        "app_type_config": {"max_width": 1600} if kind.type == "box_detection" else {},
        "detection_post_urls": [],
        "gateway_post_urls": [],
        "custom_fields": {},
        "custom_data": {"line": line} if index % 2 else None,
        "hpo_credit": 1,
        "refresh_feedback": False,
        "requested_feedback_per_hour": None,
        "system_feedback_per_hour": 0,
        "release_model_count": len(application.models) if model else 0,
        "candidate_model_count": 2,
        "current_performance": 0.91 if model else None,
        "model_id": model,
        "best_model_ccp_filename": model,
        "last_released_at": timeline.seconds(application.released_at[0]) if model else None,
        "created_by": PEOPLE[0],
        "created_at": timeline.seconds(created),
        "modified_at": timeline.seconds(created + 3 * timeline.DAY + 610_814),
    }


def subjects_json(application: Application, tenant_id: str) -> Iterator[JsonDict]:
    """Yield the application's output subjects as the API shows them."""
    for uid, (name, _) in zip(application.subjects, KINDS[application.role].subjects, strict=True):
        created = timeline.START - 210 * timeline.DAY + len(name) * timeline.HOUR
        yield {
            "subject_uid": uid,
            "tenant_id": tenant_id,
            "name": name.replace("_", " "),
            "description": f"{KINDS[application.role].name}: {name.replace('_', ' ')}",
            "external_id": None,
            "created_by": PEOPLE[0],
            "created_at": timeline.seconds(created),
            "modified_at": timeline.seconds(created + timeline.DAY + 250_000),
            "public_read": False,
            "public_write": False,
            "expires_in": None,
            "consensus_summary": [],
            "custom_data": None,
            "reference_media_id": None,
            "reference_focus": None,
        }


def _releases(rng: random.Random) -> Iterator[tuple[int, str]]:
    """When models were released, and their names: ever longer training, now and then another recipe."""
    released_at = timeline.START - 5 * timeline.DAY
    steps = rng.randrange(900, 2000)
    family = _family(rng)
    for _ in range(RELEASES):
        yield released_at, f"{family}_mtsv0_{steps:04d}.tgz"
        released_at += int(timeline.DAY * rng.uniform(2.5, 5.5))
        steps = (steps + rng.randrange(150, 900)) % 10_000
        if rng.random() < 0.3:
            family = _family(rng)


def _family(rng: random.Random) -> str:
    search = f"{rng.choice('dh')}-{rng.randrange(0x1000, 0x10000):04x}"
    return f"Hpo-{search}-{word(rng, 12)}-{word(rng, 8)}"
