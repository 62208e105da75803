"""One transmitter, stages sent one after the other, receivers that each decode what they have heard so far."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from umbel.channels import Channel, Received, maximum_ratio_combine, normalise_power, snr_of
from umbel.core import ByTask, OperatingPoint, Released, UmbelError, at_point, unknown
from umbel.core.batch import Inputs
from umbel.transmission.goal import Goal, Stage

Combine = Literal["concatenate", "latest", "maximum-ratio"]
"""What a decoder reads after stage s: all latents side by side, the latest alone, or one latent from repeats of it."""
Coherence = Literal["stage", "picture"]
"""How long a channel keeps its gain: each stage has one of its own, or all stages of a sample share it."""


class Receiver(nn.Module):
    """A receiver: its channel, a decoder for each stage after which it wants something, and its heads.

    Args:
        name: Empty where there is only one.
        channel: Between the transmitter and this receiver.
        decoders: Stage -> what has been heard -> features.
        heads: Name of a goal -> features -> raw prediction.
        goals: What it predicts.
        combine: See `Combine`.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        decoders: Mapping[int, nn.Module],
        heads: Mapping[str, nn.Module],
        goals: Sequence[Goal],
        combine: Combine = "concatenate",
    ) -> None:
        super().__init__()
        if combine not in get_args(Combine):
            raise unknown("way to combine stages", combine, get_args(Combine))
        self.name, self.combine, self.goals = name, combine, tuple(goals)
        self.channel = channel
        self.decoders = nn.ModuleDict({str(stage): decoder for stage, decoder in decoders.items()})
        self.heads = ByTask(heads)

    def readable(self, received: Sequence[Received]) -> list[Received]:
        """What the decoder of the last received stage reads."""
        if self.combine == "latest":
            return [received[-1]]
        return list(received) if self.combine == "concatenate" else [maximum_ratio_combine(received)]

    def decode(self, received: Sequence[Received], point: OperatingPoint) -> dict[str, Tensor]:
        """Raw predictions of all goals whose stage has been received, by the goals' names."""
        predictions: dict[str, Tensor] = {}
        for stage in range(1, len(received) + 1):
            goals = [goal for goal in self.goals if goal.stage == stage]
            if goals:
                features = at_point(self.decoders[str(stage)], self.readable(received[:stage]), point)
                predictions |= {goal.name: at_point(self.heads[goal.name], features, point) for goal in goals}
        return predictions


class StagedModel(nn.Module):
    """encoder -> codes -> power -> channels -> decoders -> heads.

        inputs ─► encoder ─► t ─┬► code 1 ─► power ─► z1 ─┐      each receiver, over its own channel:
                                ├► code 2 ─► power ─► z2 ─┼──►   y1       ─► decoder 1 ─► heads of stage 1
                                └► code S ─► power ─► zS ─┘      y1, y2   ─► decoder 2 ─► heads of stage 2 ...

    Every sample obeys its power constraint in every stage. A stage is a layer of a multi-resolution code, or a round
    that a receiver asked for. Noise comes from torch's default generator, or from the one that is passed.

    Operating point: `snr_db` (one number, or one for each receiver); `stages` (how many are sent; all by default);
    whatever the channels read besides.

    Args:
        encoder: inputs -> features.
        codes: One for each stage: features -> latent. One alone for several stages is repeated.
        stages: Uses and power of each.
        receivers: At least one, of different names.
        coherence: See `Coherence`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        codes: Sequence[nn.Module],
        stages: Sequence[Stage],
        receivers: Sequence[Receiver],
        coherence: Coherence = "stage",
    ) -> None:
        super().__init__()
        if len(codes) not in (1, len(stages)):
            raise UmbelError(f"{len(codes)} codes for {len(stages)} stages; give one for each, or one to repeat")
        names = [receiver.name for receiver in receivers]
        if not names or len(set(names)) < len(names):
            raise UmbelError(f"receivers {names}: give at least one, each with a name of its own")
        if coherence not in get_args(Coherence):
            raise unknown("coherence", coherence, get_args(Coherence))
        kinds = {receiver.channel.complex_uses for receiver in receivers}
        if len(kinds) > 1:
            raise UmbelError("some receivers have channels of complex uses and some of real ones; all hear the same")
        self.encoder = encoder
        self.complex_uses = kinds.pop()
        self.codes = nn.ModuleList(codes)
        self.stages, self.coherence = tuple(stages), coherence
        self.receivers = nn.ModuleList(receivers)
        self.goals = tuple(goal for receiver in receivers for goal in receiver.goals)

    def forward(
        self,
        inputs: Inputs,
        point: OperatingPoint,
        generator: torch.Generator | None = None,
        receivers: Iterable[str] | None = None,
    ) -> dict[str, Tensor]:
        """Raw predictions by the goals' names, of all receivers or of the named ones."""
        latents = self.transmit(inputs, point)
        predictions: dict[str, Tensor] = {}
        for receiver in self.receivers if receivers is None else map(self.receiver, receivers):
            predictions |= receiver.decode(self.hear(latents, receiver, point, generator), point)
        return predictions

    def released(self, inputs: Inputs, point: OperatingPoint) -> dict[str, Released]:
        """What each receiver has heard of all stages, by its name; it serves the goals of that receiver."""
        latents, released = self.transmit(inputs, point), {}
        for receiver in self.receivers:
            heard = [received.latent for received in self.hear(latents, receiver, point)]
            released[receiver.name or "receiver"] = Released(heard, tuple(goal.name for goal in receiver.goals))
        return released

    def receiver(self, name: str) -> Receiver:
        """The receiver of that name."""
        for receiver in self.receivers:
            if receiver.name == name:
                return receiver
        raise unknown("receiver", name, [receiver.name for receiver in self.receivers])

    def transmit(self, inputs: Inputs, point: OperatingPoint) -> list[Tensor]:
        """The latents that are sent, each with its power set."""
        features = at_point(self.encoder, inputs, point)
        count = _stages_of(point, len(self.stages))
        latents = []
        for index, stage in enumerate(self.stages[:count]):
            if index < len(self.codes):
                latent = at_point(self.codes[index], features, point)
            latents.append(normalise_power(latent, stage.power, complex_uses=self.complex_uses))
        return latents

    def hear(
        self,
        latents: Sequence[Tensor],
        receiver: Receiver,
        point: OperatingPoint,
        generator: torch.Generator | None = None,
    ) -> list[Received]:
        """What a receiver gets of the latents."""
        snr_db = snr_of(point, receiver.name)
        if self.coherence == "stage" or len(latents) == 1:
            return [receiver.channel.receive(latent, snr_db, generator, point) for latent in latents]
        reals = 2 if self.complex_uses else 1
        heard = receiver.channel.receive(_side_by_side(latents, reals), snr_db, generator, point)
        return _split(heard, latents, reals)


def _side_by_side(latents: Sequence[Tensor], reals: int) -> Tensor:
    """One latent [B, reals·n] of all stages' n uses: of complex ones (2 reals) the real parts, then the imaginary."""
    parts = zip(*(latent.flatten(1).chunk(reals, 1) for latent in latents), strict=True)
    return torch.cat([piece for part in parts for piece in part], dim=1)


def _split(heard: Received, latents: Sequence[Tensor], reals: int) -> list[Received]:
    """What was received of each latent, in its shape, from what was received of all of them side by side."""
    sizes = [latent[0].numel() // reals for latent in latents]
    parts = [part.split(sizes, dim=1) for part in heard.latent.chunk(reals, 1)]
    values = [torch.cat(pieces, dim=1) for pieces in zip(*parts, strict=True)]
    ratios, gains = (_of_uses(part, sizes) for part in (heard.snr_per_use, heard.gain))
    return [
        Received(value.view(latent.shape), heard.snr, _shaped(ratio, latent), _shaped(gain, latent))
        for value, ratio, gain, latent in zip(values, ratios, gains, latents, strict=True)
    ]


def _of_uses(values: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Values of all uses cut into the stages' parts; one value for all uses belongs to every stage."""
    if values.shape[1] == 1:
        return [values] * len(sizes)
    return list(values.split(list(sizes), dim=1))


def _shaped(values: Tensor, latent: Tensor) -> Tensor:
    """Values of one stage's uses, shaped so that they broadcast over its latent's uses."""
    return values.view(len(latent), -1, *(latent.shape[2:] if values.shape[1] > 1 else [1] * (latent.ndim - 2)))


def _stages_of(point: OperatingPoint, most: int) -> int:
    count = point.get("stages", most)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise UmbelError(f"operating point: stages is {count!r}; this model sends 1 to {most}")
    return count
