"""What physical proxies are compared with: which gradients there are, and which there are not."""

import pytest
import torch
from torch.nn import functional as F

from umbel import tasks
from umbel.core import Batch, OperatingPoint, Task, UmbelError
from umbel.losses import bernoulli, group_triplets
from umbel.methods import (
    MapEncoder,
    Mapped,
    MappedLink,
    MeanOfMap,
    SingleSideLearner,
    UnitEmbedding,
    central_difference,
    single_side,
)
from umbel.nn import CentralDifferenceEncoder, build_model

SHAPE, POINT = (3, 8, 8), OperatingPoint()
KINDS = tasks.classification("live", ["live", "print", "replay"])
LIVE = Task("live", 1, lambda p, t: bernoulli(p[:, 0], (t == 0).float()), KINDS.metrics, True)
DEPTH = tasks.dense_regression("depth", centre=0.5, scale=2.0)
WHO = tasks.classification("who", 5)
SMALL = {"widths": (4, 8), "norm": "group", "main": "live"}


def batch(count=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    targets = {
        "live": torch.randint(-1, 3, (count,), generator=generator),
        "depth": torch.rand(count, 1, 8, 8, generator=generator),
        "who": torch.randint(0, 5, (count,), generator=generator),
    }
    pictures = torch.rand(count, *SHAPE, generator=generator)
    return Batch(pictures, targets, torch.randint(0, 3, (count,), generator=generator))


def of_maps():
    return central_difference(SHAPE, (LIVE, DEPTH, WHO), depth="depth", **SMALL)


def test_the_score_is_the_mean_of_the_map_in_natural_units():
    learner = of_maps().eval()
    assert isinstance(learner.model.encoder, MapEncoder)
    assert isinstance(learner.model.encoder.encoder, CentralDifferenceEncoder)
    said = learner.predict(batch(), POINT)
    mean = DEPTH.decode(said["depth"]).mean((1, 2, 3))
    head = learner.model.heads["live"]
    assert isinstance(head, MeanOfMap)
    torch.testing.assert_close(said["live"][:, 0], mean)
    with torch.no_grad():
        head.scale.fill_(-3.0)
        head.shift.fill_(2.0)
    again = learner.predict(batch(), POINT)["live"][:, 0]
    assert torch.equal(again.argsort(), mean.argsort()), "the scale cannot turn the order"
    assert again.mean() > 1


def test_the_main_tasks_loss_teaches_two_numbers_and_no_map():
    learner = of_maps()
    learner.losses(batch(), POINT)["live"].backward()
    taught = {name for name, p in learner.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"heads.task_live.scale", "heads.task_live.shift"}
    learner.losses(batch(), POINT)["depth"].backward()
    assert learner.model.encoder.encoder.stages[0][0].weight.grad.any()


def test_the_map_is_computed_once_and_a_task_beside_it_reads_the_features():
    learner, runs = of_maps(), []
    learner.model.encoder.head.register_forward_hook(lambda *_: runs.append(1))
    learner.losses(batch(), POINT)
    assert len(runs) == 1
    given = learner.model.encoder(batch().inputs, POINT)
    assert isinstance(given, Mapped)
    assert MappedLink(maps=True)(given) is given.maps
    assert MappedLink(maps=False)(given) is given.features
    assert torch.equal(learner.predict(batch(), POINT)["who"], learner.model.heads["who"](given.features))


def one_side(**more):
    return single_side(SHAPE, (LIVE, WHO), "conv", **(SMALL | {"domains": 3, "size": 6} | more))


def test_triplets_have_one_group_of_live_and_one_for_each_domains_attacks():
    learner, samples = one_side(triplet=2.0, margin=0.4), batch()
    losses = learner.losses(samples, POINT)
    assert list(losses) == ["live", "who", "triplets", "domains"]
    link = learner.model.links["live"]
    assert isinstance(link, UnitEmbedding)
    sent = link(learner.model.encoder(samples.inputs))
    torch.testing.assert_close(sent.norm(dim=1), torch.full((12,), 6**0.5))
    target = samples.target("live")
    groups = [-1 if t < 0 else 0 if t == 0 else 1 + int(d) for t, d in zip(target, samples.domain, strict=True)]
    expected = 2 * group_triplets(F.normalize(sent, dim=1), torch.tensor(groups), 0.4)
    torch.testing.assert_close(losses["triplets"], expected)


def test_the_discriminator_learns_domains_of_live_samples_and_features_unlearn_them():
    learner, samples = one_side(adversary=0.3), batch(24)
    plain = one_side(adversary=0.3)
    live = samples.target("live") == 0
    learner.losses(samples, POINT)["domains"].backward()
    e = F.normalize(plain.model.links["live"](plain.model.encoder(samples.inputs)), dim=1)
    loss = F.cross_entropy(plain.discriminator(e[live]), samples.domain[live])
    loss.backward()
    for own, honest in zip(learner.discriminator.parameters(), plain.discriminator.parameters(), strict=True):
        torch.testing.assert_close(own.grad, honest.grad)
    for own, honest in zip(learner.model.encoder.parameters(), plain.model.encoder.parameters(), strict=True):
        torch.testing.assert_close(own.grad, -0.3 * honest.grad)
    assert learner.parameter_groups()[-1].rate == 1.0


def test_a_batch_without_live_samples_or_without_domains_has_finite_losses():
    samples = batch()
    attacks = Batch(samples.inputs, samples.targets | {"live": torch.ones(12, dtype=torch.long)}, samples.domain)
    assert one_side().losses(attacks, POINT)["domains"] == 0
    one_side().losses(attacks, POINT).stack().sum().backward()
    assert torch.isfinite(one_side().losses(Batch(samples.inputs, samples.targets), POINT).stack()).all()
    assert torch.isfinite(one_side().losses(samples[:0], POINT).stack()).all()


def test_encoders_of_one_seed_start_alike():
    plain = build_model(SHAPE, (LIVE, WHO), "conv", seed=2, widths=(4, 8), norm="group")
    for name, value in one_side(seed=2).model.encoder.state_dict().items():
        assert torch.equal(plain.encoder.state_dict()[name], value)


def test_what_cannot_be_is_refused():
    plain = build_model(SHAPE, (LIVE, WHO), "conv", widths=(4, 8))
    named = tasks.classification("domains", "ab")
    far = Batch(batch().inputs, batch().targets, torch.full((12,), 3))
    for call, message in (
        (lambda: central_difference(SHAPE, (LIVE, DEPTH), depth="nose", **SMALL), "unknown task 'nose'"),
        (lambda: central_difference(SHAPE, (KINDS, DEPTH), depth="depth", **SMALL), "'live' must predict one number"),
        (
            lambda: central_difference(SHAPE, (LIVE, WHO), depth="who", **SMALL),
            "'who' must predict one number",
        ),
        (lambda: one_side(main="nose"), "unknown task 'nose'"),
        (lambda: one_side(size=0), "size of the embedding is 0"),
        (lambda: one_side(domains=0), "domains is 0"),
        (lambda: one_side(adversary=-1.0), "must be at least 0"),
        (lambda: one_side().losses(far, POINT), "a sample is of domain 3, of 3 from 0; say more domains"),
        (lambda: SingleSideLearner(plain, (LIVE, WHO), "live", 3), "the link of task 'live' is no UnitEmbedding"),
        (lambda: single_side(SHAPE, (LIVE, named), "conv", domains=2, **SMALL), "a task is called 'domains'"),
        (lambda: single_side(SHAPE, (DEPTH,), "conv", main="depth", domains=2), "main task 'depth' predicts a map"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
