"""Where a graph is cut, checked by following every path; and which weights have deltas."""

import itertools

import pytest
import torch
from gramian_cases import (
    ENCODERS,
    force,
    make_batch,
    make_learner,
    plain,
)
from gramian_learners import (
    LEARNERS,
)
from torch import nn
from torch.nn import functional
from toys import POINT

from umbel.descent.gramian import loads as load_module
from umbel.descent.gramian import plan as plans
from umbel.descent.gramian.loads import WHOLE, Load, best_layout, most_forgotten, peak_of
from umbel.descent.gramian.plan import make_plan
from umbel.descent.gramian.segments import Segment, cut_graph, is_changed_at
from umbel.descent.gramian.sites import find_sites
from umbel.descent.graph import Graph
from umbel.nn import ConvEncoder, ResNetEncoder

pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
CASES = {**{name: lambda name=name: make_learner(ENCODERS[name]) for name in ENCODERS}, **LEARNERS}


class Below:
    """The graph below a learner's losses; names of parameters without "model."."""

    def __init__(self, learner) -> None:
        self.losses = list(learner.losses(make_batch(7), POINT).values())
        self.names = {id(p): name.removeprefix("model.") for name, p in learner.named_parameters()}
        self.shared = learner.shared_parameters()
        live = [loss for loss in self.losses if loss.requires_grad]
        self.graph = Graph(live, [*self.shared, *learner.own_parameters()])

    def named(self, parameters) -> list[str]:
        return [self.names[id(p)] for p in parameters]

    def reached(self, starts: list, without=None) -> set[str]:
        """Names of the parameters that paths from `starts` lead to; paths over the edge `without` are closed."""
        closed = None if without is None else (without.node, without.output_nr)
        pending, seen = [start[0] for start in starts if start != closed], set()
        while pending:
            node = pending.pop()
            if node not in seen:
                seen.add(node)
                pending += [edge[0] for edge in self.graph.edges[node] if edge != closed]
        return set(self.named(p for node, p in self.graph.leaves.items() if node in seen))


@pytest.mark.parametrize("name", CASES)
def test_a_cut_parts_the_parameters_above_from_those_below(name):
    below = Below(CASES[name]())
    segments = cut_graph(below.graph)
    parts = [set(below.named(segment.parameters)) for segment in segments]
    assert sum(len(segment.parameters) for segment in segments) == len(below.graph.leaves)
    assert set().union(*parts) == below.reached(list(below.graph.tops))
    assert segments[-1].bottom is None
    for number, segment in enumerate(segments[:-1]):
        above, rest = set().union(*parts[: number + 1]), set().union(*parts[number + 1 :])
        edge = segment.bottom
        assert below.reached([(edge.node, edge.output_nr)]) == rest, "what is reached from the cut"
        assert below.reached(list(below.graph.tops), without=edge) == above, "what is reached past the cut"


def segments_of(make) -> list[set[str]]:
    """Parts of the encoder that have parameters in each segment that has any, heads left out."""
    below = Below(make_learner(make))
    parts = [
        {name.removeprefix("encoder.") for name in below.named(s.parameters) if name.startswith("encoder.")}
        for s in cut_graph(below.graph)
    ]
    return [part for part in parts if part]


def blocks(part: set[str], depth: int) -> set[str]:
    return {".".join(name.split(".")[:depth]) for name in part}


def test_a_plain_net_is_cut_at_every_layer():
    parts = segments_of(lambda: plain(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 5)))
    assert [blocks(part, 1) for part in parts] == [{"6"}, {"2"}, {"0"}]
    parts = segments_of(lambda: ConvEncoder((2, 6, 6), (4, 5, 6), "group", downsample=2))
    layers = [f"stages.{stage}.{layer}" for stage in (2, 1, 0) for layer in (1, 0)]
    assert [blocks(part, 3) for part in parts] == [{layer} for layer in layers[:-2]] + [set(layers[-2:])]


def test_a_residual_net_is_cut_at_every_block():
    parts = segments_of(lambda: ResNetEncoder((2, 6, 6), 4, (2, 1, 1), "group", downsample=2))
    assert [blocks(part, 2) for part in parts[:4]] == [{f"stages.{number}"} for number in (3, 2, 1, 0)]
    assert set().union(*parts[4:]) == {"stem.0.weight", "stem.1.weight", "stem.1.bias"}


def test_a_transformer_is_cut_between_its_sublayers():
    parts = [blocks(part, 3) for part in segments_of(ENCODERS["transformer"])]
    sublayer = [{"layers.1.linear1", "layers.1.linear2"}, {"layers.1.norm1"}, {"layers.1.self_attn"}]
    assert [part - {"layers.1.norm2"} for part in parts[1:4]] == sublayer
    assert any(part == {"place"} or "place" in part for part in parts)


@pytest.mark.parametrize(("name", "parameter"), [("tied", "first.weight"), ("called twice", "again.weight")])
def test_all_uses_of_a_parameter_are_in_one_segment(name, parameter):
    (part,) = [part for part in segments_of(ENCODERS[name]) if parameter in part]
    assert len(part) > 2  # with whatever lies between


class Written(nn.Module):
    """Layers written out."""

    def __init__(self, use) -> None:
        super().__init__()
        self.w, self.use = nn.Parameter(torch.randn(5, 72)), use

    def forward(self, x):
        return self.use(self.w, x.flatten(1))


ALL = None
SITES: dict[str, tuple] = {
    "a linear layer": (ENCODERS["one linear layer"], ALL),
    "strides, dilation": (ENCODERS["dilation"], ALL),
    "one and three dimensions": (ENCODERS["three dimensions"], ALL),
    "linear layers on more than two dimensions": (ENCODERS["lines"], ALL),
    "no groups": (ENCODERS["groups"], {"4.weight"}),
    "not transposed": (ENCODERS["transposed"], {"0.weight", "6.weight"}),
    "not used twice": (ENCODERS["tied"], {"middle.weight"}),
    "not called twice": (ENCODERS["called twice"], {"first.weight"}),
    "not by a parametrisation": (ENCODERS["weight norm"], {"2.weight"}),
    "not in a checkpoint": (ENCODERS["checkpointed"], {"first.weight"}),
    "not where it is frozen": (ENCODERS["frozen stem"], {"3.weight", "5.weight"}),
    "not where it is not used": (ENCODERS["unused"], {"first.weight", "last.weight"}),
    "the product of two": (ENCODERS["adapted"], {"down"}),
    "as it is": (lambda: Written(lambda w, x: x[:, :5] @ w), {"w"}),
    "transposed": (lambda: Written(lambda w, x: x @ w.t()), {"w"}),
    "transposed twice": (lambda: Written(lambda w, x: x[:, :5] @ w.t().t()), {"w"}),
    "in another precision": (lambda: Written(lambda w, x: (x[:, :5].bfloat16() @ w.bfloat16()).to(w)), {"w"}),
    "transposed, in another precision": (
        lambda: Written(lambda w, x: functional.linear(x.bfloat16(), w.bfloat16()).to(w)), {"w"},
    ),
    "with a bias": (lambda: Written(lambda w, x: torch.addmm(x[:, :5], x, w.t())), {"w"}),
    "with a factor": (lambda: Written(lambda w, x: torch.addmm(x[:, :5], x, w.t(), alpha=2)), set()),
    "on the other side": (lambda: Written(lambda w, x: (w @ x.t()).t()), set()),
    "scaled": (lambda: Written(lambda w, x: functional.linear(x, 2 * w)), set()),
    "a part": (lambda: Written(lambda w, x: functional.linear(x, w[:3])), set()),
    "penalised": (lambda: Written(lambda w, x: functional.linear(x, w) + w.square().sum()), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", SITES)
def test_which_weights_have_deltas(name):
    make, expected = SITES[name]
    below = Below(make_learner(make))
    found = {n for n in (below.names[key] for key in find_sites(below.graph)) if n.startswith("encoder.")}
    every = {n for n in below.named(below.shared) if not n.endswith("bias")}
    assert found == (every if expected is ALL else {f"encoder.{n}" for n in expected})


WRITTEN = ("as it is", "transposed", "transposed twice", "in another precision", "transposed, in another precision")


@pytest.mark.parametrize("name", ["strides", "dilation", "same", "lines", "channels last", "adapted", *WRITTEN])
def test_a_sites_matrices_multiply_to_the_gradient(name):
    below = Below(make_learner(ENCODERS.get(name) or SITES[name][0]))
    sites = [site for site in find_sites(below.graph).values() if site.unfolds]
    assert sites
    for site in sites:
        for loss in below.losses[:2]:
            delta, expected = torch.autograd.grad(
                loss, [site.edge, site.parameter], retain_graph=True, allow_unused=True
            )
            if delta is None:
                continue
            rows, inputs = site.delta_matrix(delta), site.input_matrix()
            assert rows.shape == (site.rows, site.outputs)
            assert inputs.shape == (site.rows, site.inputs)
            product = rows.T @ inputs
            same = product if site.is_turned or site.is_convolution else product.T
            torch.testing.assert_close(same.reshape(expected.shape).to(expected.dtype), expected)
            torch.testing.assert_close(site.weight_gradient(delta), expected)


def planned(make, monkeypatch, tasks: int = 3, **constants):
    for name, value in constants.items():
        monkeypatch.setattr(plans, name, value)
    below = Below(make_learner(make, tasks))
    return below, make_plan(below.graph, below.shared, tasks)


def test_plans_can_be_forced(monkeypatch):
    make = ENCODERS["batch norm"]
    force(monkeypatch, "rows")
    assert planned(make, monkeypatch)[1].only_rows
    force(monkeypatch, "deltas")
    _, deltas = planned(make, monkeypatch)
    assert not deltas.only_rows
    assert (len(deltas.segments), deltas.kept, len(deltas.segments[0].sites)) == (1, 0, 3)
    force(monkeypatch, "deltas, taught again")
    _, again = planned(make, monkeypatch)
    assert again.kept == len(again.segments)
    assert len(again.segments) >= 2
    for name in ("a part taught again", "mixed, a part taught again"):
        force(monkeypatch, name)
        _, some = planned(make, monkeypatch)
        assert 0 < some.kept < len(some.segments)
    force(monkeypatch, "deltas, taught again")
    below, each = planned(make, monkeypatch)
    assert each.kept == len(each.segments) == len(cut_graph(below.graph))
    monkeypatch.undo()
    force(monkeypatch, "all taught again at once")
    _, joined = planned(make, monkeypatch)
    assert (len(joined.segments), joined.kept) == (1, 1)


@pytest.mark.parametrize("longer", [0.0, 0.1, 0.3, 10.0])
@pytest.mark.parametrize("name", ["batch norm", "residual, group norm", "transformer", "tied"])
def test_the_walk_that_teaches_again_costs_no_more_than_allowed(name, longer, monkeypatch):
    monkeypatch.setattr(load_module, "_MANY", 0)
    below, plan = planned(ENCODERS[name], monkeypatch, _LONGER=longer, _PEAK=0.0, _SHARE=0.0, _SMALL=0.0, _FINE=0.0)
    sites = find_sites(below.graph)
    shared = {id(p) for p in below.shared}

    def work(segments) -> int:
        known = [sites[id(p)] for s in segments for p in s.parameters if id(p) in sites and id(p) in shared]
        return sum(site.rows * site.inputs * site.outputs for site in known)

    part = work(plan.segments[: plan.kept]) / work(plan.segments)
    assert 2 * part <= longer * (1 + 2 * 3)
    every = [p for segment in plan.segments for p in segment.parameters]
    assert len({id(p) for p in every}) == len(every) == len(below.graph.leaves)


def test_as_little_is_forgotten_as_lets_memory_fit():
    loads = [Load(Segment(None), own, 10, 1) for own in (400, 300, 200, 100)]
    # forgetting 0, 1, 2, ... of them leaves 1000, 600 + 10, 400 + 10, 410, 410 at the peak
    for room, forgotten in ((1000.0, 0), (610.0, 1), (609.0, 2), (410.0, 2), (5.0, 2)):
        layout = best_layout(loads, room, 0.0, most=4)
        assert layout.kept == forgotten, room
        assert not layout.sizes or sum(layout.sizes) == 4
    assert best_layout(loads, 5.0, 0.0, most=1).kept == 1
    assert best_layout(loads, 5.0, 0.0, most=0) == WHOLE


def test_places_with_large_gradients_are_not_cut():
    loads = [Load(Segment(None), 100, bottom, 1) for bottom in (10, 1000, 10, 10)]
    layout = best_layout(loads, 0.0, 0.0, most=4)
    assert 2 not in itertools.accumulate(layout.sizes)  # between the second and the third
    assert peak_of(loads, layout) == 210


def test_segments_that_hold_little_are_walked_together():
    loads = [Load(Segment(None), own, 0, 1) for own in (100, 1, 1, 1, 100)]
    assert best_layout(loads, 0.0, 50.0, most=5).sizes in ((4, 1), (1, 4), (1, 3, 1))


def test_one_more_walk_may_not_take_long():
    loads = [Load(Segment(None), 100, 0, work) for work in (1, 1, 1, 1)]
    assert [most_forgotten(loads, tasks, 1 / 16) for tasks in (2, 8, 16, 40)] == [0, 2, 4, 4]


def test_the_last_layers_are_taught_again_first(monkeypatch):
    force(monkeypatch, "a part taught again")
    below, plan = planned(ENCODERS["batch norm"], monkeypatch)
    again = below.named(p for segment in plan.segments[: plan.kept] for p in segment.parameters)
    kept = below.named(p for segment in plan.segments[plan.kept :] for p in segment.parameters)
    assert any("stages.2" in name for name in again)
    assert any("stages.0" in name for name in kept)


def halve_silently(gradient) -> None:
    gradient.mul_(0.5)


@pytest.mark.parametrize(
    ("hook", "changes"),
    [
        (lambda g: g * 0.5, True),
        (lambda g: g / g.norm(), True),
        (lambda g: g * g.abs(), True),
        (lambda g: g.mul_(0.5), True),
        (halve_silently, True),
        (lambda _: None, False),
        (lambda g: g.clone(), False),
        (lambda g: g.clamp(-5, 5), False),  # twice is once
    ],
)
def test_hooks_that_would_act_twice_are_known(hook, changes):
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = x.exp()
    y.register_hook(hook)
    assert is_changed_at(torch.autograd.graph.get_gradient_edge(y)) is changes
    (found,) = torch.autograd.grad(y.sin().sum(), x)  # the graph is whole
    assert found.isfinite().all()


def test_looking_for_hooks_takes_no_memory():
    x = torch.zeros(1, requires_grad=True)
    y = x.expand(2**40)  # 4 terabytes, were they written out
    assert not is_changed_at(torch.autograd.graph.get_gradient_edge(y))


def test_deltas_that_save_less_than_looking_for_them_costs_are_left_alone(monkeypatch):
    make = ENCODERS["batch norm"]
    for least, expected in ((-1e9, True), (1e12, False)):
        _, plan = planned(make, monkeypatch, _PER_NODE=least, _WORTH=1e9)
        assert any(segment.sites for segment in plan.segments) is expected
