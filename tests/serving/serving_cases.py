"""Small trained runs to be served, and a caller of ASGI applications that needs no server."""

import asyncio
import io
import json
import random
from dataclasses import dataclass

from PIL import Image

from umbel import load
from umbel.cli import main
from umbel.serving import Service

HOST = "127.0.0.1:8000"
JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
ROW = {"rooms": 3, "metres": 70.5, "city": "north"}
SHORT = ["--precision", "float32", "--no-tensorboard", "--batch-size", "32"]


def refused(capsys, *arguments):
    """The one line of an error of the command."""
    capsys.readouterr()
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
    return err


def flats(folder):
    """A table with gaps, a number that may be missing, and names that would be HTML."""
    draw = random.Random(0)
    lines = ["rooms,metres,city,rent,balcony"]
    for _ in range(150):
        rooms = draw.randint(1, 5)
        metres = round(25 * rooms + draw.gauss(0, 8), 1)
        rent = "" if draw.random() < 0.3 else round(9 * metres + draw.gauss(0, 40))
        balcony = "" if draw.random() < 0.3 else "yes" if metres > 60 else "<i>no</i>"
        city = draw.choice(["north", "south", "<b>old & new</b>"])
        lines.append(f"{'' if draw.random() < 0.1 else rooms},{metres},{city},{rent},{balcony}")
    path = folder / "flats.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def trained(folder, *arguments):
    """The folder of a short training."""
    out = folder / "a run"
    assert main(["train", *map(str, arguments), *SHORT, "--out", str(out)]) == 0
    return out


def flats_run(folder):
    """A run that learnt from `flats`."""
    more = ["--targets", "rent,balcony", "--kinds", "rooms=number", "--steps", "40", "--validate-every", "20"]
    return trained(folder, "--data", flats(folder), *more)


def digits_run(folder):
    """A run that learnt from grey pictures of 8×8 pixels."""
    return trained(folder, "--data", "digits", "--tasks", "digit,loops", "--steps", "6", "--validate-every", "3")


def service_of(run, **more):
    """A run, served."""
    return Service(load(run), name=run.name, **more)


def picture(mode="L", size=(8, 8), form="PNG", **more):
    """A file of a picture."""
    file = io.BytesIO()
    Image.new(mode, size, 90).save(file, form, **more)
    return file.getvalue()


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self):
        """The sentence of a refusal: one line that tells nothing of this machine."""
        said = self.json
        assert list(said) == ["error"]
        sentence = said["error"]
        assert sentence and "\n" not in sentence and "Traceback" not in sentence
        assert "/tmp" not in sentence and "umbel/" not in sentence and "site-packages" not in sentence
        return sentence


async def asked(app, method, path, body=b"", media_type=None, slow=0.0, **headers):
    """Call an ASGI application, as a server would. A body may be a list of parts."""
    sent = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    if media_type is not None:
        sent["content-type"] = media_type
    parts = list(body) if isinstance(body, list) else [body]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000), "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
    }  # fmt: skip
    messages = []

    async def receive():
        await asyncio.sleep(slow)
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    kept = {name.decode(): value.decode() for name, value in start["headers"]}
    return Got(start["status"], kept, b"".join(message.get("body", b"") for message in rest))


def call(app, method, path, body=b"", media_type=None, **more):
    """The same, from code that is not asynchronous."""
    return asyncio.run(asked(app, method, path, body, media_type, **more))


def post(app, value, **headers):
    """Ask for predictions of rows as JSON."""
    return call(app, "POST", "/predict", json.dumps(value).encode(), JSON, **headers)
