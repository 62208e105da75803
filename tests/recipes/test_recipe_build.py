"""From settings to data and networks, and from a checkpoint back to both."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from small_studies import FIT, SMALL, compared

from umbel.core import OperatingPoint, UmbelError
from umbel.engine import Silent, load_checkpoint, open_runtime, resolve
from umbel.methods.controllable import is_controllable
from umbel.recipes.build import Described, columns_text, describe, make_learner, open_data
from umbel.recipes.settings import ControllableModelSettings, DataSettings, ModelSettings
from umbel.recipes.single import evaluate_checkpoint, train
from umbel.recipes.split_flags import OWN_TABLE
from umbel.recipes.train_settings import TrainSettings

RUNTIME = open_runtime()


@pytest.fixture
def table(tmp_path):
    """200 people with blank cells in an input and in both targets."""
    generator = np.random.default_rng(0)
    height, weight = generator.normal(170, 10, 200), generator.normal(70, 8, 200)
    frame = pd.DataFrame(
        {
            "height": height,
            "weight": np.where(generator.random(200) < 0.1, np.nan, weight),
            "age": np.where(generator.random(200) < 0.3, np.nan, height / 4 + generator.normal(0, 1, 200)),
            "tall": np.where(generator.random(200) < 0.2, None, np.where(height > 170, "yes", "no")),
        }
    )
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    return path


class Listener(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_own_table_with_blank_cells_is_compared(table, tmp_path):
    listener = Listener()
    settings = dataclasses.replace(
        SMALL, data=DataSettings(data=str(table), targets="age,tall"), model=ModelSettings(), seeds=1
    )
    results = compared(tmp_path / "study", settings, reporter=listener)
    assert [(t.name, t.kind) for t in results.tasks] == [("age", "regression"), ("tall", "classification")]
    values = [v for r in results.runs for metrics in r.metrics.values() for v in metrics.values()]
    assert torch.tensor(values).isfinite().all()
    (text,) = listener.lines
    shown = [line.split() for line in text.splitlines()[1:]]
    assert [line[:2] for line in shown] == [
        ["height", "input"],
        ["weight", "input"],
        ["age", "target"],
        ["tall", "target"],
    ]
    assert "blank" in text


def test_known_sets_have_no_columns_to_tell_of():
    assert columns_text(DataSettings(data="digits")) == ""


def spoilt(table, **columns):
    frame = pd.read_csv(table)
    for name, values in columns.items():
        frame[name] = values
    frame.to_csv(table, index=False)
    return str(table)


@pytest.mark.parametrize(
    ("columns", "targets", "message"),
    [
        ({"tall": "yes"}, "tall", "tall.*one class|tall.*only one|tall.*same"),
        ({"tall": None}, "tall", "tall"),
        ({}, "tal", "unknown.*'tal'.*did you mean 'tall'"),
        ({}, "", "--targets"),
    ],
)
def test_tables_that_cannot_be_learnt_from_are_refused(table, columns, targets, message):
    with pytest.raises(UmbelError, match=message) as error:
        open_data(DataSettings(data=spoilt(table, **columns), targets=targets))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("flag", OWN_TABLE)
def test_flags_of_own_tables_are_refused_elsewhere(flag):
    with pytest.raises(UmbelError, match=f"--{flag.replace('_', '-')} is for own tables"):
        open_data(DataSettings(data="digits", **{flag: 0 if flag in ("folds", "fold", "split_seed") else "a"}))


def test_every_setting_of_own_tables_is_known_as_such():
    of_any_set = {"data", "tasks", "train_size", "resolution", "options", "class_weights"}
    assert {f.name for f in dataclasses.fields(DataSettings)} == of_any_set | set(OWN_TABLE)


def test_sizes_and_tasks_are_passed_on():
    data = open_data(DataSettings(data="overlay-digits", train_size=100, tasks="gap, left"))
    assert len(data.train) == 100
    assert [task.name for task in data.tasks] == ["gap", "left"]


def test_the_same_seed_gives_the_same_network():
    data = open_data(DataSettings(data="digits"))
    first, again, other = (make_learner(ModelSettings(), data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first if isinstance(first[name], torch.Tensor))
    assert any(not torch.equal(first[n], other[n]) for n in first if isinstance(first[n], torch.Tensor))


def test_widths_make_a_controllable_network_and_say_so():
    """Its full width starts as the ordinary network does; what was kept of it builds it again."""
    settings = ControllableModelSettings(hidden=16, vector_head="conv", encoder="conv", encoder_options="widths=8/16")
    data = open_data(DataSettings(data="digits"))
    plain = make_learner(settings, data, 0)
    slim = make_learner(dataclasses.replace(settings, widths="0.5/1", distillation="logits", strength=0.3), data, 0)
    assert not is_controllable(plain)
    assert (slim.widths, slim.distillation, slim.strength) == ((0.5, 1.0), "logits", 0.3)
    inputs = torch.rand(4, *data.input_shape)
    same, whole = plain.train().model(inputs, OperatingPoint()), slim.train().model(inputs, slim.point(1.0))
    assert all(torch.allclose(same[task], whole[task], atol=1e-5) for task in same)


@pytest.mark.parametrize("widths", ["0.5/1", ""])
def test_a_checkpoint_whose_model_has_widths_is_built_again(widths):
    """Of a controllable network, or of any network of an older version."""
    model = ControllableModelSettings(hidden=16, vector_head="conv", encoder="conv", widths=widths)
    settings = DataSettings(data="digits")
    described = describe(settings, model, open_data(settings).only(["digit", "loops"]), 0, False)
    learner = Described.read(described, "there").learner()
    assert is_controllable(learner) == bool(widths)
    assert [task.name for task in learner.tasks] == ["digit", "loops"]


def trained(out, **changes):
    settings = TrainSettings(
        data=DataSettings(data="digits", tasks="loops,digit"),
        model=ModelSettings(encoder_options="widths=4/8"),
        fit=FIT,
    )
    return train(dataclasses.replace(settings, **changes), RUNTIME, out, False, Silent())


def test_a_checkpoint_is_evaluated_to_the_numbers_of_its_training(tmp_path):
    """Also from the checkpoint's own folder, and with the tasks in the order that they were trained in."""
    before = trained(tmp_path / "run")
    for path in (tmp_path / "run", resolve(tmp_path / "run")):
        after = evaluate_checkpoint(path, "test", RUNTIME)
        assert after.metrics == before.metrics
        assert list(after.metrics) == ["loops", "digit"]
        assert (after.samples, after.directions, after.units) == (before.samples, before.directions, before.units)
    others = [evaluate_checkpoint(tmp_path / "run", split, RUNTIME) for split in ("train", "validation")]
    assert len({other.samples for other in [*others, before]}) == 3
    with pytest.raises(UmbelError, match="split 'tset' is not known"):
        evaluate_checkpoint(tmp_path / "run", "tset", RUNTIME)


def test_networks_of_a_study_are_evaluated_too(tmp_path):
    results = compared(tmp_path / "study", dataclasses.replace(SMALL, seeds=1, tuning_trials=0))
    tested = {r.method: r.metrics for r in results.runs}
    networks = tmp_path / "study" / "networks"
    assert evaluate_checkpoint(networks / "pcgrad" / "repeat-0", "test", RUNTIME).metrics == tested["pcgrad"]
    alone = evaluate_checkpoint(networks / "single-task" / "task-loops" / "repeat-0", "test", RUNTIME).metrics
    assert alone == {"loops": tested["single-task"]["loops"]}


def test_a_checkpoint_that_does_not_say_what_it_is_gives_an_error(tmp_path):
    trained(tmp_path / "run")
    saved = load_checkpoint(resolve(tmp_path / "run"))
    for missing in ("data", "model", "record", "seed"):
        kept = {name: value for name, value in saved.settings.items() if name != missing}
        with pytest.raises(UmbelError, match="does not say how its network was built"):
            Described.read(kept, "there")
    with pytest.raises(UmbelError, match="depth, which this version does not know"):
        Described.read({**saved.settings, "model": {"depth": 3}}, "there")


def test_training_on_is_refused_with_another_descent_or_network(tmp_path):
    trained(tmp_path / "run")
    for changes in ({"descent": "uncertainty"}, {"model": ModelSettings(encoder_options="widths=8/8")}):
        settings = TrainSettings(
            data=DataSettings(data="digits", tasks="loops,digit"),
            model=changes.get("model", ModelSettings(encoder_options="widths=4/8")),
            descent=changes.get("descent", "equal"),
            fit=FIT,
        )
        with pytest.raises(UmbelError) as error:
            train(settings, RUNTIME, tmp_path / "run", True, Silent())
        assert "\n" not in str(error.value)


DIGITS = DataSettings(data="digits", tasks="loops,digit")
OTHER_RUNS = {
    "fewer samples": {"data": dataclasses.replace(DIGITS, train_size=50)},
    "other pictures": {"data": dataclasses.replace(DIGITS, resolution=16)},
    "other order of tasks": {"data": dataclasses.replace(DIGITS, tasks="digit,loops")},
    "another monitor": {"fit": FIT.replace(monitor="loss")},
    "other validations": {"fit": FIT.replace(validate_every=1)},
    "another encoder": {"model": ModelSettings(encoder="mlp")},
    "another option of the descent": {"descent": "cagrad", "descent_options": "c=0.3"},
    "no option of the descent": {"descent": "cagrad"},
}


@pytest.mark.parametrize("other", OTHER_RUNS.values(), ids=OTHER_RUNS)
def test_going_on_with_other_settings_is_refused(other, tmp_path):
    """Each changes what is learnt, and went on without a word before."""
    began = {"descent": "cagrad", "descent_options": "c=0.4"} if "descent" in other else {}
    trained(tmp_path / "run", **began)
    settings = TrainSettings(data=DIGITS, model=ModelSettings(encoder_options="widths=4/8"), fit=FIT)
    with pytest.raises(UmbelError, match=r"was trained with .*, not .*; use that to resume"):
        train(dataclasses.replace(settings, **other), RUNTIME, tmp_path / "run", True, Silent())


def test_going_on_with_another_table_is_refused(table, tmp_path):
    """A row more, an edited cell in each split, a class that is called otherwise."""
    settings = TrainSettings(data=DataSettings(data=str(table), targets="age,tall"), fit=FIT)
    train(settings, RUNTIME, tmp_path / "run", False, Silent())
    text = table.read_text()
    for changed in (text + text.splitlines()[-1] + "\n", text.replace("yes", "ja"), text.replace("170", "270")):
        table.write_text(changed)
        with pytest.raises(UmbelError, match=r"learnt from other data: its .* split"):
            train(settings, RUNTIME, tmp_path / "run", True, Silent())
        with pytest.raises(UmbelError, match=r"people\.csv.*(its rows are not those|does not fit)"):
            evaluate_checkpoint(tmp_path / "run", "test", RUNTIME)
    table.write_text(text)
    train(settings, RUNTIME, tmp_path / "run", True, Silent())


def test_a_column_in_other_units_is_another_table(table, tmp_path):
    """The network would get the very same inputs, for its mean and spread are taken off."""
    data = DataSettings(data=str(table), targets="age,tall")
    settings = TrainSettings(data=data, fit=FIT)
    train(settings, RUNTIME, tmp_path / "run", False, Silent())
    study = dataclasses.replace(SMALL, data=data, model=ModelSettings(), seeds=1)
    compared(tmp_path / "study", study)
    frame = pd.read_csv(table)
    frame.assign(height=2 * frame["height"]).to_csv(table, index=False)
    with pytest.raises(UmbelError, match=r"learnt from other data: the train, .* rows of its table"):
        train(settings, RUNTIME, tmp_path / "run", True, Silent())
    with pytest.raises(UmbelError, match=r"was begun with other data: the train, .* rows of its table"):
        compared(tmp_path / "study", study, resume=True)


def test_a_study_does_not_go_on_over_an_edited_table(table, tmp_path):
    settings = dataclasses.replace(
        SMALL, data=DataSettings(data=str(table), targets="age,tall"), model=ModelSettings(), seeds=1
    )
    compared(tmp_path / "study", settings)
    table.write_text(table.read_text().replace("yes", "ja"))
    with pytest.raises(UmbelError, match="was begun with other data: its train split"):
        compared(tmp_path / "study", settings, resume=True)


def test_a_network_is_built_again_without_its_table(table, tmp_path):
    """Classes, centre and scale come from the record."""
    settings = TrainSettings(data=DataSettings(data=str(table), targets="age,tall"), fit=FIT)
    train(settings, RUNTIME, tmp_path / "run", False, Silent())
    data = open_data(settings.data)
    table.unlink()
    saved = load_checkpoint(resolve(tmp_path / "run"))
    learner = Described.read(saved.settings, "there").learner()
    raw = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learner.tasks[0].decode(raw), data.tasks[0].decode(raw))
    assert learner.tasks[1].labels == ("no", "yes")
