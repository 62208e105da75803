"""What came of the private features study: claims, charts, matrices and sentences from its runs."""

import math
from collections.abc import Callable, Iterator
from itertools import permutations

from umbel.privacy import NEIGHBOURS, Release, guarantee
from umbel.recipes.private_features.scores import ATTACK, BLIND, LABEL_FLOOR, Scores
from umbel.recipes.private_features.settings import (
    COMPONENTS,
    LINEAR,
    MIN_MAX,
    NO_GATES,
    NO_LOSS,
    NOISE_ONLY,
    NOISY,
    OURS,
    PLAIN,
    REVERSAL,
    SINGLE,
    UNIVERSAL,
    PrivateFeaturesSettings,
)
from umbel.recipes.private_features.study import REBUILT, TUNING
from umbel.report import Chart, Claim, Matrix, Results, Series
from umbel.study import Findings, Table, Values, average, chart, claim, line, settings_of

MOST_LEAKAGE = 0.3
"""Normalised leakage that private features should stay under on independent tasks."""
LEAST_SSIM = 0.1
"""By how much reconstructions should be worse than from plain links."""
_RIVALS = {
    PLAIN: "plain links",
    REVERSAL: "gradient reversal",
    MIN_MAX: "min-max",
    COMPONENTS: "principal components",
    SINGLE: "encoders of their own",
}
_PARTS = {
    NO_GATES: "gates across tasks",
    NO_LOSS: "the loss of dependence",
    LINEAR: "what is not linear in the loss",
}


def findings(results: Results) -> Findings:
    """All that follows from the runs."""
    said = _Said(results)
    return Findings(
        claims=tuple(said.claims()),
        charts=tuple(said.charts()),
        matrices=tuple(said.matrices()),
        verdict=tuple(said.verdict()),
    )


class _Said:
    """What is said of one study."""

    def __init__(self, results: Results) -> None:
        self.results, self.settings = results, settings_of(results, PrivateFeaturesSettings)
        self.scores = Scores(Table(results.runs), results.tasks)
        self.tasks = [task.name for task in results.tasks]
        self.arms = {method.key: method.title for method in results.methods}

    # -- claims ------------------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """What the study set out to show; differences are taken seed by seed."""
        for task in self.results.tasks:
            unit, spare = "points" if task.higher_is_better else "%", self.settings.spare
            text = (
                f"{task.name}: private features cost at most {spare:g} {unit} of {task.metric} against universal ones"
            )
            cost = self.scores.task_cost(OURS, task.name)
            yield claim(f"own score: {task.name}", text, cost, at_most=spare, unit=unit)
        text = f"normalised leakage of private features, mean over pairs of tasks, is at most {MOST_LEAKAGE:g}"
        yield claim("leakage", text, self.scores.leakage(OURS), at_most=MOST_LEAKAGE, unit="")
        for arm, name in _RIVALS.items():
            if arm in self.arms:
                yield self._less(f"below {name}", f"private features leak less than {name}", arm)
        for arm, part in _PARTS.items():
            if arm in self.arms:
                yield self._less(f"part: {part}", f"without {part} private features leak more", arm)
        yield from self._rebuilt_claims()
        yield from self._noise_claims()

    def _less(self, name: str, text: str, arm: str) -> Claim:
        return claim(name, text, self.scores.leakage(arm) - self.scores.leakage(OURS), above=0.0, unit="")

    def _rebuilt_claims(self) -> Iterator[Claim]:
        if not self.settings.reconstruct:
            return
        text = (
            f"pictures rebuilt from private features have an SSIM at least {LEAST_SSIM:g} below those from plain links"
        )
        yield claim("reconstruction", text, self._worse_rebuilt(OURS), at_least=LEAST_SSIM, unit="")
        if NOISY in self.arms and (sigma := self._affordable(NOISY)):
            text = f"the same with noise {sigma:g}, the most that costs at most {self.settings.spare:g} on validation"
            worse = self._worse_rebuilt(NOISY, sigma=sigma)
            yield claim("reconstruction, with noise", text, worse, at_least=LEAST_SSIM, unit="")

    def _worse_rebuilt(self, arm: str, **point: float) -> Values:
        """By how much the SSIM from what a receiver gets is below that from plain links, mean over receivers."""
        return average(self.ssim(PLAIN, task) - self.ssim(arm, task, **point) for task in self.tasks)

    def _affordable(self, arm: str) -> float:
        """The most noise that costs the tasks no more on validation than is to spare; 0 where none is."""
        scores = Scores(self.scores.table, self.results.tasks, "validation")
        cheap = [s for s in self.settings.sigmas if scores.cost(arm, sigma=s).mean <= self.settings.spare]
        return max(cheap, default=0.0)

    def _noise_claims(self) -> Iterator[Claim]:
        sigmas = [sigma for sigma in self.settings.sigmas if sigma]
        if not {NOISY, NOISE_ONLY} <= set(self.arms) or not sigmas:
            return
        less = average(
            self.scores.leakage(NOISE_ONLY, sigma=sigma) - self.scores.leakage(NOISY, sigma=sigma) for sigma in sigmas
        )
        text = "with the same noise private features leak less than plain links, mean over the noise levels above 0"
        yield claim("with noise", text, less, above=0.0, unit="")
        if most := self._affordable(NOISE_ONLY):
            less = self.scores.leakage(NOISE_ONLY, sigma=most) - self.scores.leakage(OURS)
            text = f"without noise private features leak less than noise alone at {most:g}, the most that is affordable"
            yield claim("below noise alone", text, less, above=0.0, unit="")
        if self.settings.reconstruct:
            gain = average(
                self.ssim(NOISE_ONLY, task, sigma=s) - self.ssim(NOISY, task, sigma=s)
                for task in self.tasks
                for s in sigmas
            )
            text = "with the same noise pictures are rebuilt less well from private features than from plain links"
            yield claim("reconstruction against noise alone", text, gain, above=0.0, unit="")

    # -- pictures and matrices ---------------------------------------------------------------------------------------

    def ssim(self, arm: str, seen: str, **point: float) -> Values:
        """Of pictures rebuilt from what one receiver gets; NaN where nothing was rebuilt."""
        wanted = {"seen": seen, **point}
        found = {
            profile.repeat: profile.columns["ssim"]
            for profile in self.results.profiles
            if (profile.method, profile.name, profile.point) == (arm, REBUILT, wanted) and profile.repeat is not None
        }
        return Values({repeat: sum(numbers) / len(numbers) for repeat, numbers in found.items()})

    def matrices(self) -> Iterator[Matrix]:
        """Who can tell what: normalised leakage, of the arms that say most."""
        for arm in (OURS, PLAIN, UNIVERSAL):
            rows = tuple(tuple(self._cell(arm, seen, wanted) for wanted in self.tasks) for seen in self.tasks)
            yield Matrix(
                f"Who can tell what: {self.arms[arm].lower()}",
                tuple(self.tasks),
                tuple(self.tasks),
                rows,
                "features sent for",
                "task that is told from them",
                note=(
                    "Normalised: 0 is what can be guessed without the features, 1 what the same attackers get from "
                    "universal features; blank where the label tells as much. Mean over seeds; the best attacker on "
                    "validation."
                ),
                section="Cross-task inference",
                centre=None,
            )

    def _cell(self, arm: str, seen: str, wanted: str) -> float:
        known = seen == wanted or (seen, wanted) in self.scores.pairs
        return self.scores.leak(arm, seen, wanted).mean if known else math.nan

    def charts(self) -> Iterator[Chart]:
        """Leakage against what it costs, and over the noise."""
        axes = ("what the tasks pay against universal features (points or %)", "normalised leakage")
        tuned = [arm for arm in (OURS, NO_GATES, LINEAR, REVERSAL, MIN_MAX) if arm + TUNING in self.arms]
        lines = [self._trade_off(arm) for arm in tuned]
        if any(lines):
            note = "A network of seed 0 for each weight, on validation, which chooses; down and to the left is better."
            yield chart("What less leakage costs", *axes, lines, note, "Cross-task inference")
        yield from self._over_noise()

    def _over_noise(self) -> Iterator[Chart]:
        sigmas, section = self.settings.sigmas, "Noise"
        noisy = [arm for arm in (NOISY, NOISE_ONLY) if arm in self.arms]
        if not noisy or len(sigmas) < 2:
            return
        x, note = "standard deviation of the noise, in clip norms", "One network each, turned after training."

        def over(number: Callable[..., Values]) -> list[Series | None]:
            return [line(self.arms[arm], {s: number(arm, sigma=s) for s in sigmas}, group=arm) for arm in noisy]

        yield chart("Leakage over noise", x, "normalised leakage", over(self.scores.leakage), note, section)
        if self.settings.reconstruct and len(sigmas) > 2:
            rebuilt = [
                line(self.arms[arm], {s: self._rebuilt(arm, s) for s in sigmas if s}, group=arm) for arm in noisy
            ]
            yield chart("Reconstruction over noise", x, "SSIM of rebuilt pictures", rebuilt, note, section)
        yield chart("What noise costs", x, "what the tasks pay (points or %)", over(self.scores.cost), note, section)

    def _rebuilt(self, arm: str, sigma: float) -> Values:
        """Mean SSIM over receivers; nothing where no noise was, which is not rebuilt."""
        return average(self.ssim(arm, task, sigma=sigma) for task in self.tasks)

    def _trade_off(self, arm: str) -> Series | None:
        scores, tried = Scores(self.scores.table, self.results.tasks, "validation"), arm + TUNING
        points = [
            (scores.cost(tried, weight=weight).mean, scores.leakage(tried, weight=weight).mean)
            for weight in self.settings.weights(arm)
        ]
        if not all(math.isfinite(number) for point in points for number in point):
            return None
        return Series(self.arms[arm], *(tuple(part) for part in zip(*points, strict=True)), (), "line", arm)

    # -- sentences ---------------------------------------------------------------------------------------------------

    def verdict(self) -> Iterator[str]:
        """Plain sentences."""
        leak = {arm: self.scores.leakage(arm).estimate for arm in self.arms if not arm.endswith(TUNING)}
        known = {arm: one for arm, one in leak.items() if one.known}
        order = sorted(known, key=lambda arm: known[arm].mean)
        listed = "; ".join(f"{self.arms[arm].lower()} {known[arm].text('', 2, False)}" for arm in order)
        yield f"Normalised leakage, mean over pairs of tasks, least first: {listed}."
        cost = self.scores.cost(OURS).estimate.text("points or %")
        yield f"Private features cost the tasks {cost} against universal ones, mean over the tasks."
        for seen, wanted in permutations(self.tasks, 2):
            yield self._floor_said(seen, wanted)
        yield from self._epsilons()
        yield (
            "A low leakage is what these attackers got, not a promise: features that serve a task well can never be "
            "kept from serving every other (Stadler et al., ICML 2024)."
        )

    def _floor_said(self, seen: str, wanted: str) -> str:
        """What one task's label tells of another, and what its features do."""
        at = self.scores.table.at(seen=seen, weight=None, sigma=None)
        attack, blind, told = (at(OURS, metric, task=wanted).mean for metric in (ATTACK, BLIND, LABEL_FLOOR))
        metric = self.scores.info[wanted].metric
        return (
            f"From what {seen} is sent, attackers tell {wanted} with {metric} {attack:.3g}; without features it is "
            f"{blind:.3g}, from the label of {seen} {told:.3g}."
        )

    def _epsilons(self) -> Iterator[str]:
        """What the noise guarantees for one picture, whose features all tasks are sent once."""
        settings = self.settings
        sigmas = [sigma for sigma in settings.sigmas if sigma]
        if NOISY not in self.arms or not sigmas:
            return
        for sigma in sigmas:
            releases = [Release(settings.release_norm, sigma)] * len(self.tasks)
            for neighbours in NEIGHBOURS:
                yield f"Noise {sigma:g}: {guarantee(releases, settings.delta, neighbours, 'picture')}."
