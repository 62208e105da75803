"""What is measured of one liveness detector: errors by kind of pictures, maps, and how unsure its attention is."""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from umbel.core import Batch
from umbel.data import MultiTaskData, Source
from umbel.data.source import first_samples
from umbel.engine import metrics_of, predict_split
from umbel.engine.evaluation import evaluating
from umbel.methods.physical_proxies import ProxyLearner
from umbel.metrics import AreaUnderROC, attack_errors, det_curve, eer_threshold
from umbel.metrics.presentation_attacks import Threshold
from umbel.recipes.physical_proxies.places import Places
from umbel.recipes.physical_proxies.settings import LIVENESS
from umbel.recipes.physical_proxies.texture import TextureClassifier
from umbel.report import Profile
from umbel.study import Measurement, Trained

AREA, HTER, HTER_THERE = "AUC", "HTER", "HTER, threshold of the test itself"
LIVE_DEPTH, CONSTANT, MEAN_MAP = "MAE of live", "constant", "mean map"
"""Metrics of the depth: of a network, of the best single number, of the mean depth of live training pictures."""
SIGMA, SIGMA_TELLS = "sigma", "AUC of sigma"
"""Metrics of the liveness: mean sigma of all branches; how well it tells these pictures from those of seen places."""
DET = "false acceptances and rejections"
"""Name of the profiles with a DET curve."""
_DET_POINTS = 60


class Judge:
    """The numbers of one trained network.

    Args:
        trained: The network.
        data: What it learnt from; `trained.data` is that of the first place, for what has no training loop.
        places: The study's pictures.
    """

    def __init__(self, trained: Trained, data: MultiTaskData, places: Places) -> None:
        self.trained, self.data, self.places, self.job = trained, data, places, trained.job
        self.labels = data.task(LIVENESS).labels

    @cached_property
    def tests(self) -> dict[str, Source]:
        """Test pictures by kind; the first are those of seen places."""
        return dict(self.places.tests(self.job.place["held_out"], self.job.repeat))

    @cached_property
    def predicted(self) -> dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Raw predictions and targets of each kind of test pictures, by task."""
        return {pictures: self._predicted(source) for pictures, source in self.tests.items()}

    @cached_property
    def threshold(self) -> Threshold:
        """Of the score, from the validation pictures: other people in the places that were learnt from."""
        raw, targets = self._predicted(self.data.validation)
        return eer_threshold(raw[LIVENESS], targets[LIVENESS])

    def measurements(self) -> Iterator[Measurement]:
        """A measurement for each kind of test pictures."""
        seen_sigmas: dict[str, Tensor] = {}
        for pictures, source in self.tests.items():
            raw, targets = self.predicted[pictures]
            metrics = {LIVENESS: self._errors(raw[LIVENESS], targets[LIVENESS])}
            metrics |= self._maps(raw, targets, targets[LIVENESS] == 0)
            sigmas = self._sigmas(source)
            seen_sigmas = seen_sigmas or sigmas
            metrics[LIVENESS] |= _unsure(sigmas, seen_sigmas)
            where = {"held_out": self.job.place["held_out"], "pictures": pictures}
            validation = {LIVENESS: {"EER": self.threshold.eer}}
            yield Measurement(metrics, where, validation)

    def curves(self) -> Iterator[Profile]:
        """False acceptances and rejections at every threshold, thinned out."""
        for pictures, (raw, targets) in self.predicted.items():
            curve = det_curve(raw[LIVENESS], targets[LIVENESS])
            some = torch.linspace(0, len(curve.far) - 1, min(_DET_POINTS, len(curve.far))).round().long()
            columns = {"far": tuple(curve.far[some].tolist()), "frr": tuple(curve.frr[some].tolist())}
            where = {"held_out": self.job.place["held_out"], "pictures": pictures}
            yield Profile(self.job.arm, DET, columns, self.job.repeat, where)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _predicted(self, source: Source) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Raw predictions, and targets, by task; the scores of liveness are [n]."""
        model = self.trained.model
        if isinstance(model, TextureClassifier):
            samples = first_samples(source, len(source))
            return {LIVENESS: model.scores(samples.inputs)}, {LIVENESS: samples.targets[LIVENESS]}
        predicted = predict_split(model, source, self.trained.runtime)
        raw = {**predicted.raw, LIVENESS: predicted.raw[LIVENESS].flatten()}
        return raw, predicted.targets

    def _errors(self, scores: Tensor, kinds: Tensor) -> dict[str, float]:
        there = eer_threshold(scores, kinds)
        errors = attack_errors(scores, kinds, self.threshold.value, self.labels)
        by_type = {f"APCER {name}": value for name, value in errors.apcer_by_type.items()}
        return {
            AREA: _area(scores, kinds == 0),
            "EER": there.eer,
            HTER: errors.hter,
            HTER_THERE: attack_errors(scores, kinds, there.value, self.labels).hter,
            "APCER": errors.apcer,
            "BPCER": errors.bpcer,
            "ACER": errors.acer,
            **by_type,
        }

    def _maps(self, raw: dict[str, Tensor], targets: dict[str, Tensor], live: Tensor) -> dict[str, dict[str, float]]:
        """The proxies' own metrics, and for the depth what is told of live faces alone."""
        metrics = {}
        for task in self.data.tasks:
            if task.name == LIVENESS or task.name not in raw:
                continue
            metrics[task.name] = metrics_of(task, raw[task.name], targets[task.name])
            if task.name == "depth" and bool(live.any()):
                truth = targets["depth"][live]
                metrics["depth"][LIVE_DEPTH] = _error(task.decode(raw["depth"][live]), truth)
                constant, mean_map = self._floors
                metrics["depth"] |= {CONSTANT: _error(constant, truth), MEAN_MAP: _error(mean_map, truth)}
        return metrics

    @cached_property
    def _floors(self) -> tuple[Tensor, Tensor]:
        """The best single depth for live training faces (their median), and their mean map."""
        train = self.data.train
        samples = first_samples(train, len(train))
        depth = samples.targets["depth"][samples.targets[LIVENESS] == 0]
        return depth.flatten().sort().values[depth.numel() // 2], depth.mean(0, keepdim=True)

    def _sigmas(self, source: Source) -> dict[str, Tensor]:
        """By branch, how unsure the attention is of each sample; empty where it does not say."""
        learner, runtime = self.trained.model, self.trained.runtime
        if not isinstance(learner, ProxyLearner) or learner.model.encoder.fusion.kind != "gaussian":
            return {}
        parts: dict[str, list[Tensor]] = {}
        with evaluating(learner, runtime, 0), runtime.autocast():
            for batch in source.batches(256):
                inputs = Batch(batch.inputs).to(runtime.device)
                for name, sigma in learner.sigmas(inputs, learner.sweep()[0]).items():
                    parts.setdefault(name, []).append(sigma.float().cpu())
        return {name: torch.cat(values) for name, values in parts.items()}


def _unsure(sigmas: dict[str, Tensor], seen: dict[str, Tensor]) -> dict[str, float]:
    """Mean sigma over branches and of each, and how well the former tells samples from those of seen places."""
    if not sigmas:
        return {}
    here, there = (torch.stack(list(one.values())).mean(0) for one in (sigmas, seen))
    unseen = torch.cat([torch.ones(len(here)), torch.zeros(len(there))]).bool()
    told = {f"{SIGMA} {name}": float(value.mean()) for name, value in sigmas.items()}
    return {SIGMA: float(here.mean()), SIGMA_TELLS: _area(torch.cat([here, there]), unseen), **told}


def _area(scores: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve, ties counted half."""
    area = AreaUnderROC()
    area.update(scores.float(), positive.float())
    return float(area.compute())


def _error(prediction: Tensor, truth: Tensor) -> float:
    return float((prediction.float() - truth).abs().mean())
