"""What came of the gradient split study: claims, each of which may fall short, and plain sentences."""

from collections.abc import Iterator

from umbel.recipes.bench import SINGLE
from umbel.recipes.gradsplit.arms import JOINT, MEASURED, OWN, RANDOM, SPLIT, title_of
from umbel.recipes.gradsplit.measure import most_frequent
from umbel.recipes.gradsplit.reading import Numbers, Pair
from umbel.report import Claim, Estimate

HURTS = -1.0
GAIN = 0.5
_MOST_PAIRS = 12


def claims(numbers: Numbers) -> list[Claim]:
    """What the study set out to test."""
    return [_where_joint_hurts(numbers), *_against(numbers), _cost(numbers)]


def _where_joint_hurts(numbers: Numbers) -> Claim:
    """The condition is looked up on validation, so that the test split decides nothing."""
    words = f"Where joint training hurts (delta-m below {HURTS:g} % on validation), the measured split beats it"
    joint = numbers.mean_delta_m(JOINT, "validation")
    if not joint.mean < HURTS:
        reason = f"joint training does not hurt here: delta-m is {_text(joint, '%')} on validation"
        return Claim.not_measured("beats-joint", words, GAIN, reason, unit="points")
    return _measured("beats-joint", words, numbers.over_seeds(lambda s: numbers.gain(MEASURED, JOINT, s)), GAIN)


def _against(numbers: Numbers) -> Iterator[Claim]:
    words = "The measured split is at least as good as groups that learn from their own tasks only"
    if OWN in numbers.arms:
        yield _measured("beats-own", words, numbers.over_seeds(lambda s: numbers.gain(MEASURED, OWN, s)), 0.0)
    else:
        yield Claim.not_measured("beats-own", words, 0.0, "own is not among --others", unit="points")
    words = "The measured matrix is at least as good as a random one of the same density"
    if RANDOM not in numbers.arms:
        yield Claim.not_measured("beats-random", words, 0.0, "random is not among --others", unit="points")
    elif not numbers.controlled():
        reason = "all or no pairs are accepted, so that there is one matrix of that density only"
        yield Claim.not_measured("beats-random", words, 0.0, reason, unit="points")
    else:
        yield _measured("beats-random", words, numbers.against_random(), 0.0)


def _measured(name: str, words: str, found: Estimate, bar: float) -> Claim:
    return Claim.measured(name, words, found.mean, bar, ">=", found.half_width, "points")


def _cost(numbers: Numbers) -> Claim:
    costs = numbers.bench.costs
    words = "Inference with gradient split costs what joint training's network costs (largest difference in MACs)"
    most = max(abs(costs[arm]["macs"] / costs[JOINT]["macs"] - 1) for arm in SPLIT if arm in costs)
    return Claim.measured("same-inference", words, 100 * most, 0.0, "<=", unit="%")


def verdict(numbers: Numbers) -> list[str]:
    """Sentences, the most important first."""
    said = [_headline(numbers), _compared(numbers), *_null(numbers)]
    if numbers.bench.on_other:
        said.append(_other_set(numbers))
    said += [*_matrix(numbers), _price(numbers), _times(numbers)]
    return said


def _headline(numbers: Numbers) -> str:
    joint, gain = numbers.mean_delta_m(JOINT), numbers.over_seeds(lambda s: numbers.gain(MEASURED, JOINT, s))
    if not (joint.known and gain.known):
        return "The mean change over all tasks is unknown: a metric is not finite, or a reference is 0."
    if not gain.has_interval:
        return (
            f"One seed says nothing for certain; in this one joint training changes the tasks' metrics by "
            f"{_text(joint, '%')} on average against single-task networks; the measured split changes "
            f"this by {_text(gain, 'points')}."
        )
    hurts = {1: "helps", -1: "hurts", 0: "makes no clear difference"}[joint.clear_sign]
    split = {1: "is better", -1: "is worse", 0: "is not clearly different"}[gain.clear_sign]
    return (
        f"Joint training {hurts} here ({_text(joint, '%')} on average against single-task networks, on the test "
        f"split), and the measured split {split} ({_text(gain, 'points')} against joint training)."
    )


def _compared(numbers: Numbers) -> str:
    others = [arm for arm in numbers.arms if arm not in (SINGLE, MEASURED, JOINT)]
    found = {arm: numbers.over_seeds(lambda s, a=arm: numbers.gain(MEASURED, a, s)) for arm in others}
    if not found:
        return "Nothing else was trained."
    if numbers.seeds.stop == 1:
        listed = ", ".join(f"{title_of(arm)[0]} {_text(gain, 'points')}" for arm, gain in found.items())
        return f"The measured split against the others: {listed}."
    words = {1: "better than", -1: "worse than", 0: "not clearly different from"}
    parts = []
    for sign, text in words.items():
        arms = [f"{title_of(a)[0]} ({_text(gain, 'points')})" for a, gain in found.items() if gain.clear_sign == sign]
        if arms:
            parts.append(f"{text} {', '.join(arms)}")
    return f"The measured split is {'; '.join(parts)}."


def _null(numbers: Numbers) -> Iterator[str]:
    """What did not come out, plainly."""
    if same := numbers.same_as_joint():
        yield (
            f"In {len(same)} of {len(numbers.seeds)} seeds the warm-up found no task that clearly hurts a group: "
            "nothing was refused, so that the measured split was joint training, with the same gradients."
        )
    failed = [claim.name for claim in claims(numbers) if claim.state == "refuted"]
    if failed:
        yield f"Null result: what was claimed did not come out for {', '.join(failed)}."
    gain = numbers.over_seeds(lambda s: numbers.gain(MEASURED, JOINT, s))
    if gain.has_interval and gain.clear_sign <= 0:
        yield "Null result: the measured split does not clearly beat joint training on this data with this network."


def _other_set(numbers: Numbers) -> str:
    other = numbers.bench.other
    task = numbers.bench.data.task(other.tasks[0].name)
    listed = ", ".join(f"{title_of(arm)[0]} {_value(numbers.on_other_set(arm))}" for arm in numbers.arms)
    frequent = most_frequent(other)
    note = f" The most frequent class is {100 * frequent:.1f} % of it." if frequent is not None else ""
    return f"{task.name} ({task.main_metric}) on {other.name}, where no network learnt it: {listed}.{note}"


def _matrix(numbers: Numbers) -> Iterator[str]:
    """The measured matrix in words: of every group, or the most telling pairs where there are many."""
    between = [pair for pair in numbers.pairs() if pair.task != pair.group]
    densities = numbers.over_seeds(numbers.density)
    over = "mean ± 95 % interval over seeds" if len(numbers.seeds) > 1 else "± 95 % interval of the warm-up"
    kept = f"Groups accept {100 * densities.mean:.0f} % of the pairs of different tasks."
    start = f"Measured in the warm-up, how much a step of a task in a group's filters lowers the group's loss ({over}"
    if len(between) > _MOST_PAIRS:
        worst = sorted((pair for pair in between if pair.gain.known), key=lambda pair: pair.gain.mean)[:5]
        listed = "; ".join(f"{pair.task} in the group of {pair.group} {_pair(numbers, pair)}" for pair in worst)
        yield f"{start}), the most harmful pairs: {listed}. {kept}"
        return
    groups = []
    for group in numbers.bench.tasks:
        parts = [f"{pair.task} {_pair(numbers, pair)}" for pair in between if pair.group == group]
        groups.append(f"in the group of {group}: {', '.join(parts)}")
    yield f"{start}): {'; '.join(groups)}. {kept}"


def _pair(numbers: Numbers, pair: Pair) -> str:
    refused = len(numbers.seeds) - pair.accepted
    note = f", refused in {refused} of {len(numbers.seeds)}" if refused else ""
    text = _text(pair.gain, "%", places=3) if pair.gain.known else "not measured"
    return f"{text}{note}"


def _price(numbers: Numbers) -> str:
    """Arms that cost the same are named together."""
    by_cost: dict[tuple[int, int], list[str]] = {}
    for arm, cost in numbers.bench.costs.items():
        by_cost.setdefault((cost["macs"], cost["parameters"]), []).append(title_of(arm)[0])
    listed = "; ".join(
        f"{', '.join(arms)}: {macs:,} and {parameters:,}" for (macs, parameters), arms in by_cost.items()
    )
    return f"Multiply-accumulates for one sample and parameters: {listed}."


def _times(numbers: Numbers) -> str:
    found = {arm: numbers.step_time(arm) for arm in numbers.arms if arm not in (SINGLE, JOINT)}
    listed = ", ".join(f"{title_of(arm)[0]} {time.mean:.2f}" for arm, time in found.items() if time.known)
    return (
        f"Median time of a step of training, in steps of joint training: {listed}. A step with a measurement in the "
        "warm-up takes longer."
    )


def _value(estimate: Estimate) -> str:
    if not estimate.known:
        return "unknown"
    return f"{estimate.mean:.3f}" + (f" ± {estimate.half_width:.3f}" if estimate.has_interval else "")


def _text(estimate: Estimate, unit: str, places: int = 1) -> str:
    if not estimate.known:
        return "an unknown amount"
    interval = f" ± {estimate.half_width:.{places}f}" if estimate.has_interval else ""
    return f"{estimate.mean:+.{places}f}{interval} {unit}"
