"""The page to try a service: one file without anything from elsewhere."""

import base64
import hashlib
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def page() -> str:
    """The page as HTML; its script asks the server what the run takes and answers."""
    return _part("page.html").replace("{{style}}", _part("page.css")).replace("{{script}}", _part("page.js"))


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_part(part).encode()).digest()).decode()}'"


PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_hash('page.js')}",
        f"style-src {_hash('page.css')}",
        "connect-src 'self'",
        "img-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What a browser may load for the page: its own script and style by their hashes, answers of this server, and pictures
that the user chose."""
