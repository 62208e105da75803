"""The paths of the service, what browsers are told, errors of its own, and requests beside each other."""

import asyncio
import contextlib
import json
import threading
import time

import numpy as np
import pytest
from serving_cases import JSON, ROW, asked, call, post, service_of, trained

import umbel
from umbel import UmbelError, segmentation
from umbel.data.task_records import TaskRecord
from umbel.serving import Limits, Service, application


def test_health_and_what_the_model_takes(flats_app):
    assert call(flats_app, "GET", "/health").json == {"status": "ok", "version": umbel.__version__}
    model = call(flats_app, "GET", "/model").json
    assert (model["run"], model["point"], model["not_served"]) == ("a run", None, [])
    rooms, metres, city = model["inputs"]["columns"]
    assert (rooms["name"], rooms["kind"], rooms["blank_in_training"]) == ("rooms", "number", True)
    assert 2 < rooms["mean"] < 4 and 1 < rooms["standard_deviation"] < 2
    assert not metres["blank_in_training"]
    assert (city["kind"], city["categories"]) == ("category", ["<b>old & new</b>", "north", "south"])
    rent, balcony = model["outputs"]
    assert (rent["name"], rent["kind"], rent["labels"]) == ("rent", "value", [])
    assert (balcony["kind"], balcony["labels"]) == ("class", ["<i>no</i>", "yes"])
    assert post(flats_app, model["inputs"]["example"]).status == 200
    assert "/" not in json.dumps(model).replace("</b>", "").replace("</i>", "").replace(JSON, "").replace("text/", "") \
        .replace("application/", "")  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("POST", "/", 405),
        ("POST", "/model", 405),
        ("DELETE", "/health", 405),
        ("OPTIONS", "/predict", 405),
        ("GET", "/nothing", 404),
        ("GET", "/predict/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "//evil.example/", 404),
    ],
)
def test_paths_and_methods_that_there_are_not(flats_app, method, path, status):
    got = call(flats_app, method, path)
    assert got.status == status
    assert ("allow" in got.headers) == (status == 405)
    assert "/predict" in got.error


@pytest.mark.parametrize("media_type", [None, "", "text/plain", "multipart/form-data; boundary=x", "image/png", "*/*"])
def test_bodies_of_another_kind(flats_app, media_type):
    """Those that a page from elsewhere may send without being asked are among them."""
    got = call(flats_app, "POST", "/predict", json.dumps(ROW).encode(), media_type)
    assert got.status == 415
    assert "send application/json, text/csv" in got.error


def test_a_packed_body_is_refused_and_not_unpacked(flats_app):
    got = post(flats_app, ROW, content_encoding="gzip")
    assert (got.status, "gzip" in got.error) == (415, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_this_machine_may_be_called_by_its_names(flats_app, host):
    assert call(flats_app, "GET", "/health", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "a b", "localhost@x"]
)
def test_a_name_from_elsewhere_that_points_here_is_refused(flats_app, flats_service, host):
    for path in ("/", "/model", "/predict"):
        got = call(flats_app, "GET", path, host=host)
        assert got.status == 400
        assert "Host header" in got.error
    assert call(application(flats_service, hosts=None), "GET", "/health", host=host).status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/health"), ("GET", "/no"), ("POST", "/predict")])
def test_every_answer_tells_browsers_what_they_may(flats_app, method, path):
    got = call(flats_app, method, path, origin="http://evil.example")
    assert got.headers["x-content-type-options"] == "nosniff"
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert not [name for name in got.headers if name.startswith("access-control") or name == "set-cookie"]


def test_the_page_can_be_left_out(flats_service):
    app = application(flats_service, with_page=False)
    assert call(app, "GET", "/").status == 404
    assert post(app, ROW).status == 200


class Other:
    """A predictor that does something else when it predicts."""

    def __init__(self, predictor, instead):
        self._predictor, self._instead, self.quiet = predictor, instead, True

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def predict(self, rows, point=None):
        return self._predictor.predict(rows, point) if self.quiet else self._instead(self._predictor, rows)


def served(flats_service, instead, **limits):
    other = Other(flats_service._predictor, instead)
    service = Service(other, limits=Limits(**limits))
    other.quiet = False
    return application(service)


def test_an_error_of_the_server_is_told_to_its_log_only(flats_service):
    def fails(predictor, rows):
        raise RuntimeError("secret of /home/somebody")

    app, answers = served(flats_service, fails), []

    async def ask():
        sent = asked(app, "POST", "/predict", json.dumps(ROW).encode(), JSON)
        try:
            answers.append(await sent)
        except RuntimeError as error:  # as a server gets it, which logs it
            answers.append(error)

    asyncio.run(ask())
    assert "secret" in str(answers[0])

    async def caught(scope, receive, send):
        with contextlib.suppress(RuntimeError):
            await app(scope, receive, send)

    got = post(caught, ROW)
    assert (got.status, got.error) == (500, "the server met an error of its own, which its log tells")
    assert got.headers["x-content-type-options"] == "nosniff"


def test_one_prediction_at_a_time_and_health_beside_it(flats_service):
    at_work, most, go = [], [], threading.Event()

    def slow(predictor, rows):
        at_work.append(1)
        most.append(len(at_work))
        assert go.wait(30)
        time.sleep(0.01)
        at_work.pop()
        return predictor.predict(rows)

    app = served(flats_service, slow, waiting=4)
    body = json.dumps(ROW).encode()

    async def ask():
        begun = [asyncio.create_task(asked(app, "POST", "/predict", body, JSON)) for _ in range(4)]
        while not at_work:
            await asyncio.sleep(0.01)
        health = await asyncio.wait_for(asked(app, "GET", "/health"), 5)
        more = await asyncio.wait_for(asked(app, "POST", "/predict", body, JSON), 5)
        go.set()
        return health, more, await asyncio.gather(*begun)

    health, more, answers = asyncio.run(ask())
    assert health.status == 200
    assert (more.status, more.headers["retry-after"]) == (503, "1")
    assert [answer.status for answer in answers] == [200] * 4
    assert len(most) == 4 and max(most) == 1
    assert post(app, ROW).status == 200  # those that waited are no longer counted


def test_a_body_that_does_not_come_is_not_waited_for(flats_service):
    app = served(flats_service, None, seconds=0.05)
    got = call(app, "POST", "/predict", [b"{"] * 100, JSON, slow=0.02)
    assert (got.status, "0.05 seconds" in got.error) == (408, True)
    gone = call(application(flats_service), "POST", "/predict", [], JSON)  # the client went away
    assert gone.status == 400


def test_a_run_of_arrays(tmp_path):
    run = trained(tmp_path, "--data", "digits", "--tasks", "digit", "--steps", "2", "--validate-every", "1")
    predictor = umbel.load(run)
    known = predictor.record.inputs
    object.__setattr__(known, "pictures", False)  # what other sets have: arrays [1, 8, 8] that are no pictures
    app = application(Service(predictor))
    sample = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    got = post(app, {"rows": [sample.tolist()]})
    wanted = predictor.predict(sample[None]).iloc[0]
    assert got.json["predictions"][0]["digit"]["class"] == wanted["digit"]
    wrong = {
        "different length": [[[1]], [1, 2]],
        "no number": [[[None] * 8] * 8],
        "shape (8,)": [[1] * 8],
        "no row": [],
        "beyond 3e+38": [np.full((1, 8, 8), 1e300).tolist()],
    }
    for words, rows in wrong.items():
        got = post(app, {"rows": rows})
        assert (got.status, words in got.error) == (422, True), got.error


def test_a_point_that_the_run_has_not_is_told_at_the_start(flats_folder):
    with pytest.raises(UmbelError, match="point"):
        service_of(flats_folder, point="width=0.5")


def test_every_prediction_is_made_at_the_point(flats_service):
    asked_for = []

    class AtPoint(Other):
        def predict(self, rows, point=None):
            asked_for.append(point)
            return self._predictor.predict(rows)

    service = Service(AtPoint(flats_service._predictor, None), point="width=0.5")
    assert post(application(service), ROW).status == 200
    assert asked_for == ["width=0.5"] * 2  # once at the start
    assert service.description["point"] == "width=0.5"


def test_a_run_that_predicts_maps_only_is_not_served(flats_service):
    class Maps(Other):
        tasks = (TaskRecord.of(segmentation("street", 3)),)

    with pytest.raises(UmbelError, match="maps or pictures only"):
        Service(Maps(flats_service._predictor, None))
