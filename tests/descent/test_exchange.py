"""The update of several processes from their rows: what one process would find, and the same bits on all."""

import pytest
import torch
from torchjd import aggregation as tj
from two_processes import Processes, run_in_two_and_three_processes

from umbel.core import SingleProcess, UmbelError
from umbel.descent import MinimumNorm
from umbel.descent.exchange import combined_rows, gramian

SHAPES = [(3, 12), (3, 13), (1, 5), (2, 1), (4, 2), (5, 30_001)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def rows_of(rank: int, count: int, total: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Rows that pull the same way on average, so that weights are well defined."""
    generator = torch.Generator().manual_seed(rank + 10 * count)
    return (torch.randn(count, total, generator=generator, dtype=torch.float64) + 0.3).to(dtype)


def soft(table: torch.Tensor) -> torch.Tensor:
    """Weights that depend on every element of a Gramian."""
    return torch.softmax((table / table.diagonal().sum()).sum(1), 0)


class Seen:
    """Keeps the Gramian that it was asked to weigh."""

    def __call__(self, table: torch.Tensor) -> torch.Tensor:
        self.gramian = table.clone()
        return soft(table)


class NotFiniteError(Exception):
    """What a caller raises."""


def refuse(table: torch.Tensor) -> torch.Tensor:
    bad = (~torch.isfinite(table.diagonal())).nonzero().flatten().tolist()
    if bad:
        raise NotFiniteError(bad)
    return soft(table)


def in_each_process() -> dict:
    runtime, found = Processes(), {}
    for shape in SHAPES:
        for dtype in DTYPES:
            seen = Seen()
            update = combined_rows(rows_of(runtime.rank, *shape, dtype), seen, runtime)
            found[f"{shape} {dtype}"] = {"update": update, "gramian": seen.gramian}
    spoilt = rows_of(runtime.rank, 3, 12)
    if runtime.rank == 1:
        spoilt[1, 0] = torch.nan
    try:
        combined_rows(spoilt, refuse, runtime)
    except NotFiniteError as error:
        found["bad"] = error.args[0]
    found["after"] = combined_rows(rows_of(runtime.rank, 3, 12), refuse, runtime)
    return found


@pytest.fixture(scope="module")
def by_count(tmp_path_factory) -> dict[int, list[dict]]:
    return run_in_two_and_three_processes(in_each_process, tmp_path_factory.mktemp("gloo"))


@pytest.fixture(params=[2, 3])
def every(request, by_count) -> list[dict]:
    return by_count[request.param]


@pytest.mark.parametrize("shape", SHAPES)
def test_processes_find_what_one_finds(every, shape):
    jacobian = sum(rows_of(rank, *shape) for rank in range(len(every)))
    wanted = soft(jacobian @ jacobian.T) @ jacobian
    assert torch.allclose(combined_rows(jacobian, soft, SingleProcess()), wanted, rtol=1e-12, atol=1e-12)
    for found in every:
        of_rank = found[f"{shape} {torch.float64}"]
        assert torch.allclose(of_rank["gramian"], jacobian @ jacobian.T, rtol=1e-12, atol=1e-12)
        assert torch.allclose(of_rank["update"], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_process_has_the_same_bits(every, shape, dtype):
    key = f"{shape} {dtype}"
    for found in every:
        assert found[key]["update"].dtype == dtype and found[key]["gramian"].dtype == torch.float64
        assert torch.equal(found[key]["update"], every[0][key]["update"])
        assert torch.equal(found[key]["gramian"], every[0][key]["gramian"])


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("shape", SHAPES)
def test_lower_precision_is_as_exact_as_its_rows(every, shape, dtype):
    jacobian = torch.stack([rows_of(rank, *shape, dtype).double() for rank in range(len(every))]).sum(0)
    found = every[0][f"{shape} {dtype}"]
    unit = torch.finfo(dtype).eps
    wanted = soft(jacobian @ jacobian.T) @ jacobian
    assert torch.linalg.vector_norm(found["update"] - wanted) <= 2 * unit * torch.linalg.vector_norm(jacobian)
    exact = jacobian @ jacobian.T
    assert torch.linalg.matrix_norm(found["gramian"] - exact) <= 2 * unit * torch.linalg.matrix_norm(exact)


@pytest.mark.parametrize("shape", SHAPES)
def test_updates_of_bf16_are_rounded_once(every, shape):
    rows = sum(rows_of(rank, *shape, torch.bfloat16).float() for rank in range(len(every))).bfloat16().double()
    found = every[0][f"{shape} {torch.bfloat16}"]
    half_a_step = torch.finfo(torch.bfloat16).eps / 2
    assert torch.allclose(found["update"].double(), soft(found["gramian"]) @ rows, rtol=1.01 * half_a_step, atol=1e-6)


def test_a_row_that_is_not_finite_is_told_by_the_diagonal_on_all_processes_and_none_waits(every):
    for found in every:
        assert found["bad"] == [1]
        assert torch.equal(found["after"], every[0][f"(3, 12) {torch.float64}"]["update"])


@pytest.mark.parametrize(
    ("whole", "weigh"),
    [
        (tj.Mean(), tj.MeanWeighting()),
        (tj.IMTLG(), tj.IMTLGWeighting()),
        (tj.AlignedMTL(), tj.AlignedMTLWeighting()),
        (tj.MGDA(), tj.MGDAWeighting()),
    ],
)
@pytest.mark.parametrize("count", [2, 5])
def test_the_update_is_that_of_torchjd(whole, weigh, count):
    jacobian = rows_of(0, count, 20_003)
    found = combined_rows(jacobian, weigh, SingleProcess())
    assert torch.allclose(found, whole(jacobian), rtol=1e-10, atol=1e-10)


def test_our_own_weightings_fit():
    jacobian = rows_of(0, 3, 50)
    weights = MinimumNorm()(jacobian @ jacobian.T)
    found = combined_rows(jacobian, MinimumNorm(), SingleProcess())
    assert torch.allclose(found, weights @ jacobian, rtol=1e-10, atol=1e-10)


def test_weights_of_another_shape_are_refused():
    for bad in (torch.ones(2), torch.ones(3, 1), torch.tensor(1.0)):
        with pytest.raises(UmbelError, match="for 3 rows; there must be one for each row"):
            combined_rows(rows_of(0, 3, 4), lambda _, bad=bad: bad, SingleProcess())


def test_long_float32_rows_keep_their_inner_products():
    # In one product of float32, five million equal numbers add up to something several 1e-3 off.
    rows = torch.full((2, 5_000_000), 0.1)
    rows[1, ::2] *= -1
    exact = rows[:, :2].double() @ rows[:, :2].double().T * (rows.shape[1] // 2)
    assert torch.allclose(gramian(rows), exact, rtol=5e-5, atol=5e-5 * float(exact[0, 0]))


def test_no_columns_add_nothing():
    assert torch.equal(gramian(torch.zeros(2, 0)), torch.zeros(2, 2, dtype=torch.float64))


def test_rows_are_left_as_they_were():
    rows = rows_of(0, 3, 20)
    given = rows.clone()
    update = combined_rows(rows, lambda table: torch.eye(len(table))[0], SingleProcess())
    assert torch.equal(rows, given) and torch.equal(update, rows[0])
    update.zero_()
    assert torch.equal(rows, given)
