"""Every file that a study or a training leaves is damaged in several ways: each command says so in one line."""

import hashlib
import json
import random
import shutil
import traceback

import numpy as np
import pytest
from commands import SMALL

from umbel.cli import main
from umbel.control import Latency, machine_name

STUDY = [*SMALL, "--steps", "2", "--descents", "equal", "--seeds", "1", "--tuning-trials", "1", "--probes", "1"]
TRAIN = [*SMALL, "--steps", "2", "--encoder", "conv", "--hidden", "8", "--vector-head", "conv", "--widths", "0.5/1"]
DEEP = b"[" * 100_000
BYTES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "binary": lambda content: bytes(range(256)) * 4,
    "latin": lambda content: '{"name": "Grün"}'.encode("latin-1"),
    "deep": lambda content: DEEP,
    "null": lambda content: b"null",
    "list": lambda content: b"[1]",
    "object": lambda content: b"{}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished study and a finished training, with times that were measured."""
    folder = tmp_path_factory.mktemp("made")
    assert main(["run", "compare", *STUDY, "--out", str(folder / "study")]) == 0
    assert main(["train", *TRAIN, "--out", str(folder / "run")]) == 0
    times = {"encoder": [1, 2], "heads": [[[1, 2], [1, 2]]] * 2, "machine": "m", "batch_size": 1, "backend": "torch"}
    ready = next((folder / "run").glob("checkpoints/ready-*"))
    (ready / "latency-torch-1.json").write_text(json.dumps(times))
    (folder / "point.json").write_text('{"point": {"width": 0.5, "head_widths": {"digit": 1.0, "loops": 0.5}}}')
    return folder


def commands_of(folder, name):
    """The commands that read a file."""
    study, run = str(folder / "study"), str(folder / "run")
    search = ["search", run, "--budget", "100% latency" if "latency" in name else "50%"]
    readers = {
        "study/results.json": [["report", study], ["verify", "compare", "--from", study]],
        "study/": [["run", "compare", *STUDY, "--out", study, "--resume"]],
        "point.json": [["evaluate", run, "--point", str(folder / name)]],
        "run/checkpoints/ready-": [search],
        "run/checkpoints/best-": [["evaluate", str(folder / name.rsplit("/", 1)[0])]],
        "run/": [["train", *TRAIN, "--out", run, "--resume"]],
    }
    return next(commands for beginning, commands in readers.items() if name.startswith(beginning))


def files_of(folder):
    """Those that any command of ours reads again: no pages, no pictures."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        name for name in names if name.endswith((".json", ".csv", ".pt", ".safetensors")) and "table.csv" not in name
    ]


def values_of(record, path=()):
    """Where a value of a JSON file is: all paths of two names or one."""
    if isinstance(record, dict) and len(path) < 2:
        for name, value in record.items():
            yield (*path, name)
            yield from values_of(value, (*path, name))
    elif isinstance(record, list) and record and len(path) < 2:
        yield from values_of(record[0], (*path, 0))


def changed(record, path, value):
    """The record with one value replaced, or left out for `values_of`."""
    record = json.loads(json.dumps(record))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    if value is values_of:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(record).encode()


def damages(content, name):
    """(What was done, what the file then holds); the meaning of JSON is damaged as well as its form."""
    for how, change in BYTES.items():
        yield how, change(content)
    if name.endswith(".csv"):
        yield "other columns", content.replace(b"step", b"name", 1)
        yield "text", content[: content.rindex(b",")] + b",many\n"
        yield "more cells", content + b"2,3,4,5,6,7,8,9,10,11,12,13\n"
    if name.endswith(".json"):
        record = json.loads(content)
        for path in values_of(record):
            for value in (values_of, None, [], {"a": "b"}, "text", -1.5):
                yield f"{path} is {'missing' if value is values_of else value}", changed(record, path, value)


def resealed(checkpoint):
    """The manifest says that the files are as they should be."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (checkpoint / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def answer(capsys, arguments):
    """The error line of a command; empty when it ended well. Anything else has no line end, or several."""
    capsys.readouterr()
    try:
        status = main(arguments)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"umbel: {type(error).__name__}: {error} in {where.filename}:{where.lineno}"
    err = capsys.readouterr().err
    assert status in (0, 2)
    return err if status else ""


def kind_of_file(name):
    """Its name and where it lies, without what differs between networks of one kind."""
    parts = name.split("/")
    return parts[0], parts[-1], parts[-2].split("-")[0] if "checkpoints" in parts else ""


def chosen(every, name):
    """Some of the damages, the same in every test run: all would take ten minutes (`make fuzz` draws others)."""
    most = 1 if name.startswith("study/networks") else 2
    return random.Random(name).sample(every, min(most, len(every)))


def damage(path, how, content):
    """Put the damaged content, or a folder, or nothing in a file's place; a checkpoint's manifest agrees with it."""
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
        if path.name in ("settings.json", "state.pt", "weights.safetensors"):
            resealed(path.parent)


@pytest.mark.slow
def test_damaged_files_are_one_line(capsys, made, tmp_path, monkeypatch):
    """Or the command goes on without them, where it can: never a traceback."""
    table = Latency(np.array([1.0, 2.0]), np.array([[[1.0, 2.0], [1.0, 2.0]]] * 2), machine_name("torch"), 1, "torch")
    monkeypatch.setattr("umbel.recipes.turnable.measure_latency", lambda *_, **__: table)
    copy, seen, wrong, refusals = tmp_path / "copy", set(), [], 0
    for name in files_of(made):
        if kind_of_file(name) in seen:
            continue
        seen.add(kind_of_file(name))
        every = [*damages((made / name).read_bytes(), name), ("a folder", None), ("gone", None)]
        for how, content in chosen(every, name):
            shutil.copytree(made, copy)
            damage(copy / name, how, content)
            for command in commands_of(copy, name):
                said = answer(capsys, command)
                refusals += said.startswith("umbel: ")
                if said.count("\n") != said.startswith("umbel: "):
                    wrong.append(f"{name}, {how}, {command[0]}: {said}")
            shutil.rmtree(copy)
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 20 and refusals > len(seen) // 2, "else nothing was damaged that matters"
