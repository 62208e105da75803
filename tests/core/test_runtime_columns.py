"""Sums of rows over processes of which each keeps its own columns, and the pieces joined again."""

from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed
from two_processes import Processes, run_in_two_and_three_processes

from umbel.core import Runtime, SingleProcess, UmbelError, collectives
from umbel.core.collectives import join_columns, own_columns, sum_columns

SHAPES = [(3, 12), (3, 13), (1, 5), (2, 1), (4, 2), (1, 1)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def rows_of(rank: int, count: int, total: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * rank + count + total)
    return torch.randn(count, total, generator=generator, dtype=torch.float64).to(dtype)


@given(total=st.integers(1, 40), world_size=st.integers(1, 9))
def test_every_column_belongs_to_one_process_in_order(total, world_size):
    pieces = [list(range(total))[own_columns(total, rank, world_size)] for rank in range(world_size)]
    assert [column for piece in pieces for column in piece] == list(range(total))
    assert max(map(len, pieces)) == -(-total // world_size)


def test_one_process_keeps_everything():
    runtime, rows = SingleProcess(), torch.randn(3, 5)
    assert isinstance(runtime, Runtime)
    assert runtime.sum_scattered(rows) is rows
    assert torch.equal(runtime.gather(rows[0], 5), rows[0])
    with pytest.raises(UmbelError, match=r"shape \[5\] does not make up 6 columns"):
        runtime.gather(rows[0], 6)
    with pytest.raises(UmbelError, match="does not make up"):
        runtime.gather(rows, 5)


def in_each_process() -> dict:
    """What every process finds, by shape and dtype; the laws that need its rank are checked here."""
    runtime, found = Processes(), {}
    for shape in SHAPES:
        for dtype in DTYPES:
            rows = rows_of(runtime.rank, *shape, dtype)
            given = rows.clone()
            part = runtime.sum_scattered(rows)
            assert torch.equal(rows, given), "the rows were changed"
            joined = torch.stack([runtime.gather(row, shape[1]) for row in part])
            naive = runtime.sum(rows)
            found[f"{shape} {dtype}"] = {"part": part, "joined": joined, "naive": naive}
    wide = rows_of(runtime.rank, 7, 9, torch.float64)
    transposed = rows_of(runtime.rank, 5, 3, torch.float64).T
    found["transposed"] = torch.stack([runtime.gather(row, 5) for row in runtime.sum_scattered(transposed)])
    with mock.patch.object(collectives, "_BLOCK_ELEMENTS", 20):  # two rows at once, and one at the end
        found["blocks"] = torch.stack([runtime.gather(row, 9) for row in runtime.sum_scattered(wide)])
    found["refused"] = ""
    try:
        runtime.gather(torch.zeros(9), 9)
    except UmbelError as error:
        found["refused"] = str(error)
    return found


@pytest.fixture(scope="module")
def by_count(tmp_path_factory) -> dict[int, list[dict]]:
    return run_in_two_and_three_processes(in_each_process, tmp_path_factory.mktemp("gloo"))


@pytest.fixture(params=[2, 3])
def every(request, by_count) -> list[dict]:
    return by_count[request.param]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_is_that_of_all_rows_and_each_has_its_columns(every, shape, dtype):
    all_rows = [rows_of(rank, *shape, dtype) for rank in range(len(every))]
    wanted = torch.stack(all_rows).double().sum(0)
    tolerance = 4 * torch.finfo(dtype).eps
    for rank, found in enumerate(every):
        of_rank = found[f"{shape} {dtype}"]
        own = own_columns(shape[1], rank, len(every))
        assert of_rank["part"].dtype == dtype and of_rank["part"].shape == (shape[0], own.stop - own.start)
        assert torch.equal(of_rank["part"], of_rank["joined"][:, own])
        assert torch.allclose(of_rank["joined"].double(), wanted, rtol=tolerance, atol=tolerance)
        assert torch.equal(of_rank["joined"], every[0][f"{shape} {dtype}"]["joined"]), "processes differ"
        assert torch.allclose(of_rank["joined"], of_rank["naive"], rtol=tolerance, atol=2 * tolerance)


def test_sums_of_bf16_are_rounded_once(every):
    rows = torch.stack([rows_of(rank, 3, 13, torch.bfloat16) for rank in range(len(every))])
    assert torch.equal(every[0][f"(3, 13) {torch.bfloat16}"]["joined"], rows.float().sum(0).bfloat16())


@pytest.mark.parametrize("name", ["blocks", "transposed"])
def test_rows_in_blocks_and_in_another_memory_order_are_the_same(every, name):
    rows = [rows_of(rank, 7, 9, torch.float64) for rank in range(len(every))]
    if name == "transposed":
        rows = [rows_of(rank, 5, 3, torch.float64).T for rank in range(len(every))]
    for found in every:
        assert torch.allclose(found[name], sum(rows), rtol=1e-15, atol=1e-15)


def test_a_piece_of_another_length_is_refused_before_anything_is_sent(every):
    for rank, found in enumerate(every):
        own = own_columns(9, rank, len(every))
        assert f"process {rank} of {len(every)}" in found["refused"]
        assert f"must have [{own.stop - own.start}]" in found["refused"]


@pytest.mark.skipif(not torch.cuda.is_available() or not distributed.is_nccl_available(), reason="needs a GPU and NCCL")
def test_the_path_of_a_gpu_is_the_same_law(tmp_path):
    meeting = f"file://{tmp_path}/meeting"
    distributed.init_process_group("nccl", init_method=meeting, rank=0, world_size=1)
    try:
        for dtype in DTYPES:
            rows = rows_of(0, 3, 13, dtype).cuda()
            assert torch.equal(sum_columns(rows), rows)
            assert torch.equal(join_columns(rows[0], 13), rows[0])
    finally:
        distributed.destroy_process_group()
