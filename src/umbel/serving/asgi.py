"""The service as an ASGI application, for `umbel serve` or any server that runs such applications."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import umbel
from umbel.errors import UmbelError
from umbel.serving.page import PAGE_POLICY, page
from umbel.serving.refusal import Refusal
from umbel.serving.safeguards import LOOPBACK_HOSTS, Safeguards
from umbel.serving.service import Service

_SENTENCES = {
    404: "there is nothing at this path; see GET /model and POST /predict",
    405: "this path does not take this method; GET /, /health and /model, POST /predict",
    500: "the server met an error of its own, which its log tells",
}
_DRAINED = 64_000_000


def application(service: Service, hosts: Sequence[str] | None = LOOPBACK_HOSTS, with_page: bool = True) -> ASGIApp:
    """An ASGI application: GET / (a page), /health and /model, POST /predict. There is no authentication.

    Args:
        service: The run.
        hosts: Names under which it may be called (the Host header); None for any.
        with_page: Whether there is a page to try it.
    """
    endpoints = _Endpoints(service)
    routes = [
        Route("/health", endpoints.health, methods=["GET"]),
        Route("/model", endpoints.model, methods=["GET"]),
        Route("/predict", endpoints.predict, methods=["POST"]),
    ]
    if with_page:
        routes.append(Route("/", endpoints.page, methods=["GET"]))
    handlers: dict[Any, Any] = {HTTPException: _not_routed, UmbelError: _refused, Exception: _failed}
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return Safeguards(starlette, hosts, lambda: _error(400, _host_sentence(hosts)), PAGE_POLICY)


class _Endpoints:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting = 0

    async def page(self, request: Request) -> Response:
        return Response(page(), media_type="text/html")

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok", "version": umbel.__version__})

    async def model(self, request: Request) -> Response:
        return _json(self._service.description)

    async def predict(self, request: Request) -> Response:
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        self._service.check_media_type(media_type)
        if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
            raise Refusal(415, f"a body with Content-Encoding {encoding[:60]!r} is not taken here; send it as it is")
        if self._waiting >= self._service.limits.waiting:
            return _error(503, "the server is busy with other requests; try again soon", {"Retry-After": "1"})
        self._waiting += 1
        try:
            body = await _body(request, self._service.limits.request_bytes, self._service.limits.seconds)
            as_csv = "text/csv" in request.headers.get("accept", "").lower()
            return await run_in_threadpool(self._answer, media_type, body, as_csv)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._waiting -= 1

    def _answer(self, media_type: str, body: bytes, as_csv: bool) -> Response:
        """The answer to a body; writing many rows takes time, too, so this is called in a thread."""
        answers = self._service.answer(media_type, body)
        if as_csv:
            return Response(answers.csv(), media_type="text/csv")
        return _json({"predictions": answers.predictions, "notes": list(answers.notes)})


async def _body(request: Request, most: int, seconds: float) -> bytes:
    """The whole body, read as it comes.

    Raises:
        Refusal: It is too large, or did not arrive in time.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    parts.append(part)
                elif size > most + _DRAINED:
                    break  # most clients read an answer only when all is sent, but not whatever they send
    except TimeoutError:
        raise Refusal(408, f"the body had not arrived after {seconds:g} seconds; send it again") from None
    if size > most:
        raise Refusal(413, f"the body has more than {most / 1e6:g} MB; send it in parts")
    return b"".join(parts)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # ASCII only, because names from data may hold what UTF-8 cannot (lone surrogates)
    return Response(json.dumps(value, allow_nan=False), status, headers, "application/json")


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return _json({"error": sentence}, status, headers)


def _host_sentence(hosts: Sequence[str] | None) -> str:
    return f"the Host header names another machine; call this one by {', '.join(hosts or ())}"


async def _not_routed(request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, _SENTENCES.get(error.status_code, str(error.detail)), dict(error.headers or {}))


async def _refused(request: Request, error: UmbelError) -> Response:
    return _error(error.status if isinstance(error, Refusal) else 422, str(error))


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, _SENTENCES[500])  # Starlette raises it again after this answer, so that the log gets it
