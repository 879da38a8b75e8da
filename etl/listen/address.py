"""Where to listen: an address, or sockets that systemd hands over. Imports nothing that takes time."""

import os
import socket
import stat
from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any

from etl.errors import ConfigError, EnvironmentFaultError

FIRST = 3
"""Number of the first file that systemd hands over."""
BACKLOG = 4096
"""Connections that wait while a listener starts, or another takes over."""
HIGHEST_PORT = 65_535

Place = tuple[Any, ...]
"""An address as the socket module has it."""


def parsed(address: str) -> tuple[str, int]:
    """Return the host and the port of an address as `127.0.0.1:9999` or `[::1]:9999`; ConfigError."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    is_port = port.isascii() and port.isdigit() and int(port) <= HIGHEST_PORT
    if not colon or not host or not is_port or (":" in host) != bracketed:
        raise ConfigError(f"SIGHTGLASS_LISTEN must be an address such as 127.0.0.1:9999, not {address!r}")
    return host, int(port)


def listening(host: str, port: int) -> tuple[socket.socket, bool]:
    """Return a socket that listens, and whether it shares its address with a listener that is there already.

    Raises EnvironmentFaultError where that cannot be.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        is_shared = not _is_free(family, place)
        found = _bound(family, place, shares=True)
        found.listen(BACKLOG)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot listen on {host} port {port}: {error.strerror}; end what listens there, or name another"
            " address"
        ) from error
    return found, is_shared


def _is_free(family: int, place: Place) -> bool:
    try:
        _bound(family, place, shares=False).close()
    except OSError:
        return False
    return True


def _bound(family: int, place: Place, *, shares: bool) -> socket.socket:
    # Only where the protocol is named does asyncio send at once; else an answer may wait 40 ms for an ACK.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made


def handed_over(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd listens on for this process, and take the word of them away.

    ConfigError where what was handed over is no socket that listens for streams.
    """
    given = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdecimal():
        return []
    return [_handed_over(number) for number in range(FIRST, FIRST + int(given["LISTEN_FDS"]))]


def _handed_over(number: int) -> socket.socket:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            raise ConfigError(f"LISTEN_FDS: file {number} is no socket")
        found = socket.socket(fileno=number)
        found.set_inheritable(False)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS: file {number} was not handed over: {error.strerror}") from error
    if found.type != socket.SOCK_STREAM or not listens:
        raise ConfigError(f"LISTEN_FDS: socket {number} does not listen for streams; use ListenStream=")
    return found


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine can reach a socket."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket, scheme: str) -> str:
    """Return the address of a socket for people; without the secret."""
    name = listener.getsockname()
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return f"{scheme} at {name if isinstance(name, str) else name.decode(errors='replace')}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}/"
