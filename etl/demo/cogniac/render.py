"""Turns the numbers of a record into the object the API shows, the same every time."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from etl.demo import timeline
from etl.demo.cogniac.appdata import Payload, Scene, corrected, payload
from etl.demo.cogniac.catalog import ALPHABET, FINDER, LABELS, MACHINE, PEOPLE, SEALS, Application, word
from etl.demo.cogniac.ledger import CAPTURED, Ledger
from etl.demo.cogniac.media import FPS, FRAMES_PER_VIDEO, VIDEO, Album, Camera, Lane, Look

LETTERS = str.maketrans("0123456789", "GHIJKLMNOP")  # makes hexadecimal digits look like the vendor's ids
ONE_OF = frozenset({LABELS, SEALS})  # a label is torn or wrinkled; elsewhere each subject stands alone

JsonDict = dict[str, Any]

if TYPE_CHECKING:
    from array import array


@dataclass(frozen=True, slots=True)
class Case:
    """One record, taken out of its ledger."""

    application: Application
    scene: Scene
    media_id: str
    focus: JsonDict | None
    doubt: int
    born: int
    bumps: tuple[int, ...]
    key: str
    """Starts every chance this record takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """Who says what about a subject, and when."""

    subject: str
    probability: float
    said: Payload
    at: int
    detection_id: str
    before: float | None = None
    uncalibrated: float | None = None
    model_id: str | None = None
    user_id: str | None = None


class Renderer:
    """Full records and media objects on request; nothing is kept."""

    def __init__(self, seed: int, album: Album, camera: Camera, taken: "array[int]") -> None:
        self._seed = seed
        self._album = album
        self._camera = camera
        self._taken = taken

    def record(
        self, application: Application, ledger: Ledger, record: int, *, abridged: bool = False
    ) -> JsonDict:
        """One generated record as the API shows it."""
        number = ledger.media[record]
        case = self._case(application, ledger, record)
        shown: JsonDict = {
            "detections": detections(case),
            "media": {"media_id": case.media_id},
            "focus": case.focus,
            "updated_at": timeline.seconds(ledger.updated[record]),
        }
        if not abridged:
            shown["media"] = self._camera.medium(number, case.scene.look, case.media_id, self._taken[number])
        if number and case.scene.look.dice % 41 == 0:
            shown["other_media"] = [{"media_id": self._album.media_id(number - 1)}]
        return shown

    def medium(self, number: int) -> JsonDict | None:
        """Return the full media object of a number, None where nothing was captured under it."""
        first = (number ^ VIDEO) * FRAMES_PER_VIDEO if number & VIDEO else number
        if first >= len(self._taken):
            return None
        if number & VIDEO and self._album.look(first).lane is not Lane.FRAME:
            return None
        taken = self._taken[first] - (30 * timeline.SECOND if number & VIDEO else 0)
        return self._camera.medium(number, self._album.look(number), self._album.media_id(number), taken)

    def focus(self, number: int, look: Look, focus: int) -> JsonDict | None:
        """Return the part of a medium that a record is about, None for all of it."""
        if not focus:
            return None
        box = {"box": self._album.boxes(number, look)[focus - 1]}
        return {**box, "frame": look.dice % 4 * FPS} if look.lane is Lane.VIDEO else box

    def _case(self, application: Application, ledger: Ledger, record: int) -> Case:
        number, focus = ledger.media[record], ledger.focus[record]
        look = self._album.look(number)
        boxes = self._album.boxes(number, look) if application.role == FINDER else []
        return Case(
            application=application,
            scene=Scene(application.role, look, boxes),
            media_id=self._album.media_id(number),
            focus=self.focus(number, look, focus),
            doubt=ledger.doubt[record],
            born=ledger.born[record],
            bumps=ledger.bumps(record),
            key=f"{self._seed}:{application.application_id}:{number}:{focus}",
        )


def detections(case: Case) -> list[JsonDict]:
    """Return the latest assertions: the model's, and what people made of them since."""
    rng = random.Random(case.key)
    asks_model = case.application.has_model
    opinions = _model(case, case.born, {}, rng) if asks_model else [_gate(case, rng)]
    for count, at in enumerate(case.bumps, start=1):
        rng = random.Random(f"{case.key}:{count}")
        if count > 1 and asks_model and rng.random() < 0.3:
            people = [opinion for opinion in opinions if opinion.user_id]
            before = {opinion.subject: opinion.probability for opinion in opinions}
            opinions = [*_model(case, at, before, rng), *people]
        else:
            opinions = _feedback(case, at, opinions, rng)
    shown = [_assertion(case, opinion) for opinion in opinions]
    return [_capture(case), *shown] if case.doubt == CAPTURED else shown


def _model(case: Case, at: int, before: dict[str, float], rng: random.Random) -> list[Opinion]:
    """One pass of the model in production then: an opinion about every subject."""
    application = case.application
    prefix = f"{rng.getrandbits(48):012X}".translate(LETTERS)
    likely = 0 if rng.random() < 0.8 else rng.randrange(len(application.subjects))
    opinions = []
    for index, subject in enumerate(application.subjects):
        if application.role in ONE_OF:
            positive = index == likely
        else:
            positive = rng.random() < 0.95 and bool(application.role != FINDER or case.scene.look.labels)
        probability = _probability(application.thresholds[index], case.doubt, rng, positive=positive)
        uncalibrated = probability**1.2 if probability > 0.02 or rng.random() < 0.5 else 0
        opinions.append(
            Opinion(
                subject=subject,
                probability=probability,
                said=payload(case.scene, index, rng),
                at=at,
                detection_id=f"{prefix}:{index}",
                before=before.get(subject),
                uncalibrated=uncalibrated,
                model_id=application.model_at(at),
            )
        )
    return opinions


def _probability(threshold: float, doubt: int, rng: random.Random, *, positive: bool) -> float:
    """Far from the threshold when sure, close to it when in doubt."""
    far = (1 - (doubt % CAPTURED) / CAPTURED) * rng.uniform(0.75, 0.999)
    return threshold + (1 - threshold) * far if positive else threshold * (1 - far)


def _feedback(case: Case, at: int, opinions: list[Opinion], rng: random.Random) -> list[Opinion]:
    """Return a person confirms or rejects the likeliest subject.

    Now and then only the person's word stays.
    """
    top = max(opinions, key=lambda opinion: opinion.probability)
    agrees = rng.random() < 0.55
    person = rng.choice(PEOPLE)
    said = top.said if agrees else corrected(top.said, rng)
    verdicts = [(top, agrees or said != top.said, said)]
    others = [opinion for opinion in opinions if opinion.subject != top.subject]
    if not agrees and case.application.role in ONE_OF and others:
        verdicts.append((rng.choice(others), True, (None, None)))
    subjects = {opinion.subject for opinion, _, _ in verdicts}
    instead = rng.random() < 0.3
    kept = [o for o in opinions if o.subject not in subjects or not (instead or o.user_id)]
    return kept + [
        Opinion(
            subject=opinion.subject,
            probability=1 - (1 - opinion.probability) * 0.1 if right else opinion.probability * 0.1,
            said=what,
            at=at,
            detection_id=word(rng, 9, ALPHABET),
            before=opinion.probability,
            uncalibrated=1.0 if right else 0.0,
            user_id=person,
        )
        for opinion, right, what in verdicts
    ]


def _gate(case: Case, rng: random.Random) -> Opinion:
    """Return an integration has no model: a machine user asserts."""
    return Opinion(
        subject=case.application.subjects[0],
        probability=1.0,
        said=payload(case.scene, 0, rng),
        at=case.born,
        detection_id=word(rng, 9, ALPHABET),
        uncalibrated=1.0,
        user_id=MACHINE,
    )


def _assertion(case: Case, opinion: Opinion) -> JsonDict:
    kind, data = opinion.said
    return {
        "app_data": data,
        "app_data_type": kind,
        "app_id": case.application.application_id,
        "created_at": timeline.seconds(opinion.at),
        "detection_id": opinion.detection_id,
        "focus": case.focus,
        "media_id": case.media_id,
        "model_id": opinion.model_id,
        "prev_prob": opinion.before,
        "probability": opinion.probability,
        "subject_uid": opinion.subject,
        "uncal_prob": opinion.uncalibrated,
        "user_id": opinion.user_id,
    }


def _capture(case: Case) -> JsonDict:
    """Return a person put the medium into a subject, outside any application.

    No app_id, no uncal_prob at all.
    """
    rng = random.Random(f"{case.key}:capture")
    captured = _assertion(
        case,
        Opinion(
            subject=case.application.subjects[0],
            probability=1.0,
            said=(None, None),
            at=case.born,
            detection_id=word(rng, 9, ALPHABET),
            user_id=rng.choice(PEOPLE),
        ),
    )
    del captured["uncal_prob"]
    return captured | {"app_id": None}
