"""Matrices, streams and groups: their laws, and what is refused before training."""

import pytest
import torch
from gradsplit_cases import Checkpointed, gradients_of, make_batch, make_learner, random_accept, relu, split_names
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import POINT, learner

from umbel.core import Learner, MultiTaskModel, SingleProcess, UmbelError
from umbel.descent import GradSplit
from umbel.descent.gradsplit import accept_matrix, channel_groups, split_layers, stream_plan
from umbel.nn import ConvEncoder, ResNetEncoder

NAMES = ("a", "b", "c")


@given(st.integers(1, 7), st.integers(0, 10**6), st.floats(0, 1))
def test_streams_carry_every_column_and_the_sum_and_are_as_few_as_can_be(tasks, seed, density):
    accept = random_accept(tasks, seed, density)
    plan = stream_plan(accept)
    columns = torch.cat([accept, torch.ones(tasks, 1).bool()], 1).double()
    torch.testing.assert_close(plan.mix.T @ plan.takes.double(), accept.double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(plan.mix.sum(0), torch.ones(tasks).double(), rtol=0, atol=1e-9)
    assert plan.streams == torch.linalg.matrix_rank(columns)
    assert plan.plain == bool(accept.all())


@given(st.integers(2, 6), st.integers(0, 10**6), st.integers(0, 63))
def test_losses_without_labels_need_no_stream(tasks, seed, mask):
    accept = random_accept(tasks, seed)
    present = torch.tensor([bool(mask >> t & 1) for t in range(tasks)])
    plan = stream_plan(accept, present)
    torch.testing.assert_close((plan.mix.T @ plan.takes.double())[present], accept.double()[present], rtol=0, atol=1e-9)
    assert plan.streams == max(1, stream_plan(accept[present]).streams if present.any() else 1)


def test_tasks_that_the_same_groups_accept_share_a_stream():
    plan = stream_plan(torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool())
    assert plan.mix.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert plan.takes.tolist() == [[True, True, False], [False, False, True]]


@given(st.integers(1, 9), st.integers(0, 60))
def test_groups_are_contiguous_and_almost_equal(groups, more):
    found = channel_groups(groups + more, groups)
    assert found.tolist() == sorted(found.tolist())
    sizes = found.bincount(minlength=groups)
    assert len(sizes) == groups and sizes.min() >= 1 and sizes.max() - sizes.min() <= 1


def test_words_for_matrices():
    assert torch.equal(accept_matrix("own", NAMES), torch.eye(3).bool())
    assert accept_matrix("all", NAMES).all()
    given = [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    for kind in (given, torch.tensor(given), torch.tensor(given).bool(), torch.tensor(given).float()):
        assert accept_matrix(kind, NAMES).tolist() == torch.tensor(given).bool().tolist()


WRONG = {
    "too small": (torch.eye(2), r"\(2, 2\).*3 tasks a, b, c.*3 x 3"),
    "not square": (torch.ones(3, 2), r"\(3, 2\)"),
    "flat": (torch.ones(9), r"\(9,\)"),
    "own task refused": ([[1, 1, 0], [0, 0, 1], [0, 1, 1]], r"task 'b' refuses it \(accept\[1, 1\] is 0\)"),
    "not 0 or 1": ([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]], r"accept\[0, 1\] is 0\.5"),
    "not a number": ([[1, 0, 0], [0, 1, float("nan")], [0, 0, 1]], r"accept\[1, 2\] is nan"),
    "ragged": ([[1, 0], [0, 1, 0], [0, 0, 1]], "not a matrix of numbers"),
    "words": ([["a"]], "not a matrix of numbers"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_matrix_that_is_none_is_refused_before_training(wrong):
    accept, said = WRONG[wrong]
    with pytest.raises(UmbelError, match=said):
        GradSplit(accept).prepare(learner())


def test_words_that_do_not_exist_get_the_nearest():
    with pytest.raises(UmbelError, match="did you mean 'measured'"):
        GradSplit("mesured")
    with pytest.raises(UmbelError, match="did you mean 'streams'"):
        GradSplit(engine="stream")
    with pytest.raises(UmbelError, match="unknown accept"):
        accept_matrix("measured", NAMES)  # that is not a matrix yet


def test_one_task_cannot_be_split():
    taught = learner()
    with pytest.raises(UmbelError, match=r"one task, 'b'"):
        GradSplit().prepare(Learner(taught.model, [taught.tasks[1]]))


def residual() -> Learner:
    return make_learner(ResNetEncoder((2, 6, 6), 4, (1, 1), downsample=2))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("stages.7", r"unknown layer.*'stages\.7'.*did you mean 'stages\.1"),
        (["stages.1", "steem"], "did you mean 'stem"),
        (("stages.1.body.0.2",), r"is a ReLU without"),
        ("", "unknown layer"),
        ([], "layers is empty"),
        (0.0, "above 0 and at most 1"),
        (1.5, r"layers is 1\.5"),
        (float("nan"), "layers is nan"),
    ],
)
def test_layers_that_are_none_are_refused_before_training(layers, said):
    with pytest.raises(UmbelError, match=said):
        GradSplit(layers=layers).prepare(residual())


def test_a_layer_that_is_too_narrow_is_named():
    with pytest.raises(UmbelError, match=r"'stages\.0\.0' has 2 channels, too few for 3 groups"):
        GradSplit(layers=1.0).prepare(make_learner(ConvEncoder((2, 6, 6), (2, 5))))
    GradSplit(layers=0.5).prepare(make_learner(ConvEncoder((2, 6, 6), (2, 5))))


def test_an_encoder_without_layers_to_split_is_refused():
    with pytest.raises(UmbelError, match=r"\(Flatten\) has no convolution"):
        GradSplit().prepare(make_learner(nn.Flatten()))
    taught = residual()
    taught.model.encoder.requires_grad_(False)
    with pytest.raises(UmbelError, match="no convolution or linear layer that can be trained"):
        GradSplit().prepare(taught)


def test_a_layer_without_weights_yet_is_named():
    heads = {name: nn.Linear(4, 2) for name in NAMES}
    taught = Learner(MultiTaskModel(nn.Sequential(nn.LazyLinear(4)), heads), learner().tasks)
    with pytest.raises(UmbelError, match="'0' has no weights yet"):
        GradSplit().prepare(taught)


def test_the_deeper_half_and_names_of_parts():
    taught = residual()
    found = [layer.name for layer in split_layers(taught, None, 3).layers]
    assert found == ["stages.1.body.0.0", "stages.1.body.1", "stages.1.shortcut.0"]
    assert found == [layer.name for layer in split_layers(taught, "stages.1", 3).layers]
    assert [layer.name for layer in split_layers(taught, 0.1, 3).layers] == ["stages.1.shortcut.0"]
    norms = [type(layer.norm) for layer in split_layers(taught, 1.0, 3).layers]
    assert norms == [nn.BatchNorm2d] * 6


def test_a_norm_of_other_channels_is_not_split():
    encoder = nn.Sequential(nn.Conv2d(2, 6, 3), nn.PixelShuffle(1), nn.GroupNorm(1, 6), relu(), nn.Conv2d(6, 8, 3))
    encoder.append(nn.PixelShuffle(2)).append(nn.BatchNorm2d(2))
    descent, taught = GradSplit(layers=1.0), make_learner(encoder)
    descent.prepare(taught)
    assert split_names(descent, taught) == {
        *(f"model.encoder.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias"))
    }


def test_what_must_be_prepared_says_so():
    for ask in (GradSplit().describe, GradSplit().accepted):
        with pytest.raises(UmbelError, match="prepare"):
            ask()


def test_it_says_in_words_what_it_does():
    descent = GradSplit([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    descent.prepare(residual())
    said = descent.describe()
    assert "3 layers are split, stages.1.body.0.0 to stages.1.shortcut.0, into 3 groups" in said
    assert "group t0 accepts t0, t2" in said and "group t1 accepts t0, t1" in said and said.endswith("accepts t2")
    assert descent.affinity() is None


# -- what only the first step shows; nothing is learnt before ------------------------------------------------


class Overwriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, x):
        x = self.first(x).sigmoid()
        y = self.last(x)
        x.mul_(2)
        return y


class Consuming(torch.autograd.Function):
    """A backward pass that spoils what it has saved."""

    @staticmethod
    def forward(ctx, x):
        kept = x.clone()
        ctx.kept = kept
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        found = 2 * gradient * ctx.kept
        ctx.kept.zero_()
        return found


class Spoiling(Overwriting):
    def forward(self, x):
        return self.last(Consuming.apply(self.first(x)))


@pytest.mark.parametrize("engine", ["naive", "streams", "auto"])
def test_an_in_place_operation_that_autograd_refuses(engine):
    with pytest.raises(UmbelError, match=r"overwrites in place.*inplace=False"):
        gradients_of(GradSplit("own", 1.0, engine), make_learner(Overwriting()), make_batch())


@pytest.mark.parametrize("engine", ["naive", "streams", "auto"])
def test_a_backward_pass_that_works_once_only(engine):
    taught = make_learner(Spoiling())
    with pytest.raises(UmbelError, match="second backward pass gives other gradients"):
        gradients_of(GradSplit("own", 1.0, engine), taught, make_batch())
    gradients_of(GradSplit("all", 1.0, engine if engine != "naive" else "auto"), taught, make_batch())


class Halving(Overwriting):
    """Changes a gradient by a hook, which torch calls again wherever a backward pass begins there."""

    def forward(self, x):
        x = self.first(x)
        x.register_hook(lambda gradient: 0.5 * gradient)
        return self.last(x.tanh())


def test_the_first_step_is_compared_with_naive(caplog):
    taught, batch = make_learner(Halving()), make_batch()
    with pytest.raises(UmbelError, match=r"encoder\.first\.\w+ does not get the gradient from streams.*engine='naive'"):
        gradients_of(GradSplit("own", 1.0, "streams"), taught, batch)
    naive, descent = gradients_of(GradSplit("own", 1.0, "naive"), taught, batch), GradSplit("own", 1.0)
    with caplog.at_level("INFO", "umbel.descent.gradsplit"):
        first = gradients_of(descent, taught, batch)
    taught.zero_grad()
    torch.manual_seed(7)
    descent(taught, batch, POINT, SingleProcess())
    for name, p in taught.named_parameters():
        torch.testing.assert_close(first[name], naive[name])
        torch.testing.assert_close(p.grad, naive[name])
    assert caplog.text.count("engine naive") == 1


def test_a_reentrant_checkpoint_is_for_the_naive_engine(caplog):
    taught, batch = make_learner(Checkpointed(reentrant=True)), make_batch()
    with pytest.raises(UmbelError, match=r"use_reentrant=True.*engine='naive'"):
        gradients_of(GradSplit("own", ("body",), "streams"), taught, batch)
    with caplog.at_level("INFO", "umbel.descent.gradsplit"):
        auto = gradients_of(GradSplit("own", ("body",)), taught, batch)
    assert "engine naive" in caplog.text and "use_reentrant" in caplog.text
    taught.model.encoder.reentrant = False
    expected = gradients_of(GradSplit("own", ("body",), "naive"), taught, batch)
    for name, value in expected.items():
        torch.testing.assert_close(auto[name], value)


@pytest.mark.parametrize("engine", ["streams", "sample_mask"])
def test_a_compiled_encoder_is_for_the_naive_engine(engine):
    taught = make_learner(ConvEncoder((2, 6, 6), (4, 5), "group"))
    descent = GradSplit("own", engine=engine)
    descent.prepare(taught)
    taught.model.encoder.compile(backend="eager")
    with pytest.raises(UmbelError, match=r"model\.encoder \(ConvEncoder\) is compiled.*engine='naive'"):
        descent(taught, make_batch(), POINT, SingleProcess())
    with pytest.raises(UmbelError, match="is compiled"):
        GradSplit("own", engine=engine).prepare(taught)
    auto = GradSplit("own")
    for _ in range(2):
        found = gradients_of(auto, taught, make_batch())
    plain = make_learner(ConvEncoder((2, 6, 6), (4, 5), "group"))
    expected = gradients_of(GradSplit("own", engine="naive"), plain, make_batch())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_losses_in_another_order_than_the_tasks_are_refused():
    from umbel.core import Losses

    class Turned(Learner):
        def losses(self, batch, point):
            return Losses(dict(reversed(list(super().losses(batch, point).items()))))

    taught = make_learner(ConvEncoder((2, 6, 6), (4, 5)), kind=Turned)
    with pytest.raises(UmbelError, match=r"t0, t1, t2.*begin with t2, t1, t0"):
        gradients_of(GradSplit(), taught, make_batch())
