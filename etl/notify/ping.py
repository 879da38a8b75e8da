"""A heartbeat service: asked after each run, it raises the alarm where it is not asked for long."""

import threading
from urllib.parse import urlsplit, urlunsplit

from etl.notify import NotTold, Outcome
from etl.setting import Secret

SECONDS = 5.0
"""How long it may take in all."""
FAIL = "/fail"
"""What is added to the path after a run that went wrong, as healthchecks.io and its like have it."""
LEAST_ILL = 300
"""Of the statuses of answers: a redirection, which is not followed, has rung nobody."""


def ping(address: Secret, outcome: Outcome, seconds: float = SECONDS) -> None:
    """Ask the address; NotTold where it does not answer well in time."""
    parts = urlsplit(address.reveal())
    if outcome.is_failure:
        parts = parts._replace(path=parts.path.rstrip("/") + FAIL)
    answers: list[str] = []
    # In a thread: to look up a name cannot be broken off, and an answer can come byte by byte.
    asking = threading.Thread(
        target=lambda: answers.append(_asked(urlunsplit(parts), seconds)), name="ping", daemon=True
    )
    asking.start()
    asking.join(seconds)
    answer = answers[0] if answers else f"no answer in {seconds:g} seconds"
    if answer:
        raise NotTold(f"SIGHTGLASS_PING_URL, {parts.hostname}: {answer}")


def _asked(address: str, seconds: float) -> str:
    """Return what went wrong; empty where nothing did."""
    import httpx  # noqa: PLC0415 -- most runs ping nobody

    try:
        with httpx.stream("GET", address, timeout=seconds) as response:
            return f"answered {response.status_code}" if response.status_code >= LEAST_ILL else ""
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return type(error).__name__
    except ImportError:  # the environment names a proxy that speaks SOCKS
        return "asking by way of a SOCKS proxy needs the package socksio"
