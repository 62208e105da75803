"""A trained run as a local service: HTTP and JSON, and a page to try it."""

from umbel.serving.asgi import application
from umbel.serving.refusal import Refusal
from umbel.serving.server import serve
from umbel.serving.service import Answers, Limits, Service

__all__ = ["Answers", "Limits", "Refusal", "Service", "application", "serve"]
