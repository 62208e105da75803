"""`umbel train --proxies ...`: what follows from the flags, what they refuse, and what a checkpoint keeps of them."""

import dataclasses
import json

import pytest
import torch
from small_studies import FIT

from umbel.core import UmbelError
from umbel.engine import Silent, open_runtime
from umbel.methods import ProxyLearner
from umbel.recipes.build import Described, describe, make_learner, open_data
from umbel.recipes.proxies import proxy_arguments
from umbel.recipes.settings import (
    ControllableModelSettings,
    DataSettings,
    ModelSettings,
    TrainedModelSettings,
    kind_of_settings,
)
from umbel.recipes.single import evaluate_checkpoint, train
from umbel.recipes.train_settings import TrainSettings

DIGITS = DataSettings(data="digits")
MODEL = TrainedModelSettings(
    encoder="conv",
    encoder_options="widths=4/8,branch=6",
    proxies="parity",
    main="digit",
    attributes="loops",
    attention="sigmoid",
    mining=0.2,
)


def test_a_training_with_proxies_is_built_again_from_its_checkpoint(tmp_path):
    settings = TrainSettings(data=DIGITS, model=MODEL, fit=FIT.replace(steps=3))
    before = train(settings, open_runtime(), tmp_path / "run", False, Silent())
    after = evaluate_checkpoint(tmp_path / "run", "test", open_runtime())
    assert after.metrics == before.metrics


def test_flags_become_the_methods_arguments():
    learner = make_learner(MODEL, open_data(DIGITS), 0)
    assert isinstance(learner, ProxyLearner)
    assert (learner.main, learner.attributes, learner.mining) == ("digit", ("loops",), 0.2)
    assert learner.model.encoder.fusion.kind == "sigmoid"
    assert learner.model.encoder.fusion.tasks == ("digit", "parity")
    assert learner.model.encoder.fusion.feature_shape == (12,)


def test_the_main_task_follows_where_one_is_left():
    digit, parity, loops = (dataclasses.replace(task) for task in open_data(DIGITS).tasks)
    settings = TrainedModelSettings(proxies="parity,loops")
    assert proxy_arguments(settings, (digit, parity, loops))["main"] == "digit"
    alive = dataclasses.replace(digit, name="alive", kind="liveness")
    assert proxy_arguments(TrainedModelSettings(proxies="parity"), (digit, parity, loops, alive))["main"] == "alive"
    for proxies, message in (
        ("parity", "--proxies could serve digit or loops; say which with --main"),
        ("digit,parity,loops", "leave no task that predicts a vector"),
        ("nose", "unknown task in --proxies 'nose'"),
    ):
        with pytest.raises(UmbelError, match=message):
            proxy_arguments(TrainedModelSettings(proxies=proxies), (digit, parity, loops))
    with pytest.raises(UmbelError, match="unknown task in --main 'nose'"):
        proxy_arguments(TrainedModelSettings(proxies="parity", main="nose"), (digit, parity))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"main": "digit"}, "--main is for a network with proxies"),
        ({"attention": "none"}, "--attention is for a network with proxies"),
        ({"mining": 0.0}, "--mining is for a network with proxies"),
        ({"attributes": "a"}, "--attributes is for a network with proxies"),
        ({"proxies": "a", "widths": "0.5/1"}, "--proxies and --widths are two kinds of networks"),
        ({"proxies": " , "}, "--proxies ' , ' names nothing"),
        ({"proxies": "a", "main": "a"}, "--main a is among the --proxies"),
        ({"proxies": "a", "mining": 0.0, "attributes": "b"}, "--attributes choose the pairs of --mining"),
        ({"proxies": "a", "mining": -1.0}, "mining is -1"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, message):
    with pytest.raises(UmbelError, match=message):
        TrainedModelSettings(**flags)


@pytest.mark.parametrize("kept", [ModelSettings(encoder="conv"), ControllableModelSettings(encoder="conv", hidden=8)])
def test_weights_of_older_runs_load(kept):
    """Their checkpoints know no proxies, the oldest no widths."""
    data = open_data(DIGITS)
    older = json.loads(json.dumps(describe(DIGITS, kept, data, 0, False)))
    assert "proxies" not in older["model"]
    assert kind_of_settings(older["model"]) is type(kept)
    before = make_learner(kept, data, 0)
    again = Described.read(older, "there").learner()
    again.load_state_dict(before.state_dict())
    today = make_learner(TrainedModelSettings(**dataclasses.asdict(kept)), data, 0)
    assert all(torch.equal(value, today.state_dict()[name]) for name, value in before.state_dict().items())
