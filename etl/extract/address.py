"""Which addresses links may lead to: public ones, and such as the API of their source is at itself."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

PUBLIC = "public"
NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses of IPv6 that end in the address of IPv4 that they lead to."""


class InvalidRequestError(Exception):
    """What cannot be asked for; the text says why."""


class Reach:
    """The kinds of addresses that the links of one source may lead to; safe to use from any thread."""

    def __init__(self, base: str = "") -> None:
        """Take the address of the source's API; its host is resolved by who connects to it."""
        self._kinds = {PUBLIC}
        if (address := literal(urlsplit(base).hostname or "")) is not None:
            self.add(address)

    def add(self, address: str) -> None:
        """Note that the API is at this address: links may lead to others of the same kind."""
        self._kinds.add(kind_of(address))

    def check(self, address: str) -> None:
        """Raise InvalidRequestError unless links may lead to this address."""
        kind = kind_of(address)
        if kind not in self._kinds:
            raise InvalidRequestError(f"links may not lead to {address}, a {kind} address")


def kind_of(address: str) -> str:
    """Return what an address is for; one of IPv6 that stands for one of IPv4 is what that one is."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        embedded = IPv4Address(found.packed[-4:]) if found in NAT64 else None
        found = found.ipv4_mapped or found.sixtofour or embedded or found
    kinds = {
        "loopback": found.is_loopback,
        "link-local": found.is_link_local,
        "multicast": found.is_multicast,
        "unspecified": found.is_unspecified,
        "reserved": found.is_reserved,
        "private": not found.is_global,
        PUBLIC: True,
    }
    return next(kind for kind, is_one in kinds.items() if is_one)


def literal(host: str) -> str | None:
    """Return the address that a host is by its name alone, in any form that resolvers take.

    None for other names.
    """
    if host.rstrip(".").rpartition(".")[2] == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001, 2130706433: resolvers ask nobody about these.
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
