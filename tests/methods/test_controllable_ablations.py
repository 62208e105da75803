"""The ordinary network of one configuration: its sizes, and that it starts as the kept studies' networks did."""

import pytest
import torch

from umbel import tasks
from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.methods.controllable import ControllableLearner, controllable, slimmable_model
from umbel.methods.controllable_ablations import fresh_dense_model
from umbel.nn import build_model, dense_copy, seeded_start

KINDS = (tasks.classification("side", "ab"), tasks.regression("height", 1))
SHAPE = (1, 8, 8)
NETWORK = {"encoder": "conv", "hidden": 16, "vector_head": "conv", "widths": (16, 32)}


def slim(seed=0) -> MultiTaskModel:
    return slimmable_model(build_model(SHAPE, KINDS, seed=seed, **NETWORK), SHAPE, (0.25, 0.5, 1.0))


def as_the_kept_studies_built_it(full: ControllableLearner, shape: dict, seed: int) -> MultiTaskModel:
    """Written out as it stood in the controllable study when its kept results were trained."""
    model = dense_copy(full.model, full.point(shape["width"], shape["heads"]))
    if min(shape.values()) < 1:
        for name, part in {"": model.encoder, **{name: model.heads[name] for name in model.task_names}}.items():
            with seeded_start(seed, name):
                for layer in part.modules():
                    if callable(reset := getattr(layer, "reset_parameters", None)):
                        reset()
    return model.train()


@pytest.mark.parametrize(("width", "heads"), [(1.0, 1.0), (0.5, 0.5), (1.0, 0.25), (0.25, 1.0)])
def test_it_starts_as_the_kept_studies_networks_did(width, heads):
    learner = ControllableLearner(slim(2), KINDS)
    expected = as_the_kept_studies_built_it(learner, {"width": width, "heads": heads}, 2)
    fresh = fresh_dense_model(slim(2), learner.point(width, heads), 2)
    assert list(fresh.state_dict()) == list(expected.state_dict())
    for name, value in expected.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name
    assert all(part.training for part in fresh.modules())


def test_the_full_one_starts_as_the_ordinary_network_and_a_narrow_one_does_not():
    ordinary = build_model(SHAPE, KINDS, seed=1, **NETWORK)
    full = fresh_dense_model(slim(1), OperatingPoint(), 1)
    for mine, theirs in zip(full.parameters(), ordinary.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    narrow = fresh_dense_model(slim(1), OperatingPoint(width=0.5), 1)
    first, wide = (model.encoder.stages[1][0].weight for model in (narrow, ordinary))
    assert first.shape[:2] == (16, 8) and wide.shape[:2] == (32, 16)
    assert first.abs().max() > 1.3 * wide.abs().max(), "a prefix of a wide start is too small for a narrow layer"


def test_its_start_depends_on_the_seed_alone():
    point, before = OperatingPoint(width=0.5), torch.random.get_rng_state()
    one, again, other = (fresh_dense_model(slim(), point, seed).encoder.stages[0][0].weight for seed in (0, 0, 5))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_configuration_that_there_is_not_is_refused():
    with pytest.raises(UmbelError, match=r"width is 0\.3"):
        fresh_dense_model(slim(), OperatingPoint(width=0.3))


@pytest.mark.parametrize("seed", [0, 2])
def test_the_public_builder_gives_the_studies_network(seed):
    """The studies built an ordinary model with the encoder's own widths, and made it slimmable on a grid of widths."""
    built = controllable(SHAPE, KINDS, grid=(0.25, 0.5, 1.0), seed=seed, **NETWORK).model.state_dict()
    expected = ControllableLearner(slim(seed), KINDS).model.state_dict()
    assert list(built) == list(expected)
    assert all(torch.equal(built[name], expected[name]) for name in expected)
