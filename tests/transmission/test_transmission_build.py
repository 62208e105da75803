"""Built models: every encoder, starts that do not depend on what else is built, one line for what cannot be."""

import pytest
import torch
from small_transmissions import DIGIT, PARITY, PICTURE, SHAPE, SMALL, dense, draws, mapped, pictures

from umbel import tasks
from umbel.channels import AWGN, Fading
from umbel.core import Batch, OperatingPoint, UmbelError
from umbel.nn import ENCODERS, PictureHead, PooledHead, seeded_start
from umbel.transmission import DenseCode, Goal, MapCode, MapDecoder, Stage, VectorDecoder, build_transmission, make_code

POINT = OperatingPoint(snr_db=5.0)
STAGES = (Stage(4), Stage(6))


@pytest.mark.parametrize("name", [name for name, choice in ENCODERS.items() if choice.axes in (3, None)])
def test_every_encoder_of_pictures_sends_classes_and_pictures(name):
    shape = (3, 16, 16)
    goals = [Goal(DIGIT, 1), Goal(tasks.picture("picture", 3), 1, shrink=2), Goal(tasks.picture("picture", 3), 2)]
    sizes = {"decoder_width": 8, "decoder_blocks": 1}
    model = build_transmission(shape, STAGES, goals, AWGN(), name, **sizes)
    predictions = model(pictures(4, shape), POINT)
    assert {key: tuple(value.shape) for key, value in predictions.items()} == {
        "digit@1": (4, 10),
        "picture@1": (4, 3, 8, 8),
        "picture@2": (4, 3, 16, 16),
    }
    predictions["picture@2"].square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_series_and_tables_can_be_sent_too():
    for shape in ((7,), (6, 3)):
        model = build_transmission(shape, STAGES, [Goal(DIGIT, 2)], Fading())
        assert model(torch.rand(4, *shape), POINT)["digit@2"].shape == (4, 10)


def test_maps_can_be_predicted_by_a_receiver():
    goals = [Goal(tasks.segmentation("ground", "abc"), 2), Goal(tasks.dense_regression("depth"), 1)]
    model = build_transmission((1, 16, 16), (Stage(16), Stage(5)), goals, AWGN(), **SMALL, encoder="pixel")
    shapes = {name: tuple(value.shape) for name, value in model(pictures(2, (1, 16, 16)), POINT).items()}
    assert shapes == {"ground@2": (2, 3, 16, 16), "depth@1": (2, 1, 16, 16)}


def test_codes_keep_places_where_pictures_are_wanted_and_uses_fill_maps():
    assert isinstance(make_code((8, 2, 2), 12, True), MapCode)
    assert make_code((8, 2, 2), 12, True).latent_shape == (6, 2, 2)
    assert make_code((8, 2, 2), 12, True, complex_uses=False).latent_shape == (3, 2, 2)
    for code in (make_code((8, 2, 2), 5, True), make_code((8, 2, 2), 12, False), make_code((8,), 12, True)):
        assert isinstance(code, DenseCode)
        features = torch.rand(3, *((8, 2, 2) if code.layers[0].in_features == 32 else (8,)))
        assert code(features).shape == (3, *code.latent_shape)
    kept, pooled = (DenseCode((2, 8, 8), 5, keep=keep) for keep in (True, False))
    assert (kept.layers[0].in_features, pooled.layers[0].in_features) == (128, 32)
    assert pooled(torch.rand(3, 2, 8, 8)).shape == (3, 10)


def test_parts_suit_the_goals():
    model = mapped()
    (receiver,) = model.receivers
    assert isinstance(receiver.decoders["1"], MapDecoder)
    assert isinstance(receiver.heads["picture@1"], PictureHead) and isinstance(receiver.heads["digit@1"], PooledHead)
    assert isinstance(dense().receivers[0].decoders["1"], VectorDecoder)
    assert list(dense(goals=[Goal(DIGIT, 2)]).receivers[0].decoders) == ["2"], "no decoder that nobody reads"


def _state(model, prefix):
    return {name: value for name, value in model.state_dict().items() if name.startswith(prefix)}


def test_the_same_seed_builds_the_same_and_another_another():
    one, again, other = mapped(seed=1), mapped(seed=1), mapped(seed=2)
    for (name, a), (_, b), (_, c) in zip(*(m.named_parameters() for m in (one, again, other)), strict=True):
        assert torch.equal(a, b), name
        if a.ndim > 1:
            assert not torch.equal(a, c), name
    assert torch.equal(one(pictures(), POINT, draws())["picture@2"], again(pictures(), POINT, draws())["picture@2"])


def test_a_part_s_start_is_a_function_of_seed_and_name():
    drawn = {}
    for seed, name in ((0, "code 1"), (0, "code 2"), (1, "code 1"), (0, "code 1")):
        with seeded_start(seed, name):
            value = torch.rand(3)
        assert torch.equal(drawn.setdefault((seed, name), value), value)
    assert len({tuple(value.tolist()) for value in drawn.values()}) == 3


def test_torch_s_generator_is_left_as_it_was():
    before = torch.random.get_rng_state()
    mapped()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_models_with_other_stages_or_receivers_start_from_the_same_parts():
    one = mapped((Stage(4), Stage(8)))
    longer = mapped((Stage(4), Stage(8), Stage(8)))
    shorter = mapped((Stage(8),))
    for prefix, other in (("encoder.", shorter), ("encoder.", longer), ("codes.0.", longer), ("codes.1.", longer)):
        mine, theirs = _state(one, prefix), _state(other, prefix)
        assert mine and mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine), prefix
    goals = [Goal(DIGIT, 1, "near"), Goal(PARITY, 1, "far")]
    both, alone = dense(goals=goals), dense(goals=goals[:1])
    for name, value in alone.state_dict().items():
        assert torch.equal(value, both.state_dict()[name]), name
    assert not torch.equal(*(r.decoders["1"].layers[0].weight for r in both.receivers)), "receivers differ"


def test_stages_do_not_start_as_copies_of_each_other():
    first, second = dense((Stage(4), Stage(4))).codes
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)


def test_saved_weights_of_shared_decoders_are_taken_up(tmp_path):
    """Maximum-ratio receivers hold one decoder under several names."""
    from safetensors.torch import load_model, save_model

    model, other = (dense((Stage(4),) * 2, combine="maximum-ratio", seed=seed) for seed in (0, 1))
    save_model(model, str(tmp_path / "model.safetensors"))
    load_model(other, str(tmp_path / "model.safetensors"))
    assert torch.equal(model(pictures(), POINT, draws())["digit@2"], other(pictures(), POINT, draws())["digit@2"])


MAP = tasks.dense_regression("depth")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": ()}, "at least one stage"),
        ({"goals": []}, "at least one stage and one goal"),
        ({"goals": [Goal(DIGIT, 3)]}, "goal 'digit@3' is after stage 3, but 2 are sent"),
        ({"goals": [Goal(DIGIT), Goal(DIGIT)]}, "two goals are called 'digit@1'"),
        ({"goals": [Goal(PICTURE, 1, shrink=16)]}, "a 8x8 picture cannot be shrunk 16 times; use fewer layers"),
        ({"goals": [Goal(PICTURE, 1, shrink=3)]}, "cannot be shrunk 3 times"),
        ({"input_shape": (7,), "goals": [Goal(PICTURE)]}, "the inputs have shape .7,. and are no pictures"),
        ({"input_shape": (7,), "goals": [Goal(MAP)], "encoder": "mlp"}, "goal 'depth@1': the inputs .* no pictures"),
        ({"combine": "maximum-ratio"}, "give every stage the same uses and power"),
        ({"combine": "newest"}, "unknown way to combine stages 'newest'"),
        ({"coherence": "block"}, "unknown coherence 'block'"),
        ({"encoder": "convv"}, "unknown encoder 'convv'"),
        ({"widht": 8}, "unknown option of encoder 'conv' 'widht'"),
        ({"channels": {"near": AWGN()}}, "unknown receiver of a channel 'near'"),
        (
            {"channels": {"a": AWGN()}, "goals": [Goal(DIGIT, 1, "a"), Goal(DIGIT, 1, "b")]},
            "receiver 'b' has no channel; there are channels for a",
        ),
        (
            {
                "channels": {"a": AWGN(), "b": AWGN(complex_uses=False)},
                "goals": [Goal(DIGIT, 1, "a"), Goal(DIGIT, 1, "b")],
            },
            "complex uses and some of real ones",
        ),
    ],
)
def test_what_cannot_be_built_is_one_clear_line(changes, words):
    usual = {"input_shape": SHAPE, "stages": STAGES, "goals": [Goal(DIGIT)], "channels": AWGN()}
    with pytest.raises(UmbelError, match=words) as caught:
        build_transmission(**{**usual, **changes})
    assert "\n" not in str(caught.value)


def test_the_labels_of_a_goal_that_the_batch_does_not_have_are_named():
    with pytest.raises(UmbelError, match="digit"):
        Goal(DIGIT).as_task().target_of(Batch(pictures(), {"parity": torch.zeros(5, dtype=torch.int64)}))
