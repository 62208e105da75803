"""Channels in a training step, throughput of encode-channel-decode, and the digital chain with its tables."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import Row, compare, interleaved
from umbel.channels import AWGN, Channel, Received, make_channel
from umbel.channels.digital import RateTable, SeparateChain, mean_colour
from umbel.core import Batch, OperatingPoint, SingleProcess
from umbel.descent import make_descent
from umbel.methods.multires_jscc import multires_goals, multires_jscc, semantic_first
from umbel.tasks import classification, picture
from umbel.transmission import Goal, Receiver, Stage, StagedLearner, StagedModel

USES, TRAIN_BATCH, TRAIN_TURNS, WARM_UP = (128, 128, 256), 32, 40, 4
TARGET_SHARE = 1.05
FILTERS, BATCH, TURNS, SNR_DB = 16, 64, 60, 10.0
IMAGES, SNRS_DB, LIMIT_SECONDS = 1000, (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0), 300.0
KAIRA = "UMBEL_KAIRA_PYTHON"


class Wire(Channel):
    """What is sent is what is received: no noise is drawn."""

    def receive(self, latent, snr_db, generator=None, point=None) -> Received:
        ones = latent.new_ones(len(latent), *[1] * (latent.ndim - 1))
        return Received(latent.float(), ones.flatten(), ones, ones)


class Unpowered(StagedModel):
    """The same network whose latents go out as they are."""

    def transmit(self, inputs, point):
        features = self.encoder(inputs)
        return [code(features) for code in self.codes]


def _pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth colours with a little grain, [count, 3, 32, 32] in 0 to 1: codecs must find something to save."""
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator), (32, 32), mode="bicubic")
    return (coarse + 0.03 * torch.randn(count, 3, 32, 32, generator=generator)).clamp(0, 1)


def _training_step(channel: Channel, bare: bool) -> Callable[[], None]:
    """A step of the study's CIFAR-size network: pictures and labels in three layers."""
    goals = multires_goals([classification("label", [str(i) for i in range(10)])], 3, semantic_first(len(USES)))
    sizes = {"width": 48, "blocks": 2, "decoder_width": 48, "decoder_blocks": 1}
    learner = multires_jscc((3, 32, 32), goals, USES, channel, **sizes)
    if bare:
        model = learner.model
        learner.model = Unpowered(model.encoder, list(model.codes), model.stages, list(model.receivers))
    descent = make_descent("equal")
    descent.prepare(learner)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3, fused=True)
    batch = Batch(_pictures(TRAIN_BATCH), {"label": torch.arange(TRAIN_BATCH) % 10})
    generator, runtime = torch.Generator().manual_seed(0), SingleProcess()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        descent(learner, batch, learner.draw_point(generator, 0.0), runtime)
        optimizer.step()

    return step


def share_of_channels() -> list[Row]:
    rows = []
    for name in ("awgn", "rayleigh", "rayleigh-fast"):
        with_channel, without = _training_step(make_channel(name), False), _training_step(Wire(), True)
        mine, theirs = interleaved(with_channel, without, TRAIN_TURNS, WARM_UP)
        what = f"training step with {name}: multires_jscc, 32x32, {len(USES)} layers, batch {TRAIN_BATCH}, float32"
        rows.append(compare(what, mine, theirs, "without channel and power", TARGET_SHARE, 1e3, "ms"))
    return rows


def _convolutions() -> tuple[nn.Sequential, nn.Sequential]:
    """The layers of Bourtsoulatze et al., IEEE TCCN 2019, in the sizes of pykaira's encoder and decoder."""
    encoder: list[nn.Module] = []
    for into, out, stride in ((3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, FILTERS, 1)):
        encoder += [nn.Conv2d(into, out, 5, stride, 2), nn.PReLU()]
    decoder: list[nn.Module] = []
    for into, out, stride in ((FILTERS, 32, 1), (32, 32, 1), (32, 32, 1), (32, 16, 2), (16, 3, 2)):
        decoder += [nn.ConvTranspose2d(into, out, 5, stride, 2, stride - 1), nn.PReLU()]
    decoder[-1] = nn.Sigmoid()
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


class _Latent(nn.Module):
    """A decoder that reads the latent of the only stage."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, received):
        return self.layers(received[0].latent)


def ours() -> Callable[[], None]:
    """Our transmission of those layers: encode, power, channel, decode."""
    encoder, decoder = _convolutions()
    goal = Goal(picture("picture", 3))
    receiver = Receiver("", AWGN(), {1: _Latent(decoder)}, {goal.name: nn.Identity()}, [goal])
    model = StagedModel(encoder, [nn.Identity()], [Stage(FILTERS * 64 // 2)], [receiver])
    learner = StagedLearner(model, (SNR_DB, SNR_DB)).eval()
    batch, point = Batch(_pictures(BATCH), {}), OperatingPoint(snr_db=SNR_DB)

    def turn() -> None:
        with torch.no_grad():
            learner.predict(batch, point)

    return turn


def plain() -> Callable[[], None]:
    """The same written out: no library at all."""
    encoder, decoder = _convolutions()
    pictures = _pictures(BATCH)
    deviation = (10 ** (-SNR_DB / 10) / 2) ** 0.5

    def turn() -> None:
        with torch.no_grad():
            z = encoder(pictures)
            z = z * ((z[0].numel() // 2) ** 0.5 / torch.linalg.vector_norm(z, dim=(1, 2, 3), keepdim=True))
            decoder(z + deviation * torch.randn_like(z))

    return turn


class Kaira:
    """A process of its own, with its own Python, that sends a batch whenever it is asked to."""

    def __init__(self, python: str) -> None:
        worker = Path(__file__).with_name("kaira_worker.py")
        arguments = [python, str(worker), str(FILTERS), str(BATCH), str(SNR_DB), str(torch.get_num_threads())]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions = self.process.stdout.readline().strip()
        if not self.versions:
            raise SystemExit(f"{KAIRA}={python}: pykaira's worker did not start")

    def __call__(self) -> None:
        self.process.stdin.write("send\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


def throughput() -> list[Row]:
    what = f"encode, AWGN, decode of {BATCH} pictures 32x32 (layers of Bourtsoulatze 2019, ratio 1/6)"
    rows = [compare(what, *interleaved(ours(), plain(), TURNS, WARM_UP), "plain PyTorch", None, 1e3, "ms")]
    if python := os.environ.get(KAIRA):
        kaira = Kaira(python)
        mine, theirs = interleaved(ours(), kaira, TURNS, WARM_UP)
        kaira.close()
        rows.append(compare(what, mine, theirs, kaira.versions, 1.0, 1e3, "ms"))
    else:
        print(f"{KAIRA} names no Python with pykaira (it wants numpy < 2): compared with plain PyTorch only")
    return rows


def _chain(codec: str = "webp") -> float:
    """Seconds of the digital chain's evaluation: files of all pictures, envelopes and bounds at every SNR."""
    began = time.perf_counter()
    test, validation = RateTable(_pictures(IMAGES), codec), RateTable(_pictures(IMAGES // 2, 1), codec)
    colour = mean_colour(_pictures(200, 2))
    for whole in (True, False):
        here, there = (SeparateChain(table, 512, colour, whole) for table in (test, validation))
        for fading in (None, "rayleigh"):
            here.envelope(list(SNRS_DB), there, fading)
            for snr_db in SNRS_DB:
                here.ideal_psnr(snr_db, fading=fading)
    return time.perf_counter() - began


def digital_chain() -> list[Row]:
    seconds = [_chain() for _ in range(3)]
    what = (
        f"digital chain by tables: {IMAGES} pictures (and {IMAGES // 2} to choose the code on), {len(SNRS_DB)} SNRs, "
        "AWGN and Rayleigh, headers counted and not, WebP"
    )
    return [compare(what, seconds, [LIMIT_SECONDS] * len(seconds), "the limit", 1.0, 1, "s")]


def measure() -> list[Row]:
    return [*share_of_channels(), *throughput(), *digital_chain()]
