"""Which engine serves a step: what is wanted, what falls back, what is said, what is refused; and two processes."""

import logging

import pytest
import torch
from gramian_cases import (
    ENCODERS,
    Noted,
    assert_close,
    assert_same,
    by_hand,
    force,
    make_batch,
    make_learner,
    step,
)
from gramian_learners import (
    LEARNERS,
    conv,
    residual,
)
from torchjd import aggregation as tj
from toys import TwoRanks
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel.core import Batch, Learner, Losses, SingleProcess, UmbelError
from umbel.descent import GramianWeighting, Jacobian, make_descent
from umbel.descent.aggregation import Aggregation
from umbel.descent.gramian import ENGINES, EngineChoice


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def said():
    """What the choice of engines says in the log."""
    handler, log = Lines(), logging.getLogger("umbel.descent.gramian.choice")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.texts
    log.removeHandler(handler)
    log.setLevel(level)


def run(descent, steps: int = 3, runtime=None, batch=None, make=residual) -> None:
    for _ in range(steps):
        step(make_learner(make), batch or make_batch(), descent=descent, runtime=runtime)


def test_the_mixture_is_explained_once(said, monkeypatch):
    force(monkeypatch, "deltas, taught again")
    run(Jacobian(Noted()))
    (line,) = said
    assert line.startswith("Noted: engine ghost: ")
    assert "6 of" in line
    assert "one more walk teaches" in line


def test_where_it_is_rows_alone_it_is_looked_at_once_for_each_kind_of_batch(said, monkeypatch):
    force(monkeypatch, "rows")
    descent = Jacobian(Noted())
    one, other = make_batch(), make_batch(count=3)
    assert descent._choice.engine(one, SingleProcess()) == "ghost"
    run(descent, batch=one)
    assert said == ["Noted: engine rows: for no layer are products of deltas less work, and the rows are kept"]
    assert descent._choice.engine(one, SingleProcess()) == "rows"
    assert descent._choice.engine(other, SingleProcess()) == "ghost"
    named = Batch({"x": one.inputs}, one.targets)
    assert descent._choice.engine(named, SingleProcess()) == "rows"
    run(descent, batch=other)
    assert len(said) == 1


@pytest.mark.parametrize("engine", ["auto", "ghost", "sketched"])
def test_pieces_of_a_batch_fall_back_to_rows(engine, said):
    descent, noted = Jacobian(Noted(), engine=engine), Noted()
    run(descent, runtime=SingleProcess(2))
    assert said == ["Noted: engine rows: the batch comes in pieces, whose rows add up"]
    found = step(make_learner(residual), make_batch(), engine, aggregator=noted, runtime=SingleProcess(3))
    whole = step(make_learner(residual), make_batch(), "rows")
    assert_close(found.gradients, whole.gradients)
    torch.testing.assert_close(noted.gramian, whole.gramian)


@pytest.mark.parametrize("engine", ["auto", "ghost"])
def test_several_processes_fall_back_to_rows(engine, said):
    batch = make_batch(count=9)

    def rank(index, runtime):
        part = batch[slice(4) if index == 0 else slice(4, None)]
        return step(make_learner(residual), part, engine, runtime=runtime).gradients

    for gradients in TwoRanks().run(rank):
        assert_close(gradients, step(make_learner(residual), batch, "rows").gradients)
    assert said == ["Noted: engine rows: rows of several processes add up, products of deltas do not"] * 2


@pytest.mark.parametrize("make", [tj.GradDrop, tj.ConFIG, lambda: tj.TrimmedMean(1)])
def test_an_aggregator_that_needs_rows_gets_them(make, said):
    learner, other = make_learner(conv), make_learner(conv)
    found = step(learner, make_batch(), "auto", aggregator=make())
    assert_close(found.gradients, step(other, make_batch(), "rows", aggregator=make()).gradients, tolerance=0)
    assert not said
    for engine in set(ENGINES) - {"auto", "rows"}:
        name = type(make()).__name__
        with pytest.raises(
            UmbelError, match=f"{name} needs every task's gradient itself.*engine='rows', not '{engine}'"
        ):
            Jacobian(make(), engine=engine)


CONSTANT = {
    "mean": tj.Mean,
    "sum": tj.Sum,
    "random": tj.Random,
    "constant": lambda: tj.Constant(torch.tensor([0.2, 0.7, 0.4], dtype=torch.float64)),
}


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("encoder", ["batch norm", "transformer with dropout", "unused"])
def test_where_no_gradient_decides_there_is_one_walk(encoder, name, said):
    learners = [make_learner(ENCODERS[encoder]) for _ in range(2)]
    descent = Jacobian(CONSTANT[name]())
    found = step(learners[0], make_batch(), descent=descent)
    rows = step(learners[1], make_batch(), "rows", aggregator=CONSTANT[name]())
    assert_same(found, rows)
    (line,) = said
    assert "engine weighted: the weights of" in line


@pytest.mark.parametrize("name", LEARNERS)
def test_one_walk_teaches_every_kind_of_learner(name):
    found, rows = (step(LEARNERS[name](), make_batch(7), e, aggregator=tj.Mean()) for e in ("auto", "rows"))
    assert_same(found, rows)


def test_one_walk_gives_gradients_that_may_be_changed_in_place():
    learner = make_learner(ENCODERS["summed"])
    before = step(learner, make_batch(), aggregator=tj.Sum()).gradients
    for name, parameter in learner.named_parameters():
        parameter.grad.mul_(0.5)
        torch.testing.assert_close(parameter.grad, 0.5 * before[name], msg=name)


@pytest.mark.parametrize("absent", [("t1",), ("t0", "t2"), ("t0", "t1", "t2")])
def test_where_no_gradient_decides_tasks_without_labels_are_left_out(absent):
    batch = make_batch()
    targets = {n: torch.full_like(t, torch.nan) if n in absent else t for n, t in batch.targets.items()}
    batch = Batch(batch.inputs, targets)
    found, rows = (step(make_learner(conv), batch, engine, aggregator=tj.Mean()) for engine in ("auto", "rows"))
    for name, value in found.gradients.items():
        torch.testing.assert_close(value, rows.gradients[name])
    if len(absent) < 3:
        with pytest.raises(UmbelError, match="no label"):
            step(make_learner(conv), batch, aggregator=CONSTANT["constant"]())


def test_unknown_engines_get_the_nearest_name():
    for wrong, right in (("sketch", "sketched"), ("gost", "ghost"), ("feature", "features")):
        with pytest.raises(UmbelError, match=f"did you mean '{right}'"):
            EngineChoice(Aggregation(Noted()), wrong)


@pytest.mark.parametrize("directions", [0, -3])
def test_a_sketch_without_directions_is_refused(directions):
    with pytest.raises(UmbelError, match=f"directions is {directions}"):
        Jacobian(Noted(), engine="sketched", directions=directions)


def test_the_catalogue_passes_engines_on():
    descent = make_descent("upgrad", engine="sketched", directions=1, seed=4)
    found = step(make_learner(ENCODERS["transformer"]), make_batch(), descent=descent)
    exact = step(make_learner(ENCODERS["transformer"]), make_batch(), descent=make_descent("upgrad"))
    with pytest.raises(AssertionError):
        assert_close(found.gradients, exact.gradients, tolerance=1e-3)
    assert_close(found.gradients, exact.gradients, tolerance=10.0)


def test_a_state_goes_on_with_another_engine():
    first = Jacobian(tj.GradVac(), engine="ghost")
    learner = make_learner(residual)
    step(learner, make_batch(), descent=first)
    second = Jacobian(tj.GradVac(), engine="rows")
    second.load_state_dict(first.state_dict())
    assert int(second.steps) == 1
    found, expected = (step(make_learner(residual), make_batch(), descent=d) for d in (second, first))
    assert_close(found.gradients, expected.gradients)


# ---- two processes ----


class OneSided(Learner):
    """One process has an infinite gradient."""

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        own = self.task_losses(self.model.decode(features, point), batch)
        spoilt = (features - features).sum().abs()
        if float(batch.targets["t0"][0, 0]) == 7.0:
            spoilt = spoilt.sqrt()
        return Losses({**own, "t1": own["t1"] + spoilt})


@pytest.mark.parametrize("engine", ["rows", "auto", "sketched", "features"])
@pytest.mark.parametrize("aggregator", [Noted, tj.Mean])
def test_a_bad_gradient_on_one_process_stops_both(engine, aggregator):
    batch = make_batch(count=6, missing=0.0)
    batch.targets["t0"][3, 0] = 7.0

    def rank(index, runtime):
        part = batch[slice(3) if index == 0 else slice(3, None)]
        with pytest.raises(UmbelError, match="is not finite"):
            step(make_learner(residual, kind=OneSided), part, engine, aggregator=aggregator(), runtime=runtime)
        return True

    assert TwoRanks().run(rank) == [True, True]


@pytest.mark.parametrize("engine", ["rows", "auto", "sketched", "features"])
@pytest.mark.parametrize("directions", [2, 64])
def test_a_sum_over_processes_may_overwrite_what_it_is_given(engine, directions):
    """As that of Fabric does."""
    batch = make_batch(count=6)

    def rank(index, runtime):
        apart = runtime.sum
        runtime.sum = lambda tensor: tensor.copy_(apart(tensor))
        part = batch[slice(3) if index == 0 else slice(3, None)]
        return step(make_learner(residual), part, engine, runtime=runtime, directions=directions).gradients

    for gradients in TwoRanks().run(rank):
        assert_close(gradients, step(make_learner(residual), batch, engine, directions=directions).gradients)


class Slope(GramianWeighting):
    """Weights in which every bit of G is seen."""

    def forward(self, gramian):
        return torch.softmax(gramian.sum(1) / gramian.diagonal().sum(), 0)


CHOICES = {
    "rows": ("rows", Slope),
    "auto": ("auto", Slope),
    "sketched": ("sketched", Slope),
    "features": ("features", Slope),
    "weighted": ("auto", tj.Mean),
    "graddrop": ("auto", tj.GradDrop),
}


def a_step(name: str, batch, runtime=None) -> dict:
    engine, aggregator = CHOICES[name]
    learner = make_learner(ENCODERS["residual, group norm"])
    torch.manual_seed(3 if runtime is None else runtime.rank)
    descent = Jacobian(aggregator(), engine=engine, directions=2, seed=5)
    return step(learner, batch, descent=descent, runtime=runtime).gradients


def in_each_process() -> dict:
    runtime = TwoProcesses()
    batch = labelled_unevenly()[share_of(runtime.rank)]
    return {name: a_step(name, batch, runtime) for name in CHOICES}


def labelled_unevenly():
    batch = make_batch(count=11)
    batch.targets["t1"][:5] = torch.nan  # labels in one process only
    return batch


def test_two_processes_do_what_one_does(tmp_path):
    one, other = run_in_two_processes(in_each_process, tmp_path)
    for name in CHOICES:
        assert all(v is None or torch.equal(v, other[name][key]) for key, v in one[name].items()), name
        assert_close(one[name], a_step(name, labelled_unevenly()))


def test_exact_engines_agree_with_what_is_written_out_by_hand():
    expected = by_hand(make_learner(conv), make_batch())
    for engine in ("auto", "rows", "ghost"):
        assert_same(step(make_learner(conv), make_batch(), engine), expected)
