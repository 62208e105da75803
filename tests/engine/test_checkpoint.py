"""Checkpoints: what is damaged, foreign or dangerous is refused, in words, and nothing on disk changes."""

import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_learners import make, pictures

from umbel.descent import make_descent
from umbel.engine import Checkpoint, fit, load_checkpoint, load_weights, resolve
from umbel.engine.same_run import check_same_settings
from umbel.errors import UmbelError


def run(out, toy=None, resume=False, descent=None, **changes):
    torch.manual_seed(0)
    toy = toy or pictures()
    settings = replace(toy.settings, **{"steps": 8, "channels_last": False, **changes})
    fit(toy.learner, descent or toy.descent, toy.train, toy.validation, settings, out=out, resume=resume)
    return toy


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(folder)
    return folder


@pytest.fixture
def saved(original, tmp_path):
    """A copy of a finished run that a test may spoil."""
    copy = tmp_path / "run"
    shutil.copytree(original, copy)
    return copy


def last(folder):
    return folder / "checkpoints" / "step-00000008"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(saved, function, *words):
    """The function is a clear error with these words, and leaves the folder as it is."""
    before = contents(saved)
    with pytest.raises(UmbelError) as caught:
        function()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    assert contents(saved) == before


def resealed(folder):
    """Whoever changes a checkpoint on purpose mends its manifest too."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "settings.json"])
def test_a_truncated_file_is_refused(saved, name):
    path = last(saved) / name
    path.write_bytes(path.read_bytes()[:-1])
    refused(saved, lambda: load_checkpoint(last(saved)), str(path), "truncated", "of")
    refused(saved, lambda: run(saved, resume=True), name, "truncated")


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "settings.json"])
def test_a_changed_byte_is_refused(saved, name):
    path = last(saved) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(saved, lambda: load_checkpoint(last(saved)), str(path), "changed")


@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "state.pt"])
def test_a_missing_file_is_refused(saved, name):
    (last(saved) / name).unlink()
    refused(saved, lambda: load_checkpoint(last(saved)), str(last(saved)), "not a complete checkpoint", name)


@pytest.mark.parametrize("text", ["", "[]", '{"files": {}}', '{"files": {"weights.safetensors": 3}}'])
def test_a_manifest_of_something_else_is_refused(saved, text):
    (last(saved) / "manifest.json").write_text(text)
    refused(saved, lambda: load_checkpoint(last(saved)), str(last(saved)), "not a complete checkpoint")


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(tmp_path, lambda: resolve(tmp_path), str(tmp_path), "is not a checkpoint")
    refused(tmp_path, lambda: resolve(tmp_path / "absent"), "does not exist")
    refused(tmp_path, lambda: resolve(tmp_path / "notes.txt"), "is not a checkpoint")


def test_a_newer_format_is_refused(saved):
    path = last(saved) / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    resealed(last(saved))
    refused(saved, lambda: load_checkpoint(last(saved)), "format 99", "update umbel")


def test_code_in_a_checkpoint_does_not_run(saved, tmp_path):
    sprung = tmp_path / "sprung"

    class Harmful:
        def __reduce__(self):
            return os.system, (f"touch '{sprung}'",)

    torch.save({"optimizer": Harmful()}, last(saved) / "state.pt")
    resealed(last(saved))
    refused(saved, lambda: load_checkpoint(last(saved)), str(last(saved)), "not loaded")
    assert not sprung.exists()


def test_weights_that_are_none_are_refused(saved):
    (last(saved) / "weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    resealed(last(saved))
    refused(saved, lambda: load_checkpoint(last(saved)), str(last(saved)), "not loaded")


def test_weights_of_another_model_are_refused(saved):
    checkpoint = load_checkpoint(last(saved))
    assert isinstance(checkpoint, Checkpoint) and checkpoint.step == 8
    learner = pictures().learner
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    key = "model.heads.task_value.weight"
    fewer = {name: tensor for name, tensor in checkpoint.weights.items() if name != key}
    for weights, words in (
        (fewer, (f"has no {key}",)),
        ({**checkpoint.weights, "model.extra": torch.zeros(1)}, ("model.extra", "does not exist here")),
        ({**checkpoint.weights, key: torch.zeros(2, 9)}, (key, "(2, 9) there and (2, 8) here")),
    ):
        changed = replace(checkpoint, weights=weights)
        refused(saved, lambda c=changed: load_weights(learner, c), "another model", str(last(saved)), *words)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def test_going_on_with_another_model_is_refused(saved):
    refused(saved, lambda: run(saved, make("slimmable"), resume=True), "of another model")


def test_going_on_with_another_descent_is_refused(saved):
    for name in ("uncertainty", "dwa", "upgrad"):
        refused(saved, lambda n=name: run(saved, resume=True, descent=make_descent(n)), "another descent")


def test_a_run_is_not_overwritten(saved):
    refused(saved, lambda: run(saved), str(saved), "already holds a run", "--resume")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("seed", 1), ("batch_size", 16), ("accumulate", 2), ("optimizer", "sgd"), ("learning_rate", 0.5)],
        *[("weight_decay", 0.5), ("schedule", "constant"), ("warmup", 0.5), ("clip_norm", 1.0)],
        *[("precision", "bf16"), ("channels_last", True)],
    ],
)
def test_going_on_with_another_setting_is_refused(saved, name, value):
    refused(saved, lambda: run(saved, resume=True, **{name: value}), f"{name}=", f"not {value}", "use that to resume")


def test_a_finished_run_goes_on_with_nothing_to_do(saved):
    before = contents(saved)
    toy = run(saved, resume=True)
    assert contents(saved) == before
    best = load_checkpoint(resolve(saved)).weights
    assert all(torch.equal(tensor, best[name]) for name, tensor in toy.learner.state_dict().items())


def test_what_a_killed_write_left_is_ignored_and_removed(saved, original):
    for name in (".step-00000009.123", ".best-00000009.123", "step-00000009"):  # the last without a manifest
        (saved / "checkpoints" / name).mkdir()
        (saved / "checkpoints" / name / "weights.safetensors").write_bytes(b"half")
    assert resolve(saved).name.startswith("best-0000000")
    run(saved, resume=True)
    assert {p.relative_to(saved) for p in contents(saved)} == {p.relative_to(original) for p in contents(original)}


def test_a_best_checkpoint_of_steps_that_were_lost_is_not_the_best(saved):
    # The run was killed after it had written a new best, before it had written the step that knows of it.
    newer = saved / "checkpoints" / "best-00000099"
    shutil.copytree(last(saved), newer)
    toy = run(saved, resume=True)
    assert not newer.exists()
    best = load_checkpoint(resolve(saved)).weights
    assert all(torch.equal(tensor, best[name]) for name, tensor in toy.learner.state_dict().items())


class Remembering(nn.Linear):
    """State beside tensors, as any module may have."""

    seen = 0

    def forward(self, x):
        self.seen += self.training
        return super().forward(x)

    def get_extra_state(self):
        return {"seen": self.seen}

    def set_extra_state(self, state):
        self.seen = state["seen"]


def test_state_beside_tensors_is_kept_in_both_checkpoints(tmp_path):
    def remembering():
        toy = make("gradient groups")
        toy.learner.model.encoder.append(Remembering(8, 8).double())
        return toy

    run(tmp_path, remembering(), validate_every=3, monitor="value/MSE")
    for kind in ("best", "step"):
        (path,) = (tmp_path / "checkpoints").glob(f"{kind}-*")
        learner = remembering().learner
        load_weights(learner, checkpoint := load_checkpoint(path))
        assert learner.model.encoder[-1].seen == checkpoint.step > 0


def test_a_learner_that_shares_weights_is_saved(tmp_path):
    def tied():
        toy = make("gradient groups")
        toy.learner.model.heads["side"].weight = toy.learner.model.heads["value"].weight
        return toy

    toy = run(tmp_path, tied())
    other = tied()
    load_weights(other.learner, load_checkpoint(resolve(tmp_path)))
    assert other.learner.model.heads["side"].weight is other.learner.model.heads["value"].weight
    assert torch.equal(other.learner.model.heads["side"].weight, toy.learner.model.heads["value"].weight)


def test_the_folder_of_a_study_is_told_to_be_one(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "study" / "networks" / "equal" / "repeat-0")
    refused(saved, lambda: resolve(tmp_path / "study"), "it is a study", "study/networks/equal/repeat-0")


def test_a_setting_that_only_one_of_two_has_is_not_told_as_two_values(saved):
    checkpoint = load_checkpoint(resolve(saved))
    checkpoint.settings["model"] = {"hidden": 8}
    now = {"model": {"hidden": 8, "widths": ""}}
    refused(saved, lambda: check_same_settings(checkpoint, now), "another command", "model.widths is a setting of only")
