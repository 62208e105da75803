"""`umbel list`."""

import json
from dataclasses import replace

from commands import refused, umbel

from umbel.descent import DESCENTS
from umbel.recipes import ELEVEN, RECIPES


def test_list_as_json_names_everything(capsys, tmp_path, monkeypatch):
    """And says of each data set whether it was found, and where it was looked for."""
    (tmp_path / "mine" / "MNIST" / "raw").mkdir(parents=True)
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path / "mine"))
    status, out, err = umbel(capsys, "list", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert set(found) == {"methods", "recipes", "descents", "data", "data_folders", "extras"}
    assert [m["key"] for m in found["methods"]] == [m.key for m in ELEVEN]
    assert [m["implemented"] for m in found["methods"]] == [m.implemented for m in ELEVEN]
    assert {r["name"] for r in found["recipes"]} == set(RECIPES)
    sets = {d["name"]: d for d in found["data"]}
    assert sets["overlay-digits"]["available"]
    assert sets["overlay-digits"]["where"] == "embedded"
    assert sets["celeba"] | {"available": False, "where": ""} == sets["celeba"]
    assert all(d["looked_for"] for d in found["data"] if d["where"] != "embedded")
    assert found["data_folders"][0] == str(tmp_path / "mine")
    descents = {d["name"]: d for d in found["descents"]}
    assert descents["equal"]["backward_passes"] == "1"
    assert descents["upgrad"]["backward_passes"] == "T"
    assert all(d["summary"] for d in found["descents"])
    assert {e["name"] for e in found["extras"]} == {
        "comms",
        "detect",
        "export",
        "parquet",
        "privacy",
        "serve",
        "solvers",
        "video",
    }


def test_list_is_readable_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = umbel(capsys, "list")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    for name in ("gradsplit", "compare", "pcgrad", "overlay-digits", "UMBEL_DATA", "parquet", "planned"):
        assert name in out


def test_a_missing_solver_is_said_with_its_extra(capsys, monkeypatch):
    """Of the extra itself, and of descents that need it: the private one, and one that is made to."""
    monkeypatch.setattr("umbel.command.listing.find_spec", lambda name: None)
    found = json.loads(umbel(capsys, "list", "--json")[1])
    assert [d["name"] for d in found["descents"] if not d["available"]] == ["dp-sgd"]
    assert "(needs umbel[privacy])" in " ".join(umbel(capsys, "list")[1].split())
    assert 'pip install "umbel[solvers]"' in umbel(capsys, "list")[1]
    asking = replace(DESCENTS["cagrad"], modules=("cvxpy",), extra="solvers")
    monkeypatch.setattr("umbel.descent.DESCENTS", {**DESCENTS, "cagrad": asking})
    found = json.loads(umbel(capsys, "list", "--json")[1])
    assert [d["name"] for d in found["descents"] if not d["available"]] == ["dp-sgd", "cagrad"]
    assert "(needs umbel[solvers])" in " ".join(umbel(capsys, "list")[1].split())


def test_list_help_and_mistakes(capsys):
    assert "usage: umbel list [--json]" in umbel(capsys, "list", "--help")[1]
    assert "does not know --jsn; it takes only --json" in refused(capsys, "list", "--jsn")
