"""The multi-round learner: what its decoders read, what it sends, what it refuses."""

import pytest
import torch

from umbel import tasks
from umbel.channels import make_channel
from umbel.core import Batch, OperatingPoint, SingleProcess, UmbelError
from umbel.data import load_data
from umbel.descent import make_descent
from umbel.methods.multi_round import check_classification, multi_round

DIGIT = tasks.classification("digit", "0123456789")
POINT = OperatingPoint(snr_db=5.0)


def learner(combine="concatenate", uses=(2, 4), **options):
    return multi_round(
        (1, 8, 8), DIGIT, uses, make_channel("awgn"), combine=combine, encoder="conv", widths=(4, 8), **options
    ).eval()


def noise(round_number, seed):
    """Two hearings of the same latents that differ in one round alone."""
    model = learner().model
    inputs = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = model.transmit(inputs, POINT)
    heard = model.hear(latents, model.receivers[0], POINT, torch.Generator().manual_seed(1))
    other = model.hear(latents, model.receivers[0], POINT, torch.Generator().manual_seed(seed))
    return heard, [o if i == round_number else h for i, (h, o) in enumerate(zip(heard, other, strict=True))]


@pytest.mark.parametrize(
    ("combine", "changed", "same"),
    [("concatenate", 0, []), ("latest", 0, ["digit@2"]), ("concatenate", 1, ["digit@1"]), ("latest", 1, ["digit@1"])],
)
def test_a_decoder_reads_the_rounds_that_it_should(combine, changed, same):
    one, other = noise(changed, seed=2)
    receiver = learner(combine).model.receivers[0]
    before, after = receiver.decode(one, POINT), receiver.decode(other, POINT)
    assert [name for name in before if torch.equal(before[name], after[name])] == same


def test_every_round_has_its_uses_and_its_power():
    latents = learner(uses=(2, 4, 8)).model.transmit(torch.rand(3, 1, 8, 8), POINT)
    assert [latent.shape[1] for latent in latents] == [4, 8, 16]
    for latent, uses in zip(latents, (2, 4, 8), strict=True):
        assert latent.detach().square().sum(1).tolist() == pytest.approx([uses] * 3, rel=1e-4)


def test_repetition_sends_one_latent_again():
    first, second = learner("maximum-ratio", uses=(4, 4)).model.transmit(torch.rand(3, 1, 8, 8), POINT)
    assert torch.equal(first, second)


def test_weights_are_factors_of_the_losses():
    batch = Batch(torch.rand(6, 1, 8, 8), {"digit": torch.arange(6)})
    found = []
    for weights in ((1.0, 1.0), (0.0, 3.0)):
        torch.manual_seed(0)
        losses = learner(weights=weights).losses(batch, POINT)
        found.append([losses[name].item() for name in ("digit@1", "digit@2")])
    assert found[1] == pytest.approx([0.0, 3 * found[0][1]], rel=1e-5)


@pytest.mark.parametrize("name", ["equal", "upgrad"])
def test_it_learns_with_any_descent(name):
    data = load_data("digits").only(["digit"])
    model, descent = learner().train(), make_descent(name)
    descent.prepare(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(3):
            for batch in data.train.train_batches(batch_size=128, seed=0, epoch=0):
                optimizer.zero_grad(set_to_none=True)
                losses = descent(model, batch, OperatingPoint(snr_db=10.0), SingleProcess())
                optimizer.step()
                history.append(sum(value.item() for value in losses.values()))
    assert sum(history[-5:]) < 0.85 * sum(history[:5])


@pytest.mark.parametrize(
    "task",
    [
        tasks.regression("years"),
        tasks.regression("pair", 2),
        tasks.multilabel("marks", ("a", "b")),
        tasks.segmentation("map", ("a", "b")),
        tasks.picture("picture", 1),
    ],
    ids=lambda task: task.kind,
)
def test_only_classifications_have_a_confidence(task):
    with pytest.raises(UmbelError, match="no classification"):
        check_classification(task)
    with pytest.raises(UmbelError, match=task.name):
        multi_round((1, 8, 8), task, [2, 4], make_channel("awgn"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"uses": [4]}, "at least two"),
        ({"uses": [4, 0]}, "at least 1"),
        ({"weights": [1.0]}, "one for each"),
        ({"snr_db": (float("nan"), 3.0)}, "SNR"),
        ({"uses": [2, 4], "combine": "maximum-ratio"}, "same uses"),
    ],
)
def test_bad_input(change, says):
    arguments = {"input_shape": (1, 8, 8), "task": DIGIT, "uses": [2, 4], "channel": make_channel("awgn")} | change
    with pytest.raises(UmbelError, match=says):
        multi_round(**arguments)
