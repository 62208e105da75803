"""`umbel serve`: predictions of a trained run over HTTP."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import tyro

from umbel.command.arguments import parse
from umbel.errors import UmbelError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class _Serve:
    run: Annotated[Path, tyro.conf.Positional]
    """The folder of a training, or a checkpoint."""
    host: str = "127.0.0.1"
    """Where to listen; the default is reached from this machine only. There is no authentication."""
    port: int = 8000
    """0: any that is free."""
    point: str = ""
    """Widths of a network that can be turned, as width=0.5,heads=0.25; unset: full."""
    largest_request: str = "16MB"
    """Larger bodies are refused: 500KB, 16MB, 1GB, or bytes."""
    page: bool = True
    """A page in the browser to try it."""


def serve(arguments: list[str]) -> int:
    """Answer requests until Ctrl-C."""
    about = (
        "Answer HTTP requests with predictions of a trained run: rows as JSON, CSV or Parquet, or a picture. "
        "GET /model says what it takes; GET / is a page to try it."
    )
    parsed = parse(_Serve, None, arguments, "umbel serve", about)
    size = _bytes(parsed.largest_request)
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise UmbelError('umbel serve needs the packages starlette and uvicorn; run: pip install "umbel[serve]"')
    from umbel.inference import load  # noqa: PLC0415 - imports torch
    from umbel.serving import Limits, Service  # noqa: PLC0415
    from umbel.serving import serve as run_server  # noqa: PLC0415

    name = parsed.run.resolve().name
    service = Service(load(parsed.run), parsed.point, name, Limits(request_bytes=size))
    run_server(service, parsed.host, parsed.port, parsed.page, lambda line: print(line, flush=True))
    return 0


def _bytes(text: str) -> int:
    """A size as a number of bytes.

    Raises:
        UmbelError: It is none, or 0.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([kmg]?b)?", text.strip().lower())
    size = round(float(match[1]) * _UNITS[match[2] or "b"]) if match else 0
    if size < 1:
        raise UmbelError(f"--largest-request {text!r} is no size; give one as 500KB, 16MB or 1GB")
    return size
