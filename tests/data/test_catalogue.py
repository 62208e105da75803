import inspect
from importlib import import_module
from types import MappingProxyType

import pytest
import torch

import umbel.data
from umbel.core import UmbelError, check_inputs, check_labels
from umbel.data import SETS, Column, DataSet, MultiTaskData, TensorSource, catalogue, describe_columns, load_data


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No data anywhere."""
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UMBEL_DOWNLOAD", raising=False)
    return tmp_path


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_every_entry_names_a_loader_with_optional_arguments_only(entry):
    module, function = entry.loader.split(":")
    parameters = inspect.signature(getattr(import_module(module), function)).parameters
    assert set(entry.fixed) <= set(parameters)
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert required <= set(entry.fixed)
    assert "size" in parameters


@pytest.mark.parametrize("entry", [entry for entry in catalogue() if not entry.embedded], ids=lambda entry: entry.name)
def test_a_set_without_files_is_missing_and_says_so(entry, empty):
    assert entry.found() is None
    assert not entry.available
    with pytest.raises(UmbelError, match=r"is not here: looked for .* in ") as caught:
        entry.load()
    assert str(empty) in str(caught.value)


@pytest.mark.parametrize("entry", [entry for entry in catalogue() if not entry.embedded], ids=lambda entry: entry.name)
def test_the_catalogue_looks_where_the_loader_does(entry, empty):
    with pytest.raises(UmbelError) as caught:
        entry.load()
    for alternative in entry.layout[0].split("|"):
        wanted = alternative.removesuffix("*").split("*")[0]
        assert wanted in str(caught.value)


SLOW = ("scenes", "rendered-faces", "liveness-sources", "celeba", "blood-cells-fog")  # looked at by tests of their own


@pytest.mark.parametrize("name", [entry.name for entry in catalogue() if entry.name not in SLOW])
def test_every_set_that_is_here_loads_a_quick_subset_that_can_be_learnt(name):
    if not SETS[name].available:
        pytest.skip(f"data set {name!r} is not here")
    data = load_data(name, size=8 if name == "camvid" else 200)
    assert isinstance(data, MultiTaskData)
    assert data.name == name
    assert data.note
    assert len(data.train) <= 600  # 200 of each set that is joined
    batch = next(data.train.train_batches(32, seed=0, epoch=0))
    inputs = batch.inputs if isinstance(batch.inputs, torch.Tensor) else batch.inputs["picture"]
    assert tuple(inputs.shape[1:]) == data.input_shape
    check_inputs(batch, name)
    for split in (data.validation, data.test):
        assert len(split)
        if isinstance(split, TensorSource) and name not in ("andro", "edm", "slump"):
            check_labels(data.tasks, split.samples, name)


def test_found_needs_all_files_and_one_of_the_alternatives(empty):
    entry = DataSet("x", "X", "", "m:f", ("a|b", "c_*.txt"))
    assert entry.found() is None
    (empty / "b").mkdir()
    assert entry.found() is None
    (empty / "c_1.txt").touch()
    assert entry.found() == empty / "b"
    assert entry.available
    (empty / "a").mkdir()
    assert entry.found() == empty / "a"


def test_an_embedded_set_is_always_there(empty):
    assert SETS["digits"].embedded
    assert SETS["digits"].available
    assert SETS["digits"].found() is None


def test_mistakes():
    with pytest.raises(UmbelError, match="unknown data set 'overlay-digit'; did you mean 'overlay-digits'"):
        load_data("overlay-digit")
    with pytest.raises(
        UmbelError, match="'digits' has no option 'sise'; its options: size, resolution, reconstruction"
    ):
        load_data("digits", sise=3)
    fixed = DataSet("enb", "E", "", "umbel.data.tables:table_set", ("x",), MappingProxyType({"name": "enb"}))
    with pytest.raises(UmbelError, match="no option 'name'"):
        fixed.load(name="wq")
    for size in (0, -3):
        with pytest.raises(UmbelError, match="size"):
            load_data("digits", size=size)
    with pytest.raises(UmbelError, match="at least 4 pixels"):
        load_data("digits", resolution=2)


def test_own_tables_are_described_through_the_package(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("height,price\n" + "".join(f"{k}.5,{k * k}\n" for k in range(29)) + "7.25,\n")
    height, price = describe_columns(path, targets=["price"])
    assert height == Column("height", "input", "number", distinct=30, missing=0)
    assert (price.role, price.kind, price.missing) == ("target", "number", 1)


def test_every_exported_name_exists_and_no_other():
    for name in umbel.data.__all__:
        assert getattr(umbel.data, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        umbel.data.nothing  # noqa: B018
