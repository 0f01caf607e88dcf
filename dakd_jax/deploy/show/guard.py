"""Who may ask: the page itself, from this machine, and nobody's other page.

A page of another site can make a browser send requests to 127.0.0.1. So the name that was asked for must be this
machine's (a foreign name may be made to lead here), and what comes from another origin is refused.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OWN = ("same-origin", "none")  # of Sec-Fetch-Site: the page's own requests, and what a person typed


class Guard:
    """An application behind the check of who asks; every answer says what browsers may do with it.

    Args:
      port: that it is reached at.
    """

    def __init__(self, app: ASGIApp, port: int):
        self._app, self._tasks = app, set()
        names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        self._hosts = names + ["127.0.0.1", "localhost"] * (port == 80)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As of ASGI."""
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        app = JSONResponse({"error": refusal}, 403) if refusal else self._app
        self._tasks.add(task := asyncio.current_task())
        try:
            await app(scope, receive, send_safely)
        except asyncio.CancelledError:  # of end(): nothing of an answer is sent before it is whole
            await JSONResponse({"error": "dakd show has ended"}, 503)(scope, receive, send_safely)
        finally:
            self._tasks.discard(task)

    def end(self) -> None:
        """Gives up what is not answered yet, and says so."""
        for task in self._tasks:
            task.cancel()

    def _refusal(self, scope: Scope) -> str:
        """Why a request is not answered, '' for one that is."""
        headers = Headers(scope=scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return f"this page is at http://{self._hosts[0]}/ and under no other name"
        origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
        foreign = any(origin.lower() != f"http://{hosts[0]}" for origin in origins)
        foreign |= any(site not in _OWN for site in sites) and not _is_a_link(scope, headers)
        return "requests from pages of other origins are refused" if foreign else ""


def _is_a_link(scope: Scope, headers: Headers) -> bool:
    """Whether somebody follows a link to the page, from wherever."""
    asked = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return scope["method"] == "GET" and scope["path"] == "/" and asked == ("navigate", "document")
