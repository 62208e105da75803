from types import SimpleNamespace

import numpy as np
import pytest
import torch
from control_cases import COARSE, random_batch, slimmed, small_model
from torch import nn

from umbel.control import Latency, machine_name, measure_latency, time_model
from umbel.control.latency import equal_heads, fitted
from umbel.control.onnx_file import as_models, joined, open_session, with_weights_of_its_own
from umbel.control.parts import Parts, build_parts
from umbel.control.timing import interleave, typical_ms
from umbel.core import MultiTaskModel, OperatingPoint, PointModule, UmbelError
from umbel.nn import ConvEncoder, VectorHead, cost_of, dense_model, model_cost, recalibrate, slimmable
from umbel.search import ConfigurationTable, TaskMetric

CALL = 1e-7


class Clock:
    """A clock that stands still but for the parts that run: a nanosecond for a MAC, and for heads alone a call."""

    def __init__(self, call: float, factor: float = 1.0) -> None:
        self.now, self.call, self.factor, self.built = 0.0, call, factor, 0

    def perf_counter(self) -> float:
        return self.now

    def run(self, seconds: float):
        def advance(_=None) -> str:
            self.now += seconds
            return "features"

        return advance

    def build_parts(self, model, groups, wholes, inputs, backend, point) -> Parts:
        costs = {
            (we, wd): model_cost(model, OperatingPoint(width=we, head_widths=dict.fromkeys(model.task_names, wd)))
            for we in COARSE
            for wd in COARSE
        }
        heads = {
            pair: [self.run(cost.heads[group[0]].macs * 1e-9 + self.call) for group in groups]
            for pair, cost in costs.items()
        }
        self.built = sum(map(len, heads.values()))
        return Parts(
            inputs,
            {width: self.run(costs[width, 1.0].encoder.macs * 1e-9) for width in COARSE},
            heads,
            {pair: self.run(costs[pair].total.macs * 1e-9 * self.factor) for pair in wholes},
            self.run(self.call) if self.call else None,
        )


@pytest.fixture(params=[(0.0, 1.0), (CALL, 1.0), (0.0, 0.9)])
def clock(monkeypatch, request) -> Clock:
    clock = Clock(*request.param)
    monkeypatch.setattr("umbel.control.latency.time", clock)
    monkeypatch.setattr("umbel.control.timing.time", SimpleNamespace(perf_counter=clock.perf_counter, monotonic=float))
    monkeypatch.setattr("umbel.control.latency.build_parts", clock.build_parts)
    return clock


def many_heads(outputs: list[int], hidden: int = 16) -> MultiTaskModel:
    encoder = ConvEncoder((3, 8, 8), (16, 32))
    return slimmed(encoder, {f"t{i}": VectorHead((32, 2, 2), n, hidden) for i, n in enumerate(outputs)}, (3, 8, 8))


def test_every_entry_is_the_time_of_its_own_part(clock):
    model = small_model(calibrated=False)
    found = measure_latency(model, repeats=2)
    for row, we in enumerate(COARSE):
        macs = cost_of(model.encoder, point=OperatingPoint(width=we)).macs
        assert found.encoder[row] == pytest.approx(macs * 1e-6 * clock.factor)
        for place, task in enumerate(model.task_names):
            for column, wd in enumerate(COARSE):
                macs = cost_of(model.heads[task], point=OperatingPoint(width=we, head_widths={task: wd})).macs
                assert found.heads[place, row, column] == pytest.approx(macs * 1e-6 * clock.factor)
    assert clock.built == 2 * 9


def test_equal_heads_are_timed_once_and_share_their_times(clock):
    model = many_heads([5] * 20)
    found = measure_latency(model, repeats=2)
    assert clock.built == 9
    assert found.heads.shape == (20, 3, 3)
    assert (found.heads == found.heads[0]).all() and (found.heads > 0).all()
    odd = many_heads([5, 7, 5, 7])
    found = measure_latency(odd, repeats=2)
    assert clock.built == 2 * 9
    assert (found.heads[0] == found.heads[2]).all() and (found.heads[1] > found.heads[0]).all()


def test_fitted_sums_are_whole_models_and_nothing_is_free():
    generator = np.random.default_rng(0)
    encoder, heads = generator.uniform(1, 2, 3), generator.uniform(0.1, 0.3, (4, 3, 5))
    whole = generator.uniform(1, 2, 3)[:, None] * (encoder[:, None] + (heads - 0.05).sum(0)[:, [0, -1]])
    fitted_encoder, fitted_heads = fitted(encoder, heads, whole, call=0.05)
    np.testing.assert_allclose(fitted_encoder[:, None] + fitted_heads.sum(0)[:, [0, -1]], whole, rtol=1e-12)
    assert (fitted(encoder, heads, whole, call=10.0)[1] > 0).all()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_parts_answer_as_the_sliced_model(backend):
    model = small_model().eval()
    x = random_batch(samples=3)
    wholes = [(we, wd) for we in COARSE for wd in (0.25, 1.0)]
    parts = build_parts(model, [["kind"], ["depth"]], wholes, x, backend, OperatingPoint())
    as_tensor = torch.from_numpy if backend == "onnxruntime" else torch.Tensor.contiguous
    with torch.no_grad():
        for (we, wd), heads in parts.heads.items():
            point = OperatingPoint(width=we, head_widths={"kind": wd, "depth": wd})
            features, wanted = model.encoder(x, point), model(x, point)
            got = parts.encoders[we](parts.inputs)
            torch.testing.assert_close(as_tensor(got), features, rtol=1e-5, atol=1e-5)
            for task, head in zip(model.task_names, heads, strict=True):
                answer = head(got)
                answer = answer[task] if backend == "torch" else torch.from_numpy(answer)
                torch.testing.assert_close(answer, wanted[task], rtol=1e-5, atol=1e-5)
    assert parts.heads.keys() == {(we, wd) for we in COARSE for wd in COARSE}
    assert list(parts.wholes) == wholes
    for pair in wholes:
        point = OperatingPoint(width=pair[0], head_widths=dict.fromkeys(model.task_names, pair[1]))
        answers = parts.wholes[pair](parts.inputs)
        if backend == "torch":
            for answer, wanted in zip(answers.values(), model(x, point).values(), strict=True):
                torch.testing.assert_close(answer, wanted, rtol=1e-5, atol=1e-5)
    assert (parts.empty is None) == (backend == "torch")


def test_whole_models_of_equal_heads_have_weights_of_their_own():
    model = many_heads([5] * 3)
    recalibrate(model, [random_batch()])
    parts = build_parts(model, [["t0", "t1", "t2"]], [(0.5, 0.5)], random_batch(), "torch", OperatingPoint())
    whole = parts.wholes[0.5, 0.5].func
    assert len(whole.task_names) == 3
    pointers = [p.data_ptr() for p in whole.parameters()]
    assert len(set(pointers)) == len(pointers)


def test_joined_onnx_models_answer_as_the_whole_one():
    model = dense_model(small_model(), OperatingPoint(width=0.5)).eval()
    x = random_batch(samples=3)
    with torch.no_grad():
        features, wanted = model.encoder(x), model(x, OperatingPoint())
    heads = [model.heads[name] for name in ("kind", "depth", "kind")]
    encoder, *rest = as_models([model.encoder, *heads], [x, *[features] * 3])
    rest[2] = with_weights_of_its_own(rest[2], 0)
    session = open_session(joined(encoder, rest).SerializeToString())
    kind, depth, other = map(torch.from_numpy, session.run(None, {session.get_inputs()[0].name: x.numpy()}))
    torch.testing.assert_close(kind, wanted["kind"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(depth, wanted["depth"], rtol=1e-5, atol=1e-5)
    assert not torch.equal(kind, other)
    torch.testing.assert_close(kind, other, rtol=0.02, atol=0.02)


class Scale(PointModule):
    def __init__(self, by: float = 1.0) -> None:
        super().__init__()
        self.by = by

    def forward(self, x, point):
        return x * self.by * point.require("gain")


def test_heads_are_equal_when_layers_sizes_and_links_are():
    model = many_heads([5, 5, 5, 6, 5])
    assert equal_heads(model) == [["t0", "t1", "t2", "t4"], ["t3"]]
    linked = MultiTaskModel(
        model.encoder,
        {name: model.heads[name] for name in model.task_names},
        {"t1": Scale(), "t2": Scale(), "t4": Scale(2.0)},
    )
    assert equal_heads(linked) == [["t0"], ["t1", "t2"], ["t3"], ["t4"]]
    feature_shape = (32, 2, 2)
    enlarged = VectorHead(feature_shape, 5, 16)
    enlarged.pooling_size = 3  # a setting that no weight shows
    heads = {"a": VectorHead(feature_shape, 5, 16), "b": enlarged}
    assert equal_heads(slimmed(ConvEncoder((3, 8, 8), (16, 32)), heads, (3, 8, 8))) == [["a"], ["b"]]


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_real_measurement_fills_a_table_and_leaves_the_model_alone(backend):
    model = small_model(calibrated=False).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure_latency(model, batch_size=2, backend=backend, repeats=1, limit_seconds=0.0)
    assert isinstance(found, Latency)
    assert found.encoder.shape == (3,) and found.heads.shape == (2, 3, 3)
    assert (found.encoder > 0).all() and (found.heads > 0).all()
    assert (found.batch_size, found.backend, found.machine) == (2, backend, machine_name(backend))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(part.training for part in model.modules())
    metrics = {task: TaskMetric("accuracy") for task in model.task_names}
    costs = {"latency_ms": found.encoder}, {"latency_ms": found.heads}
    table = ConfigurationTable(
        COARSE, COARSE, model.task_names, metrics, np.ones((2, 3, 3)), *costs, found.machine, found.batch_size
    )
    total = found.encoder[-1] + found.heads[:, -1, -1].sum()
    assert table.full_cost("latency_ms") == pytest.approx(total, rel=1e-6)


def test_links_that_read_a_point_are_given_one():
    model = many_heads([5])
    linked = MultiTaskModel(model.encoder, {"t0": model.heads["t0"]}, {"t0": Scale()})
    found = measure_latency(linked, repeats=1, limit_seconds=0.0, point=OperatingPoint(gain=2.0))
    assert (found.heads > 0).all()
    with pytest.raises(UmbelError, match="gain"):
        measure_latency(linked, repeats=1)


def test_chains_take_turns_and_the_first_of_a_row_is_dropped():
    visits: list[int] = []

    def chain(number: int, seconds: float):
        def run() -> list[float]:
            visits.append(number)
            return [seconds, 10.0 * len(visits)] if number == 0 else [seconds]

        return run

    fast = interleave([chain(1, 0.0009), chain(2, 0.0035)], repeats=2)
    assert [passes.shape for passes in fast] == [(2 * 4, 1), (2 * 2, 1)]
    assert visits == [1, 2, 1, 2] + [1] * 5 + [2] * 3 + [2] * 3 + [1] * 5
    visits.clear()
    slow = interleave([chain(0, 0.5)], repeats=3)
    assert slow[0].tolist() == [[0.5, 30.0], [0.5, 40.0], [0.5, 50.0]]  # long chains: none dropped


def test_rounds_are_fewer_when_time_is_short_but_never_none():
    def chain() -> list[float]:
        return [1.0]

    assert len(interleave([chain], repeats=10, limit_seconds=7.5)[0]) == 7
    assert len(interleave([chain], repeats=10, limit_seconds=0.0)[0]) == 4
    assert len(interleave([chain], repeats=2, limit_seconds=0.0)[0]) == 2


def test_progress_is_told_when_it_takes_long(monkeypatch):
    said: list[str] = []
    interleave([lambda: [1.0]], repeats=3, say=said.append)
    assert said == []
    monkeypatch.setattr("umbel.control.timing._SAY_SECONDS", -1.0)
    interleave([lambda: [1.0]], repeats=3, say=said.append)
    assert said == ["latency: 1 of 3 rounds", "latency: 2 of 3 rounds", "latency: 3 of 3 rounds"]


def test_a_typical_pass_is_the_lower_quartile():
    assert typical_ms(np.array([0.002, 0.001, 0.003, 0.9, 0.004])) == pytest.approx(2.0)


def test_the_machine_says_what_a_time_depends_on(monkeypatch):
    ours = machine_name()
    assert ours.endswith(f", 1 thread, torch {torch.__version__}")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert ", 8 threads, torch " in machine_name()
    assert ", 8 threads, onnxruntime " in machine_name("onnxruntime")
    with pytest.raises(UmbelError, match="unknown backend 'onnx'; did you mean 'onnxruntime'"):
        machine_name("onnx")


def test_time_of_a_model_and_what_cannot_be_timed(tmp_path):
    model = small_model()
    x = OperatingPoint(width=0.5)
    for timed in (model.train(), dense_model(model, x), nn.Flatten()):
        assert 0 < time_model(timed, (3, 8, 8), 2, repeats=1, point=x) < float("inf")
    assert all(part.training for part in model.modules()) and model.encoder.is_calibrated(x)
    with pytest.raises(UmbelError, match=r"nowhere\.onnx does not exist"):
        time_model(tmp_path / "nowhere.onnx", (3, 8, 8))
    (tmp_path / "notes.txt").write_text("no network")
    with pytest.raises(UmbelError, match=r"notes\.txt cannot be timed"):
        time_model(tmp_path / "notes.txt", (3, 8, 8))
    with pytest.raises(UmbelError, match="batch size is 0"):
        time_model(model, (3, 8, 8), 0)
    with pytest.raises(UmbelError, match="unknown backend"):
        time_model(model, (3, 8, 8), backend="jax")


def test_without_its_packages_onnx_runtime_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("umbel.control.onnx_file.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(UmbelError, match=r'needs onnxscript: pip install "umbel\[export\]"'):
        measure_latency(small_model(calibrated=False), backend="onnxruntime")


def test_models_that_are_not_slimmable_throughout_are_refused():
    model = small_model(calibrated=False)
    heads = {"kind": model.heads["kind"], "depth": nn.Identity()}
    with pytest.raises(UmbelError, match="head 'depth' of this model is not slimmable"):
        measure_latency(MultiTaskModel(model.encoder, heads))
    with pytest.raises(UmbelError, match="the encoder of this model is not slimmable"):
        measure_latency(MultiTaskModel(nn.Identity(), {"kind": model.heads["kind"]}))
    other = slimmable(VectorHead((32, 2, 2), 4), (32, 2, 2), (0.5, 1.0), head_of="kind")
    with pytest.raises(UmbelError, match=r"head 'kind' has widths \(0.5, 1.0\), the encoder \(0.25, 0.5, 1.0\)"):
        measure_latency(MultiTaskModel(model.encoder, {"kind": other}))
    with pytest.raises(UmbelError, match="batch size is 0"):
        measure_latency(model, batch_size=0)
