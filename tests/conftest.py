"""What every test gets: shapes checked, warnings as errors, small data, skips that name the missing set."""

import sys

from jaxtyping import install_import_hook

# Shape annotations of the pure functions are checked while testing. This must come before any import of umbel.
assert "umbel" not in sys.modules, "umbel was imported before its shape checks were installed"
_CHECKED = ["umbel.losses", "umbel.metrics", "umbel.descent"]
_CHECKED += ["umbel.data.maps", "umbel.data.raycast", "umbel.data.shading", "umbel.data.weather"]
install_import_hook(_CHECKED, "beartype.beartype")

import pytest  # noqa: E402

# Whoever needs torch or umbel below imports it where it is used: with several processes the one that hands out the
# tests reads this file as well, before any of the others starts, and would spend seconds on what it never calls.


def pytest_configure(config):
    # No warning of a third party is excepted so far; one that must be goes below this line, with its reason.
    config.addinivalue_line("filterwarnings", "error")


@pytest.fixture
def tiny_data():
    """96 grey 8x8 pictures: which half is brighter, how bright is it all (a fifth unlabelled), and the picture."""
    import torch

    from umbel import tasks
    from umbel.core import Batch
    from umbel.data import MultiTaskData, TensorSource

    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(96, 1, 8, 8, generator=generator) * torch.rand(96, 1, 1, 8, generator=generator)
    side = (pictures[..., :4].mean((1, 2, 3)) > pictures[..., 4:].mean((1, 2, 3))).long()
    brightness = pictures.mean((1, 2, 3)).unsqueeze(1).clone()
    brightness[torch.rand(96, generator=generator) < 0.2] = torch.nan
    samples = Batch(pictures, {"side": side, "brightness": brightness})
    kinds = (
        tasks.classification("side", ["right", "left"]),
        tasks.regression("brightness", centre=0.25, scale=0.1),
        tasks.reconstruction("picture", channels=1),
    )
    train, validation, test = (TensorSource(samples[part]) for part in (slice(64), slice(64, 80), slice(80, 96)))
    return MultiTaskData("tiny", "Tiny pictures", kinds, train, validation, test, (1, 8, 8))


def requires_set(name: str, *alternatives: str) -> None:
    """Skip the test, with the set's name, when none of its files is here.

    Args:
        name: Of the data set, for the message.
        alternatives: Paths as `umbel.data.find.find` takes them; the name itself when there are none.
    """
    from umbel.data.find import find

    if find(*(alternatives or (name,))) is None:
        pytest.skip(f"data set {name!r} is not here")
