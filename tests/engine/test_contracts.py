"""What the loop promises to methods that are to come, beyond what `test_toy_learners` shows of each toy."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_contracts import Concepts, make
from toy_learners import PAIR, two_tasks

from umbel.core import Batch, Learner, OperatingPoint, SingleProcess
from umbel.data import TensorSource
from umbel.descent import Jacobian, ProjectedRows, make_descent
from umbel.engine import Monitor, evaluate, fit, load_checkpoint, open_runtime, predict_split, resolve
from umbel.engine.log import read
from umbel.errors import UmbelError


def run(toy, out=None, **changes):
    settings = replace(toy.settings, **changes)
    return fit(toy.learner, toy.descent, toy.train, toy.validation, settings, out=out, resume=True)


def test_a_score_of_the_learners_own_chooses_the_checkpoint(tmp_path):
    toy = make("two domains")
    fitted = run(toy, tmp_path, steps=24, validate_every=4)
    rows = {row["step"]: row["sureness"] for row in read(tmp_path / "validation.csv")}
    assert fitted.best_step == max(rows, key=rows.get) and len(set(rows.values())) > 3
    score = Monitor("sureness", {}).score(fitted.best, toy.learner, open_runtime())
    assert score == pytest.approx(max(rows.values()), rel=1e-6)  # the learner holds those weights
    assert toy.learner.model.encoder[0].running_mean.eq(0).all()  # frozen, in evaluation mode


def test_a_part_keeps_its_ratio_to_the_rate_over_the_whole_schedule():
    toy, ratios = make("two domains"), []
    step = torch.optim.AdamW.step

    def watched(self, *given):
        judge = {id(p) for p in toy.learner.judge.parameters()}
        of_judge = {g["lr"] for g in self.param_groups if id(g["params"][0]) in judge}
        others = {g["lr"] for g in self.param_groups if id(g["params"][0]) not in judge}
        ratios.append((of_judge, others))
        return step(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        run(toy, steps=8, schedule="cosine", warmup=0.25)
    assert len({next(iter(others)) for _, others in ratios}) == 8
    for of_judge, others in ratios:
        assert len(of_judge) == len(others) == 1
        assert of_judge.pop() == pytest.approx(3 * others.pop(), rel=1e-12)


def test_a_run_is_not_gone_on_with_when_its_groups_changed(tmp_path):
    run(make("ascending critic"), tmp_path, steps=4)
    toy = make("ascending critic")
    toy.learner.parameter_groups = lambda: []
    with pytest.raises(UmbelError, match="had parameter groups"):
        run(toy, tmp_path, steps=8)


def test_a_critic_that_ascends_finds_a_larger_gap_than_one_that_does_not():
    gaps = {}
    for name in ("ascending critic", "critic in turns", "frozen"):
        toy = make("ascending critic" if name == "frozen" else name)
        toy.learner.model.encoder.requires_grad_(False)
        if name == "frozen":
            toy.learner.critic.requires_grad_(False)
        run(toy, steps=30)
        both = next(toy.train.train_batches(128, 0, 0))
        gaps[name] = toy.learner.gap(toy.learner.model.encoder(both.inputs), both.domain).item()
    assert gaps["ascending critic"] > gaps["frozen"] + 0.02 and gaps["critic in turns"] > gaps["frozen"] + 0.02


@pytest.mark.parametrize("descent", ["equal", "uncertainty", "dwa", "famo", "upgrad", "pcgrad", "mgda", "nash-mtl"])
def test_a_step_without_any_sample_moves_nothing_and_stops_nothing(descent):
    toy = make("poisson")

    class Empty(TensorSource):
        def train_batches(self, *place, **named):
            for batch in super().train_batches(*place, **named):
                yield batch[:0]

    before = copy.deepcopy(toy.learner.state_dict())
    empty = replace(toy, train=Empty(toy.train.samples), descent=make_descent(descent))
    for accumulate in (1, 2):
        run(empty, steps=2, weight_decay=0.0, accumulate=accumulate)
        for name, tensor in toy.learner.state_dict().items():
            assert torch.equal(tensor, before[name]), name


def test_evaluation_passes_over_empty_batches():
    toy = make("poisson")

    class Gaps(TensorSource):
        def batches(self, *place, **named):
            for batch in super().batches(*place, **named):
                yield from (batch[:0], batch, batch[:0])

    gaps = Gaps(toy.validation.samples)
    for size in (256, 10):
        whole = evaluate(toy.learner, toy.validation, open_runtime(), batch_size=size)
        assert evaluate(toy.learner, gaps, open_runtime(), batch_size=size) == whole
    assert len(predict_split(toy.learner, gaps, open_runtime()).raw["side"]) == len(toy.validation)


def test_predictions_of_batches_that_are_padded_to_other_sizes_are_joined():
    toy = make("series")
    samples, length = toy.validation.samples, toy.validation.samples.inputs["series/size"][:, 0]

    class Trimmed(TensorSource):
        """As a stream gives them: each batch only as long as its longest series."""

        def batches(self, *place, **named):
            for batch in super().batches(*place, **named):
                longest = int(batch.inputs["series/size"][:, 0].max())
                inputs = {**batch.inputs, "series": batch.inputs["series"][:, :longest]}
                yield Batch(inputs, {**batch.targets, "rising": batch.targets["rising"][:, :longest]})

    whole = predict_split(toy.learner, toy.validation, open_runtime(), batch_size=1000)
    parts = predict_split(toy.learner, Trimmed(samples), open_runtime(), batch_size=1)
    assert torch.equal(parts.targets["rising"], whole.targets["rising"])
    task = toy.learner.tasks[0]
    for raw in (whole.raw["rising"], parts.raw["rising"]):
        assert task.mean_loss(raw.nan_to_num(), whole.targets["rising"]).isfinite()
    behind = torch.arange(whole.raw["rising"].shape[2]) >= length.unsqueeze(1)
    assert torch.equal(parts.raw["rising"].isnan().all(1), behind)
    assert torch.allclose(parts.raw["rising"].mT[~behind], whole.raw["rising"].mT[~behind], atol=1e-6)


def ordinary() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2)).double()


def test_concept_heads_are_not_in_the_model_nor_in_its_export(tmp_path):
    toy = make("concepts")
    run(toy, tmp_path, steps=6)
    model, x = toy.learner.model.eval(), two_tasks().inputs[:5]
    assert list(model.state_dict()) == list(ordinary().state_dict())
    assert not any(module._forward_hooks for module in model.modules())
    saved = load_checkpoint(resolve(tmp_path)).weights
    plain = ordinary()
    plain.load_state_dict({n.removeprefix("model."): w for n, w in saved.items() if n.startswith("model.")})
    assert torch.equal(plain(x), model(x))
    assert "heads.task_value.weight" in saved
    assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))
    point = OperatingPoint()
    copied = copy.deepcopy(toy.learner)
    assert torch.equal(copied.predict(Batch(x), point)["value"], toy.learner.predict(Batch(x), point)["value"])


def test_compiling_a_tapped_model_is_a_clear_error_and_parts_beside_it_compile(monkeypatch):
    compile_it = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module: compile_it(module, backend="eager"))
    with pytest.raises(UmbelError, match="module '2' is compiled, so '2' cannot be tapped; leave `compile` off"):
        run(make("concepts"), steps=2, compile=True)
    toy = make("concepts")
    toy.learner.shared = ("0",)
    run(toy, steps=2, compile=True)


def test_tasks_of_an_ordinary_network_compete_for_the_parts_that_are_named():
    learner = Concepts(ordinary().float()).double()
    batch = Batch(two_tasks().inputs[:8], {name: t[:8] for name, t in two_tasks().targets.items()})
    Jacobian(ProjectedRows())(learner, batch, OperatingPoint(), SingleProcess())
    assert all(p.grad is not None for p in learner.parameters())
    unnamed = Learner(ordinary(), PAIR[1:])
    with pytest.raises(UmbelError, match="has no encoder; name what its tasks share"):
        Jacobian(ProjectedRows())(unnamed, batch, OperatingPoint(), SingleProcess())
