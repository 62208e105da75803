"""`umbel train --widths`, `umbel search` and `umbel export`, one after the other, and what they refuse."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from commands import SMALL, contents, refused, umbel

from umbel.engine import open_runtime
from umbel.recipes.exporting import export_network
from umbel.recipes.operating_point import answer
from umbel.recipes.turnable import make_ready, open_turnable, timed
from umbel.search import parse_budget, search

TRAIN = [
    "--data",
    "digits",
    "--tasks",
    "digit,loops",
    "--steps",
    "6",
    "--batch-size",
    "32",
    "--precision",
    "float32",
    "--encoder",
    "conv",
    "--encoder-options",
    "widths=8/16",
    "--hidden",
    "16",
    "--vector-head",
    "conv",
    "--validate-every",
    "3",
    "--no-tensorboard",
]


class Listener:
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a controllable network."""
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *TRAIN, "--widths", "0.5/1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def network(trained):
    return open_turnable(trained, open_runtime())


def test_a_trained_network_is_searched_and_the_answer_exported(capsys, trained, network, tmp_path):
    status, out, err = umbel(capsys, "search", trained, "--budget", "60%", "--prefer", "digit=3", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    expected = search(network.table, "60% macs", {"digit": 3.0, "loops": 1.0})
    assert found["point"] == expected.point.as_dict()
    assert found["cost"] == dict(expected.cost)
    assert found["cost"]["macs"] <= 0.6 * found["full_cost"]["macs"]
    (tmp_path / "choice.json").write_text(out)
    target = tmp_path / "exported"
    status, out, err = umbel(capsys, "export", trained, "--point", tmp_path / "choice.json", "--out", target, "--json")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record == json.loads((target / "export.json").read_text())
    pictures = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        sliced = network.learner.model(pictures / 255, expected.point)
    session = onnxruntime.InferenceSession(str(target / "model.onnx"), providers=["CPUExecutionProvider"])
    answers = session.run(None, {session.get_inputs()[0].name: pictures.numpy()})
    for output, given in zip(session.get_outputs(), answers, strict=True):
        assert np.allclose(given, sliced[output.name].softmax(1).numpy(), atol=1e-5)
    assert record["tasks"]["loops"]["labels"] == ["none", "one or more"]
    quality = network.table.quality_at(expected.point)
    assert record["about"]["validation"] == {task: {"accuracy": value} for task, value in quality.items()}


def test_the_table_names_every_task_and_the_next_command(capsys, trained):
    status, out, err = umbel(capsys, "search", trained, "--budget", "100%", "--rule", "equal")
    assert (status, err) == (0, "")
    plain = out.replace("\n", "")
    for text in ("encoder", "digit", "loops", "accuracy ↑", "MACs", "umbel export", "--point width="):
        assert text in plain


def test_evaluation_at_some_widths_is_that_of_the_table(capsys, trained, network):
    point = ["--point", "width=0.5,digit=1,loops=0.5"]
    status, out, err = umbel(capsys, "evaluate", trained, "--split", "validation", *point, "--json")
    assert (status, err) == (0, "")
    accuracy = {task: values["accuracy"] for task, values in json.loads(out)["metrics"].items()}
    assert accuracy == pytest.approx({"digit": network.table.quality[0, 0, 1], "loops": network.table.quality[1, 0, 0]})


def test_times_are_measured_once_and_kept_beside_the_checkpoint(network, monkeypatch):
    listener = Listener()
    first = timed(network, 2, "torch", listener)
    assert first.batch_size == 2
    monkeypatch.setattr("umbel.recipes.turnable.measure_latency", lambda *a, **k: pytest.fail("measured again"))
    assert timed(network, 2, "torch", listener) == first
    limit = first.full_cost("latency_ms")
    found = answer(network, f"{limit * 1.01}ms", "", "exact", listener, batch_size=2)
    assert found.choice.cost["latency_ms"] <= limit * 1.01
    monkeypatch.setattr("umbel.recipes.turnable.machine_name", lambda backend: "another machine")
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        timed(network, 2, "torch", listener)


def test_the_best_configuration_for_a_budget_is_exported(network, tmp_path):
    done = export_network(network, tmp_path / "out", ("safetensors",), Listener(), budget="50% macs", prefer="loops=2")
    kind, limit = parse_budget("50% macs").limit(network.table)
    assert done.record["about"]["search"]["cost"][kind] <= limit
    assert list(done.files) == ["safetensors"]


def test_what_was_made_ready_is_taken_up_as_it_is(trained, network):
    before = contents(trained)
    assert make_ready(trained, network.learner, network.data, open_runtime()) == network.table
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "RUN"], "say what it may cost with --budget"),
        (["search", "RUN", "--budget", "0.001%"], "nothing fits a budget of .*; the smallest possible is"),
        (["search", "RUN", "--budget", "5"], "has no unit; units:"),
        (["search", "RUN", "--budget", "5 parsecs"], "unknown unit 'parsecs'"),
        (["search", "RUN", "--budget", "50%", "--prefer", "digits=1"], "unknown task 'digits'; did you mean 'digit'"),
        (["search", "RUN", "--budget", "50%", "--prefer", "digit=-1"], "preference digit=-1: give 0 or more"),
        (["search", "RUN", "--budget", "50%", "--prefer", "digit=0,loops=0"], "every preference is 0"),
        (["export", "RUN"], "say which configuration with --point, or what it may cost with --budget"),
        (["export", "RUN", "--point", "full", "--budget", "50%"], "one of the two"),
        (["export", "RUN", "--point", "width=0.3"], "width is 0.3; this model has the widths 0.5, 1.0"),
        (["export", "RUN", "--point", "full", "--formats", "tflite"], "unknown format of export 'tflite'"),
        (["evaluate", "RUN", "--point", "heads=0.1"], "head width of task 'digit' is 0.1"),
        (["search", "nowhere", "--budget", "50%"], "checkpoint nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line(capsys, trained, arguments, message):
    import re

    before = contents(trained)
    assert re.search(message, refused(capsys, *(trained if a == "RUN" else a for a in arguments)))
    assert contents(trained) == before


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """The folder of a network of one width."""
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("ordinary") / "run"
    assert main(["train", *TRAIN, "--out", str(folder)]) == 0
    return folder


def test_an_ordinary_network_cannot_be_turned(capsys, ordinary, tmp_path):
    message = "has one width only; train a network that can be turned"
    assert message in refused(capsys, "search", ordinary, "--budget", "50%")
    assert "leave --point out" in refused(capsys, "evaluate", ordinary, "--point", "full")
    for asked in (["--point", "full"], ["--budget", "50%"], ["--prefer", "digit=2"]):
        said = refused(capsys, "export", ordinary, *asked, "--out", tmp_path / "out")
        assert "has one width only; leave --point, --budget and --prefer out" in said
    assert not (tmp_path / "out").exists()


def test_an_ordinary_network_is_exported_as_it_is(capsys, ordinary, tmp_path):
    status, out, err = umbel(capsys, "export", ordinary, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    for line in (
        "takes  pictures 1 × 8 × 8 (grey), bytes 0 to 255",
        "gives  digit: probabilities of 0, 1, 2, 3, 4, 5, 6, 7, and 2 more",
        f"python {tmp_path / 'out' / 'run_export.py'} picture.png",
    ):
        assert line in out
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["point"] is None
    status, out, err = umbel(capsys, "evaluate", ordinary, "--split", "validation", "--json")
    measured = {task: values["accuracy"] for task, values in json.loads(out)["metrics"].items()}
    kept = {task: values["accuracy"] for task, values in record["about"]["validation"].items()}
    assert kept == pytest.approx(measured)


def test_the_networks_of_a_study_are_exported(capsys, tmp_path):
    study = [*SMALL, "--descents", "equal", "--seeds", "1", "--tuning-trials", "1", "--probes", "0"]
    assert umbel(capsys, "run", "compare", *study, "--out", tmp_path / "study")[0] == 0
    networks = sorted((tmp_path / "study" / "networks").rglob("checkpoints"))
    assert len(networks) > 2
    for number, folder in enumerate(networks):
        out = tmp_path / "out" / str(number)
        status, _, err = umbel(capsys, "export", folder, "--formats", "safetensors", "--out", out)
        assert (status, err) == (0, "")
        record = json.loads((out / "export.json").read_text())
        assert {*record["tasks"]} <= {"digit", "loops"} and record["about"]["validation"].keys() == {*record["tasks"]}


def test_export_without_onnxruntime_says_what_to_install(capsys, trained, tmp_path, monkeypatch):
    from umbel.control import onnx_file

    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    arguments = ["export", trained, "--point", "full"]
    said = refused(capsys, *arguments, "--formats", "onnx", "--out", tmp_path / "out")
    assert 'pip install "umbel[export]"' in said
    assert not (tmp_path / "out").exists()
    status, out, err = umbel(capsys, *arguments, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert 'no ONNX file: pip install "umbel[export]"' in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "export.json",
        "model.pt2",
        "model.safetensors",
    ]
