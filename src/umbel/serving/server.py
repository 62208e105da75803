"""A server for one run: opens the port, says how to use it, and runs until it is stopped."""

import ipaddress
import json
import logging
import shlex
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from umbel.errors import UmbelError
from umbel.serving.asgi import application
from umbel.serving.safeguards import LOOPBACK_HOSTS
from umbel.serving.service import JSON, Service

_SECONDS_TO_END = 5


def serve(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 8000,
    with_page: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Answer requests until the process is told to stop (SIGINT or SIGTERM).

    Args:
        service: The run.
        host: Name or address of this machine to listen on.
        port: 0 for any that is free.
        with_page: Whether there is a page to try it.
        say: Is told the address, a request to try, and how to stop.

    Raises:
        UmbelError: The address cannot be had.
        KeyboardInterrupt: It was stopped by SIGINT, and all that was begun has been answered.
    """
    with _listening(host, port) as opened:
        address, port = opened.getsockname()[:2]
        loopback = ipaddress.ip_address(address).is_loopback
        hosts = tuple(dict.fromkeys((*LOOPBACK_HOSTS, _in_url(host).lower()))) if loopback else None
        url = f"http://{_in_url(host)}:{port}"
        say(f"{service.description['run']} answers at {url}")
        if not loopback:
            say(f"Warning: {host} can be reached from other machines, and the server asks nobody for a password.")
        if with_page:
            say(f"A page to try it: {url}/")
        say(f"From a shell: {curl_line(service.description, url)}")
        say("Ctrl-C stops it.")
        config = uvicorn.Config(
            application(service, hosts, with_page),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,  # nobody may say for others where they come from
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        uvicorn.Server(config).run(sockets=[opened])


def curl_line(description: dict[str, Any], url: str) -> str:
    """A command for the shell that asks for a prediction.

    Args:
        description: Of the service.
        url: Of the server, without a slash at its end.
    """
    inputs = description["inputs"]
    media_type, body = JSON, ["-d", "@rows.json"]
    if inputs["kind"] == "picture":
        media_type, body = "image/png", ["--data-binary", "@picture.png"]
    elif inputs["kind"] == "table":
        body = ["-d", json.dumps(inputs["example"])]
    return shlex.join(["curl", "-H", f"Content-Type: {media_type}", *body, f"{url}/predict"])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on."""
    if not 0 <= port <= 65535:
        raise UmbelError(f"port {port} does not exist; give one from 1 to 65535, or 0 for any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UmbelError(f"host {host!r} is not known; give a name or an address of this machine") from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # no wait after a server that has just ended
        opened.bind(address)
        opened.listen()
    except OSError as error:
        opened.close()
        raise UmbelError(
            f"cannot listen on {host} port {port} ({error.strerror}); give another --port, or 0 for any that is free"
        ) from None
    return opened
