"""What an export does in a process that has no Umbel, against the run's own network."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from umbel import FitSettings, Learner, build_model, fit, load, make_descent, tasks
from umbel.cli import main
from umbel.control import Exported, export
from umbel.control.exports import run_export
from umbel.core import MultiTaskModel, OperatingPoint
from umbel.data import MultiTaskData, as_float
from umbel.data.data_record import DataRecord
from umbel.data.plain_inputs import PlainInputs
from umbel.data.split_rules import RandomSplit
from umbel.data.table_description import InputColumn, SplitRows, TableDescription, TargetColumn
from umbel.data.table_rows import new_rows
from umbel.engine import load_checkpoint, load_weights, open_runtime, resolve
from umbel.recipes.build import Described
from umbel.recipes.exporting import export_network, open_network

BLOCKED = """
import builtins, runpy, sys
imported = builtins.__import__
def without_umbel(name, *rest, **named):
    if name.split(".")[0] in ("umbel", "torch"):
        raise ImportError(f"{name} is not for this process")
    return imported(name, *rest, **named)
builtins.__import__ = without_umbel
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"umbel", "torch"} & sys.modules.keys()
"""


def run_alone(folder: Path, *arguments: Path) -> subprocess.CompletedProcess:
    """run_export.py of a folder, where Umbel cannot be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-c", BLOCKED, str(folder / "run_export.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def lines(folder: Path, *arguments: Path) -> list[dict]:
    done = run_alone(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def decoded(run: Path, table: Path) -> dict[str, torch.Tensor]:
    """The network's own predictions for the rows of a file."""
    saved = load_checkpoint(resolve(run))
    described = Described.read(saved.settings, str(saved.path))
    learner = described.learner()
    load_weights(learner, saved)
    batch = new_rows(table, described.record.inputs)
    with torch.no_grad():
        raw = learner.eval().model(as_float(batch.inputs), OperatingPoint())
    return {task.name: task.decode(raw[task.name]) for task in learner.tasks}


def write_csv(path: Path, rows: list[list]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def train(table: Path, out: Path, *flags: str) -> Path:
    steps = ["--steps", "40", "--precision", "float32", "--no-tensorboard", "--out", str(out)]
    assert main(["train", "--data", str(table), *steps, *flags]) == 0
    return out


class Quiet:
    def say(self, line):
        pass


@pytest.fixture(scope="module")
def houses(tmp_path_factory) -> Path:
    """A run on numbers with gaps, ids of categories that look like numbers, and a target of Unix times."""
    random = np.random.default_rng(0)
    rows = [["area, m²", "district", "heat", "built", "3 rooms", "when", "balcony"]]
    for _ in range(240):
        area, district = random.uniform(20, 120), ["007", "7", "Rome", "a,b"][random.integers(4)]
        heat = "NA" if random.random() < 0.2 else f"{random.uniform():.4f}"
        built = 1_600_000_000 + int(1000 * random.uniform())
        gap = "" if random.random() < 0.1 else district
        rooms = "?" if random.random() < 0.1 else ["1", "2"][random.integers(2)]
        when = 1_700_000_000 + round(10 * area + 300 * (district == "007"))
        rows.append([f"{area:.3f}", gap, heat, built, rooms, when, "yes" if area > 60 else "no"])
    folder = tmp_path_factory.mktemp("houses")
    kinds = ["--kinds", "district=category,3 rooms=category"]
    return train(write_csv(folder / "houses.csv", rows), folder / "run", "--targets", "when,balcony", *kinds)


NEW = [
    ["balcony", "heat", "3 rooms", "area, m²", "built", "district", "not known before"],
    ["", "0.25", "1", "33.5", 1600000123, "007", "x"],
    ["", "NA", "2.0", "80", 1600000123, "7.0", ""],
    ["", "null", "?", " 99 ", 1600000999, " a,b ", ""],
    ["", "1e-1", "3", "", "", "Oslo", ""],
    ["", "-2", "NULL", "1e3", 1600000500, "", ""],
    ["", "0", "1", "50", 1600000500, "07", ""],
]


@pytest.fixture(scope="module")
def exported(houses) -> Exported:
    return export_network(open_network(houses, open_runtime()), houses.parent / "out", ("torch", "onnx"), Quiet())


def test_rows_of_a_table_are_predicted_as_the_network_does(houses, exported, tmp_path):
    table = write_csv(tmp_path / "new.csv", NEW)
    wanted, given = decoded(houses, table), lines(exported.folder, table)
    assert [list(line) for line in given] == [["when", "balcony"]] * 6
    times = np.array([line["when"] for line in given])
    assert np.abs(times - wanted["when"][:, 0].numpy()).max() < 1e-5 * 400  # of the spread; the times are 1.7e9
    assert [list(line["balcony"]) for line in given] == [["no", "yes"]] * 6
    probabilities = np.array([list(line["balcony"].values()) for line in given])
    assert np.abs(probabilities - wanted["balcony"].numpy()).max() < 1e-5
    assert len({line["when"] for line in given}) == 6  # the rows differ in what counts


@pytest.mark.filterwarnings("ignore::umbel.inference.RowsWarning")
def test_the_runner_agrees_with_umbel_predict(houses, exported, tmp_path):
    table = write_csv(tmp_path / "new.csv", NEW)
    frame, given = load(houses).predict(str(table)), lines(exported.folder, table)
    assert np.abs(frame["when"].to_numpy() - [line["when"] for line in given]).max() < 1e-5 * 400
    for answer in ("no", "yes"):
        probabilities = [line["balcony"][answer] for line in given]
        assert np.abs(frame[f"balcony: {answer}"].to_numpy() - probabilities).max() < 1e-5


def test_what_looks_alike_stays_apart(exported, tmp_path):
    def predicted(district: str) -> dict:
        row = [*NEW[1][:5], district, "x"]
        return lines(exported.folder, write_csv(tmp_path / "one.csv", [NEW[0], row]))[0]

    assert predicted("7") == predicted("7.0") != predicted("007")
    assert predicted("07") == predicted("Oslo") != predicted("7")
    assert predicted("") == predicted("n/a") != predicted("Oslo")  # there were gaps in training, and they are marked


def test_the_onnx_file_takes_the_raw_columns_itself(houses, exported, tmp_path):
    session = onnxruntime.InferenceSession(exported.files["onnx"], providers=["CPUExecutionProvider"])
    kinds = {port.name: (port.type, port.shape) for port in session.get_inputs()}
    number, text = ("tensor(double)", ["batch"]), ("tensor(string)", ["batch"])
    assert kinds == {
        "area__m_": number,
        "district": text,
        "heat": number,
        "built": number,
        "column_3_rooms": text,
    }
    assert exported.inputs["3 rooms"] == "column_3_rooms"
    row = {
        "area__m_": np.array([33.5, np.nan]),
        "district": np.array(["007", ""], dtype=object),
        "heat": np.array([0.25, np.nan]),
        "built": np.array([1600000123.0, np.nan]),
        "column_3_rooms": np.array(["1", "?"], dtype=object),
    }
    times, balcony = session.run(["when", "balcony"], row)
    header = ["area, m²", "district", "heat", "built", "3 rooms"]
    table = write_csv(tmp_path / "t.csv", [header, [33.5, "007", 0.25, 1600000123, 1], ["", "", "", "", "?"]])
    wanted = decoded(houses, table)
    assert times.dtype == np.float64
    assert np.abs(times - wanted["when"].numpy()).max() < 1e-3
    assert np.abs(balcony - wanted["balcony"].numpy()).max() < 1e-6


def test_inputs_near_1_6e9_are_centred_in_double(houses, exported):
    # In float32 the steps between such numbers are 128.
    columns = {c["name"]: c for c in exported.record["inputs"]["columns"]}
    built = columns["built"]
    described = open_network(houses, open_runtime()).data.inputs
    (known,) = (column for column in described.inputs if column.name == "built")
    assert (built["centre"], built["scale"]) == (known.centre, known.scale)
    session = onnxruntime.InferenceSession(exported.files["onnx"], providers=["CPUExecutionProvider"])
    given = {port.name: np.array(["7"] * 2, dtype=object) for port in session.get_inputs()}
    given |= {exported.inputs[name]: np.array([1.0, 1.0]) for name, c in columns.items() if c["kind"] == "number"}
    given["built"] = np.array([1600000500.0, 1600000510.0])
    times = session.run(["when"], given)[0]
    assert times[0] != times[1]


def test_the_record_holds_all_of_the_preprocessing_and_the_validation(houses, exported):
    network = open_network(houses, open_runtime())
    record, described = exported.record, network.data.inputs
    assert record["inputs"]["missing"] == list(described.missing)
    for kept, column in zip(record["inputs"]["columns"], described.inputs, strict=True):
        assert (kept["name"], kept["kind"], kept["flagged"]) == (column.name, column.kind, column.flagged)
        assert tuple(kept.get("categories", ())) == column.categories
    when, balcony = record["tasks"]["when"], record["tasks"]["balcony"]
    assert (when["centre"][0], when["scale"][0]) == (described.targets[0].centre, described.targets[0].scale)
    assert balcony["labels"] == ["no", "yes"]
    assert record["about"]["validation"] == network.saved.state["metrics"]
    assert record["about"]["validation"]["when"]["RMSE"] > 0


def columns_of(*inputs: InputColumn) -> TableDescription:
    splits = tuple(SplitRows(name, 1, "") for name in ("train", "validation", "test"))
    targets = (TargetColumn("y", "regression"),)
    return TableDescription(inputs, targets, None, RandomSplit(), splits, ("NA", "-999"))


NUMBER = InputColumn("n", "number", False, 1e9, 4.0)
FLAGGED = InputColumn("f", "number", True, 0.0, 2.0)
CONSTANT = InputColumn("c", "number", True, 3.0, 0.0)
WORDS = InputColumn("w", "category", False, categories=("a", "ü b"))
IDS = InputColumn("i", "category", True, categories=("-1", "07", "7"))
NOTHING = InputColumn("o", "category", True)
GIVEN = {
    "n": np.array([1e9 + 2, np.nan, 1e9 - 4]),
    "f": np.array([-999.0, 3.0, -1.0]),
    "c": np.array([3.0, np.nan, 8.0]),
    "w": np.array(["ü b", "a.0", "A"], dtype=object),
    "i": np.array(["7.0", "NA", "-1.0"], dtype=object),
    "o": np.array(["", "new", "-999.0"], dtype=object),
}
FEATURES = {
    "n": [[0.5], [0], [-1]],
    "f": [[0, 1], [1.5, 0], [-0.5, 0]],
    "c": [[0, 0], [0, 1], [0, 0]],
    "w": [[0, 1], [0, 0], [0, 0]],
    "i": [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]],
    "o": [[1], [0], [1]],
}


@pytest.mark.parametrize(
    "inputs",
    [
        [NUMBER],
        [WORDS],
        [NOTHING],
        [NUMBER, FLAGGED],
        [IDS, NUMBER, WORDS],
        [WORDS, CONSTANT, IDS, NOTHING, FLAGGED, NUMBER],
    ],
    ids=lambda inputs: "".join(column.name for column in inputs),
)
def test_the_graph_makes_of_columns_what_the_description_says(tmp_path, inputs):
    table = columns_of(*inputs)
    (features,) = table.input_shape
    kinds = [tasks.regression("all", features)]
    head = nn.Linear(features, features, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(features))
    exported = export(MultiTaskModel(nn.Identity(), {"all": head}), table, kinds, tmp_path, formats=["onnx"])
    session = onnxruntime.InferenceSession(exported.files["onnx"], providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {column.name: GIVEN[column.name] for column in inputs})
    assert answer.tolist() == np.concatenate([FEATURES[column.name] for column in inputs], 1).tolist()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["", "0.25", "1", "1,234", 1600000123, "007", "x"], "could not convert string to float: '1,234'"),
        (["", "0.25", "1", "1e40", 1600000123, "007", "x"], "area, m²: '1e40' is no number, or too large"),
        (["", "0.25", "1", "1_000", 1600000123, "007", "x"], "area, m²: '1_000' is no number, or too large"),
        (["", "0.25", "1", "+nan", 1600000123, "007", "x"], r"area, m²: '\+nan' is no number, or too large"),
        (["", "0.25", "1", "33", 1600000123, "007"], "argument 2 is shorter|is longer"),
    ],
)
def test_the_runner_refuses_what_it_cannot_read(exported, tmp_path, row, message):
    done = run_alone(exported.folder, write_csv(tmp_path / "bad.csv", [*NEW[:2], row]))
    assert done.returncode and done.stdout == ""
    assert re.search(message, done.stderr), done.stderr


def test_columns_of_one_name_or_none_are_refused_by_the_runner(exported, tmp_path):
    twice = write_csv(tmp_path / "twice.csv", [[*NEW[0][:-1], "heat"], NEW[1]])
    assert "two columns have one name" in run_alone(exported.folder, twice).stderr
    absent = write_csv(tmp_path / "absent.csv", [NEW[0][2:], NEW[1][2:]])
    assert "KeyError: 'heat'" in run_alone(exported.folder, absent).stderr


@pytest.mark.parametrize("resolution", [12, None])
def test_pictures_of_a_table_are_predicted_as_the_network_does(tmp_path, resolution, capsys):
    random = np.random.default_rng(1)
    rows, sizes = [["file", "bright", "level"]], [(16, 12), (20, 20)] if resolution else [(12, 16)]
    (tmp_path / "pictures").mkdir()
    for index in range(60):
        level = random.uniform(20, 230)
        noise = random.normal(level, 10, (*sizes[index % len(sizes)], 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "pictures" / f"{index}.png")
        rows.append([f"pictures/{index}.png", "yes" if level > 128 else "no", level])
    table = write_csv(tmp_path / "table.csv", rows)
    flags = ["--resolution", "12"] if resolution else []
    flags += ["--targets", "bright,level", "--image-column", "file", "--encoder", "conv"]
    run = train(table, tmp_path / "run", *flags, "--encoder-options", "widths=8/8")
    capsys.readouterr()
    assert main(["export", str(run), "--out", str(tmp_path / "out"), "--formats", "onnx"]) == 0
    height, width = (12, 12) if resolution else (12, 16)
    assert f"takes  pictures 3 × {height} × {width} (RGB), bytes 0 to 255" in capsys.readouterr().out
    new = write_csv(tmp_path / "new.csv", [["file"], ["pictures/1.png"], ["pictures/4.png"]])
    wanted, given = decoded(run, new), lines(tmp_path / "out", new)
    assert given == lines(tmp_path / "out", tmp_path / "pictures" / "1.png", tmp_path / "pictures" / "4.png")
    for line, level, bright in zip(given, wanted["level"], wanted["bright"], strict=True):
        assert line["level"] == pytest.approx(float(level), rel=1e-5)
        assert list(line["bright"].values()) == pytest.approx(bright.tolist(), abs=1e-5)


def test_maps_and_several_labels_of_grey_pictures(tmp_path):
    kinds = [
        tasks.segmentation("where", ["back", "front"]),
        tasks.multilabel("what", ["round", "dark"]),
        tasks.regression("size", 2, labels=["height", "width"]),
    ]
    model = build_model((1, 8, 8), kinds, "conv", widths=(8, 8), seed=3).eval()
    exported = export(model, PlainInputs((1, 8, 8), True), kinds, tmp_path / "out", formats=["onnx"])
    bytes_ = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(bytes_).save(tmp_path / "grey.png")
    (line,) = lines(exported.folder, tmp_path / "grey.png")
    with torch.no_grad():
        raw = model(torch.from_numpy(bytes_)[None, None].float() / 255, OperatingPoint())
    wanted = {task.name: task.decode(raw[task.name])[0] for task in kinds}
    assert np.abs(np.array(line["where"]) - wanted["where"].numpy()).max() < 1e-5
    assert line["what"] == pytest.approx(dict(zip(["round", "dark"], wanted["what"].tolist(), strict=True)), abs=1e-5)
    assert line["size"] == pytest.approx(dict(zip(["height", "width"], wanted["size"].tolist(), strict=True)), abs=1e-5)


def test_arrays_are_taken_from_a_file_of_numpy(tmp_path):
    kinds = [tasks.regression("next", centre=20.0, scale=4.0)]
    model = build_model((6, 4), kinds, "gru", seed=3).eval()
    exported = export(model, PlainInputs((6, 4), False), kinds, tmp_path / "out", formats=["onnx"])
    series = np.random.default_rng(0).normal(size=(300, 6, 4))
    np.save(tmp_path / "series.npy", series)
    given = lines(exported.folder, tmp_path / "series.npy")
    with torch.no_grad():
        wanted = kinds[0].decode(model(torch.from_numpy(series).float(), OperatingPoint())["next"])[:, 0]
    assert [line["next"] for line in given] == pytest.approx(wanted.tolist(), rel=1e-5)


def test_an_untrained_network_of_a_python_user_is_exported_with_the_record_of_its_data(tmp_path):
    from umbel import load_data

    data: MultiTaskData = load_data("digits")
    learner = Learner(build_model(data.input_shape, data.tasks, "conv", widths=(4, 4), seed=0), data.tasks)
    settings = FitSettings(steps=2, batch_size=16, precision="float32", tensorboard=False)
    fit(learner, make_descent("equal"), data.train, data.validation, settings)
    exported = export(learner.model, data.inputs, learner.tasks, tmp_path / "out", formats=["onnx"])
    assert exported.record["tasks"].keys() == {task.name for task in DataRecord.of(data).tasks}
    batch = next(iter(data.test.batches(4)))
    session = onnxruntime.InferenceSession(exported.files["onnx"], providers=["CPUExecutionProvider"])
    pictures = (batch.inputs * 255).round().to(torch.uint8)
    answers = session.run(list(exported.outputs.values()), {"input": pictures.numpy()})
    with torch.no_grad():
        raw = learner.model.eval()(as_float(pictures), OperatingPoint())
    for task, answer in zip(learner.tasks, answers, strict=True):
        assert np.abs(answer - task.decode(raw[task.name]).numpy()).max() < 1e-5


def test_the_commands_of_the_page_do_what_it_says(tmp_path, monkeypatch, capsys):
    root = Path(__file__).parents[2]
    page = (root / "docs" / "export.md").read_text()
    training, exporting, running = page.split("```bash\n")[1].split("```")[0].splitlines()
    shutil.copytree(root / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    assert main([*training.split()[1:], "--steps", "20", "--no-tensorboard"]) == 0
    assert main(exporting.split()[1:]) == 0
    python, *arguments = running.split()
    assert python == "python"
    script, rows = (tmp_path / name for name in arguments)
    given = lines(script.parent, rows)
    assert len(given) == len(rows.read_text().splitlines()) - 1
    (shown,) = re.findall(r"```text\n(\{.*?)\n", page)
    assert [*given[0]] == [*json.loads(shown)] == ["rent", "balcony"]
    assert given[0]["balcony"].keys() == json.loads(shown)["balcony"].keys()
    assert 300 < given[0]["rent"] < 3000  # as the rents of the table, not in standard units


def test_the_page_shows_the_runner_as_it_is_written():
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    assert f"```python no-run\n{Path(run_export.__file__).read_text()}```\n" in page
