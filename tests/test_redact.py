"""Secrets in texts: however they are written there, whole or in part, they are hidden."""

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from conftest import leaked, rows, table
from hostile import DETECTIONS, MEDIA, Answer, Request, cogniac, medium, of_cogniac, of_neurons, serving

from etl.redact import Redactor

SECRET = 'kEy/of+the&case"with uu%x:1>'
Written = Callable[[str], str]


def percent(secret: str, form: str = "%{:02x}") -> str:
    """Every byte by its number."""
    return "".join(form.format(byte) for byte in secret.encode())


WAYS: dict[str, Written] = {
    "as it is": str,
    "in capitals": str.upper,
    "in small letters": str.lower,
    "percent-encoded": quote,
    "percent-encoded, all of it": percent,
    "percent-encoded in capitals": lambda secret: percent(secret, "%{:02X}"),
    "percent-encoded twice": lambda secret: quote(quote(secret, safe="")),
    "percent-encoded in places": lambda secret: percent(secret[:5]) + secret[5:],
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "escaped for JSON": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "escaped for JSON twice": lambda secret: "".join(f"\\\\u{ord(char):04X}" for char in secret),
    "with slashes escaped": lambda secret: secret.replace("/", "\\/").replace('"', '\\"'),
    "escaped for Python": lambda secret: percent(secret, "\\x{:02x}"),
    "escaped for Python, long": lambda secret: "".join(f"\\U{ord(char):08x}" for char in secret),
    "in octal": lambda secret: "".join(f"\\{byte:03o}" for byte in secret.encode()),
    "as a form sends it": quote_plus,
    "quoted-printable": lambda secret: percent(secret, "={:02X}"),
    "percent-encoded as JavaScript does": lambda secret: "".join(f"%u{ord(char):04x}" for char in secret),
    "in HTML": html.escape,
    "in HTML by number": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
    "in HTML by hexadecimal number": lambda secret: "".join(f"&#x{ord(char):X};" for char in secret),
    "in HTML twice": lambda secret: html.escape(html.escape(secret)),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "hexadecimal, each byte marked": lambda secret: ", 0x".join(secret.encode().hex(" ").split()),
    "hexadecimal with colons": lambda secret: secret.encode().hex(":").upper(),
    "cut off": lambda secret: secret[:8],
    "cut off and percent-encoded": lambda secret: quote(secret)[:16],
}


@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
def test_a_secret_is_hidden_however_it_is_written(written: Written) -> None:
    """What stands around it stays."""
    assert "before *** after" == Redactor([SECRET])(f"before {written(SECRET)} after")


BEYOND_ASCII: dict[str, Written] = {
    "as it is": str,
    "in JSON, half by half": lambda secret: json.dumps(secret)[1:-1],
    "read as Latin-1": lambda secret: secret.encode().decode("latin-1"),
    "as Python shows bytes": lambda secret: repr(secret.encode())[2:-1],
    "percent-encoded": quote,
    "in HTML by number": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
}


@pytest.mark.parametrize("written", BEYOND_ASCII.values(), ids=BEYOND_ASCII)
@pytest.mark.parametrize("secret", ["pässwörd-geheim", "😀😀geheimnis-lang"])
def test_a_secret_beyond_ascii_is_hidden_likewise(secret: str, written: Written) -> None:
    """Its characters are several bytes, or several units, which are written one by one."""
    assert "before *** after" == Redactor([secret])(f"before {written(secret)} after")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "K", "us", "Key", "user:"])
def test_a_secret_is_hidden_in_base64(encode: Callable[[bytes], bytes], before: str) -> None:
    """Wherever in what was encoded it stood; only what it shares a character with can be left."""
    written = encode(f"{before}{SECRET}, and more".encode()).decode()
    hidden = Redactor([SECRET])(written)

    begin = len(before) * 8 // 6
    end = -(-(len(before) + len(SECRET)) * 8 // 6)
    left = hidden.split("***")
    assert 2 == len(left)
    assert len(left[0]) <= begin + 1
    assert len(left[1]) <= len(written) - end + 1


def test_other_texts_stay_as_they_are() -> None:
    """Beginnings that are too short to tell of a secret, and secrets that are too short to be some."""
    text = f"{SECRET[:7]} is no secret, nor is abc"

    assert text == Redactor([SECRET, "abc", ""])(text)


KEY = "id:7f3a9c-secret/of+29-letters"
PARTS = {
    "whole": KEY,
    "cut by the vendor": KEY[:25],
    "in Base64": base64.b64encode(f"Key {KEY}".encode()).decode(),
    "percent-encoded": quote(KEY, safe=""),
}


@pytest.mark.parametrize("told", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("before", [0, 280], ids=["at the beginning", "where the message is cut"])
def test_no_message_shows_a_secret(tmp_path: Path, told: str, before: int) -> None:
    """Neither on standard error nor in a table or a file of the warehouse, be it the beginning of one."""
    said = json.dumps({"message": f"{'.' * before}{told}"}).encode()
    with serving(cogniac({DETECTIONS: Answer(said, 400)})) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run", "--json", COG_API_KEY=KEY)

    beginnings = [KEY[:8], KEY[3:11], told[:8], told[6:16]]
    assert (3, []) == (ran.code, leaked(beginnings, ran, sightglass.home))
    errors = [row["error"] for row in rows(sightglass.home, "etl.run_streams") if "error" in row]
    (error,) = errors
    assert "***" in error


def test_a_message_is_cut_after_its_secrets_are_hidden(tmp_path: Path) -> None:
    """Of a key that stands where it is cut, not even its first letters are shown."""
    said = json.dumps({"message": f"{'.' * 294}{KEY} is wrong"}).encode()
    with serving(cogniac({DETECTIONS: Answer(said, 400)})) as server:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run", COG_API_KEY=KEY)

    ((error,),) = table(sightglass.home, "SELECT error FROM etl.gaps")
    assert error.endswith("answered 400: " + "." * 294 + "*** is")


def test_no_reason_shows_a_secret(tmp_path: Path) -> None:
    """Of a table that is refused because of its header, in which the key stands twice."""
    key = "key-of-29-letters-or-of-more"
    film = medium(1)
    routes = {
        MEDIA: lambda _request: {"media": [film], "pagination": {"total": 1}},
        "/film": f"{key},{key}\n1,2\n".encode(),
    }
    with serving(routes) as server:
        film["results"] = {"aoi_scores": f"{server.url}film"}
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run", NEURONS_API_KEY=key)

    assert 4 == ran.code
    (reason,) = table(sightglass.home, "SELECT reason FROM etl.quarantine")
    assert ("is not a CSV table: two columns are called ***",) == reason


def test_a_login_that_repeats_the_password_does_not_show_it(tmp_path: Path) -> None:
    """User and password are hidden as the header has them, and the password alone."""

    def tenants(request: Request) -> object:
        sent = request.headers["Authorization"]
        clear = base64.b64decode(sent.split()[1]).decode()
        return Answer(json.dumps({"message": f"{clear} and {sent} are wrong"}).encode(), 401)

    login = {"COG_API_KEY": "", "COG_USER": "somebody", "COG_PASS": "pass-word-of-somebody"}
    with serving(cogniac({"/1/users/current/tenants": tenants})) as server:
        sightglass = of_cogniac(tmp_path, server).but_for(login)
        ran = sightglass("run", "--json")

    packed = base64.b64encode(b"somebody:pass-word-of-somebody").decode()
    assert 3 == ran.code
    assert [] == leaked(["pass-wor", packed[:8], packed[12:20]], ran, sightglass.home)
