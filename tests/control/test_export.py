import copy
import errno
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import pytest
import torch
from control_cases import random_batch, slimmed, small_model
from safetensors.torch import load_file
from torch import Tensor, nn

from umbel import tasks
from umbel.control import Exported, available_formats, export, time_model
from umbel.core import MultiTaskModel, OperatingPoint, PointModule, UmbelError
from umbel.nn import (
    FeatureMaps,
    VectorHead,
    build_encoder,
    build_model,
    dense_model,
    model_cost,
    recalibrate,
    seeded_start,
)

FORMATS = ("torch", "onnx", "safetensors")
POINT = OperatingPoint(width=0.5, head_widths={"kind": 0.25, "depth": 0.5})
module = sys.modules["umbel.control.export"]  # the attribute of that name is the function


def _built(name: str, shape: tuple[int, ...], kinds: list, **options) -> MultiTaskModel:
    plain = build_model(shape, kinds, name, hidden=32, **options)
    return slimmed(plain.encoder, {n: plain.heads[n] for n in plain.task_names}, shape)


def _two_classes() -> list:
    return [tasks.classification("kind", ["a", "b", "c"]), tasks.classification("pm2.5", ["low", "high"])]


def _maps() -> list:
    return [tasks.segmentation("kind", ["a", "b", "c"]), tasks.dense_regression("depth")]


def _mobile() -> MultiTaskModel:
    """The first blocks of MobileNet: depthwise convolutions, squeeze and excitation (all of it takes 15 s)."""
    shape = (3, 32, 32)
    whole = build_encoder("torchvision-mobilenet_v3_small", shape)
    encoder = FeatureMaps(whole.standardise, whole.body[:5], shape)
    heads = {"kind": VectorHead(encoder.feature_shape, 3, 32), "pm2.5": VectorHead(encoder.feature_shape, 2)}
    return slimmed(encoder, heads, shape)


@dataclass(frozen=True)
class Case:
    make: Callable[[], MultiTaskModel]
    shape: tuple[int, ...]
    point: OperatingPoint


CASES = {
    "conv": Case(
        lambda: _built("conv", (3, 16, 16), _two_classes(), widths=(16, 32)),
        (3, 16, 16),
        OperatingPoint(width=0.5, head_widths={"kind": 0.25, "pm2.5": 1.0}),
    ),
    "resnet": Case(lambda: _built("resnet", (3, 16, 16), _maps(), width=16, blocks=(1, 1, 1)), (3, 16, 16), POINT),
    "mobilenet": Case(_mobile, (3, 32, 32), OperatingPoint(width=0.25, head_widths={"kind": 0.5})),
}


@dataclass(frozen=True)
class Done:
    model: MultiTaskModel
    case: Case
    exported: Exported


@pytest.fixture(scope="module", params=CASES)
def done(request, tmp_path_factory) -> Done:
    case = CASES[request.param]
    model = case.make()
    recalibrate(model, [random_batch(case.shape, 16)], [case.point])
    folder = tmp_path_factory.mktemp("exports") / "new" / "out"
    return Done(model, case, export(model, case.point, case.shape, folder, about={"name": request.param}))


def sliced(model: MultiTaskModel, point: OperatingPoint, x: Tensor) -> dict[str, Tensor]:
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
        assert (answers[name] - value).abs().max() <= 1e-5 * max(1, value.abs().max()), name


@pytest.mark.parametrize("samples", [1, 7])
def test_every_file_answers_as_the_sliced_model(done, samples):
    x = random_batch(done.case.shape, samples, seed=9)
    wanted = sliced(done.model, done.case.point, x)
    assert_close(run_program(done.exported.files["torch"], x), wanted)
    assert_close(run_onnx(done.exported, x), wanted)
    dense = dense_model(done.model, done.case.point)
    weights = load_file(done.exported.files["safetensors"])
    assert weights.keys() == dense.state_dict().keys()
    for parameter in dense.parameters():
        parameter.data.fill_(torch.nan)
    dense.load_state_dict(weights)
    with torch.no_grad():
        assert_close(dense(x, OperatingPoint()), wanted)


def test_the_exported_network_is_the_narrow_one(done):
    full = sliced(done.model, OperatingPoint(), random_batch(done.case.shape, 2))
    narrow = sliced(done.model, done.case.point, random_batch(done.case.shape, 2))
    assert all((full[name] - narrow[name]).abs().max() > 1e-3 for name in full)
    sizes = sum(w.numel() for w in load_file(done.exported.files["safetensors"]).values())
    assert sizes < 0.6 * sum(p.numel() for p in done.model.parameters())


def test_the_record_tells_what_was_written(done):
    exported, folder = done.exported, done.exported.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "export.json",
        "model.onnx",
        "model.pt2",
        "model.safetensors",
    ]
    record = json.loads((folder / "export.json").read_text())
    assert record == exported.record
    for name, entry in record["files"].items():
        content = exported.files[name].read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert folder / entry["file"] == exported.files[name]
    assert OperatingPoint(record["point"]) == done.case.point
    heads = {n: done.case.point["head_widths"].get(n, 1.0) for n in done.model.task_names}
    assert record["widths"] == {"encoder": done.case.point["width"], "heads": heads}
    assert record["input"] == {"name": "input", "shape": ["batch", *done.case.shape], "dtype": "float32"}
    answers = sliced(done.model, done.case.point, random_batch(done.case.shape, 2))
    for task, entry in record["tasks"].items():
        assert entry == {"output": exported.outputs[task], "shape": ["batch", *answers[task].shape[1:]]}
    assert record["cost"]["total"]["macs"] == model_cost(done.model, done.case.point, done.case.shape).total.macs
    assert set(record["differences"]) == set(FORMATS)
    assert all(0 <= d <= 1e-5 for by_task in record["differences"].values() for d in by_task.values())
    assert record["about"]["name"] in CASES
    assert record["versions"]["torch"] == torch.__version__ and "onnxruntime" in record["versions"]


def test_an_exported_file_can_be_timed(done):
    for name in ("torch", "onnx"):
        assert 0 < time_model(done.exported.files[name], done.case.shape, 2, repeats=1) < float("inf")


def test_names_that_are_no_identifiers_are_mapped():
    assert module.onnx_names(["pm2.5", "pm2-5", "input", "3d", "größe", ""]) == {
        "pm2.5": "pm2_5",
        "pm2-5": "pm2_5_2",
        "input": "task_input",
        "3d": "task_3d",
        "größe": "gr__e",
        "": "task_",
    }


def test_a_task_may_be_called_like_an_operation(tmp_path):
    with seeded_start(0, "names"):
        heads = {name: VectorHead((16, 4, 4), 2, 16) for name in ("relu", "conv2d", "linear")}
        model = slimmed(build_model((3, 8, 8), _maps(), "conv", widths=(16,), downsample=2).encoder, heads, (3, 8, 8))
    exported = export(model, OperatingPoint(), (3, 8, 8), tmp_path / "out", formats=["onnx"])
    assert exported.outputs == {"relu": "relu", "conv2d": "conv2d", "linear": "linear"}
    x = random_batch(samples=5)
    assert_close(run_onnx(exported, x), sliced(model, OperatingPoint(), x))
    assert [path.name for path in sorted(exported.folder.iterdir())] == ["export.json", "model.onnx"]


def test_the_model_is_left_as_it_was_and_an_empty_folder_is_used(tmp_path):
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / "out").mkdir()
    export(model, POINT, (3, 8, 8), tmp_path / "out", formats=["safetensors"])
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

    monkeypatch.setattr(module, "dense_model", damaged)
    message = r"model\.\w+: task 'depth' differs from the slimmable model by 3e-05 .*nothing was exported"
    with pytest.raises(UmbelError, match=message):
        export(small_model(), POINT, (3, 8, 8), tmp_path / "out", formats=[name])
    assert not list(tmp_path.iterdir())


def test_outputs_that_are_not_numbers_are_refused(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.heads["kind"].module.layers[-1].bias[0] = torch.nan
    with pytest.raises(UmbelError, match="task 'kind' gives values that are not finite"):
        export(model, POINT, (3, 8, 8), tmp_path / "out", formats=["safetensors"])
    assert not list(tmp_path.iterdir())


def test_weights_are_checked_from_the_file_alone(tmp_path, monkeypatch):
    def forgetful(weights):
        return save({name: value for name, value in weights.items() if "predict" not in name})

    save = module.save_safetensors
    monkeypatch.setattr(module, "save_safetensors", forgetful)
    with pytest.raises(UmbelError, match=r"model\.safetensors: task 'depth' differs"):
        export(small_model(), POINT, (3, 8, 8), tmp_path / "out", formats=["safetensors"])
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
        export(small_model(), POINT, (3, 8, 8), tmp_path / "new" / "out", formats=["safetensors", "torch"])
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UmbelError, match="is there already and not an empty folder"):
            export(small_model(), POINT, (3, 8, 8), place)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_without_its_packages_onnx_is_refused_in_one_line(tmp_path, monkeypatch, missing):
    monkeypatch.setattr("umbel.control.onnx_file.find_spec", lambda name: None if name == missing else name)
    assert available_formats() == ("torch", "safetensors")
    with pytest.raises(UmbelError, match=rf'^export as ONNX needs {missing}: pip install "umbel\[export\]"$'):
        export(small_model(), POINT, (3, 8, 8), tmp_path / "out")
    assert not list(tmp_path.iterdir())
    export(small_model(), POINT, (3, 8, 8), tmp_path / "out", formats=["safetensors"])


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
    exported = export(model, point, (3, 8, 8), tmp_path / "out", formats=["torch", "safetensors"])
    x = random_batch(samples=4)
    wanted = sliced(model, point, x)
    assert_close(run_program(exported.files["torch"], x), wanted)
    assert (wanted["depth"] - sliced(linked(nn.Identity()), point, x)["depth"]).abs().max() > 1e-3
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
        export(make(), point, (3, 8, 8), tmp_path / "out", formats=["torch"])
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
        export(small_model(), POINT, (3, 8, 8), tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_inputs_of_another_shape_are_named(tmp_path):
    with pytest.raises(UmbelError, match="the encoder was given inputs of shape"):
        export(small_model(), POINT, (1, 8, 8), tmp_path / "out")
    assert not list(tmp_path.iterdir())
