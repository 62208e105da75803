"""Every kind of task, networks that can be turned, and inputs that are no table."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import FIT, trained
from torch import nn

import umbel
from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint
from umbel.data import MultiTaskData, TensorSource, as_float
from umbel.data.data_record import DataRecord
from umbel.engine import load_checkpoint, load_weights, open_runtime, resolve
from umbel.errors import UmbelError
from umbel.inference import Predictor, array_bytes
from umbel.recipes.build import Described
from umbel.recipes.settings import ControllableModelSettings, DataSettings
from umbel.recipes.single import evaluate_checkpoint
from umbel.recipes.train_settings import TrainSettings

DIGITS = DataSettings("digits", tasks="digit,loops")


class Raw(nn.Module):
    """Gives back the first outputs of its features, so that the right answers are known."""

    def __init__(self, outputs: int, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.outputs, self.shape = outputs, shape

    def forward(self, x):
        return (
            x[:, : self.outputs].reshape(len(x), self.outputs, *self.shape)
            if not self.shape
            else (x[:, :1, None, None].expand(len(x), self.outputs, *self.shape))
        )


def predictor_of(*made, shapes=None) -> Predictor:
    heads = {task.name: Raw(task.outputs, (shapes or {}).get(task.name, ())) for task in made}
    none = {task.name: torch.full((2, task.outputs, *(shapes or {}).get(task.name, ())), torch.nan) for task in made}
    source = TensorSource(Batch(torch.zeros(2, 4), none))
    data = MultiTaskData("set", "a set", made, source, source, source, (4,))
    learner = Learner(MultiTaskModel(nn.Identity(), heads), made)
    return Predictor(learner, DataRecord.of(data), open_runtime(), Path("run"))


ROWS = np.array([[0.0, 1.0, -2.0, 3.0], [2.0, 0.0, 0.5, -1.0]])


def test_answers_of_every_kind_are_those_computed_by_hand():
    centres, scales = (torch.tensor(v, dtype=torch.float64) for v in ([1.7e9, -3.0], [7.0, 1e-3]))
    made = (
        tasks.classification("class", ["a", "b", "c"]),
        tasks.multilabel("labels", ["x", "y"]),
        tasks.multilabel("label", ["z"]),
        tasks.regression("both", 2, centres, scales, labels=("east", "north")),
        tasks.regression("one", centre=5.0, scale=2.0),
        tasks.regression("two", 2),
    )
    answers = predictor_of(*made).predict(ROWS)
    odds = np.exp(ROWS[:, :3])
    yes = 1 / (1 + np.exp(-ROWS))
    expected = {
        "class": ["b", "a"],
        **{f"class: {name}": odds[:, i] / odds.sum(1) for i, name in enumerate("abc")},
        "labels: x": yes[:, 0],
        "labels: y": yes[:, 1],
        "label: z": yes[:, 0],
        "both: east": 1.7e9 + 7 * ROWS[:, 0],
        "both: north": -3 + 1e-3 * ROWS[:, 1],
        "one": 5 + 2 * ROWS[:, 0],
        "two: 0": ROWS[:, 0],
        "two: 1": ROWS[:, 1],
    }
    pd.testing.assert_frame_equal(answers, pd.DataFrame(expected), rtol=1e-12)


def test_columns_never_share_a_name():
    made = (tasks.classification("a", ["b", "c"]), tasks.regression("a: b"), tasks.classification("a: b'", ["x", "y"]))
    predictor = predictor_of(*made)
    assert predictor.columns == {
        "a": {"": "a", "b": "a: b", "c": "a: c"},
        "a: b": {"": "a: b'"},
        "a: b'": {"": "a: b''", "x": "a: b': x", "y": "a: b': y"},
    }
    assert list(predictor.predict(ROWS)["a: b'"]) == [0.0, 2.0]


def test_maps_and_pictures_are_arrays():
    shapes = {"seg": (2, 3), "depth": (2, 3)}
    seg, depth = tasks.segmentation("seg", ["sky", "road"]), tasks.dense_regression("depth", 10.0, 2.0)
    predictor = predictor_of(seg, depth, tasks.regression("one"), shapes=shapes)
    assert list(predictor.predict(ROWS).columns) == ["one"]
    arrays = predictor.predict_arrays(ROWS, batch_size=1)
    assert {name: array.shape for name, array in arrays.items()} == {
        "seg": (2, 2, 2, 3),
        "depth": (2, 1, 2, 3),
        "one": (2, 1),
    }
    assert (arrays["depth"][1] == 14).all()
    assert (arrays["seg"] == 0.5).all()
    with pytest.raises(UmbelError, match="predicts maps or pictures only; use predict_arrays"):
        predictor_of(seg, shapes=shapes).predict(ROWS)
    kept = np.load(io.BytesIO(array_bytes({**arrays, "file": ROWS})))
    assert sorted(kept) == ["depth", "file", "one", "seg"]
    assert (kept["depth"] == arrays["depth"]).all()


def test_arrays_of_another_shape_are_refused():
    predictor = predictor_of(tasks.regression("one"))
    for wrong in (ROWS[:, :3], ROWS[0], ROWS[:0], "rows.csv", [{"a": 1}], ["a.png"]):
        with pytest.raises(
            UmbelError, match=r"give \(n, 4\)|arrays of shape \(4,\) \(an array, or the path of an .npy"
        ):
            predictor.predict(wrong)


@pytest.fixture(scope="module")
def turnable(tmp_path_factory):
    model = ControllableModelSettings(encoder="conv", encoder_options="widths=8/16", widths="0.5/1")
    return trained(tmp_path_factory.mktemp("turnable"), TrainSettings(DIGITS, model, fit=FIT.replace(steps=20)))


def test_pictures_of_a_known_set_need_no_set(turnable, monkeypatch):
    test = umbel.load_data("digits").test.samples
    saved = load_checkpoint(resolve(turnable))
    learner = Described.read(saved.settings, "run").learner()
    load_weights(learner, saved)
    with torch.no_grad():
        raw = learner.eval().predict(Batch(as_float(test.inputs[:9])), learner.sweep()[0])
    monkeypatch.setattr("umbel.recipes.build.load_data", None)
    answers = umbel.load(turnable).predict(test.inputs[:9])
    np.testing.assert_allclose(
        answers.filter(like="digit: ").to_numpy(), raw["digit"].double().softmax(1).numpy(), atol=1e-6
    )
    assert answers["digit"].tolist() == [str(one) for one in raw["digit"].argmax(1).tolist()]


def test_a_network_is_turned_by_its_point(turnable):
    predictor = umbel.load(turnable)
    test = umbel.load_data("digits").only(["digit", "loops"]).test.samples
    full, narrow = predictor.predict(test.inputs), predictor.predict(test.inputs, "width=0.5,heads=0.5")
    assert not np.allclose(full["digit: 0"], narrow["digit: 0"])
    assert predictor.predict(test.inputs, "full").equals(full)
    point = OperatingPoint(width=0.5, head_widths={"digit": 0.5, "loops": 0.5})
    assert predictor.predict(test.inputs, point).equals(narrow)
    for text, answers in (("", full), ("width=0.5,heads=0.5", narrow)):
        accuracy = evaluate_checkpoint(turnable, "test", open_runtime(), text).metrics["digit"]["accuracy"]
        labels = predictor.learner.tasks[0].labels
        right = np.mean([labels.index(one) for one in answers["digit"]] == test.targets["digit"].numpy())
        assert right == pytest.approx(accuracy)
    for wrong, message in (("width=0.3", "width is 0.3; this model has"), ("tempo=1", "unknown task in --point")):
        with pytest.raises(UmbelError, match=message):
            predictor.predict(test.inputs, wrong)


def test_the_command_writes_arrays(turnable, tmp_path, capsys):
    from umbel.cli import main

    np.save(tmp_path / "new.npy", umbel.load_data("digits").test.samples.inputs[:3].numpy())
    out = tmp_path / "answers.npz"
    assert main(["predict", str(turnable), "--data", str(tmp_path / "new.npy"), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    with np.load(out) as kept:
        assert kept["digit"].shape == (3, 10)
    for more, message in ((["--keep", "id"], "--keep copies columns"), (["--data", "-"], "learnt from none")):
        assert (
            main(
                ["predict", str(turnable), "--data", str(tmp_path / "new.npy"), "--out", str(out), "--overwrite", *more]
            )
            == 2
        )
        assert message in capsys.readouterr().err
