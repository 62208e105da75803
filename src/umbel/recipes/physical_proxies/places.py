"""What the study's networks learn from and are judged by: all places but one, the one held out, an unseen attack."""

from collections.abc import Iterator
from functools import lru_cache

from umbel.data import MultiTaskData, Source
from umbel.data.rendered_faces import rendered_faces
from umbel.recipes.physical_proxies.settings import DOMAINS, PhysicalProxiesSettings
from umbel.recipes.settings import DataSettings

SEEN, UNSEEN, ATTACK = "seen places", "unseen place", "unseen attack"
"""Kinds of test pictures, of other people: in the places learnt from, in the one held out; masks in the former."""
TAUGHT, UNTAUGHT = "print/replay", "mask"
"""Attacks of every training, and the one that no training has."""


class Places:
    """The pictures of the study, rendered when they are asked for.

    Args:
        settings: Of the study.
    """

    def __init__(self, settings: PhysicalProxiesSettings) -> None:
        self.settings = settings
        self._seen = lru_cache(maxsize=2)(self._without)

    def seen(self, held_out: str, repeat: int, changed: bool = False) -> MultiTaskData:
        """All places but one, with the attacks that are learnt from; people of the splits differ.

        Args:
            held_out: The place left out.
            repeat: Of the study: another set of people and pictures.
            changed: Whether training pictures are changed as if other cameras had taken them.
        """
        return self._seen(held_out, repeat, changed)

    def data_settings(self, held_out: str, repeat: int) -> DataSettings:
        """The same as `umbel train` would be told."""
        settings = self.settings
        options = {
            "domains": _all_but(held_out),
            "attacks": TAUGHT,
            "seed": repeat,
            "evaluation_size": settings.evaluation_size,
            "textures": settings.textures,
            "camera_changes": 0.0,
        }
        return DataSettings(
            data="rendered-faces",
            train_size=settings.size,
            resolution=settings.resolution,
            options=",".join(f"{name}={value}" for name, value in options.items()),
        )

    def tests(self, held_out: str, repeat: int) -> Iterator[tuple[str, Source]]:
        """What a network is judged by, once: each kind of test pictures with its name."""
        settings = self.settings
        yield SEEN, self.seen(held_out, repeat).test
        yield UNSEEN, self._rendered(repeat, 1, settings.evaluation_size, held_out, TAUGHT).test
        others = _all_but(held_out)
        yield ATTACK, self._rendered(repeat, 1, settings.evaluation_size, others, UNTAUGHT).test

    def _without(self, held_out: str, repeat: int, changed: bool) -> MultiTaskData:
        settings = self.settings
        return self._rendered(repeat, settings.size, settings.evaluation_size, _all_but(held_out), TAUGHT, changed)

    def _rendered(
        self, repeat: int, size: int, evaluation_size: int, domains: str, attacks: str, changed: bool = False
    ) -> MultiTaskData:
        return rendered_faces(
            size=size,
            resolution=self.settings.resolution,
            seed=repeat,
            evaluation_size=evaluation_size,
            domains=domains,
            attacks=attacks,
            textures=self.settings.textures,
            camera_changes=self.settings.camera_changes if changed else 0.0,
        )


def _all_but(held_out: str) -> str:
    """The places that are learnt from: three, also where the one held out is for choosing settings."""
    left_out = {"E": "D", "F": "A"}.get(held_out, held_out)
    return "/".join(domain for domain in DOMAINS if domain != left_out)
