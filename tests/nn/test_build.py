import pytest
import torch

from umbel import tasks
from umbel.core import OperatingPoint, UmbelError
from umbel.nn import ENCODERS, EncoderChoice, build_encoder, build_model, default_encoder

SIDE = tasks.classification("side", ["left", "right"])
AGE = tasks.regression("a/b.c", outputs=2)
DEPTH = tasks.dense_regression("depth")
SHAPES = {1: (5,), 2: (6, 3), 3: (3, 16, 16), None: (5,)}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_by_name_feeds_a_head(name):
    choice = ENCODERS[name]
    assert isinstance(choice, EncoderChoice)
    assert choice.description
    shape = SHAPES[choice.axes]
    model = build_model(shape, [SIDE, AGE], name).eval()
    predictions = model(torch.rand(2, *shape), OperatingPoint())
    assert {n: p.shape for n, p in predictions.items()} == {"side": (2, 2), "a/b.c": (2, 2)}
    assert build_encoder(name, shape).feature_shape == model.encoder.feature_shape


def test_alone_or_with_others_a_task_starts_from_the_same_weights():
    together = build_model((1, 8, 8), [SIDE, DEPTH, AGE], seed=4, downsample=2)
    alone = build_model((1, 8, 8), [AGE], seed=4, downsample=2)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, together.state_dict()[name]), name


def test_another_seed_gives_other_weights_and_heads_differ():
    shared = {"input_shape": (4,), "tasks": [tasks.regression("x"), tasks.regression("y")]}
    first, again, other = (build_model(**shared, seed=seed) for seed in (0, 0, 1))
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name
    assert not torch.equal(first.heads["x"].layers[0].weight, first.heads["y"].layers[0].weight)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    build_model((1, 8, 8), [SIDE])
    assert torch.equal(torch.rand(3), wanted)


def test_map_tasks_get_a_quarter_of_the_resolution_unless_told_otherwise():
    assert build_model((3, 32, 32), [DEPTH, SIDE], "resnet", width=4).encoder.feature_shape == (32, 8, 8)
    assert build_model((3, 32, 32), [DEPTH], "resnet", width=4, downsample=2).encoder.feature_shape == (32, 16, 16)
    assert build_model((3, 32, 32), [SIDE], "resnet", width=4).encoder.feature_shape == (32, 4, 4)
    kept = build_model((3, 32, 32), [SIDE], "resnet", width=4, keep_maps=True)
    assert kept.encoder.feature_shape == (32, 8, 8)
    assert build_model((5,), [SIDE], "mlp", keep_maps=True).encoder.feature_shape == (128,)


def test_norm_reaches_encoder_and_map_heads():
    model = build_model((1, 8, 8), [DEPTH], norm="group")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_the_default_follows_the_inputs():
    assert [default_encoder(shape, [SIDE]) for shape in ((5,), (6, 3), (3, 8, 8))] == ["mlp", "gru", "conv"]
    with pytest.raises(UmbelError, match="no usual encoder"):
        default_encoder((3, 4, 5, 6), [SIDE])
    with pytest.raises(UmbelError, match="'depth' predicts a map"):
        default_encoder((5,), [DEPTH])


def test_wrong_names_options_and_shapes_are_one_clear_line():
    for call, words in (
        (lambda: build_encoder("covn", (1, 8, 8)), "did you mean 'conv'"),
        (lambda: build_encoder("conv", (1, 8, 8), widhts=(4,)), "did you mean 'widths'"),
        (lambda: build_encoder("conv", (5,)), "is for pictures"),
        (lambda: build_encoder("gru", (5,)), "is for series"),
        (lambda: build_model((1, 8, 8), [DEPTH], "mlp"), "keeps maps"),
        (lambda: build_model((1, 8, 8), [DEPTH], "covn"), "did you mean 'conv'"),
    ):
        with pytest.raises(UmbelError, match=words):
            call()
