import getpass
import platform

import torch

from umbel.report import (
    SCHEMA,
    DataInfo,
    MethodInfo,
    Results,
    Row,
    Run,
    TaskInfo,
    delta_m,
    describe_environment,
    summary,
)

TASK = TaskInfo("t", "classification", "accuracy", True, "", (), ("accuracy",))


def test_the_environment_says_what_times_need_and_nothing_private():
    found = describe_environment("bf16", "faster here")
    assert found["torch"] == torch.__version__
    assert found["precision"] == "bf16" and found["why this precision"] == "faster here"
    assert found["threads"] == torch.get_num_threads()
    text = str(found)
    assert platform.node() not in text
    assert getpass.getuser() not in text.split()


def test_rows_delta_m_and_schema():
    runs = (Run("a", 0, {"t": {"accuracy": 0.5}}), Run("b", 0, {"t": {"accuracy": 0.6}}))
    results = Results("s", "t", "c", DataInfo("d"), (TASK,), (MethodInfo("a", "A"), MethodInfo("b", "B")), runs, "a")
    rows = summary(results)
    assert all(isinstance(row, Row) for row in rows)
    assert delta_m((TASK,), runs[1], runs[0]) == rows[1].delta_m.mean
    assert abs(rows[1].delta_m.mean - 20) < 1e-9
    assert f'"schema": {SCHEMA}' in results.to_json()
