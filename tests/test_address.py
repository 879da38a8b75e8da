"""Where links may lead: to public addresses, and to such as the API of their source is at."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import rows
from faults import told
from hostile import MEDIA, Answer, medium, of_neurons, serving

from etl.extract.address import InvalidRequestError, Reach, kind_of, literal
from etl.extract.connection import DeadlineSocket
from etl.extract.transport import Exchange, Transport, open_client

KINDS = {
    "93.184.215.14": "public",
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c": "public",
    "127.0.0.1": "loopback",
    "127.8.9.1": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "2002:7f00:1::": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "169.254.169.254": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "fd00:ec2::254": "private",
    "::ffff:10.0.0.1": "private",
    "64:ff9b::a00:1": "private",
    "0.0.0.0": "unspecified",  # noqa: S104 -- looked at, not bound to
    "::": "unspecified",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
}


@pytest.mark.parametrize(("address", "kind"), KINDS.items(), ids=KINDS)
def test_an_address_is_known_by_its_kind(address: str, kind: str) -> None:
    """One of IPv6 that stands for one of IPv4 is what that one is."""
    assert kind == kind_of(address)


@pytest.mark.parametrize("address", [address for address, kind in KINDS.items() if kind != "public"])
def test_only_public_addresses_are_reached_from_a_public_one(address: str) -> None:
    """And those of the kind that the API is found at."""
    reach = Reach("https://api.example/")
    reach.add("93.184.215.15")
    reach.check("93.184.215.14")
    with pytest.raises(InvalidRequestError) as caught:
        reach.check(address)
    reach.add(address)
    reach.check(address)

    assert f"links may not lead to {address}, a {KINDS[address]} address" == str(caught.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("a.localhost.", "127.0.0.1"),
        ("::1", "::1"),
        ("api.example", None),
        ("10.0.0.1.example", None),
    ],
)
def test_a_host_that_is_an_address_is_known_as_one(host: str, address: str | None) -> None:
    """In any form that resolvers take; what the name of another host leads to is for them to say."""
    assert address == literal(host)


LINKS = {
    "link-local": ("https://169.254.169.254/latest/meta-data", "169.254.169.254, a link-local address"),
    "private": ("https://10.0.0.1:6379/x", "10.0.0.1, a private address"),
    "mapped": ("https://[::ffff:a00:1]/x", "a private address"),
    "by number": ("https://2852039166/x", "169.254.169.254, a link-local address"),
}


@pytest.mark.parametrize(("link", "why"), LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("is_redirect", [False, True], ids=["link", "redirect"])
@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"], ids=["itself", "through a proxy"])
def test_a_file_is_not_looked_for_where_links_may_not_lead(
    tmp_path: Path,
    link: str,
    why: str,
    is_redirect: bool,  # noqa: FBT001
    proxy: str,
) -> None:
    """It is missing, the gap says why, and all else is loaded."""
    film: dict[str, Any] = medium(1)
    routes = {
        MEDIA: lambda _request: {"media": [film], "pagination": {"total": 1}},
        "/film": Answer(b"", 302, {"Location": link}),
    }
    with serving(routes) as server:
        film["results"] = {"metrics": f"{server.url}film" if is_redirect else link}
        ran = of_neurons(tmp_path, server)("run", https_proxy=proxy, SIGHTGLASS_RETRY_BUDGET="0")

    (gap,) = rows(tmp_path / "home", "etl.gaps")
    assert (0, "sightglass: gaps, listed in etl.gaps: 1") == (ran.code, told(ran)[-1])
    assert ("n1/metrics", True) == (gap["key"], gap["error"].endswith(why))
    assert ["n1"] == [one["media_id"] for one in rows(tmp_path / "home", "neurons.media")]


@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.1"])
def test_the_address_that_is_judged_is_the_one_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """A name may lead elsewhere each time it is looked up: it is looked up once for each connection."""
    addresses, connected = ["127.0.0.1", second], list[str]()

    def looked_up(_host: str, port: int, *_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses.pop(0), port))]

    def connect(_socket: socket.socket, place: tuple[str, int]) -> None:
        connected.append(place[0])
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    monkeypatch.setattr(DeadlineSocket, "connect", connect)
    reach = Reach("https://127.0.0.1/")
    transport = Transport(1, lambda _: None, reach, follows_links=True)
    with open_client(transport, auth=None, follows_links=True) as client:
        for _ in range(2):
            told = {"exchange": Exchange(lambda _size: None)}
            with pytest.raises((httpx.TransportError, InvalidRequestError)):
                client.get("http://files.example/x", extensions=told)

    assert [each for each in ("127.0.0.1", second) if each == "127.0.0.1"] == connected
