"""Who may use the page: who knows its address, from a page of its own, by the name of this machine.

The address holds a random text that nobody else has: no cookie, which pages on other ports would get too.
A name of somebody else's that leads to this machine (DNS rebinding) is refused by the header Host, and so is
what another site asks of it.
"""

from hmac import compare_digest
from secrets import token_urlsafe

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USUAL_PORT = 80
SAME_SITE = frozenset({"", "same-origin", "none"})
"""What browsers say of a request that this page, or a person, has made; nothing where they are old."""
ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: nobody else keeps it, reads it, or learns where it came from."""


class Access:
    """Lets through what comes from the page itself, with the address of this server."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        # Browsers leave out the port that is the usual one.
        ends = {f":{port}", *[""] * (port == USUAL_PORT)}
        self._hosts = frozenset(f"{name}{end}" for name in ("127.0.0.1", "localhost") for end in ends)
        self._token = token_urlsafe(24)
        self.address = f"http://127.0.0.1:{port}/{self._token}/"
        """The address of the page: who knows it may read all that is published."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ALWAYS)
            await send(message)

        _, token, path = (*scope["path"].split("/", 2), None, None)[:3]
        why = self._refusal(Headers(scope=scope), scope["method"], token or "")
        if why:
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, guarded)
        elif path is None:
            # The page's own links are relative to the address with the slash at its end.
            await RedirectResponse(f"/{self._token}/")(scope, receive, guarded)
        else:
            await self._app({**scope, "path": f"/{path}", "raw_path": b""}, receive, guarded)

    def _refusal(self, headers: Headers, method: str, token: str) -> str:
        """Return why a request is refused; empty where it is not."""
        host = headers.get("host", "")
        if host not in self._hosts:
            return "This server answers to 127.0.0.1 and localhost alone, with its own port."
        if not compare_digest(token.encode(), self._token.encode()):
            return "Open the address that `sightglass ui` has printed, all of it."
        # A person may come from anywhere; the page is shown in no frame.
        is_visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        is_ours = headers.get("sec-fetch-site", "") in SAME_SITE
        if headers.get("origin") not in (None, f"http://{host}") or not (is_ours or is_visit):
            return "Only the page itself may ask this."
        if method == "POST" and headers.get("content-type") != "application/json":
            return "This takes JSON."
        return ""
