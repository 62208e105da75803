"""Digital rivals of a shared transmission: the label that the transmitter classified, and the coded picture."""

from collections.abc import Callable, Sequence
from itertools import islice

import torch
from torch import Tensor

from umbel.channels.digital import Judge, LabelGenie, RateTable, SeparateChain, mean_colour, shipped_table
from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data import Source
from umbel.recipes.multi_receiver.arms import Bench, Group, train_clean
from umbel.report import Run

GENIE, WHOLE, FREE, CLEAN = "label-genie", "picture-whole-file", "picture-header-free", "clean"
FADINGS = {"awgn": None, "rayleigh": "rayleigh"}
"""Channels that the digital links know -> what they call them."""
_CODEC = "webp"


def check_digital_uses(counts: Sequence[int]) -> None:
    """Refuse a number of uses of which no block was measured.

    Raises:
        UmbelError: It names the known ones.
    """
    for uses in counts:
        if uses not in shipped_table().uses:
            known = "/".join(map(str, shipped_table().uses))
            raise UmbelError(f"--digital-uses {uses}: no block error rates for so many uses; measured are {known}")


def label_signals(source: Source, group: Group) -> dict[str, Tensor]:
    """The combinations of labels that occur: task -> the label in each combination, int64 [M]."""
    seen: set[tuple[int, ...]] = set()
    for batch in source.batches(1024):
        targets = torch.stack([task.target_of(batch) for task in group.tasks], dim=1)
        seen.update(map(tuple, targets[(targets >= 0).all(1)].tolist()))
    if len(seen) < 2:
        raise UmbelError(f"--pairs {group.name}: no two combinations of labels occur together")
    table = torch.tensor(sorted(seen))
    return {name: table[:, index] for index, name in enumerate(group.names)}


def genie_accuracies(
    combinations: dict[str, Tensor], clean: dict[str, float], uses: int, snr_db: float, fading: str | None
) -> dict[str, float]:
    """Accuracy of every receiver when the transmitter sends the classified labels, in the better of two ways.

    Either the combination of all labels as one of M signals over all uses, or each label in its even share of them.
    A combination that is lost is taken for any other with equal probability.

    Args:
        combinations: As from `label_signals`.
        clean: Task -> accuracy of the transmitter's classifier on clean pictures.
        uses: Channel uses in all.
        snr_db: Mean Es/N0.
        fading: None or "rayleigh".
    """
    names, signals = list(combinations), len(next(iter(combinations.values())))
    arrives = LabelGenie(signals, uses).success(snr_db, fading)
    together = {}
    for name, labels in combinations.items():
        sizes = labels.unique(return_counts=True)[1]
        same = float((sizes * (sizes - 1)).sum()) / (signals * (signals - 1))
        right = arrives + (1 - arrives) * same
        together[name] = right * clean[name] + (1 - right) * (1 - clean[name]) / (len(sizes) - 1)
    each, apart = uses // len(names), {}
    if each:
        for name, labels in combinations.items():
            apart[name] = LabelGenie(len(labels.unique()), each).accuracy(clean[name], snr_db, fading)
    return max((way for way in (together, apart) if way), key=lambda way: sum(way.values()))


def add_digital(bench: Bench) -> None:
    """Runs of the digital rivals, for every seed."""
    pictures = _Pictures.of(bench)
    for channel in bench.channels:
        if channel not in FADINGS:
            bench.study.warnings.append(f"The digital rivals know awgn and rayleigh only; none is shown for {channel}.")
    names = list(dict.fromkeys(name for group in bench.groups for name in group.names))
    combinations = {group.name: label_signals(bench.data.train, group) for group in bench.groups}
    for seed in range(bench.settings.seeds):
        clean = {name: train_clean(bench, bench.data.task(name), seed) for name in names}
        for group in bench.groups:
            accuracy = {name: clean[name][1].test[name]["accuracy"] for name in group.names}
            metrics = {name: {"accuracy": value} for name, value in accuracy.items()}
            bench.runs.append(Run(CLEAN, seed, metrics, {"pair": group.name, "channel": "none"}))
            for arm in (CLEAN, GENIE, WHOLE, FREE):
                bench.outcomes.setdefault(arm, []).extend(clean[name][1] for name in group.names)
            for channel in (c for c in bench.channels if c in FADINGS):
                _add_genie(bench, group, channel, seed, combinations[group.name], accuracy)
                if pictures:
                    pictures.add_runs(bench, group, channel, seed, {name: clean[name][0] for name in group.names})


def _add_genie(bench: Bench, group: Group, channel: str, seed: int, combinations, clean: dict[str, float]) -> None:
    for uses in bench.settings.use_values:
        for snr_db in bench.settings.link.test_values:
            found = genie_accuracies(combinations, clean, uses, snr_db, FADINGS[channel])
            point = {"pair": group.name, "channel": channel, "uses": uses, "total_uses": uses, "snr_db": snr_db}
            metrics = {name: {"accuracy": value} for name, value in found.items()}
            bench.runs.append(Run(GENIE, seed, metrics, point))


class _Pictures:
    """Coded pictures of the validation and test splits, and who judges them."""

    def __init__(self, bench: Bench) -> None:
        count = bench.settings.digital_pictures
        self.fallback = mean_colour(_first(bench.data.train, 2000)[0])
        self.parts = {}
        for split in ("validation", "test"):
            images, targets = _first(getattr(bench.data, split), count)
            table = RateTable(images, _CODEC)
            self.parts[split] = (table, targets)
        self.judges: dict[tuple[str, str, int], Judge] = {}
        self.chains: dict[tuple[str, int, bool], SeparateChain] = {}

    @classmethod
    def of(cls, bench: Bench) -> "_Pictures | None":
        """None, with a warning, where pictures cannot be coded."""
        try:
            return cls(bench)
        except UmbelError as error:
            bench.study.warnings.append(f"The coded picture is left out: {error}.")
            return None

    def chain(self, split: str, uses: int, whole: bool) -> SeparateChain:
        key = (split, uses, whole)
        if key not in self.chains:
            self.chains[key] = SeparateChain(self.parts[split][0], uses, self.fallback, count_header=whole)
        return self.chains[key]

    def judge(self, split: str, name: str, seed: int, classifier: Callable[[Tensor], Tensor]) -> Judge:
        key = (split, name, seed)
        if key not in self.judges:
            table, targets = self.parts[split]
            self.judges[key] = Judge(table, classifier, targets[name], self.fallback)
        return self.judges[key]

    def add_runs(self, bench: Bench, group: Group, channel: str, seed: int, clean: dict[str, Learner]) -> None:
        """The best coding on validation pictures at each SNR, measured on test pictures."""
        fading = FADINGS[channel]
        device = bench.study.runtime.device
        judges = {
            split: [
                self.judge(split, name, seed, _classifier(learner, name, device)) for name, learner in clean.items()
            ]
            for split in ("validation", "test")
        }
        for arm, whole in ((WHOLE, True), (FREE, False)):
            for uses in bench.settings.digital_values:
                chains = {split: self.chain(split, uses, whole) for split in judges}
                for snr_db in bench.settings.link.test_values:

                    def score(coding, chain=chains["validation"], snr_db=snr_db) -> float:
                        return sum(chain.accuracy(judge, snr_db, coding, fading) for judge in judges["validation"])

                    best = max(chains["test"].codings, key=score)
                    found = [chains["test"].accuracy(judge, snr_db, best, fading) for judge in judges["test"]]
                    metrics = {name: {"accuracy": value} for name, value in zip(group.names, found, strict=True)}
                    point = {"pair": group.name, "channel": channel, "uses": uses, "total_uses": uses, "snr_db": snr_db}
                    bench.runs.append(Run(arm, seed, metrics, point, settings={"coding": best.name}))


def _first(source: Source, count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The first samples of a split that have every label: pictures in 0 to 1 and targets."""
    batches = list(islice(source.batches(250), -(-count // 250)))
    if not isinstance(batches[0].inputs, Tensor):
        raise UmbelError("the inputs are no pictures")
    targets = {name: torch.cat([batch.targets[name] for batch in batches])[:count] for name in batches[0].targets}
    whole = torch.stack([labels >= 0 for labels in targets.values()]).all(0)
    pictures = torch.cat([batch.inputs for batch in batches])[:count]
    return pictures[whole], {name: labels[whole] for name, labels in targets.items()}


def _classifier(learner: Learner, name: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    learner.eval()
    learner.to(device)
    return lambda pictures: learner.model(pictures.to(device), OperatingPoint())[name]
