"""A picture as the body of a request."""

import io

import numpy as np
import pytest
from PIL import Image
from serving_cases import JSON, call, picture

from umbel import load
from umbel.serving import Service

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def sent(app, body, media_type="image/png"):
    return call(app, "POST", "/predict", body, media_type)


def test_a_picture_is_answered_as_predict_does(digits_app, digits_service):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    got = sent(digits_app, file.getvalue())
    assert got.status == 200
    (one,) = got.json["predictions"]
    wanted = digits_service._predictor.predict(pixels[None, None]).iloc[0]
    assert list(one) == ["digit", "loops"]
    assert one["digit"]["class"] == wanted["digit"]
    for label, share in one["digit"]["probabilities"].items():
        assert share == pytest.approx(wanted[f"digit: {label}"], rel=1e-4)


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_of_the_list(digits_app, form, mode):
    assert sent(digits_app, picture(mode, form=form)).status == 200


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "I;16"])
def test_every_usual_kind_of_pixels(digits_app, mode):
    assert sent(digits_app, picture(mode)).status == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "cannot be read as a picture; send one of PNG, JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "cannot be read as a picture"),
        (EPS, 422, "cannot be read as a picture"),  # Pillow knows it, and would start Ghostscript
        (picture(size=(64, 64), form="TIFF")[:-2000], 422, "damaged"),
        (picture(size=(64, 64), form="BMP")[:-100], 422, "damaged"),
        (picture(size=(9, 8)), 422, "9×8"),
        (picture("I", form="TIFF"), 422, "32-bit"),
    ],
)
def test_what_is_no_picture_for_the_run(digits_app, body, status, words):
    got = sent(digits_app, body)
    assert got.status == status
    assert words in got.error


@pytest.mark.parametrize("size", ["7000 7000", "12000 10000", "20000 20000"])
def test_a_picture_is_measured_before_it_is_decoded(digits_app, size):
    """Beside our own limit Pillow has two, which warn and refuse; here is nothing but the header."""
    got = sent(digits_app, f"P4\n{size}\n".encode())
    assert (got.status, got.error) == (413, "the picture has more than 40,000,000 pixels; send a smaller one")


def test_rows_are_not_taken_for_pictures(digits_app):
    """A row could name a file of the server."""
    got = sent(digits_app, b'{"picture": "/etc/passwd"}', JSON)
    assert got.status == 415
    assert "send image/png" in got.error


def test_the_turn_of_a_camera_counts(digits_app):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:2] = 255
    turned, file = Image.fromarray(np.rot90(pixels).copy()), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90° clockwise to show"
    turned.save(file, "PNG", exif=exif)
    upright = io.BytesIO()
    Image.fromarray(np.asarray(turned.transpose(Image.Transpose.ROTATE_270))).save(upright, "PNG")
    assert sent(digits_app, file.getvalue()).json == sent(digits_app, upright.getvalue()).json
    assert sent(digits_app, file.getvalue()).json != sent(digits_app, picture()).json


def test_pictures_of_a_table_are_resized_as_they_were(tmp_path):
    from serving_cases import trained

    for number in range(30):
        Image.new("RGB", (20, 12), (8 * number, 100, 255 - 8 * number)).save(tmp_path / f"{number}.png")
    lines = ["file,shade", *(f"{n}.png,{8 * n}" for n in range(30))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    more = [
        "--targets",
        "shade",
        "--image-column",
        "file",
        "--resolution",
        "8",
        "--steps",
        "4",
        "--validate-every",
        "2",
    ]
    run = trained(tmp_path, "--data", tmp_path / "t.csv", *more)
    service = Service(load(run))
    inputs = service.description["inputs"]
    assert inputs == {"kind": "picture", "channels": 3, "height": 8, "width": 8, "resized": True}
    answers = service.answer("image/png", (tmp_path / "7.png").read_bytes())
    wanted = load(run).predict([tmp_path / "7.png"])["shade"].iloc[0]
    assert answers.predictions[0]["shade"]["value"] == pytest.approx(wanted, rel=1e-5)
