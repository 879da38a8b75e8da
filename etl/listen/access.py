"""Who may post: whoever knows the secret; and how much of it in a second."""

import hmac
import re
from collections.abc import Callable

from etl.errors import ConfigError
from etl.setting import Secret

FORM = re.compile(r"[A-Za-z0-9._~-]{16,}")
"""What stands in an address as it is, and is too long to be guessed."""


class Access:
    """Knows the secret, if there is one."""

    def __init__(self, secret: Secret) -> None:
        """ConfigError where the secret could not stand in an address."""
        text = secret.reveal()
        if text and not FORM.fullmatch(text):
            raise ConfigError(
                "SIGHTGLASS_LISTEN_SECRET must be 16 or more letters, digits and -._~, as parts of addresses"
            )
        self._secret = text

    def label(self, path: str, header: str) -> str | None:
        """Return what an address holds beside the secret; None where neither it nor the header has it.

        How long that takes tells nothing about the secret.
        """
        if not self._secret:
            return path.strip("/")
        first, _, rest = path.removeprefix("/").partition("/")
        in_path, in_header = self._is_secret(first), self._is_secret(header)
        if not in_path | in_header:
            return None
        label = (rest if in_path else path).strip("/")
        return None if self._secret in label else label

    def _is_secret(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(errors="replace"), self._secret.encode())


class RateLimit:
    """Lets so many pass in a second, and a second's worth at once."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._left = per_second
        self._at = monotonic()

    def passes(self) -> bool:
        """Whether one more may pass now."""
        now = self._monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
