"""DP-SGD: against Opacus and gradients of one sample after the other, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import NAMES, POINT, TwoRanks, assert_same, batch, gradients, learner

from umbel import tasks
from umbel.core import Batch, Descent, Learner, Losses, MultiTaskModel, Sampling, SingleProcess, UmbelError
from umbel.data import SideBySide, TensorSource, poisson
from umbel.descent import DPSGD, SampleGradients, make_descent, sample_gradients
from umbel.engine import FitSettings, Fitted, fit
from umbel.nn import ConvEncoder, GRUEncoder, VectorHead, without_batch_norm

FIT = FitSettings(steps=6, batch_size=4, precision="float32", monitor="loss", tensorboard=False, validate_every=3)


def taught(descent: Descent, data: Batch, one: Learner | None = None, runtime=None) -> tuple[dict, Losses]:
    """Gradients and losses of one step whose randomness begins at 0."""
    one = one or learner()
    descent.prepare(one)
    one.zero_grad()
    torch.manual_seed(0)
    losses = descent(one, data, POINT, runtime or SingleProcess())
    return gradients(one), losses


def quiet(**options) -> DPSGD:
    return DPSGD(**{"noise_multiplier": 0.0, "expected_batch_size": 10, **options})


def by_hand(one: Learner, data: Batch, clip_norm: float, expected: float) -> dict:
    summed = {name: torch.zeros_like(p) for name, p in one.named_parameters()}
    for i in range(len(data)):
        one.zero_grad()
        one.losses(data[i : i + 1], POINT).stack().sum().backward()
        norm = torch.cat([p.grad.flatten() for p in one.parameters()]).norm()
        for name, p in one.named_parameters():
            summed[name] += p.grad * (clip_norm / norm).clamp(max=1)
    return {name: value / expected for name, value in summed.items()}


@pytest.mark.parametrize("chunk", [None, 1, 5])
def test_the_update_is_the_sum_of_clipped_gradients_over_the_expected_size(chunk):
    expected = by_hand(learner(), batch(12), 0.8, 10)
    found, losses = taught(quiet(clip_norm=0.8, chunk=chunk), batch(12))
    assert_same(found, expected)
    for name, value in learner().losses(batch(12), POINT).items():  # what is logged is the mean of the whole batch
        assert float(losses[name]) == pytest.approx(value.item(), rel=1e-6)


def test_norms_and_clipped_sums_are_those_of_opacus():
    opacus = pytest.importorskip("opacus")
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Flatten())
    model = MultiTaskModel(encoder, {"kind": nn.Linear(288, 5), "age": nn.Linear(288, 1)})
    one = Learner(model, [tasks.classification("kind", list("abcde")), tasks.regression("age")])
    data = Batch(torch.randn(16, 3, 8, 8), {"kind": torch.randint(5, (16,)), "age": torch.randn(16, 1)})
    data.targets["kind"][:5] = -1

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x, POINT)

    (ours,) = sample_gradients(one, data, POINT)
    assert isinstance(ours, SampleGradients)
    with pytest.warns(match="Full backward hook"):
        theirs = opacus.GradSampleModule(Whole(), loss_reduction="sum")
        out = theirs(data.inputs)
        known = data.targets["kind"] >= 0
        loss = nn.functional.cross_entropy(out["kind"][known], data.targets["kind"][known], reduction="sum")
        (loss + sum(one.tasks[1].loss(out["age"], data.targets["age"])).sum()).backward()
    samples = [p.grad_sample for p in theirs.parameters()]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in samples]).norm(dim=0)
    torch.testing.assert_close(ours.norms(), norms, atol=8e-6, rtol=1e-5)
    clip = float(norms.median())
    factors = (clip / norms).clamp(max=1)
    for mine, other in zip(ours.clipped_sum(clip), samples, strict=True):
        torch.testing.assert_close(mine, torch.einsum("n,n...->...", factors, other), atol=8e-6, rtol=1e-5)
    theirs.remove_hooks()


def test_a_weight_of_a_class_counts_in_every_sample():
    plain = tasks.classification("kind", list("ab"))
    heavy = tasks.with_class_weights(plain, torch.tensor([1.0, 3.0]))
    data = Batch(torch.randn(4, 3), {"kind": torch.tensor([0, 1, -1, 1])})
    norms = []
    for task in (plain, heavy):
        torch.manual_seed(0)
        one = Learner(MultiTaskModel(nn.Linear(3, 4), {"kind": nn.Linear(4, 2)}), [task])
        norms.append(torch.cat([part.norms() for part in sample_gradients(one, data, POINT)]))
    torch.testing.assert_close(norms[1], norms[0] * torch.tensor([1.0, 3.0, 1.0, 3.0]))
    assert norms[0][2] == 0


def test_noise_is_added_once_and_hides_every_trained_parameter():
    one = learner()
    one.model.heads["c"].weight.requires_grad_(False)
    noisy, _ = taught(DPSGD(clip_norm=0.5, noise_multiplier=2.0, expected_batch_size=10), batch(12), one)
    clean, _ = taught(quiet(clip_norm=0.5), batch(12), one)
    assert noisy.pop("model.heads.modules_by_task.c.weight", None) is None
    noise = torch.cat([(noisy[n] - clean[n]).flatten() for n in noisy if noisy[n] is not None])
    assert noise.std() == pytest.approx(2.0 * 0.5 / 10, rel=0.15) and noise.numel() > 250
    again, _ = taught(DPSGD(clip_norm=0.5, noise_multiplier=2.0, expected_batch_size=10), batch(12), one)
    for name, value in noisy.items():
        assert value is None or torch.equal(value, again[name])


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_pieces_change_nothing(noise):
    options = {"noise_multiplier": noise, "expected_batch_size": 10}
    whole, _ = taught(DPSGD(**options), batch(12))
    pieces, _ = taught(DPSGD(**options, chunk=7), batch(12), runtime=SingleProcess(accumulate=3))
    assert_same(whole, pieces)


def test_an_empty_batch_gives_noise_alone():
    clean, losses = taught(quiet(), batch(12)[0:0])
    assert all((value == 0).all() for value in clean.values()) and list(losses) == list(NAMES)
    noisy, _ = taught(DPSGD(noise_multiplier=1.0, expected_batch_size=10), batch(12)[0:0])
    assert all((value != 0).any() for value in noisy.values())


@pytest.mark.parametrize("shares", [(slice(0, 5), slice(5, 12)), (slice(0, 0), slice(0, 12))])
def test_two_processes_are_one(shares):
    def of_rank(rank: int, runtime) -> tuple:
        one, descent = learner(), DPSGD(noise_multiplier=1.0, expected_batch_size=10)
        torch.manual_seed(rank)
        losses = descent(one, batch(12)[shares[rank]], POINT, runtime)
        return gradients(one), {name: float(value) for name, value in losses.items()}

    expected, losses = taught(DPSGD(noise_multiplier=1.0, expected_batch_size=10), batch(12))
    for found, said in TwoRanks().run(of_rank):
        assert_same(found, expected)
        assert said == pytest.approx({name: float(value) for name, value in losses.items()})


def trained(out=None, seed: int = 0, descent: Descent | None = None, **more) -> tuple[Learner, Fitted]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(40, 3, generator=generator)
    source = TensorSource(Batch(inputs, {"kind": (inputs[:, 0] > 0).long()}))
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.2))
    one = Learner(MultiTaskModel(encoder, {"kind": nn.Linear(8, 2)}), [tasks.classification("kind", list("ab"))])
    settings = FIT.replace(checkpoint_seconds=0.0)
    return one, fit(one, descent or DPSGD(noise_multiplier=0.0), source, source, settings, out=out, **more)


def test_fit_draws_samples_by_themselves_and_says_what_it_guarantees():
    pytest.importorskip("dp_accounting")
    descent = make_descent("dp-sgd", clip_norm=0.5, noise_multiplier=3.0, unit="patient")
    _, fitted = trained(descent=descent)
    told = descent.guarantee
    assert (told.probability, told.steps, told.samples, told.clip_norm) == (0.1, 6, 40, 0.5)
    assert told.delta == 0.01 and 0 < told.epsilon < 5
    assert str(told) in fitted.statements[0] and "patient" in fitted.statements[0]


def test_a_wished_epsilon_is_kept_and_hardly_undercut():
    pytest.importorskip("dp_accounting")
    descent = DPSGD(epsilon=2.0)
    descent.learns_from(Sampling(samples=2000, batch_size=2000, steps=20, independent=True))
    assert descent.guarantee.epsilon == pytest.approx(2.0, rel=5e-3) and descent.guarantee.epsilon <= 2.0


def test_a_resumed_training_ends_with_the_same_bits(tmp_path):
    class Stop(Exception):
        pass

    def stop(step, *_):
        if step == 4:
            raise Stop

    whole, _ = trained()
    with pytest.raises(Stop):
        trained(tmp_path / "run", observe=stop)
    halves, _ = trained(tmp_path / "run", seed=5, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


# -- refusals --------------------------------------------------------------------------------------------------------


def test_batch_normalisation_is_refused_unless_it_is_frozen_and_can_be_exchanged():
    one = learner(normalise=True)
    with pytest.raises(UmbelError, match=r"encoder\.1 is a BatchNorm2d.*norm=group.*without_batch_norm"):
        taught(quiet(), batch(), one)
    norm = one.model.encoder[1].eval().requires_grad_(False)
    taught(quiet(), batch(), one)
    norm.train()
    with pytest.raises(UmbelError, match="BatchNorm2d"):
        quiet()(one, batch(), POINT, SingleProcess())
    exchanged = without_batch_norm(one.model)
    assert exchanged is one.model and isinstance(one.model.encoder[1], nn.GroupNorm)
    taught(quiet(), batch(), one)


def test_exchanged_layers_keep_what_was_learnt_of_scales():
    norm = nn.BatchNorm2d(12)
    nn.init.normal_(norm.weight)
    group = without_batch_norm(norm)
    assert torch.equal(group.weight, norm.weight) and group.num_groups == 4
    with pytest.raises(UmbelError, match=r"LazyBatchNorm2d.*norm=group"):
        without_batch_norm(nn.Sequential(nn.LazyBatchNorm2d()))


class Remembering(nn.Module):
    def __init__(self, layer=None):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen.copy_(x.detach().mean())
        return x


def test_what_remembers_samples_without_noise_is_refused():
    one = learner()
    one.model.encoder.insert(1, nn.InstanceNorm2d(4, track_running_stats=True).double())
    with pytest.raises(UmbelError, match="InstanceNorm2d that remembers"):
        taught(quiet(), batch(), one)
    one = learner()
    one.model.encoder.insert(1, Remembering())
    with pytest.raises(UmbelError, match=r"buffer model\.encoder\.1\.seen"):
        taught(quiet(chunk=1), batch(), one)


def small(encoder: nn.Module, inputs: torch.Tensor) -> tuple[Learner, Batch]:
    kinds = tasks.classification("kind", list("ab"))
    one = Learner(MultiTaskModel(encoder, {"kind": VectorHead(encoder.feature_shape, 2)}), [kinds])
    return one, Batch(inputs, {"kind": torch.arange(len(inputs)) % 2})


def test_the_library_s_own_networks_can_be_taken_apart():
    torch.manual_seed(0)
    one, data = small(ConvEncoder((3, 8, 8), widths=(4, 8), norm="group"), torch.rand(6, 3, 8, 8))
    together, _ = taught(quiet(), data, one)
    alone, _ = taught(quiet(chunk=1), data, one)  # the encoder's activations work in place
    assert_same(together, alone, 1e-6)
    one.to(memory_format=torch.channels_last)
    data = replace(data, inputs=data.inputs.contiguous(memory_format=torch.channels_last))
    assert_same(taught(quiet(), data, one)[0], alone, 1e-6)


def test_a_layer_that_torch_cannot_take_apart_is_named_and_works_one_by_one():
    one, data = small(GRUEncoder(3, 4), torch.randn(4, 5, 3))
    with pytest.raises(UmbelError, match=r"layer model\.encoder\.\S+ \(GRU\) cannot be taken apart.*chunk=1"):
        taught(quiet(), data, one)
    assert all(torch.isfinite(g).all() for g in taught(quiet(chunk=1), data, one)[0].values())


class Penalised(Learner):
    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        return Losses({**self.task_losses(self.model.decode(features, point), batch), "size": features.square().mean()})


def test_losses_that_nobody_vouches_for_are_refused():
    plain = learner()
    one = Penalised(plain.model, plain.tasks)
    with pytest.raises(UmbelError, match=r"loss 'size' is no task's.*auxiliary=size/"):
        taught(quiet(), batch(), one)
    found, losses = taught(quiet(auxiliary=("size",), clip_norm=0.8), batch(), one)
    assert_same(found, by_hand(one, batch(), 0.8, 10))
    assert list(losses) == [*NAMES, "size"]
    with pytest.raises(UmbelError, match="no loss 'sise'"):
        taught(quiet(auxiliary=("sise",)), batch(), plain)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip_norm": 0.0}, "clip_norm is 0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier is -1"),
        ({"noise_multiplier": 1.0, "epsilon": 1.0}, "one of the two"),
        ({"delta": 1.0}, "delta is 1"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(UmbelError, match=said):
        DPSGD(**options)


def test_other_ways_to_draw_samples_are_refused():
    descent = DPSGD(expected_batch_size=8)
    with pytest.raises(UmbelError, match="PoissonSource"):
        descent.learns_from(Sampling(100, 8, 10, independent=False))
    with pytest.raises(UmbelError, match="batches of 16 samples are drawn"):
        descent.learns_from(Sampling(100, 16, 10, independent=True))
    with pytest.raises(UmbelError, match="expected_batch_size"):
        taught(DPSGD(), batch())
    with pytest.raises(UmbelError, match=r"SideBySide cannot be drawn.*in_memory"):
        poisson(SideBySide([TensorSource(batch()), TensorSource(batch())]))
