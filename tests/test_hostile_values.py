"""Values and files that break the rules, against the command itself: loaded as they are, or named."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Ran, Row, Sightglass, rows, table
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Request,
    Said,
    T,
    cogniac,
    medium,
    of_cogniac,
    of_neurons,
    record,
    serving,
)
from support.archives import as_published

MICROS = T * 1_000_000


def load(folder: Path, *records: Row | bytes) -> Ran:
    """One run of Cogniac over a page of these records."""
    said = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    page = b'{"data":[' + b",".join(said) + b'],"paging":{}}'
    with serving(cogniac({DETECTIONS: page})) as server:
        return of_cogniac(folder, server)("run", "--json")


def load_files(folder: Path, files: Mapping[str, Said], *assets: str) -> Ran:
    """One run of Neurons over a medium for each of these files, which it offers as each of the assets."""
    routes = {f"/files/{name}": said for name, said in files.items()}

    def listed(request: Request) -> Said:
        host = request.headers["Host"]
        media = [
            medium(number, media_id=name, results=dict.fromkeys(assets, f"http://{host}/files/{name}"))
            for number, name in enumerate(files)
        ]
        return {"media": media[int(request.query["offset"]) :], "pagination": {"total": len(media)}}

    with serving({MEDIA: listed, **routes}) as server:
        return of_neurons(folder, server)("run", "neurons", "--json")


def loaded(home: Path) -> list[str]:
    """The media items of the results that were loaded."""
    return sorted(row["media_id"] for row in rows(home, "cogniac.results"))


def refused(home: Path) -> list[tuple[str, str]]:
    """Path and reason of all that is in quarantine."""
    return sorted((row["path"], row["reason"]) for row in rows(home, "etl.quarantine"))


def balanced(ran: Ran) -> bool:
    """Whether all that was fetched is a row or refused."""
    return all(
        one["fetched"] == one["inserted"] + one["updated"] + one["unchanged"] + one["quarantined"]
        for one in ran.report["streams"]
    )


ODD = {'size 5"': 1, "a\\b": 2, "t\tb": 3, "": 4, "+application_id": "a2", "+boxes": None, "\x00": [{}]}


def test_fields_of_any_name_are_kept(tmp_path: Path) -> None:
    """A name that no type can have, or that stands for what is added, is kept in `_extra` and not obeyed."""
    said = record(1)["detections"][0]

    ran = load(
        tmp_path,
        record(0),
        record(1, **ODD, detections=[{**said, **ODD}], other_media=[{"media_id": "o", **ODD}]),
        record(2),
    )

    home = tmp_path / "home"
    assert (0, ["m0", "m1", "m2"], True) == (ran.code, loaded(home), balanced(ran))
    assert ["a1"] == sorted({row["application_id"] for row in rows(home, "cogniac.detections")})
    for name, column, value in (
        ("results", "media_id", "m1"),
        ("detections", "media_id", "m1"),
        ("media", "media_id", "o"),
    ):
        (found,) = (row for row in rows(home, f"cogniac.{name}") if row[column] == value)
        assert ODD == found["_extra"]


@pytest.mark.parametrize("beside", [[], [b'{"media":1}']], ids=["together", "one by one"])
def test_what_another_name_of_a_field_says_is_kept(tmp_path: Path, beside: list[bytes]) -> None:
    """Where two names of one field say different things, the first counts and the other is in `_extra`."""
    said = record(0)["detections"][0]
    alike = {"media_id": "m1", "timestamp": T + 1, "detections": [{**said, "timestamp": None}]}

    ran = load(
        tmp_path,
        record(0, media_id="m9", timestamp=5, detections=[{**said, "timestamp": 6.5}]),
        record(1, **alike),
        *beside,
    )

    home = tmp_path / "home"
    kept = [
        {row["media_id"]: row.get("_extra") for row in rows(home, f"cogniac.{name}")}
        for name in ("results", "detections", "detection_history", "media")
    ]
    assert [{"media_id": "m9", "timestamp": 5}, {"timestamp": 6.5}, {"timestamp": 6.5}, None] == [
        each["m0"] for each in kept
    ]
    assert [None] * 4 == [each["m1"] for each in kept]
    assert [(MICROS, "m0"), (MICROS + 1_000_000, "m1")] == sorted(
        (row["updated_at"], row["media_id"]) for row in rows(home, "cogniac.results")
    )
    assert [f"cogniac.detections:{name}" for name in ("detections/timestamp", "media_id", "timestamp")] == (
        ran.report["unknown_fields"]
    )


def test_bytes_that_are_no_text_are_kept_as_received(tmp_path: Path) -> None:
    """A record that is not UTF-8 is refused alone, byte for byte, wherever in it those bytes stand."""
    places = ("media_id", "title", "unheard_of")
    broken = [
        json.dumps(record(1, media={"media_id": "m1", place: "?"})).encode().replace(b'"?"', b'"\xff"')
        for place in places
    ]

    ran = load(tmp_path, record(0), *broken, record(2))

    home = tmp_path / "home"
    kept = sorted(base64.b64decode(row["record"]) for row in rows(home, "etl.quarantine"))
    assert (4, ["m0", "m2"], True) == (ran.code, loaded(home), balanced(ran))
    assert sorted(broken) == kept

    with serving({}) as server:
        replayed = of_cogniac(tmp_path, server)("quarantine", "replay", "--json")

    assert (4, 3) == (replayed.code, len(replayed.report["still_refused"]))


NO_TIMES: dict[str, str] = {
    "9999-12-31T23:59:59-01:00": "is not within the years 1 to 9999",
    "0001-01-01T00:00:00+01:00": "is not within the years 1 to 9999",
    "20240119": "has no offset from UTC",
    "2024": "Invalid isoformat string: '2024'",
    "1772600000": "is text where a number of seconds since 1970 must be",
}


def test_what_is_no_time_is_refused_alone(tmp_path: Path) -> None:
    """Text of digits is no time where none is declared, and nothing beyond the years 1 to 9999 is one."""
    numbers = [1e300, -62_135_596_801, 253_402_300_800, 1_772_600_000_000]
    records = [
        record(each, media={"media_id": f"m{each}", "created_at": value})
        for each, value in enumerate([*NO_TIMES, *numbers])
    ]

    ran = load(
        tmp_path,
        *records,
        record(100),
        record(101, media={"media_id": "m101", "media_timestamp": "240242525"}),
    )

    home = tmp_path / "home"
    reasons = [reason for _, reason in refused(home)]
    assert (4, ["m100", "m101"], True) == (ran.code, loaded(home), balanced(ran))
    assert sorted(
        [f"{text!r}: {why}" for text, why in NO_TIMES.items()]
        + [f"'{float(each)}': is no time in seconds since 1970" for each in numbers]
    ) == sorted(reasons)
    assert [240_242_525_000_000] == [
        row["media_timestamp"] for row in rows(home, "cogniac.media") if "media_timestamp" in row
    ]


def test_record_without_a_readable_time_keeps_no_other_back(tmp_path: Path) -> None:
    """Of null, text and a number sent as text only the record itself is refused; what follows is loaded."""
    odd = [record(1, updated_at=value) for value in (None, "soon", str(T + 1))]

    ran = load(tmp_path, record(0), odd[0], record(2), odd[1], record(3), odd[2], record(4))

    home = tmp_path / "home"
    assert (4, ["m0", "m2", "m3", "m4"], True) == (ran.code, loaded(home), balanced(ran))
    assert [
        ("$.updated_at", f"'{T + 1}': is text where a number of seconds since 1970 must be"),
        ("$.updated_at", "'soon': Invalid isoformat string: 'soon'"),
        ("$.updated_at", "required, but absent or null"),
    ] == refused(home)


BOX = {"x0": 0, "y0": 50, "x1": 500, "y1": 100}
SPELLINGS = (
    '{"box":{"x0":0,"y0":50,"x1":500,"y1":100}}',
    '{"box":{"y1":1e2,"x1":500.0,"y0":5e1,"x0":-0.0}}',
    '{"frame":null,"box":{"x0":-0,"y0":50,"x1":500,"y1":100,"z":null}}',
)
WHOLE = ("null", "{}", '{"box":null}')


def test_region_is_one_however_it_is_written(tmp_path: Path) -> None:
    """Numbers, order and members that are null make no other region; whole numbers of any size stay apart."""
    apart = (
        '{"frame":9007199254740992}',
        '{"frame":9007199254740993}',
        '{"frame":100000000000000000000}',
        '{"frame":1e20}',
    )
    sent = [
        json.dumps(record(number, media={"media_id": "m"}, focus="?")).replace('"?"', focus).encode()
        for number, focus in enumerate([*SPELLINGS, *WHOLE, *apart])
    ]

    ran = load(tmp_path, *sent)

    home = tmp_path / "home"
    found = {row["focus_key"]: row["updated_at"] for row in rows(home, "cogniac.results")}
    assert (0, True) == (ran.code, balanced(ran))
    assert {
        '{"box":{"x0":0,"x1":500,"y0":50,"y1":100}}': MICROS + 2_000_000,
        "": MICROS + 5_000_000,
        '{"frame":9007199254740992}': MICROS + 6_000_000,
        '{"frame":9007199254740993}': MICROS + 7_000_000,
        '{"frame":100000000000000000000}': MICROS + 9_000_000,
    } == found


def test_any_character_in_an_id_is_loaded(tmp_path: Path) -> None:
    """Ids hold what JSON can say: characters that no terminal shows, NUL, quotes, and any script."""
    ids = ["a\x00b", "a", "\x00", "\x1b[2J", "a'b\"c\\", "é\u2028\U0001f600", "a/b?c#d", " "]

    ran = load(tmp_path, *(record(number, media={"media_id": each}) for number, each in enumerate(ids)))

    assert (0, sorted(ids), True) == (ran.code, loaded(tmp_path / "home"), balanced(ran))


def test_numbers_of_any_size_are_kept(tmp_path: Path) -> None:
    """What nobody declared keeps all of its digits; a number that no type holds sends its record away."""
    large = int("1" * 4000)

    ran = load(
        tmp_path, record(0, size=large), b'{"size":1e400}', b'{"size":1' + b"0" * 5000 + b"}", record(1)
    )

    home = tmp_path / "home"
    assert (4, ["m0", "m1"], True) == (ran.code, loaded(home), balanced(ran))
    assert [f'{{"size":{large}}}'] == [
        row[0] for row in table(home, "SELECT _extra FROM cogniac.results WHERE _extra IS NOT NULL")
    ]
    assert [("$[...]", "Integer value out of range"), ("$[...]", "Number out of range")] == refused(home)


INSTEAD: dict[str, Said] = {
    "page": b"<!DOCTYPE html><html>Please log in</html>",
    "later_page": b"\xef\xbb\xbf\r\n <html>this link has expired</html>",
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "html": Answer(b"name,a\nA,1\n", headers={"Content-Type": "text/html; charset=utf-8"}),
    "error": {"error": {"code": 403}},
    "errors": {"errors": [{"title": "gone", "status": "410"}]},
    "aws": {"Message": "Forbidden", "RequestId": "1"},
    "detail": {"detail": "Not Found"},
    "nothing": b"",
    "blank": b"\n",
    "null": b"null",
    "text": b'"Forbidden"',
    "plain": b"The link has expired, ask for another.\n",
    "utf16": "<html></html>".encode("utf-16"),
}
FILES = ("aoi_scores", "brand_detection_metrics", "brand_detection", "unheard_of")


def test_what_comes_instead_of_a_file_is_missing(tmp_path: Path) -> None:
    """A page or an error with status 200 is no file, whatever it is called; the next run asks again."""
    ran = load_files(tmp_path, INSTEAD, *FILES)

    home = tmp_path / "home"
    gaps = {row["key"]: row["what"] for row in rows(home, "etl.gaps")}
    expected = {f"{name}/{asset}": "missing file" for name in INSTEAD for asset in FILES}
    assert (0, expected, [], True) == (ran.code, gaps, refused(home), balanced(ran))
    assert {"missing"} == {row["state"] for row in rows(home, "neurons.assets")}

    again = load_files(tmp_path, dict.fromkeys(INSTEAD, b"[]"), *FILES)

    assert (0, []) == (again.code, rows(home, "etl.gaps"))


def test_frame_at_no_time_of_a_video_is_refused(tmp_path: Path) -> None:
    """Such a file is named, and the others are loaded as they are: no mart breaks, and no report."""
    times = [-(2.0**53), -0.04, 1.5, 2.0**53, 2.0**53 + 2, -1e16, 1e30, 1e300]
    files: dict[str, Said] = {
        f"t{place}": json.dumps([{"time": time, "focus": 1}, {"time": 2, "focus": 0}]).encode()
        for place, time in enumerate(times)
    }
    files["rate"] = b'{"fps":1e-300,"frames":[{"focus":1},{"focus":2}]}'
    ran = load_files(tmp_path, files, "metrics")
    home = tmp_path / "home"
    kept = [row["time_s"] for row in rows(home, "neurons.frame_metrics") if row["frame"] == 1]
    reported = Sightglass(tmp_path, {})("report", str(tmp_path / "report.html"))
    marts = as_published(home, "SELECT DISTINCT second FROM mart.frame_curves ORDER BY ALL")
    falls = as_published(home, "SELECT second FROM mart.attention_drop")

    limits = "is not within -9.0072e+15 to 9.0072e+15"
    wrong = [f"{time} {limits}" for time in [*times[4:], 1 / 1e-300]]
    assert (4, times[:4], True) == (ran.code, sorted(kept, key=times.index), balanced(ran))
    assert sorted(("$.time_s", why) for why in wrong) == refused(home)
    assert (0, [(-(2**53),), (-1,), (1,), (2,), (2**53,)], [(2,)]) == (reported.code, marts, falls)


def test_page_behind_an_old_link_has_it_renewed_once(tmp_path: Path) -> None:
    """A link that leads to a page is renewed like one that is refused: once for all files of a medium."""
    links: list[str] = []

    def linked(request: Request, number: int) -> Row:
        at = f"http://{request.headers['Host']}/files"
        return {"aoi_scores": f"{at}/scores-{number}", "brand_detection": f"{at}/page"}

    def renewed(request: Request) -> Said:
        links.append(request.path)
        return medium(0, results=linked(request, 1))

    routes: dict[str, Said | Callable[[Request], Said]] = {
        MEDIA: lambda request: {
            "media": [medium(0, results=linked(request, 0))][int(request.query["offset"]) :]
        },
        f"{MEDIA}/n0": renewed,
        "/files/scores-1": b"name,a\nA,1\n",
        "/files/.*": b"<html></html>",
    }
    with serving(routes) as server:
        ran = of_neurons(tmp_path, server)("run", "neurons")

    states = {row["asset"]: row["state"] for row in rows(tmp_path / "home", "neurons.assets")}
    assert (0, {"aoi_scores": "loaded", "brand_detection": "missing"}) == (ran.code, states)
    assert [f"{MEDIA}/n0"] == links


TABLES: dict[str, tuple[bytes, dict[str, list[object]]]] = {
    "thousands": (b'name,a\nA,"1,234"\nB,0.5\n', {"a": [1234.0, 0.5]}),
    "open": (b"name;a\nA;1,234\nB;2,500\nC;3\n", {"a": ["1,234", "2,500", 3.0]}),
    "comma": (b"name;a\nA;12,5\nB;1.234,5\nC;1.234\n", {"a": [12.5, 1234.5, 1234.0]}),
    "both": (b"name;a;b\nA;12,5;0.5\nB;3;4\n", {"a": ["12,5", 3.0], "b": ["0.5", 4.0]}),
    "ids": (b"name,a,id\nA,1,007\nB,2,07\nC,3,7\n", {"a": [1.0, 2.0, 3.0], "id": ["007", "07", "7"]}),
    "long_ids": (
        b"name,a\nA,12345678901234567\nB,12345678901234568\nC,5\n",
        {"a": ["12345678901234567", "12345678901234568", "5"]},
    ),
    "infinite": (
        b"name,a\nA,1e400\nB,1e-400\nC,2e3\nD,inf\nE,nan\n",
        {"a": ["1e400", "1e-400", 2000.0, "inf", "nan"]},
    ),
    "hint": (b'"sep=;"\r\nname;a,b\r\nA;1\r\n', {"a,b": [1.0]}),
    "json": (b'[{"name":"A","a":9007199254740993},{"name":"B","a":5}]', {"a": ["9007199254740993", "5"]}),
    "short": (b"name,a,b\nA\nB,1,2\n", {"a": [None, 1.0], "b": [None, 2.0]}),
    "quoted": (b'name,a\n"A, ""x""\n",1\n', {"a": [1.0]}),
}
NO_TABLES: dict[str, tuple[bytes, str]] = {
    "nul": (b"name,a\nA,\x00\n", "is not a CSV table: holds NUL characters, as UTF-16 text does"),
    "utf16": ("name,a\nA,1\n".encode("utf-16"), "is not UTF-8 text: invalid start byte"),
    "ragged": (b"name,a\nA,1,2\n", "is not a CSV table: found more fields than defined in 'Schema'"),
    "twice": (b"name,a,a\nA,1,2\n", "is not a CSV table: two columns are called a"),
    "sep": (b"sep=|\nname|a\nA|1\n", "is not a CSV table: says that '|' is its separator"),
    "infinity": (b'[{"name":"A","a":1e400}]', "is not JSON: Number out of range - at `$[0][...]`"),
}


def test_what_is_not_certainly_a_number_stays_text(tmp_path: Path) -> None:
    """Which sign parts off decimals is settled for a file; ids and what no float holds keep their digits."""
    files = {name: body for name, (body, _) in [*TABLES.items(), *NO_TABLES.items()]}

    ran = load_files(tmp_path, files, "aoi_scores")

    home = tmp_path / "home"
    found: dict[str, dict[str, list[object]]] = {}
    for row in sorted(rows(home, "neurons.aoi_scores"), key=lambda row: row["row_number"]):
        column = found.setdefault(row["media_id"], {}).setdefault(row["metric"], [])
        column.append(row.get("value", row.get("text_value")))
    assert (4, True) == (ran.code, balanced(ran))
    assert {name: expected for name, (_, expected) in TABLES.items()} == found
    assert sorted(("$", why) for _, why in NO_TABLES.values()) == refused(home)
