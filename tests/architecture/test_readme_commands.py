"""A newcomer's way through the README, command by command: a table with gaps, predictions, a file, a service."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 240


def commands() -> list[list[str]]:
    """The lines of the section's `sh` blocks, run by this Python instead of the one in .venv."""
    section = (ROOT / "README.md").read_text().split("## Your own data")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    run = {".venv/bin/umbel": [sys.executable, "-m", "umbel.cli"], ".venv/bin/python": [sys.executable]}
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [[*run[line[0]], *line[1:]] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A new user's folder, with the run of the first command in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(ROOT / "examples", folder / "examples")
    said = done(folder, "train")
    assert "balcony" in said.stdout and "checkpoint: runs/flats" in said.stdout
    return folder


def command(name: str) -> list[str]:
    (line,) = [line for line in commands() if name == (line[3] if line[1] == "-m" else Path(line[1]).stem)]
    return line


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def done(folder: Path, name: str) -> subprocess.CompletedProcess:
    ended = subprocess.run(
        command(name), cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=environment()
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_there_are_four_commands_and_a_file_to_run():
    assert [line[3] if line[1] == "-m" else line[1] for line in commands()] == [
        *("train", "predict", "export", "serve"),
        "runs/flats-export/run_export.py",
    ]


@pytest.fixture(scope="module")
def predicted(folder) -> list[dict[str, str]]:
    """What `predict` says of the new flats."""
    return rows(done(folder, "predict").stdout)


def test_new_rows_are_predicted(predicted):
    """Larger flats cost more, and have balconies; a district that nobody has seen is no error."""
    rent = [float(row["rent"]) for row in predicted]
    assert len(rent) == 6
    assert rent[0] > 900 and rent[2] < 900 and rent[5] < 650, rent
    assert predicted[0]["balcony"] == "yes" and predicted[5]["balcony"] == "no"


def test_the_export_says_the_same_without_umbel(folder, predicted):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done(folder, "export")
    assert {"model.onnx", "export.json", "run_export.py"} <= {
        file.name for file in (folder / "runs/flats-export").iterdir()
    }
    again = [json.loads(line) for line in done(folder, "run_export").stdout.splitlines()]
    for one, two in zip(again, predicted, strict=True):
        assert one["rent"] == pytest.approx(float(two["rent"]), rel=1e-5)
        assert one["balcony"]["yes"] == pytest.approx(float(two["balcony: yes"]), abs=1e-5)


def test_the_service_says_the_same(folder, predicted):
    pytest.importorskip("uvicorn")
    server = subprocess.Popen(
        [*command("serve"), "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        said = ""
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = server.stdout.readline()
            assert line, said
            said += line
        body = (folder / "examples/new_flats.csv").read_bytes()
        request = urllib.request.Request(f"{address[0]}/predict", body, {"Content-Type": "text/csv"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            predictions = json.load(answer)["predictions"]
        assert [one["rent"]["value"] for one in predictions] == pytest.approx(
            [float(row["rent"]) for row in predicted], rel=1e-6
        )
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130)
    finally:
        server.kill()
        server.communicate()
