import copy
import errno
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from control_cases import random_batch, slimmed, small_model
from safetensors.torch import load_file
from torch import Tensor, nn

from umbel import tasks
from umbel.control import Exported, available_formats, export, time_model
from umbel.control.exports.names import plain_names
from umbel.core import MultiTaskModel, OperatingPoint, PointModule, Task, UmbelError
from umbel.data import as_float
from umbel.data.plain_inputs import PlainInputs
from umbel.nn import (
    FeatureMaps,
    VectorHead,
    build_encoder,
    build_model,
    dense_model,
    model_cost,
    recalibrate,
)

FORMATS = ("torch", "onnx", "safetensors")
POINT = OperatingPoint(width=0.5, head_widths={"kind": 0.25, "depth": 0.5})
FLOATS = PlainInputs((3, 8, 8), pictures=False)
TASKS = [tasks.classification("kind", 4), tasks.dense_regression("depth")]
write = sys.modules["umbel.control.exports.write"]
files = sys.modules["umbel.control.exports.files"]


def _two_classes() -> list[Task]:
    return [tasks.classification("kind", ["a", "b", "c"]), tasks.multilabel("pm2.5", ["low", "high"])]


def _maps() -> list[Task]:
    return [tasks.segmentation("kind", ["a", "b", "c"]), tasks.dense_regression("depth", 1e4, 3.0)]


def _slim(name: str, shape: tuple[int, ...], kinds: list[Task], **options) -> MultiTaskModel:
    plain = build_model(shape, kinds, name, hidden=32, **options)
    return slimmed(plain.encoder, {n: plain.heads[n] for n in plain.task_names}, shape)


def _mobile() -> MultiTaskModel:
    """The first blocks of MobileNet: depthwise convolutions, squeeze and excitation (all of it takes 15 s)."""
    shape = (3, 32, 32)
    whole = build_encoder("torchvision-mobilenet_v3_small", shape)
    encoder = FeatureMaps(whole.standardise, whole.body[:5], shape)
    heads = {"kind": VectorHead(encoder.feature_shape, 3, 32), "pm2.5": VectorHead(encoder.feature_shape, 2)}
    return slimmed(encoder, heads, shape)


def _trained(name: str, shape: tuple[int, ...], kinds: list[Task], **options) -> MultiTaskModel:
    """An ordinary network, whose batch norms have seen something."""
    model = build_model(shape, kinds, name, seed=1, **options)
    with torch.no_grad():
        for seed in range(3):
            model(random_batch(shape, 16, seed), OperatingPoint())
    return model


def _dense_kinds() -> list[Task]:
    return [
        tasks.boundaries("edge"),
        tasks.surface_normals("normals"),
        tasks.reconstruction("input", 1),
        tasks.regression("time", 2, torch.tensor([1.7e9, 0.5]), torch.tensor([900.0, 2.0]), ["start", "length"], "s"),
    ]


@dataclass(frozen=True)
class Case:
    make: Callable[[], MultiTaskModel]
    inputs: PlainInputs
    tasks: Callable[[], list[Task]]
    point: OperatingPoint | None = None


def pictures(*shape: int) -> PlainInputs:
    return PlainInputs(shape, pictures=True)


CASES = {
    "slim conv": Case(
        lambda: _slim("conv", (3, 16, 16), _two_classes(), widths=(16, 32)),
        pictures(3, 16, 16),
        _two_classes,
        OperatingPoint(width=0.5, head_widths={"kind": 0.25, "pm2.5": 1.0}),
    ),
    "slim resnet": Case(
        lambda: _slim("resnet", (3, 16, 16), _maps(), width=16, blocks=(1, 1, 1)), pictures(3, 16, 16), _maps, POINT
    ),
    "slim mobilenet": Case(
        _mobile, pictures(3, 32, 32), _two_classes, OperatingPoint(width=0.25, head_widths={"kind": 0.5})
    ),
    "conv": Case(
        lambda: _trained("conv", (1, 8, 8), _dense_kinds(), widths=(8, 8)),
        pictures(1, 8, 8),
        _dense_kinds,
    ),
    "torchvision": Case(
        lambda: _trained("torchvision-resnet18", (3, 32, 32), _two_classes()), pictures(3, 32, 32), _two_classes
    ),
    "mlp": Case(lambda: _trained("mlp", (5,), _two_classes()), PlainInputs((5,), False), _two_classes),
    "gru": Case(lambda: _trained("gru", (6, 4), _two_classes()), PlainInputs((6, 4), False), _two_classes),
}


@dataclass(frozen=True)
class Done:
    model: MultiTaskModel
    case: Case
    exported: Exported

    def inputs(self, samples: int) -> Tensor:
        drawn = random_batch(self.case.inputs.shape, samples, seed=9)
        return (drawn * 256).to(torch.uint8) if self.case.inputs.pictures else drawn

    def answers(self, x: Tensor) -> dict[str, Tensor]:
        raw = raw_answers(self.model, self.case.point or OperatingPoint(), as_float(x))
        return {task.name: task.decode(raw[task.name]) for task in self.case.tasks()}


@pytest.fixture(scope="module", params=CASES)
def done(request, tmp_path_factory) -> Done:
    case = CASES[request.param]
    model = case.make()
    if case.point is not None:
        recalibrate(model, [random_batch(case.inputs.shape, 16)], [case.point])
    folder = tmp_path_factory.mktemp("exports") / "new" / "out"
    about = {"name": request.param}
    return Done(model, case, export(model, case.inputs, case.tasks()[::-1], folder, point=case.point, about=about))


def raw_answers(model: MultiTaskModel, point: OperatingPoint, x: Tensor) -> dict[str, Tensor]:
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(x, point)


def run_program(path: Path, x: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return torch.export.load(path).module()(x)


def run_onnx(exported: Exported, x: Tensor) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(str(exported.files["onnx"]), providers=["CPUExecutionProvider"])
    names = list(exported.outputs.values())
    answers = session.run(names, {"input": x.numpy()})
    return dict(zip(exported.outputs, map(torch.from_numpy, answers), strict=True))


def assert_close(answers: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert answers.keys() == wanted.keys()
    for name, value in wanted.items():
        assert answers[name].dtype == value.dtype
        assert (answers[name] - value).abs().max() <= 1e-5 * max(1, value.abs().max()), name


@pytest.mark.parametrize("samples", [1, 7])
def test_every_file_answers_as_the_network_in_natural_units(done, samples):
    x = done.inputs(samples)
    wanted = done.answers(x)
    assert_close(run_program(done.exported.files["torch"], x), wanted)
    assert_close(run_onnx(done.exported, x), wanted)


def test_the_file_of_weights_is_all_that_the_dense_network_needs(done):
    point = done.case.point or OperatingPoint()
    dense = dense_model(done.model, point)
    weights = load_file(done.exported.files["safetensors"])
    assert weights.keys() == dense.state_dict().keys()
    for parameter in dense.parameters():
        parameter.data.fill_(torch.nan)
    dense.load_state_dict(weights)
    x = as_float(done.inputs(4))
    with torch.no_grad():
        assert_close(dense(x, OperatingPoint()), raw_answers(done.model, point, x))


def test_the_exported_network_is_the_narrow_one(done):
    if done.case.point is None:
        pytest.skip("it has one width")
    x = as_float(done.inputs(2))
    full, narrow = (raw_answers(done.model, point, x) for point in (OperatingPoint(), done.case.point))
    assert all((full[name] - narrow[name]).abs().max() > 1e-3 for name in full)
    sizes = sum(w.numel() for w in load_file(done.exported.files["safetensors"]).values())
    assert sizes < 0.6 * sum(p.numel() for p in done.model.parameters())


def test_a_far_value_keeps_its_digits(done):
    for task in done.case.tasks():
        if task.name in ("time", "depth"):
            x = done.inputs(3)
            wanted = done.answers(x)[task.name]
            assert wanted.dtype == torch.float64
            for answers in (run_onnx(done.exported, x), run_program(done.exported.files["torch"], x)):
                assert (answers[task.name] - wanted).abs().max() < 1e-2  # of 1.7e9; float32 is off by up to 64


def test_the_record_tells_what_was_written(done):
    exported, folder = done.exported, done.exported.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "export.json",
        "model.onnx",
        "model.pt2",
        "model.safetensors",
        "run_export.py",
    ]
    record = json.loads((folder / "export.json").read_text())
    assert record == exported.record
    for name, entry in record["files"].items():
        content = exported.files[name].read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert folder / entry["file"] == exported.files[name]
    answers = done.answers(done.inputs(2))
    assert list(record["tasks"]) == list(done.model.task_names)
    for task in done.case.tasks():
        entry = record["tasks"][task.name]
        assert entry["output"] == exported.outputs[task.name]
        assert entry["shape"] == ["batch", *answers[task.name].shape[1:]]
        assert entry["dtype"] == str(answers[task.name].dtype).split(".")[-1]
        assert (tuple(entry["labels"]), entry["kind"]) == (task.labels, task.kind)
    assert set(record["differences"]) == set(FORMATS)
    assert all(0 <= d <= 1e-5 for by_task in record["differences"].values() for d in by_task.values())
    assert record["about"]["name"] in CASES
    assert record["versions"]["torch"] == torch.__version__ and "onnxruntime" in record["versions"]


def test_the_record_tells_the_point_and_its_cost(done):
    record, point = done.exported.record, done.case.point
    assert record["cost"]["total"]["parameters"] == sum(
        weight.numel()
        for name, weight in load_file(done.exported.files["safetensors"]).items()
        if name in dict(dense_model(done.model, point or OperatingPoint()).named_parameters())
    )
    if point is None:
        assert record["point"] is record["widths"] is None
        return
    assert OperatingPoint(record["point"]) == point
    heads = {n: point["head_widths"].get(n, 1.0) for n in done.model.task_names}
    assert record["widths"] == {"encoder": point["width"], "heads": heads}
    wanted = model_cost(done.model, point, done.case.inputs.shape)
    assert record["cost"]["total"]["macs"] == wanted.total.macs
    assert record["cost"]["heads"]["kind"]["macs"] == wanted.heads["kind"].macs


def test_the_onnx_file_says_the_same_of_itself(done):
    model = onnx.load(done.exported.files["onnx"])
    onnx.checker.check_model(model)
    (entry,) = (prop.value for prop in model.metadata_props if prop.key == "umbel")
    record = dict(done.exported.record)
    for later in ("files", "differences", "tolerance"):
        del record[later]
    assert json.loads(entry) == record
    (taken,) = done.exported.record["files"]["onnx"]["inputs"]
    assert taken == {
        "name": "input",
        "dtype": "uint8" if done.case.inputs.pictures else "float32",
        "shape": ["batch", *done.case.inputs.shape],
    }
    session = onnxruntime.InferenceSession(str(done.exported.files["onnx"]), providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_inputs()] == ["input"]
    assert session.get_inputs()[0].shape == taken["shape"]
    assert [port.name for port in session.get_outputs()] == done.exported.record["files"]["onnx"]["outputs"]


def test_an_exported_file_can_be_timed(done):
    for name in ("torch", "onnx"):
        took = time_model(done.exported.files[name], done.case.inputs.shape, 2, repeats=1)
        assert 0 < took < float("inf")


def test_values_and_pictures_are_described():
    record = {}
    for name, inputs in {"rgb": pictures(3, 8, 8), "grey": pictures(1, 8, 8), "arrays": FLOATS}.items():
        record[name] = described(inputs)
    assert record["rgb"]["inputs"] | {"shape": 0, "formats": 0} == {
        "kind": "pictures",
        "input": "input",
        "shape": 0,
        "dtype": "uint8",
        "channels": "RGB",
        "divided_by": 255,
        "formats": 0,
        "resized_to": None,
        "column": None,
    }
    assert record["grey"]["inputs"]["channels"] == "L"
    assert record["arrays"]["inputs"] == {
        "kind": "arrays",
        "input": "input",
        "shape": [3, 8, 8],
        "dtype": "float32",
    }
    assert record["rgb"]["tasks"]["depth"] | {"means": 0} == {
        "kind": "depth",
        "output": "depth",
        "answers": "values",
        "means": 0,
        "shape": ["batch", 1, 8, 8],
        "dtype": "float64",
        "labels": [],
        "unit": "m",
        "centre": [1e9 + 0.125],
        "scale": [0.1],
    }


def described(inputs: PlainInputs) -> dict:
    import tempfile

    kinds = [tasks.dense_regression("depth", 1e9 + 0.125, 0.1, "m")]
    model = build_model(inputs.shape, kinds, "conv", widths=(4, 4))
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(json.dumps(export(model, inputs, kinds, folder, formats=["safetensors"]).record))


def test_names_that_are_no_identifiers_are_mapped():
    assert plain_names(["pm2.5", "pm2-5", "input", "3d", "größe", ""], taken={"input"}) == {
        "pm2.5": "pm2_5",
        "pm2-5": "pm2_5_2",
        "input": "task_input",
        "3d": "task_3d",
        "größe": "gr__e",
        "": "task_",
    }
    assert {*map(len, plain_names(["a" * 400, "a" * 401]).values())} == {60, 62}


def test_a_task_may_be_called_like_an_operation(tmp_path):
    kinds = [tasks.classification(name, 2) for name in ("relu", "conv2d", "linear", "softmax")]
    model = build_model((3, 8, 8), kinds, "conv", widths=(8,))
    exported = export(model, FLOATS, kinds, tmp_path / "out", formats=["onnx"])
    assert exported.outputs == {task.name: task.name for task in kinds}
    x = random_batch(samples=5)
    raw = raw_answers(model, OperatingPoint(), x)
    assert_close(run_onnx(exported, x), {name: value.softmax(1) for name, value in raw.items()})
    assert [path.name for path in sorted(exported.folder.iterdir())] == ["export.json", "model.onnx", "run_export.py"]


def test_a_task_made_by_hand_is_exported_raw_and_the_record_says_so(tmp_path):
    by_hand = replace(tasks.regression("count"), decode=torch.exp, kind="custom")
    model = build_model((3,), [by_hand], "mlp", width=4)
    exported = export(model, PlainInputs((3,), False), [by_hand], tmp_path / "out", formats=["torch", "onnx"])
    entry = exported.record["tasks"]["count"]
    assert entry["answers"] == "raw" and "made by hand" in entry["means"] and "centre" not in entry
    x = torch.rand(4, 3)
    wanted = raw_answers(model, OperatingPoint(), x)
    assert_close(run_onnx(exported, x), wanted)
    assert_close(run_program(exported.files["torch"], x), wanted)


def save(folder: Path, model: MultiTaskModel | None = None, formats: Sequence[str] = ("safetensors",), **options):
    """The small slimmable model, exported."""
    return export(model or small_model(), FLOATS, TASKS, folder, formats=formats, **{"point": POINT, **options})


def test_the_model_is_left_as_it_was_and_an_empty_folder_is_used(tmp_path):
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / "out").mkdir()
    save(tmp_path / "out", model)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(part.training for part in model.modules())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_answers_differently_is_refused_and_nothing_is_left(tmp_path, monkeypatch, name):
    def damaged(model, point):
        dense = dense_model(model, point)
        with torch.no_grad():
            dense.heads["depth"].predict.bias[0] += 3e-5
        return dense

    monkeypatch.setattr(write, "dense_model", damaged)
    message = r"model\.\w+: task 'depth' differs from the original network by 3e-05 .*nothing was exported"
    with pytest.raises(UmbelError, match=message):
        save(tmp_path / "out", formats=[name])
    assert not list(tmp_path.iterdir())


def test_a_difference_of_large_values_is_judged_by_their_scale(tmp_path, monkeypatch):
    # Beside 1.7e9 an error of a whole scale would be nothing.
    kinds = [tasks.regression("time", centre=1.7e9, scale=10.0)]
    model = build_model((3,), kinds, "mlp", width=4)

    def damaged(model, point):
        dense = dense_model(model, point)
        with torch.no_grad():
            dense.heads["time"].layers[0].bias += 0.01
        return dense

    monkeypatch.setattr(write, "dense_model", damaged)
    with pytest.raises(UmbelError, match=r"task 'time' differs from the original network by 0\.0"):
        export(model, PlainInputs((3,), False), kinds, tmp_path / "out", formats=["torch"])


def test_outputs_that_are_not_numbers_are_refused(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.heads["kind"].module.layers[-1].bias[0] = torch.nan
    with pytest.raises(UmbelError, match="task 'kind' gives values that are not finite"):
        save(tmp_path / "out", model)
    assert not list(tmp_path.iterdir())


def test_weights_are_checked_from_the_file_alone(tmp_path, monkeypatch):
    def forgetful(weights):
        return kept({name: value for name, value in weights.items() if "predict" not in name})

    kept = files.save_safetensors
    monkeypatch.setattr(files, "save_safetensors", forgetful)
    with pytest.raises(UmbelError, match=r"model\.safetensors: task 'depth' differs"):
        save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free some space"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied; choose a place where you may write"),
        (KeyboardInterrupt(), None),
    ],
)
def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch, raised, message):
    def failing(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise raised

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(KeyboardInterrupt if message is None else UmbelError, match=message):
        save(tmp_path / "new" / "out", formats=["safetensors", "torch"])
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UmbelError, match="is there already and not an empty folder"):
            save(place)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_packages_onnx_is_refused_in_one_line(tmp_path, monkeypatch, missing):
    monkeypatch.setattr("umbel.control.onnx_file.find_spec", lambda name: None if name == missing else name)
    assert available_formats() == ("torch", "safetensors")
    with pytest.raises(UmbelError, match=rf'^export as ONNX needs {missing}: pip install "umbel\[export\]"$'):
        save(tmp_path / "out", formats=FORMATS)
    assert not list(tmp_path.iterdir())
    save(tmp_path / "out", formats=available_formats())


def test_all_formats_are_available_here():
    assert available_formats() == FORMATS


class Times(PointModule):
    def forward(self, x, point):
        return x * point.require("gain")


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Stubborn(nn.Module):
    def forward(self, x):
        return x * 2 if float(x.sum()) > 0 else x


def linked(link: nn.Module) -> MultiTaskModel:
    model = small_model()
    return MultiTaskModel(model.encoder, {n: model.heads[n] for n in model.task_names}, {"depth": link})


@pytest.mark.parametrize("link", [nn.Softplus(), Times()])
def test_links_are_baked_at_the_point(tmp_path, link):
    model, point = linked(link), POINT.with_values(gain=0.3)
    exported = save(tmp_path / "out", model, ["torch", "safetensors"], point=point)
    x = random_batch(samples=4)
    wanted = raw_answers(model, point, x)["depth"]
    assert torch.allclose(run_program(exported.files["torch"], x)["depth"], wanted, atol=1e-5)
    assert (wanted - raw_answers(linked(nn.Identity()), point, x)["depth"]).abs().max() > 1e-3
    assert exported.record["point"]["gain"] == 0.3


@pytest.mark.parametrize(
    ("make", "point", "message"),
    [
        (lambda: linked(Noise()), POINT, "the link of task 'depth' answers at random"),
        (lambda: linked(Stubborn()), POINT, "torch.export cannot write this network"),
        (lambda: linked(Times()), POINT, "unknown operating-point value 'gain'"),
        (small_model, POINT.with_values(width=0.3), "width is 0.3"),
        (small_model, OperatingPoint(head_widths={"dept": 0.5}), "did you mean 'depth'"),
        (lambda: small_model([POINT]), POINT.with_values(width=0.25), "no batch-norm statistics for width 0.25"),
    ],
)
def test_what_cannot_be_exported_is_named(tmp_path, make, point, message):
    state = torch.get_rng_state()
    with pytest.raises(UmbelError, match=message):
        save(tmp_path / "out", make(), ["torch"], point=point)
    assert not list(tmp_path.iterdir())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["safetensor"]}, "unknown format of export 'safetensor'; did you mean 'safetensors'"),
        ({"formats": []}, "export needs a format: torch, onnx, safetensors"),
        ({"about": {"model": nn.Identity()}}, "about: .* give what JSON can hold"),
        ({"about": {"quality": float("nan")}}, "about: .* give what JSON can hold"),
    ],
)
def test_mistaken_arguments_are_named(tmp_path, options, message):
    with pytest.raises(UmbelError, match=message):
        save(tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_inputs_of_another_shape_and_tasks_of_another_model_are_named(tmp_path):
    with pytest.raises(UmbelError, match="the encoder was given inputs of shape"):
        export(small_model(), PlainInputs((1, 8, 8), False), TASKS, tmp_path / "out", point=POINT)
    with pytest.raises(UmbelError, match="the tasks to export are kind, the model has heads for kind, depth"):
        export(small_model(), FLOATS, TASKS[:1], tmp_path / "out", point=POINT)
    assert not list(tmp_path.iterdir())
