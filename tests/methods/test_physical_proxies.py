"""A main task that reads its proxies: what the objective is, what starts alike, what is refused."""

import pytest
import torch
from torch.nn import functional as F

from umbel import tasks
from umbel.core import Batch, OperatingPoint, Task, UmbelError
from umbel.losses import attribute_mining, bernoulli
from umbel.methods import BranchLink, ProxyEncoder, ProxyLearner, ProxyReading, physical_proxies
from umbel.nn import TaskFusion, build_model, kl_to_standard_normal

SHAPE, POINT = (3, 8, 8), OperatingPoint()
MAIN = tasks.classification("main", "abc")
DEPTH = tasks.dense_regression("depth", centre=0.0, scale=1.0)
MATERIAL = tasks.segmentation("material", "abcd")
WHO = tasks.classification("who", 5)
TASKS = (MAIN, DEPTH, MATERIAL, WHO)
SMALL = {"encoder": "conv", "widths": (4, 8), "norm": "group", "branch": 6, "main": "main"}
MORE = {"proxies": ("depth", "material"), "attributes": ("camera", "who")}


def batch(count=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    targets = {
        "main": torch.randint(-1, 3, (count,), generator=generator),
        "depth": torch.rand(count, 1, 8, 8, generator=generator),
        "material": torch.randint(0, 4, (count, 8, 8), generator=generator),
        "who": torch.randint(-1, 5, (count,), generator=generator),
        "camera": torch.randint(-1, 2, (count,), generator=generator),
    }
    return Batch(torch.rand(count, *SHAPE, generator=generator), targets)


def make(kinds=TASKS, **more):
    return physical_proxies(SHAPE, kinds, **(SMALL | MORE | more))


def test_the_objective_is_the_tasks_losses_the_divergence_and_the_pairs():
    learner, samples = make(kl=0.5, mining=2.0, margin=0.2).eval(), batch()
    losses = learner.losses(samples, POINT)
    assert list(losses) == ["main", "depth", "material", "who", "uncertainty", "mining"]
    for name, value in learner.task_losses(learner.predict(samples, POINT), samples).items():
        torch.testing.assert_close(losses[name], value)
    reading = learner.model.encoder(samples.inputs, POINT)
    assert isinstance(reading, ProxyReading)
    each = [kl_to_standard_normal(one.mean, one.log_variance) for one in reading.fused.gaussians.values()]
    assert len(each) == 3
    torch.testing.assert_close(losses["uncertainty"], 0.5 * torch.stack(each).mean())
    e = F.normalize(learner.embedding(reading.fused.vector), dim=1)
    attributes = torch.stack([samples.target("camera"), samples.target("who")], 1)
    torch.testing.assert_close(losses["mining"], 2 * attribute_mining(e, samples.target("main"), attributes, 0.2))
    assert [learner.is_auxiliary(name) for name in losses] == [False] * 4 + [True] * 2


def test_losses_without_weight_and_without_uncertainty_are_not_there():
    names = [task.name for task in TASKS]
    assert list(make(kl=0.0, mining=0.0, attributes=()).losses(batch(), POINT)) == names
    assert list(make(attention="sigmoid").losses(batch(), POINT)) == [*names, "mining"]


def test_the_main_task_reads_all_branches_and_a_proxy_its_own():
    learner = make().eval()
    seen = learner.released(batch(), POINT)
    assert {name: tuple(one.features.shape[1:]) for name, one in seen.items()} == {
        "main": (18,),
        "depth": (6, 2, 2),
        "material": (6, 2, 2),
        "who": (8, 2, 2),
    }
    before = learner.predict(batch(), POINT)
    with torch.no_grad():
        learner.model.encoder.branches["depth"][0].weight.mul_(-1)
    after = learner.predict(batch(), POINT)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"main", "depth"}


def test_a_step_runs_every_part_once(monkeypatch):
    learner, runs = make(), {"encoder": 0, "branch": 0, "head": 0}
    count = lambda kind: lambda *_: runs.update({kind: runs[kind] + 1})  # noqa: E731
    learner.model.encoder.encoder.register_forward_hook(count("encoder"))
    learner.model.encoder.branches["main"].register_forward_hook(count("branch"))
    learner.model.heads["depth"].register_forward_hook(count("head"))
    learner.losses(batch(), POINT)
    assert runs == {"encoder": 1, "branch": 1, "head": 1}


def test_predictions_are_certain_at_test_and_noisy_in_training():
    learner = make()
    torch.manual_seed(0)
    one, other = (learner.predict(batch(), POINT) for _ in range(2))
    assert not torch.equal(one["main"], other["main"])
    assert torch.equal(one["depth"], other["depth"])
    learner.eval()
    assert torch.equal(*(learner.predict(batch(), POINT)["main"] for _ in range(2)))


def test_what_is_not_the_methods_starts_as_in_an_ordinary_model():
    """Encoder and the head of the pretext; and branches are the same for every kind of attention."""
    plain = build_model(SHAPE, TASKS, "conv", seed=3, widths=(4, 8), norm="group")
    state = make(seed=3).model.state_dict()
    for name, value in plain.encoder.state_dict().items():
        assert torch.equal(state[f"encoder.encoder.{name}"], value)
    for name, value in plain.heads["who"].state_dict().items():
        assert torch.equal(state[f"heads.task_who.{name}"], value)
    for other in (make(seed=3, attention="none"), make(seed=3, proxies=("depth",))):
        for name, value in other.model.encoder.branches.state_dict().items():
            assert torch.equal(state[f"encoder.branches.{name}"], value)
    another = make(seed=4).model.state_dict()
    assert not torch.equal(state["encoder.branches.task_main.0.weight"], another["encoder.branches.task_main.0.weight"])


def test_its_state_is_all_that_a_network_needs():
    one, other = make(seed=0).eval(), make(seed=1).eval()
    assert not torch.equal(one.losses(batch(), POINT)["mining"], other.losses(batch(), POINT)["mining"])
    other.load_state_dict(one.state_dict())
    for name, value in one.losses(batch(), POINT).items():
        assert torch.equal(other.losses(batch(), POINT)[name], value)


def test_two_pieces_have_the_loss_of_the_whole_where_no_pair_is_chosen():
    learner, samples = make(mining=0.0, attributes=()).eval(), batch(10)
    whole = learner.losses(samples, POINT)
    pieces = [(learner.losses(piece, POINT), learner.counts(piece)) for piece in samples.chunks(2)]
    for name, value in whole.items():
        shares = [counts.get(name, torch.tensor(5)) for _, counts in pieces]
        mean = sum(losses[name] * share for (losses, _), share in zip(pieces, shares, strict=True)) / sum(shares)
        torch.testing.assert_close(mean, value)


@pytest.mark.parametrize("count", [0, 1])
def test_a_piece_that_is_nearly_empty_has_finite_losses(count):
    losses = make((MAIN, WHO), proxies=("who",)).losses(batch()[:count], POINT)
    assert torch.isfinite(losses.stack()).all()
    losses.stack().sum().backward()


def test_sets_with_different_labels_teach_what_they_have():
    """Identity alone in one set, liveness alone in another; a depth that is missing in some samples."""
    samples = batch()
    targets = {name: value.clone() for name, value in samples.targets.items()}
    targets["depth"][:6], targets["material"][6:], targets["main"][:6] = torch.nan, -1, -1
    learner = make().eval()
    losses = learner.losses(Batch(samples.inputs, targets), POINT)
    assert torch.isfinite(losses.stack()).all()
    alone = learner.losses(samples[6:], POINT)
    torch.testing.assert_close(losses["depth"], alone["depth"])
    none = Batch(samples.inputs, targets | {"depth": torch.full_like(targets["depth"], torch.nan)})
    learner.losses(none, POINT)["depth"].backward()
    assert all(p.grad is None or not p.grad.any() for p in learner.model.encoder.parameters())


def test_sigma_is_reported_for_each_branch():
    learner = make().eval()
    sigmas = learner.sigmas(batch(), POINT)
    gaussians = learner.model.encoder(batch().inputs, POINT).fused.gaussians
    assert list(sigmas) == ["main", "depth", "material"]
    for name, sigma in sigmas.items():
        torch.testing.assert_close(sigma, gaussians[name].log_variance.exp().sqrt().mean(1))
    with pytest.raises(UmbelError, match=r'attention of kind .none. has no sigma; build .* attention="gaussian"'):
        make(attention="none").sigmas(batch(), POINT)


def test_a_task_of_one_output_has_two_classes_for_pairs():
    """As liveness: 0 is live, whatever is above 0 an attack."""
    yes = Task("main", 1, lambda p, t: bernoulli(p[:, 0], (t == 0).float()), MAIN.metrics, True)
    learner, samples = make((yes, *TASKS[1:])).eval(), batch(40)
    mining = learner.losses(samples, POINT)["mining"]
    merged = samples.targets | {"main": samples.target("main").clamp(max=1)}
    assert torch.equal(mining, learner.losses(Batch(samples.inputs, merged), POINT)["mining"])
    three = make().eval()
    assert not torch.equal(
        three.losses(samples, POINT)["mining"], three.losses(Batch(samples.inputs, merged), POINT)["mining"]
    )


def test_vectors_have_branches_as_well():
    learner = physical_proxies((5,), (MAIN, WHO), main="main", proxies=("who",), branch=6)
    losses = learner.losses(Batch(torch.rand(12, 5), batch().targets), POINT)
    assert torch.isfinite(losses.stack()).all()
    assert learner.model.heads["main"].layers[0].in_features == 12


def test_what_cannot_be_is_refused():
    size = tasks.regression("size", centre=0.0, scale=1.0)
    named = tasks.classification("mining", "ab")
    values = Batch(batch().inputs, batch().targets | {"size": torch.rand(12, 1), "camera": torch.rand(12)})
    plain = build_model(SHAPE, TASKS, "conv", widths=(4, 8))
    for call, message in (
        (lambda: make(main="nose"), "unknown task 'nose'"),
        (lambda: make(proxies=("nose",)), "unknown task 'nose'"),
        (lambda: make(proxies="depth"), "proxies is 'depth'; give a list of names"),
        (lambda: make(proxies=("main", "depth")), "name each task once"),
        (lambda: make(main="depth", proxies=()), "main task 'depth' predicts a map"),
        (lambda: make((*TASKS, named)), "a task is called 'mining', as a loss of physical proxies is"),
        (lambda: make(kl=-1.0), "the weight of uncertainty is -1; give a number, at least 0"),
        (lambda: make(mining=0.0), "are for mining, whose weight is 0"),
        (lambda: make(attention="hard"), "unknown kind of attention"),
        (lambda: make(branch=0), "channels of a branch is 0"),
        (lambda: make(attributes=("nose",)).losses(batch(), POINT), "unknown attribute 'nose'"),
        (lambda: make().losses(values, POINT), "attribute 'camera' is torch.float32"),
        (lambda: make((size, *TASKS), main="size").losses(values, POINT), "mining needs classes, and task 'size'"),
        (lambda: ProxyLearner(plain, TASKS, "main"), "a model whose encoder is a ProxyEncoder"),
        (lambda: ProxyLearner(make().model, TASKS, "who"), "unknown main task 'who'"),
        (lambda: ProxyEncoder(plain.encoder, {}, TaskFusion({"a": 1})), "branches of .none. and attention for a"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()


def test_a_link_gives_the_joined_vector_to_the_main_task_alone():
    reading = make().eval().model.encoder(batch().inputs, POINT)
    assert BranchLink("main", "main")(reading) is reading.fused.vector
    assert BranchLink("depth", "main")(reading) is reading.branches["depth"]
    assert BranchLink("who", "main")(reading) is reading.features
