"""What stands round every request and answer: whom the server listens to, and what browsers may do with answers."""

from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names by which this machine calls itself."""


class Safeguards:
    """Refuses requests to a host that is not this one, and adds headers for browsers to every answer.

    A page from elsewhere can have its own name point to 127.0.0.1 (DNS rebinding) and would then read answers as if
    they were its own; but the name is in the request's Host header.

    Args:
        app: What answers.
        hosts: Names that requests may have in their Host header; None for any.
        refusal: Makes the answer to others.
        policy: Content-Security-Policy of all answers.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None, refusal: Callable[[], ASGIApp], policy: str) -> None:
        self._app, self._hosts, self._refusal = app, hosts, refusal
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        app = self._app if await self._trusted(scope, receive) else self._refusal()
        await app(scope, receive, with_headers)

    async def _trusted(self, scope: Scope, receive: Receive) -> bool:
        """Whether Starlette's own check lets a request pass; its answer to others is replaced by ours."""
        passed = self._hosts is None

        async def reached(*_: object) -> None:
            nonlocal passed
            passed = True

        async def nowhere(_: Message) -> None: ...

        if self._hosts is not None:
            await TrustedHostMiddleware(reached, self._hosts, www_redirect=False)(scope, receive, nowhere)
        return passed
