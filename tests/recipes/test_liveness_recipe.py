"""What `umbel train` keeps of a detector of presentation attacks, and what reads it."""

import json
import sys
from types import MappingProxyType

import pytest
import torch

import umbel
from umbel import tasks
from umbel.command.predict import predict
from umbel.control import Exported, export
from umbel.core import Batch, UmbelError
from umbel.data import DataSet, MultiTaskData, TensorSource
from umbel.engine import FitSettings, Silent, open_runtime, predict_split, resolve
from umbel.metrics import attack_errors, by_video, eer_threshold, fit_platt
from umbel.recipes.exporting import export_network, open_network
from umbel.recipes.liveness import KeptLiveness, kept_liveness, liveness_errors, liveness_task
from umbel.recipes.settings import DataSettings
from umbel.recipes.single import evaluate_checkpoint, train
from umbel.recipes.train_settings import TrainSettings

LABELS = ("live", "print", "replay")


def split(seed: int, size: int, several: bool) -> TensorSource:
    """Films of three frames, hard to tell, the third kind hardest."""
    generator = torch.Generator().manual_seed(seed)
    videos = torch.arange(size) // 3
    kinds = videos % 3 if several else torch.zeros(size, dtype=torch.int64)
    x = torch.randn(size, 6, generator=generator)
    x[:, 0] += torch.tensor([1.5, -1.5, 0.0])[kinds]
    kinds = kinds.masked_fill(torch.arange(size) % 10 == 9, -1)
    return TensorSource(Batch(x, {"liveness": kinds, "video": videos}))


def tiny(one_class: bool = False) -> MultiTaskData:
    """Three splits of films."""
    splits = (split(0, 240, True), split(1, 90, not one_class), split(2, 90, True))
    return MultiTaskData("tiny-films", "Films", (tasks.liveness(attacks=LABELS[1:]),), *splits, (6,))


@pytest.fixture(scope="module")
def films():
    """The set is in the catalogue for the tests of this file."""
    module = sys.modules["umbel.data.catalogue"]
    with pytest.MonkeyPatch.context() as patch:
        entry = DataSet("tiny-films", "Films", "liveness", f"{__name__}:tiny")
        known = MappingProxyType({**module.SETS, "tiny-films": entry})
        patch.setattr(module, "SETS", known)
        patch.setattr("umbel.recipes.box_paths.SETS", known)
        yield


def settings(**options: object) -> TrainSettings:
    text = ",".join(f"{name}={value}" for name, value in options.items())
    fit = FitSettings(steps=60, batch_size=60, precision="float32", tensorboard=False, learning_rate=0.02)
    return TrainSettings(data=DataSettings("tiny-films", options=text), fit=fit)


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    """The folder of a training, and what it printed."""
    folder = tmp_path_factory.mktemp("liveness") / "run"
    return folder, train(settings(), open_runtime(), folder, False, Silent())


def test_threshold_and_calibration_are_validations_and_of_videos(run):
    folder, trained = run
    kept = kept_liveness(resolve(folder))
    assert isinstance(kept, KeptLiveness)
    predictor = umbel.load(folder)
    data = tiny()
    said = predict_split(predictor.learner, data.validation, open_runtime())
    logits, kinds = said.raw["liveness"][:, 0], said.targets["liveness"]
    platt = fit_platt(logits, kinds)
    assert (kept.scale, kept.shift) == pytest.approx((platt.scale, platt.shift), rel=1e-4)
    threshold = eer_threshold(*by_video(platt.probability(logits), kinds, torch.arange(90) // 3))
    assert (kept.threshold, kept.eer) == pytest.approx(threshold, rel=1e-4)
    assert (kept.samples, kept.videos) == (81, 30)
    frames = predictor.predict(data.test.samples.inputs.numpy())["liveness: live"]
    scores = by_video(torch.tensor(frames.to_numpy()), data.test.samples.targets["liveness"], torch.arange(90) // 3)
    errors = attack_errors(*scores, kept.threshold, LABELS)
    own = trained.metrics["liveness"]
    names = ("HTER", "APCER", "BPCER", "ACER")
    wanted = [errors.hter, errors.apcer, errors.bpcer, errors.acer]
    assert [own[f"{name} at validation's threshold"] for name in names] == pytest.approx(wanted)
    assert own["APCER at 0.5"] != own["APCER at validation's threshold"]
    assert "30 videos of validation have an equal error rate" in trained.statements[-1]
    assert "APCER by type of attack: print " in trained.statements[-1]


def test_an_evaluation_is_at_the_kept_threshold_and_repeats_the_trainings(run):
    folder, trained = run
    again = evaluate_checkpoint(folder, "test", open_runtime())
    assert again.metrics == trained.metrics
    assert again.statements == trained.statements
    other = evaluate_checkpoint(folder, "validation", open_runtime()).metrics["liveness"]
    kept = kept_liveness(resolve(folder))
    assert kept is not None
    assert other["HTER at validation's threshold"] == pytest.approx(kept.eer)


def test_an_export_is_calibrated_and_decides_at_the_threshold(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    from umbel.control.exports import run_export

    folder, _ = run
    written = []

    def watched(model, inputs, of, *others, **more):
        written.extend(of)
        return export(model, inputs, of, *others, **more)

    monkeypatch.setattr("umbel.recipes.exporting.export", watched)
    made = export_network(open_network(folder, open_runtime()), tmp_path / "export", ("safetensors",), Silent())
    assert isinstance(made, Exported)
    about = json.loads((tmp_path / "export" / "export.json").read_text())
    kept = kept_liveness(resolve(folder))
    assert kept is not None
    assert about["about"]["liveness"]["threshold"] == kept.threshold
    logits = torch.linspace(-60, 60, 25)  # some where sigmoid(logit) is 0 or 1 in float32
    torch.testing.assert_close(written[0].decode(logits).double(), kept.probability(logits), atol=1e-6, rtol=1e-4)
    assert about["tasks"]["liveness"]["answers"] == "probabilities"
    assert about["tasks"]["liveness"]["labels"] == ["live"]
    for probability, decided in ((kept.threshold, "live"), (kept.threshold - 1e-3, "attack")):
        answer = {"live": probability}
        assert run_export.decided(about, "liveness", answer) == {"live": probability, "decision": decided}
    assert run_export.decided(about, "another", 1.5) == 1.5


def test_samples_without_their_videos_and_other_tasks_are_refused(run):
    folder, _ = run
    kept = kept_liveness(resolve(folder))
    assert kept is not None
    learner = umbel.load(folder).learner
    frames = TensorSource(Batch(torch.zeros(2, 6), {"liveness": torch.tensor([0, 1])}))
    with pytest.raises(UmbelError, match="is of videos, and these samples have no target 'video'"):
        liveness_errors(kept, learner, frames, open_runtime())
    renamed = KeptLiveness("alive", *list(vars(kept).values())[1:])
    with pytest.raises(UmbelError, match="a threshold is kept for task 'alive'"):
        liveness_errors(renamed, learner, frames, open_runtime())
    with pytest.raises(UmbelError, match="tasks 'a' and 'b' are both of liveness"):
        liveness_task([tasks.liveness("a"), tasks.liveness("b")])


def test_a_damaged_file_is_one_line(run, tmp_path):
    (tmp_path / "liveness.json").write_text('{"task": "liveness", "threshold": "much"}')
    with pytest.raises(UmbelError, match=r"liveness\.json is damaged; train again"):
        kept_liveness(tmp_path)
    assert kept_liveness(tmp_path / "elsewhere" / "checkpoints" / "best") is None


def test_a_validation_split_of_one_class_is_told_before_the_training(films, tmp_path):
    with pytest.raises(UmbelError, match="tiny-films, validation split: only live samples in task 'liveness'"):
        train(settings(one_class=True), open_runtime(), tmp_path / "run", False, Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--images", "a"], "did not learn from pictures; give it rows with --data"),
        (["--images", "a", "--keep", "id"], "--keep is for rows of a table, given with --data"),
        (
            ["--data", "rows.npy", "--threshold", "0.5"],
            "--threshold is for what detectors and networks of liveness say",
        ),
    ],
)
def test_the_command_sends_pictures_where_they_are_decided(run, given, said):
    with pytest.raises(UmbelError, match=said):
        predict([str(run[0]), *given])
