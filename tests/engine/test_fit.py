"""The loop: what stops it, what the update is, what it logs, what it leaves behind."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_learners import PAIR, make, real, two_tasks

from umbel.core import Batch, Learner, Losses, MultiTaskModel, PointModule
from umbel.data import TensorSource
from umbel.descent import Jacobian, ProjectedRows, WeightedSum, make_descent
from umbel.engine import FitSettings, evaluate, fit, load_checkpoint, open_runtime, resolve, resolve_settings
from umbel.engine.log import read
from umbel.errors import UmbelError


def run(toy, descent=None, out=None, resume=False, observe=None, **changes):
    return fit(
        toy.learner, descent or toy.descent, toy.train, toy.validation, replace(toy.settings, **changes),
        out=out, resume=resume, observe=observe,
    )  # fmt: skip


def weights(toy):
    return {name: tensor.clone() for name, tensor in toy.learner.state_dict().items()}


def assert_close(one, other, tolerance):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=tolerance, atol=tolerance), name


# -- what is not finite --------------------------------------------------------------------------------------------


class Root(nn.Module):
    """sqrt|x|: a finite value at 0 with an infinite slope, so a finite loss has a gradient that is NaN."""

    def forward(self, x):
        return x.abs().sqrt()


def test_a_loss_that_is_nan_stops_the_run_before_the_weights(tmp_path):
    toy = make("gradient groups")

    def observe(step, learner, batch, point):
        if step == 9:
            batch.inputs[3, 0] = torch.nan

    with pytest.raises(UmbelError) as caught:
        run(toy, WeightedSum(), tmp_path, observe=observe, checkpoint_seconds=0.0)
    text = str(caught.value)
    assert text.startswith("step 10: loss of ")
    assert "value is nan" in text and "side is nan" in text
    assert f"last good checkpoint: {tmp_path}/checkpoints/step-00000009" in text
    good = load_checkpoint(tmp_path / "checkpoints" / "step-00000009").weights
    assert_close(weights(toy), good, 0)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_nan_stops_the_run_before_the_weights(tmp_path, clip_norm):
    toy = make("gradient groups")
    toy.learner.model.encoder.insert(0, Root())

    def observe(step, learner, batch, point):
        if step == 9:
            with torch.no_grad():
                learner.model.encoder[1].weight.zero_()
                learner.model.encoder[1].bias.zero_()
                learner.model.encoder[2] = Root()  # its input is 0 now

    with pytest.raises(UmbelError, match=r"step 10: the gradient of model\.encoder\.1\.weight is not") as caught:
        run(toy, WeightedSum(), tmp_path, observe=observe, checkpoint_seconds=0.0, clip_norm=clip_norm)
    assert "step-00000009" in str(caught.value)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(toy).values())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in load_checkpoint(resolve(tmp_path)).weights.values())


def test_without_a_checkpoint_it_says_so():
    toy = make("gradient groups")
    toy.train.samples.inputs[:] = torch.nan
    with pytest.raises(UmbelError, match=r"step 1: .*there is no checkpoint before it"):
        run(toy, WeightedSum())


# -- the update ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descent", ["equal", "upgrad"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_memory_format_does_not_change_the_update(descent, optimizer):
    # Torch's fused AdamW updates wrong elements when gradient and weight have different layouts.
    found = []
    for channels_last in (False, True):
        toy = make("pictures")
        rate = 1e-2 if optimizer == "sgd" else 2e-2
        run(toy, make_descent(descent), channels_last=channels_last, steps=6, optimizer=optimizer, learning_rate=rate)
        found.append(weights(toy))
    assert_close(*found, 2e-4)


def test_the_optimizer_is_the_plain_one():
    """Our loop with channels_last, fused AdamW and a Jacobian against the textbook's loop."""
    toy, plain = make("pictures"), make("pictures")
    settings = {"steps": 5, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.1, "validate_every": 100}
    run(toy, Jacobian(ProjectedRows()), channels_last=True, **settings)
    groups = [
        {"params": [p for p in plain.learner.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in plain.learner.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=toy.settings.learning_rate, fused=False, foreach=False)
    descent, runtime = Jacobian(ProjectedRows()), open_runtime()
    for batch in [*plain.train.train_batches(32, 0, 0)][:5]:
        optimizer.zero_grad()
        descent(plain.learner, batch, plain.learner.sweep()[0], runtime)
        optimizer.step()
    assert_close(weights(toy), weights(plain), 2e-4)


@pytest.mark.parametrize("descent", ["equal", "pcgrad", "geometric-mean", "famo", "uncertainty"])
def test_pieces_give_the_update_of_the_whole_batch(descent):
    found = []
    for accumulate in (1, 3):  # 32 samples in pieces of 11, 10 and 11, with labels spread unevenly
        toy = make("gradient groups")
        run(toy, make_descent(descent), accumulate=accumulate, steps=12, validate_every=100)
        found.append(weights(toy))
    assert_close(*found, 1e-9)


def test_more_pieces_than_samples_is_a_clear_error():
    with pytest.raises(UmbelError, match="cannot split a batch of 32 samples into 33 pieces"):
        run(make("gradient groups"), WeightedSum(), accumulate=33)


def test_the_gradient_is_clipped_as_a_whole():
    steps = []
    for clip_norm in (None, 1e-3):
        toy = make("gradient groups")
        before = weights(toy)
        run(toy, WeightedSum(), optimizer="sgd", steps=1, learning_rate=1.0, clip_norm=clip_norm, weight_decay=0.0)
        steps.append(torch.cat([(after - before[name]).flatten() for name, after in weights(toy).items()]))
    assert torch.cosine_similarity(steps[0], steps[1], dim=0).item() == pytest.approx(1)
    assert steps[1].norm().item() == pytest.approx(1.9e-3, rel=1e-3)  # Nesterov's first step is 1 + 0.9 gradients


def test_frozen_parameters_and_those_without_gradient_stay():
    toy = make("gradient groups")
    toy.learner.model.encoder[0].weight.requires_grad_(False)
    toy.learner.model.spare = nn.Linear(2, 2).double()
    before = weights(toy)
    run(toy, WeightedSum(), steps=4, weight_decay=0.5)
    after = weights(toy)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"model.encoder.0.weight", "model.spare.weight", "model.spare.bias"}


def test_a_learner_with_nothing_to_train_is_a_clear_error():
    toy = make("gradient groups")
    toy.learner.requires_grad_(False)
    with pytest.raises(UmbelError, match="no trainable parameter"):
        run(toy, WeightedSum())


def test_bf16_runs_and_is_close():
    found = {}
    for precision in ("float32", "bf16"):
        toy = make("pictures")
        fitted = run(toy, make_descent("upgrad"), precision=precision, steps=30)
        assert fitted.settings.channels_last is (precision == "bf16")
        assert all(p.dtype == torch.float32 for p in toy.learner.parameters())
        found[precision] = fitted.best.losses
    assert found["bf16"] != found["float32"]
    assert found["bf16"]["side"] == pytest.approx(found["float32"]["side"], rel=0.1)
    assert found["bf16"]["value"] == pytest.approx(found["float32"]["value"], rel=0.3)


def test_a_resumed_run_keeps_the_precision_that_was_measured(tmp_path, monkeypatch):
    runtime, settings = open_runtime(), FitSettings(precision="auto")
    monkeypatch.setattr("umbel.engine.training.fastest_precision", lambda device: ("bf16", 3.0))
    assert resolve_settings(settings, runtime).precision == "bf16"
    run(make("pictures"), out=tmp_path, steps=2, precision="bf16")
    monkeypatch.setattr("umbel.engine.training.fastest_precision", lambda device: ("float32", 1.0))
    resolved = resolve_settings(settings, runtime, tmp_path)
    assert (resolved.precision, resolved.channels_last) == ("bf16", True)
    assert resolve_settings(settings, runtime).precision == "float32"


@pytest.mark.slow
def test_a_compiled_encoder_trains_and_saves_under_its_own_names(tmp_path, monkeypatch):
    # Traced, but not translated to C++: that takes half a minute.
    compile_it = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module: compile_it(module, backend="eager"))
    found = []
    for compiled in (False, True):
        toy = make("gradient groups")
        run(toy, WeightedSum(), tmp_path / str(compiled), compile=compiled, steps=3, validate_every=100)
        found.append(load_checkpoint(resolve(tmp_path / str(compiled))).weights)
    assert_close(*found, 1e-9)


def test_compiling_a_model_without_encoder_is_a_clear_error():
    class Flat(PointModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2).double()

        def forward(self, x, point):
            return {"value": self.layer(x)}

    toy = replace(make("gradient groups"), learner=Learner(Flat(), PAIR[:1]))
    run(toy, WeightedSum(), steps=2)
    with pytest.raises(UmbelError, match="no encoder"):
        run(toy, WeightedSum(), compile=True)


# -- the log, the best, the end ------------------------------------------------------------------------------------


def test_the_log_has_a_row_for_each_interval_and_each_validation(tmp_path):
    run(make("mean teacher"), out=tmp_path, steps=23, log_every=5, validate_every=10)
    rows = read(tmp_path / "train.csv")
    assert [row["step"] for row in rows] == [5, 10, 15, 20, 23]
    assert list(rows[0]) == ["step", "value", "side", "consistency", "learning_rate"]
    rows = read(tmp_path / "validation.csv")
    assert [row["step"] for row in rows] == [10, 20, 23]
    assert list(rows[0]) == ["step", "value/MSE", "side/accuracy", "side/macro F1", "value/loss", "side/loss", "loss"]


def test_rows_of_the_log_are_means_over_their_interval(tmp_path):
    for every in (1, 4):
        run(make("gradient groups"), out=tmp_path / str(every), steps=8, log_every=every)
    single, means = read(tmp_path / "1" / "train.csv"), read(tmp_path / "4" / "train.csv")
    for i in (0, 1):
        expected = sum(row["side"] for row in single[4 * i : 4 * i + 4]) / 4
        assert means[i]["side"] == pytest.approx(expected, rel=1e-6)


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    def observe(step, *_):
        if step == 9:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run(make("gradient groups"), out=tmp_path, observe=observe, steps=20, log_every=2, checkpoint_seconds=0.0)
    with open(tmp_path / "train.csv", "a") as file:
        file.write("10,1,1,1\n12,1,1,1\n14,0.")  # what a run wrote after its last checkpoint, torn at the end
    run(make("gradient groups"), out=tmp_path, resume=True, steps=20, log_every=2)
    run(make("gradient groups"), out=tmp_path / "whole", steps=20, log_every=2)
    for name in ("train.csv", "validation.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_users_own_files_are_not_taken_for_logs(tmp_path):
    mine = {"train.csv": "x,y\n1,2\n", "measurements.csv": "step,volts\n900,7\n"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UmbelError, match="is not empty and holds no run of Umbel"):
        run(make("gradient groups"), out=tmp_path, steps=2)
    assert {name: (tmp_path / name).read_text() for name in mine} == mine


def test_tensorboard_curves_are_written(tmp_path):
    run(make("gradient groups"), out=tmp_path, steps=2, tensorboard=True)
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1


def test_the_learner_ends_with_its_best_weights(tmp_path):
    toy = make("gradient groups")

    def observe(step, learner, batch, point):
        if step == 30:  # from here on it only gets worse
            batch.inputs.mul_(-3)
            for group in learner.parameters():
                group.data.mul_(3)

    fitted = run(toy, WeightedSum(), tmp_path, observe=observe, steps=36, monitor="loss")
    rows = {row["step"]: row["loss"] for row in read(tmp_path / "validation.csv")}
    assert fitted.best_step == max(rows, key=rows.get) == 30
    again = evaluate(toy.learner, toy.validation, open_runtime())
    assert again.losses == pytest.approx(fitted.best.losses, rel=1e-12)
    assert resolve(tmp_path).name == "best-00000030"


def test_a_run_longer_than_planned_can_be_asked_for(tmp_path):
    run(make("gradient groups"), out=tmp_path, steps=6)
    assert run(make("gradient groups"), out=tmp_path, resume=True, steps=12).steps == 12
    assert read(tmp_path / "train.csv")[-1]["step"] == 12


def test_an_epoch_is_a_pass_and_the_last_batch_is_whole():
    toy = make("gradient groups")
    seen = []

    def observe(step, learner, batch, point):
        seen.append(len(batch))

    run(toy, WeightedSum(), steps=None, epochs=2, least_steps=0, batch_size=50, observe=observe)
    assert seen == [50] * 6  # 192 samples: 3 whole batches, twice


def test_everything_drawn_depends_on_the_seed():
    found = []
    for seed in (0, 0, 1):
        toy = make("noisy autoencoder")
        run(toy, steps=6, seed=seed)
        found.append(weights(toy)["model.encoder.0.weight"])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_the_state_of_the_default_generator_does_not_matter():
    found = []
    for other in (0, 1):
        toy = make("noisy autoencoder")
        torch.manual_seed(other)
        run(toy, steps=4)
        found.append(weights(toy)["model.encoder.0.weight"])
    assert torch.equal(*found)


def test_a_source_that_runs_dry_is_a_clear_error():
    class Dry(TensorSource):
        def train_batches(self, size, seed, epoch, start=0, rank=0, world_size=1):
            batches = super().train_batches(size, seed, epoch, start, rank, world_size)
            return itertools.islice(batches, max(0, 2 - start))

    toy = make("gradient groups")
    toy = replace(toy, train=Dry(toy.train.samples))
    with pytest.raises(UmbelError, match="gave no batch for step 3"):
        run(toy, WeightedSum(), steps=20)


def test_without_labels_at_all_only_nothing_is_learnt():
    samples = two_tasks()
    nothing = {"value": torch.full_like(samples.targets["value"], torch.nan), "side": samples.targets["side"] * 0 - 1}
    toy = make("gradient groups")
    toy = replace(toy, train=TensorSource(Batch(samples.inputs, nothing)))
    before = weights(toy)
    fitted = run(toy, WeightedSum(), steps=3, weight_decay=0.0)
    assert_close(weights(toy), before, 0)
    assert not math.isnan(fitted.best.losses["value"])


def test_a_learner_that_names_its_losses_anew_is_a_clear_error():
    class Fickle(Learner):
        calls = 0

        def losses(self, batch, point):
            self.calls += 1
            found = dict(super().losses(batch, point))
            return Losses(found | {"late": found["value"] * 0} if self.calls > 2 else found)

    toy = make("gradient groups")
    toy = replace(toy, learner=Fickle(toy.learner.model, PAIR))
    with pytest.raises(UmbelError, match="late"):
        run(toy, WeightedSum(), steps=5)


def test_task_names_may_be_anything(tmp_path):
    names = ("pm2.5, daily", "values", 'a "quoted"/path')
    x = two_tasks().inputs
    targets = {name: x[:, i : i + 1] for i, name in enumerate(names)}
    learner = Learner(
        MultiTaskModel(nn.Linear(4, 4), {name: nn.Linear(4, 1) for name in names}), [real(n, 1) for n in names]
    ).double()
    source = TensorSource(Batch(x, targets))
    settings = replace(make("slimmable").settings, steps=4, monitor='a "quoted"/path/MSE', tensorboard=True)
    fit(learner, WeightedSum(), source, source, settings, out=tmp_path)
    assert list(read(tmp_path / "train.csv")[0]) == ["step", *names, "learning_rate"]
    fit(learner, WeightedSum(), source, source, replace(settings, steps=8), out=tmp_path, resume=True)
    assert [row["step"] for row in read(tmp_path / "train.csv")] == [4, 5, 8]
