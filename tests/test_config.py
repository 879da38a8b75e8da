"""Settings: command line beats environment beats file; secrets are kept, and mistakes are named."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from etl.config import load
from etl.errors import ConfigError
from etl.setting import Secret, Setting, Url, is_loopback


@dataclass(frozen=True)
class Acme:
    """The settings of a made-up API."""

    key: Annotated[Secret, Setting("ACME_KEY", "Key of a made-up API.")]
    url: Annotated[Url, Setting("ACME_URL", "Its address.", "https://api.acme.example/")]
    parts: Annotated[tuple[str, ...], Setting("ACME_PARTS", "What to read of it.")]


@dataclass(frozen=True)
class AcmeUser:
    """The settings of another, where users log in."""

    password: Annotated[Secret, Setting("ACME_PASS", "A password.", is_password=True)]


KNOWN = (
    "ACME_KEY, ACME_PARTS, ACME_URL, SIGHTGLASS_ARCHIVE, SIGHTGLASS_ARCHIVE_DISK, "
    "SIGHTGLASS_ARCHIVE_MINUTES, SIGHTGLASS_ARCHIVE_RATE, "
    "SIGHTGLASS_BODY_MEMORY, SIGHTGLASS_CONCURRENCY, SIGHTGLASS_HOME, "
    "SIGHTGLASS_LAG, SIGHTGLASS_LAKE_GRACE, SIGHTGLASS_LAKE_URI, SIGHTGLASS_LISTEN, "
    "SIGHTGLASS_LISTEN_BODY, SIGHTGLASS_LISTEN_RATE, SIGHTGLASS_LISTEN_SECRET, SIGHTGLASS_METRICS_FILE, "
    "SIGHTGLASS_ON_FAILURE, SIGHTGLASS_OVERLAP, SIGHTGLASS_PING_URL, SIGHTGLASS_RAW_DAYS, "
    "SIGHTGLASS_RETRY_BUDGET, SIGHTGLASS_RUN_DAYS, SIGHTGLASS_SOURCES, SIGHTGLASS_SQL_MEMORY, "
    "SIGHTGLASS_TIME_ZONE"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: the settings file is looked for there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, name: str = "sightglass.toml") -> Path:
    """A settings file in the current folder."""
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def complaint(
    environ: Mapping[str, str], flags: Mapping[str, str] | None = None, file: Path | None = None
) -> str:
    """What is said about settings that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load([Acme], environ, flags, file)
    return str(caught.value)


def test_defaults_are_those_of_the_contract(folder: Path) -> None:
    """Where nothing is given, the documented defaults hold."""
    settings = load([Acme], {})

    assert (folder / "warehouse", 3600.0, 5.0, 8, 120.0, 30) == (
        settings.home,
        settings.overlap,
        settings.lag,
        settings.concurrency,
        settings.retry_budget,
        settings.raw_days,
    )


@pytest.mark.parametrize(
    ("flag", "environment", "file", "expected"),
    [
        ("1", "2", "3", 1.0),
        (None, "2", "3", 2.0),
        (None, None, "3", 3.0),
        (None, None, None, 5.0),
        ("1", None, "3", 1.0),
        ("0", "2", None, 0.0),
        (None, "", "3", 3.0),
        (None, "", None, 5.0),
    ],
)
def test_flag_beats_environment_beats_file(
    flag: str | None, environment: str | None, file: str | None, expected: float
) -> None:
    """The first of command line, environment, file and default wins; an empty variable counts as none."""
    name = "SIGHTGLASS_LAG"
    if file is not None:
        written(f"{name} = {file}")

    settings = load(
        [Acme],
        {} if environment is None else {name: environment},
        {} if flag is None else {name: flag},
    )

    assert expected == settings.lag


def test_named_file_is_read_in_place_of_the_one_in_the_folder() -> None:
    """`--config` names the only file that is read; values keep their form, and lists are joined."""
    written("SIGHTGLASS_LAG = 1")
    other = written('SIGHTGLASS_OVERLAP = 1.5\nACME_PARTS = ["a", "b, c"]\nSIGHTGLASS_HOME = "~/w"', "o.toml")

    settings = load([Acme], {}, None, other)

    assert (5.0, 1.5, ("a", "b", "c"), Path("~/w").expanduser()) == (
        settings.lag,
        settings.overlap,
        settings.of(Acme).parts,
        settings.home,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("a", ("a",)), (" a ,, b c,", ("a", "b c"))],
    ids=["none", "one", "several"],
)
def test_list_is_separated_by_commas(text: str, expected: tuple[str, ...]) -> None:
    """The parts of a list come without the white space around them, and without empty ones."""
    settings = load([Acme], {"ACME_PARTS": text})

    assert expected == settings.of(Acme).parts


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ""),
        ({"ACME_KEY": "id:open"}, "id:open"),
        ({"ACME_KEY_FILE": "key.txt"}, "id:kept"),
        ({"ACME_KEY": "", "ACME_KEY_FILE": "key.txt"}, "id:kept"),
        ({"ACME_KEY": "id:open", "ACME_KEY_FILE": "absent.txt"}, "id:open"),
    ],
)
def test_secret_comes_from_the_environment_or_a_file_named_there(
    environ: Mapping[str, str], expected: str
) -> None:
    """A secret is the variable's value, or else the content of the file that `<NAME>_FILE` names."""
    written("id:kept\n", "key.txt")

    secret = load([Acme], environ).of(Acme).key

    assert (expected, bool(expected)) == (secret.reveal(), bool(secret))


def test_secret_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """A secret's file that is absent, or no text, is refused by its name; nothing of it is shown."""
    (folder / "key.bin").write_bytes(b"\xffsecret")

    found = [complaint({"ACME_KEY_FILE": name}) for name in ("absent.txt", "key.bin")]

    assert [
        "ACME_KEY_FILE: cannot read absent.txt: No such file or directory",
        "ACME_KEY_FILE: cannot read key.bin: is not UTF-8 text",
    ] == found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id:kept", "id:kept"),
        (b"\xef\xbb\xbfid:kept\r\n", "id:kept"),
        (b" \t\r\n id:kept \n\n", "id:kept"),
        ("\u00a0id:kept\u2003".encode(), "id:kept"),
    ],
)
def test_secret_is_read_without_what_is_around_it(folder: Path, content: bytes, expected: str) -> None:
    """A byte order mark at the beginning and white space at the ends are no part of a secret."""
    (folder / "key.txt").write_bytes(content)

    assert expected == load([Acme], {"ACME_KEY_FILE": "key.txt"}).of(Acme).key.reveal()


def test_secret_from_the_environment_loses_its_line_feed() -> None:
    """What a shell or a service took from a file often ends in one."""
    assert "id:kept" == load([Acme], {"ACME_KEY": "\tid:kept\r\n"}).of(Acme).key.reveal()


@pytest.mark.parametrize(
    ("secret", "kind", "place"),
    [
        ("id: kept", "white space", 4),
        ("id\nkept", "white space", 3),
        ("id\u00a0kept", "white space", 3),
        ("id\u200bkept", "what no key holds", 3),
        ("\ufeffid", "what no key holds", 1),
        ("id:képt", "what no key holds", 5),
        ("id\x1b", "what no key holds", 3),
    ],
)
def test_secret_that_no_request_can_carry_is_refused(secret: str, kind: str, place: int) -> None:
    """The message says where in it the mistake is, and nothing else of it."""
    holds = f"ACME_KEY from the environment holds {kind} at character {place}"

    assert f"{holds}: copy it again, without anything else" == complaint({"ACME_KEY": secret})


@pytest.mark.parametrize("word", ["two words", "pässword", "p:w=?"])
def test_password_may_hold_any_characters(word: str) -> None:
    """It is packed before it is sent; only what is no line is a mistake."""
    assert word == load([AcmeUser], {"ACME_PASS": word}).of(AcmeUser).password.reveal()
    with pytest.raises(ConfigError, match="white space at character 2"):
        load([AcmeUser], {"ACME_PASS": f"a\n{word}"})


WHERE_TO = "ACME_KEY is a secret; give it in the environment, or name its file in ACME_KEY_FILE"


def test_secret_in_the_settings_file_is_refused() -> None:
    """A settings file is no place for a secret, and its value is not repeated."""
    written('ACME_KEY = "id:open"')

    assert f"sightglass.toml: {WHERE_TO}" == complaint({})


def test_secret_on_the_command_line_is_refused() -> None:
    """Every process of a machine can read another's command line, so it is no place for a secret."""
    assert f"the command line: {WHERE_TO}" == complaint({}, {"ACME_KEY": "id:open"})


def test_unknown_setting_is_refused() -> None:
    """A name that no setting has is refused with the known ones, in the file and on the command line."""
    other = written("SIGHTGLASS_LAGG = 1", "o.toml")

    found = [complaint({}, {"SIGHTGLASS_LAGG": "1"}), complaint({}, None, other)]

    reason = f"SIGHTGLASS_LAGG is no setting: did you mean SIGHTGLASS_LAG? Known are {KNOWN}"
    assert [f"the command line: {reason}", f"o.toml: {reason}"] == found


def test_variables_of_other_programs_are_left_alone() -> None:
    """The environment belongs to everybody: unknown names of others are no mistake."""
    settings = load([Acme], {"PATH": "/bin", "ACME_LAGG": "1", "ACME_URL_FILE": "absent"})

    assert "https://api.acme.example/" == settings.of(Acme).url


def test_the_secret_of_the_listener_is_one_of_those_that_are_hidden() -> None:
    """Whatever an API answers, messages do not repeat it."""
    settings = load([], {"SIGHTGLASS_LISTEN_SECRET": "correct-horse-battery"})

    assert "correct-horse-battery" in [secret.reveal() for secret in settings.secrets]


def test_settings_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """A named file that is absent, or no TOML, is refused; without a name it may be absent."""
    absent = folder / "absent.toml"
    broken = written("SIGHTGLASS_LAG 5", "broken.toml")

    found = [complaint({}, None, file) for file in (absent, broken)]

    reasons = [
        f"{absent}: No such file or directory",
        "broken.toml: Expected '=' after a key in a key/value pair (at line 1, column 16)",
    ]
    assert [f"cannot read the settings file {reason}" for reason in reasons] == found


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("SIGHTGLASS_LAG", "soon", "a number of at least 0"),
        ("SIGHTGLASS_LAG", "-0.1", "a number of at least 0"),
        ("SIGHTGLASS_LAG", "nan", "a number of at least 0"),
        ("SIGHTGLASS_OVERLAP", "inf", "a number of at least 0"),
        ("SIGHTGLASS_RETRY_BUDGET", "1,5", "a number of at least 0"),
        ("SIGHTGLASS_CONCURRENCY", "0", "a whole number of at least 1"),
        ("SIGHTGLASS_CONCURRENCY", "2.5", "a whole number of at least 1"),
        ("SIGHTGLASS_RAW_DAYS", "-1", "a whole number of at least 0, or forever"),
        ("SIGHTGLASS_RAW_DAYS", "1e2", "a whole number of at least 0, or forever"),
    ],
)
def test_number_out_of_bounds_is_refused(name: str, value: str, wanted: str) -> None:
    """A number that is none, or too small, is refused with where it was given."""
    written(f'{name} = "{value}"')

    found = [complaint({name: value}), complaint({}, {name: value}), complaint({})]

    places = ("the environment", "the command line", "sightglass.toml")
    assert [f"{name} from {place} must be {wanted}, not {value!r}" for place in places] == found


def test_mistake_in_a_named_file_is_looked_for_there() -> None:
    """A value that is refused is said to come from the file that was read, whatever its name."""
    file = written("SIGHTGLASS_LAG = -1", "o.toml")

    assert "SIGHTGLASS_LAG from o.toml must be a number of at least 0, not '-1'" == complaint({}, None, file)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.acme.example/",
        "https://api.acme.example:8443/v2",
        "http://localhost:8000",
        "http://LOCALHOST/",
        "http://127.0.0.1:8000/",
        "http://127.8.9.1/",
        "http://[::1]:8000/",
    ],
)
def test_safe_address_is_accepted(url: str) -> None:
    """An address may be https anywhere, and plain http on this machine."""
    assert url == load([Acme], {"ACME_URL": url}).of(Acme).url


NO_ADDRESS = "ACME_URL must be an address such as https://api.acme.example/"
TELLING = "ACME_URL must hold no credentials and no query: they would be seen in messages"
IN_THE_CLEAR = "ACME_URL must begin with https:// ; plain http is accepted for this machine alone"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("api.acme.example", NO_ADDRESS),
        ("ftp://api.acme.example/", NO_ADDRESS),
        ("https://", NO_ADDRESS),
        ("https://api.acme.example:0/", NO_ADDRESS),
        ("https://api.acme.example:99999/", NO_ADDRESS),
        ("https://[::1/", NO_ADDRESS),
        ("https://user:word@api.acme.example/", TELLING),
        ("https://user@api.acme.example/", TELLING),
        ("https://api.acme.example/?key=word", TELLING),
        ("http://user:word@localhost/", TELLING),
        ("http://api.acme.example/", IN_THE_CLEAR),
        ("http://localhost.acme.example/", IN_THE_CLEAR),
        ("http://127.0.0.1.acme.example/", IN_THE_CLEAR),
        ("http://0.0.0.0/", IN_THE_CLEAR),
        ("http://10.0.0.1/", IN_THE_CLEAR),
    ],
)
def test_unsafe_address_is_refused(url: str, reason: str) -> None:
    """An address that is none, would show credentials, or would send them in the clear is not repeated."""
    assert reason == complaint({"ACME_URL": url})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("", False), ("acme.example", False)],
)
def test_only_this_machine_is_loopback(host: str, *, expected: bool) -> None:
    """A host counts as this machine by its name or its address."""
    assert expected == is_loopback(host)


def test_secret_never_shows_itself() -> None:
    """However a secret is printed, alone or among other settings, stars are seen."""
    settings = load([Acme], {"ACME_KEY": "word"})
    secret = settings.of(Acme).key

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        format(secret),
        f"{secret=}",
        str([secret]),
    ]

    assert ["***"] * 5 + ["secret=***", "[***]"] == shown
    assert ("word" in repr(settings), "***" in repr(settings)) == (False, True)


@pytest.mark.parametrize("value", ['"id:secret"', "'id:secret'"])
def test_a_key_in_quotation_marks_is_told_what_is_wrong(value: str) -> None:
    """A file of a service keeps them where a shell takes them away; a password may have some."""
    said = "stands in quotation marks, which no shell took away: leave them out"
    assert f"ACME_KEY from the environment {said}" == complaint({"ACME_KEY": value})
    Path("key").write_text(value, encoding="utf-8")
    assert f"ACME_KEY_FILE: key {said}" == complaint({"ACME_KEY_FILE": "key"})
    assert value == load([AcmeUser], {"ACME_PASS": value}).of(AcmeUser).password.reveal()
