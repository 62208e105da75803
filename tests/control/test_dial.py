import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from control_cases import COARSE, random_batch, small_model

from umbel.control import Dial
from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import dense_model
from umbel.search import Budget, ConfigurationTable, TaskMetric, search

TASKS = ("kind", "depth")
X = random_batch(samples=4, seed=5)


def table(tasks: tuple[str, ...] = TASKS, widths: tuple[float, ...] = COARSE) -> ConfigurationTable:
    grid = np.array(widths)
    quality = 0.5 + 0.2 * grid[:, None] + 0.2 * grid
    macs = {"macs": 100 * grid}
    heads = {"macs": np.stack([100 * np.broadcast_to(grid, quality.shape)] * len(tasks))}
    metrics = {name: TaskMetric("accuracy") for name in tasks}
    return ConfigurationTable(widths, widths, tasks, metrics, np.stack([quality] * len(tasks)), macs, heads)


@pytest.fixture(scope="module")
def model() -> MultiTaskModel:
    return small_model()


def expected(model: MultiTaskModel, point: OperatingPoint) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return model(X, point)


def assert_same(answers: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert answers.keys() == wanted.keys()
    for name, answer in answers.items():
        assert torch.equal(answer, wanted[name]), name


def test_a_dial_serves_what_the_search_says(model):
    dial = Dial(model, table(), budget="40%", preferences="depth=2")
    said = search(table(), "40%", "depth=2")
    assert dial.point == said.point and dial.choice == said
    assert dial.point != OperatingPoint(width=1.0, head_widths={"kind": 1.0, "depth": 1.0})
    assert_same(dial(X), expected(model, said.point))


def test_a_turn_keeps_what_it_is_not_given(model):
    dial = Dial(model, table())
    assert dial.point["width"] == 1.0  # without a budget: the whole cost
    assert dial.turn(budget="40%") == search(table(), "40%")
    assert dial.turn(prefer={"kind": 3}) == search(table(), "40%", {"kind": 3})
    assert dial.turn(budget=Budget(160, "macs")) == search(table(), "160 MACs", {"kind": 3})
    assert_same(dial(X), expected(model, dial.choice.point))


def test_a_request_may_have_a_point_of_its_own(model):
    dial = Dial(model, table(), budget="100%")
    before = dial.point
    assert_same(dial(X, budget="30%"), expected(model, search(table(), "30%").point))
    assert_same(dial(X, prefer="kind=2"), expected(model, search(table(), "100%", "kind=2").point))
    assert dial.point is before
    assert_same(dial(X), expected(model, before))


def test_a_given_point_is_served_until_the_first_turn(model):
    point = OperatingPoint(width=0.5, head_widths={"kind": 0.25, "depth": 1.0})
    dial = Dial(model, table(), point=point)
    assert dial.point == point and dial.choice is None
    assert_same(dial(X), expected(model, point))
    dial.turn("30%")
    assert dial.point == search(table(), "30%").point and dial.choice is not None


def test_the_answer_is_that_of_the_dense_network(model):
    dial = Dial(model, table(), budget="30%")
    dense = dense_model(model, dial.point)
    with torch.no_grad():
        wanted = dense(X, dial.point)
    for name, answer in dial(X).items():
        torch.testing.assert_close(answer.clone(), wanted[name], rtol=1e-5, atol=1e-5)


def test_turning_leaves_every_weight_and_buffer_where_it_is(model):
    dial = Dial(model, table())

    def places() -> dict[str, tuple]:
        tensors = itertools.chain(model.named_parameters(), model.named_buffers())
        return {name: (id(t), t.data_ptr(), t._version, tuple(t.shape)) for name, t in tensors}

    before = places()
    for budget, prefer in itertools.product(("25%", "50%", "100%"), ("kind=2", "depth=2")):
        dial.turn(budget, prefer)
        dial(X)
        dial(X, budget="35%")
    assert places() == before


def test_the_search_is_asked_once_for_each_question(model, monkeypatch):
    asked = []

    def counted(table, budget, preferences, **options):
        asked.append((budget, dict(preferences)))
        return search(table, budget, preferences, **options)

    monkeypatch.setattr("umbel.control.dial.search", counted)
    dial = Dial(model, table())
    for _ in range(3):
        dial.turn("30%", "depth=2")
        dial(X, prefer={"depth": 2.0, "kind": 1.0})  # the same, written differently
        dial.turn("60%")
    assert asked == [
        ("100%", {"kind": 1.0, "depth": 1.0}),
        ("30%", {"kind": 1.0, "depth": 2.0}),
        ("60%", {"kind": 1.0, "depth": 2.0}),
    ]


def test_what_is_remembered_has_a_limit(model, monkeypatch):
    monkeypatch.setattr("umbel.control.dial._REMEMBERED", 3)
    dial = Dial(model, table())
    for percent in range(50, 60):
        dial.turn(f"{percent}%")
    assert len(dial._answers) == 3
    assert dial.turn("50%") == search(table(), "50%")


def test_threads_that_turn_and_call_at_once_get_the_answers_they_asked_for(model):
    budgets, wishes = ("25%", "40%", "60%", "100%"), ("kind=2", "depth=2")
    points = {(b, p): search(table(), b, p).point for b in budgets for p in wishes}
    wanted = {question: expected(model, point) for question, point in points.items()}
    assert len(set(points.values())) >= 4
    dial = Dial(model, table(), budget="40%", preferences="kind=2")
    start = threading.Barrier(6)

    def turner() -> None:
        start.wait()
        for _ in range(12):
            for budget, prefer in wanted:
                dial.turn(budget, prefer)

    def caller(number: int) -> list[bool]:
        start.wait()
        right = []
        for index in range(30):
            budget, prefer = list(wanted)[(7 * index + number) % len(wanted)]
            answers = dial(X, budget, prefer)
            right.append(all(torch.equal(a, wanted[budget, prefer][name]) for name, a in answers.items()))
            current = dial(X)  # at some point of the dial: all of one and the same
            right.append(any(all(torch.equal(current[n], w[n]) for n in w) for w in wanted.values()))
        return right

    with ThreadPoolExecutor(6) as pool:
        turning = [pool.submit(turner) for _ in range(2)]
        calling = [pool.submit(caller, number) for number in range(4)]
        answers = [right for future in calling for right in future.result(timeout=60)]
        for future in turning:
            future.result(timeout=60)
    assert len(answers) == 240 and all(answers)


def test_turns_of_budget_and_of_preferences_at_once_both_count(model):
    for _ in range(20):
        dial = Dial(model, table())
        start = threading.Barrier(2)

        def turn(start=start, dial=dial, **asked: str) -> None:
            start.wait()
            dial.turn(**asked)

        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(turn, budget="40%"), pool.submit(turn, prefer="depth=3")]
            [future.result(timeout=60) for future in both]
        assert dial.choice == search(table(), "40%", "depth=3")


def test_a_request_that_is_running_goes_on_at_its_point(model):
    dial = Dial(model, table(), budget="25%")
    narrow, running, turned = dial.point, threading.Event(), threading.Event()

    def wait_for_the_turn(*_: object) -> None:
        running.set()
        assert turned.wait(30)

    handle = model.encoder.register_forward_hook(wait_for_the_turn)
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(dial, X)
            assert running.wait(30)  # the encoder has run, the heads have not
            dial.turn("100%")
            turned.set()
            assert_same(answer.result(timeout=60), expected(model, narrow))
    finally:
        handle.remove()
    assert dial.point != narrow


def test_the_model_must_be_in_evaluation_mode():
    model = small_model().train()
    dial = Dial(model, table(), budget="40%")
    assert not any(part.training for part in model.modules())
    model.heads["depth"].train()
    with pytest.raises(UmbelError, match=r"training mode; call model.eval\(\)"):
        dial(X)
    model.eval()
    assert_same(dial(X), expected(model, dial.point))


def test_points_without_statistics_are_refused_and_the_dial_stays():
    some = search(table(), "40%").point
    model = small_model([some])
    dial = Dial(model, table(), point=some)
    with pytest.raises(UmbelError, match=r"no batch-norm statistics for width 0\.25"):
        dial.turn("25%")
    assert dial.point == some
    assert_same(dial(X), expected(model, some))
    with pytest.raises(UmbelError, match="no batch-norm statistics"):
        dial(X, budget="25%")
    with pytest.raises(UmbelError, match="no batch-norm statistics"):
        Dial(model, table(), budget="25%")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: Dial(m, table(("kind", "height"))), "table has tasks kind, height, the model kind, depth"),
        (lambda m: Dial(m, table(widths=(0.3, 1.0))), "width is 0.3; this model has the widths"),
        (lambda m: Dial(m, table(), budget="1%"), "nothing fits a budget"),
        (lambda m: Dial(m, table(), preferences="dept=2"), "did you mean 'depth'"),
        (lambda m: Dial(m, table(), point=OperatingPoint(width=0.3)), "width is 0.3"),
        (lambda m: Dial(m, table()).turn("fast"), "write a number and a unit"),
        (lambda m: Dial(m, table())(X, prefer={"kind": -1}), "give 0 or more"),
    ],
)
def test_mistakes_are_named(model, make, message):
    with pytest.raises(UmbelError, match=message):
        make(model)


def test_a_table_of_another_machine_is_refused_where_latency_counts(model):
    latency = {"latency_ms": np.array([1.0, 2.0, 3.0])}, {"latency_ms": np.ones((2, 3, 3))}
    plain = table()
    both = [plain.encoder_costs | latency[0], plain.head_costs | latency[1]]
    elsewhere = ConfigurationTable(COARSE, COARSE, TASKS, plain.metrics, plain.quality, *both, machine="there")
    dial = Dial(model, elsewhere, budget="40% macs", machine="here")
    with pytest.raises(UmbelError, match="measured on 'there', this is 'here'"):
        dial.turn("4ms")
    assert Dial(model, elsewhere, budget="4ms").point["width"] < 1
