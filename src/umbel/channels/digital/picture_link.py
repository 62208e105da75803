"""Coded pictures of two splits: those of validation choose how pictures are sent, those of the test are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from umbel.channels.digital.judge import Classifier, Judge
from umbel.channels.digital.mcs import ModulationCoding
from umbel.channels.digital.rate_table import RateTable
from umbel.channels.digital.separate import Delivery, SeparateChain, mean_psnr


@dataclass(frozen=True)
class Coding:
    """How pictures are sent.

    Attributes:
        codec: Name of the codec that writes the files.
        mcs: Modulation and coding of the blocks that carry them.
    """

    codec: str
    mcs: ModulationCoding

    @property
    def name(self) -> str:
        """As in "16QAM 2/3, webp"."""
        return f"{self.mcs.name}, {self.codec}"


@dataclass(frozen=True)
class Received:
    """What arrives, as means over the test pictures.

    Attributes:
        psnr: In dB.
        accuracies: Of each judge, in their order, 0 to 1.
    """

    psnr: float
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class PictureJudge:
    """One classifier and its labels, for the pictures of both splits; it sees every file once.

    Attributes:
        validation: Codec -> judge of the validation pictures.
        test: Likewise of the test pictures.
    """

    validation: dict[str, Judge]
    test: dict[str, Judge]


class CodedPictures:
    """Pictures of the validation and the test split as files of one or several codecs.

        pictures = CodedPictures(validation, test, mean_colour(training))
        link = pictures.link(uses=128)
        judges = [pictures.judge(classifier, validation_labels, test_labels)]
        coding = link.best(10.0, "rayleigh", judges)            # on validation
        link.expected(10.0, coding, "rayleigh", judges)         # on the test pictures

    Encoding takes some seconds for 1,000 pictures of 32x32; everything after it is a lookup.

    Attributes:
        validation: Codec -> sizes and errors of the validation pictures' files.
        test: Likewise of the test pictures.
        colour: Shown where a picture is lost, float [C].
    """

    def __init__(self, validation: Tensor, test: Tensor, colour: Tensor, codecs: Sequence[str] = ("webp",)) -> None:
        """Encodes all pictures.

        Args:
            validation: [N, C, H, W] with 1 or 3 channels, uint8 or float in 0 to 1.
            test: Likewise, of the test split.
            colour: Float [C]; see `mean_colour`.
            codecs: Names of `CODECS`, at least one.

        Raises:
            UmbelError: Pictures of another kind, an unknown codec, or one whose package is missing.
        """
        self.validation = {codec: RateTable(validation, codec) for codec in codecs}
        self.test = {codec: RateTable(test, codec) for codec in codecs}
        self.colour = colour
        self._links: dict[tuple[int, bool], PictureLink] = {}

    def judge(self, classifier: Classifier, validation: Tensor, test: Tensor) -> PictureJudge:
        """Who says whether a received picture is still recognised.

        Args:
            classifier: Pictures [B, C, H, W], float in 0 to 1 -> logits [B, K]. In evaluation mode.
            validation: Classes of the validation pictures, int64 [N].
            test: Likewise of the test pictures.

        Raises:
            UmbelError: Not one label for each picture, or labels missing.
        """
        judges = partial(Judge, classifier=classifier, fallback=self.colour)
        return PictureJudge(
            {codec: judges(table, labels=validation) for codec, table in self.validation.items()},
            {codec: judges(table, labels=test) for codec, table in self.test.items()},
        )

    def link(self, uses: int, count_header: bool = True) -> "PictureLink":
        """The digital link at so many channel uses for each picture; kept.

        Args:
            uses: Complex channel uses.
            count_header: Whether all bytes of a file count; see `SeparateChain`.
        """
        key = (uses, count_header)
        if key not in self._links:
            self._links[key] = PictureLink(self, *key)
        return self._links[key]


class PictureLink:
    """The separate chain at one number of channel uses, for the pictures of both splits.

    Attributes:
        validation: Codec -> chain of the validation pictures: it chooses.
        test: Codec -> chain of the test pictures: it is measured.
    """

    def __init__(self, pictures: CodedPictures, uses: int, count_header: bool) -> None:
        def chains(tables: dict[str, RateTable]) -> dict[str, SeparateChain]:
            return {codec: SeparateChain(table, uses, pictures.colour, count_header) for codec, table in tables.items()}

        self.validation, self.test = chains(pictures.validation), chains(pictures.test)

    @property
    def codings(self) -> list[Coding]:
        """All ways to send.

        Raises:
            UmbelError: No block error rates were measured for so many uses.
        """
        return [Coding(codec, mcs) for codec, chain in self.test.items() for mcs in chain.codings]

    def best(self, snr_db: float, fading: str | None = None, judges: Sequence[PictureJudge] = ()) -> Coding:
        """The coding that is best on the *validation* pictures: by PSNR, or by the judges' mean accuracy.

        Of equals the most robust is taken.

        Args:
            snr_db: Mean Es/N0 for each complex use.
            fading: None (AWGN) or "rayleigh"; see `FADINGS`.
            judges: By whose accuracy it is chosen; without any, by PSNR.

        Raises:
            UmbelError: No block error rates for so many uses, or another fading.
        """

        def score(coding: Coding) -> float:
            chain = self.validation[coding.codec]
            delivery = chain.delivery(snr_db, coding.mcs, fading)
            if not judges:
                return chain.psnr_of(delivery)
            return sum(chain.accuracy_of(delivery, judge.validation[coding.codec]) for judge in judges)

        return max(self.codings, key=score)

    def expected(
        self, snr_db: float, coding: Coding, fading: str | None = None, judges: Sequence[PictureJudge] = ()
    ) -> Received:
        """What arrives of the test pictures with one coding, from the table of block errors; see `best`."""
        delivery = self.test[coding.codec].delivery(snr_db, coding.mcs, fading)
        return self._received(coding.codec, delivery, judges)

    def ideal(
        self, snr_db: float, bound: str = "capacity", fading: str | None = None, judges: Sequence[PictureJudge] = ()
    ) -> Received:
        """What ideal codes would deliver, with the better codec; see `SeparateChain.ideal_delivery`."""
        every = [
            self._received(codec, chain.ideal_delivery(snr_db, bound, fading=fading), judges)
            for codec, chain in self.test.items()
        ]
        return max(every, key=lambda received: received.psnr)

    def _received(self, codec: str, delivery: Delivery, judges: Sequence[PictureJudge]) -> Received:
        chain = self.test[codec]
        right = tuple(chain.accuracy_of(delivery, judge.test[codec]) for judge in judges)
        return Received(chain.psnr_of(delivery), right)

    def decoded(
        self,
        snr_db: float,
        coding: Coding,
        fading: str | None = None,
        judges: Sequence[PictureJudge] = (),
        generator: torch.Generator | None = None,
    ) -> Received:
        """What arrives when every test picture is really sent and decoded once (needs the `[comms]` extra)."""
        chain = self.test[coding.codec]
        shown = chain.send(snr_db, coding.mcs, generator, fading)
        right = tuple(judge.test[coding.codec].accuracy(shown) for judge in judges)
        return Received(mean_psnr(shown, chain.table.originals()), right)
