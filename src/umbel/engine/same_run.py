"""Whether a run that goes on is the one that was begun: the same data, network and descent."""

import json
from collections.abc import Mapping
from typing import Any

from umbel.data.data_record import changed_split, changed_table
from umbel.data.fingerprint import fingerprint
from umbel.engine.checkpoint import Checkpoint
from umbel.engine.plan import Plan
from umbel.errors import UmbelError

_SPLITS = ("train", "validation")
_OF_DATA = ("record", "splits")


def described(plan: Plan) -> dict[str, Any]:
    """What a run's checkpoints keep of it besides its settings: what the caller says, and what its data is.

    Args:
        plan: Of the run.
    """
    about = dict(plan.describe)
    if "record" not in about:  # which holds the fingerprints of these splits already
        about["splits"] = {split: fingerprint(getattr(plan, split)) for split in _SPLITS}
    return json.loads(json.dumps(about))


def check_same_settings(saved: Checkpoint, now: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than those the run was begun with.

    Args:
        saved: Where it stopped.
        now: As `described` gives it for the run that is to go on.

    Raises:
        UmbelError: Names the first that differs.
    """
    told = [name for name in now if name not in _OF_DATA]
    before, here = (flat({name: of.get(name) for name in told}) for of in (saved.settings, now))
    for name in (*here, *before):
        if (was := before.get(name)) != (value := here.get(name)):
            if _shown(was) == _shown(value):  # one of them does not have this setting at all
                raise UmbelError(
                    f"{saved.path} was trained by another command, or another version of Umbel ({name} is a setting of "
                    "only one of them); resume it with that"
                )
            raise UmbelError(
                f"{saved.path} was trained with {name}={_shown(was)}, not {_shown(value)}; use that to resume"
            )


def check_same_data(saved: Checkpoint, now: Mapping[str, Any]) -> None:
    """Refuse to go on with other data than the run was begun with.

    Args:
        saved: Where it stopped.
        now: As `described` gives it for the run that is to go on.

    Raises:
        UmbelError: Names the splits that differ, and how.
    """
    for of, inside in ((saved.settings, _OF_DATA), (saved.settings.get("record", {}), ("splits",))):
        if strange := [name for name in inside if not isinstance(of.get(name, {}), Mapping)]:
            raise UmbelError(f"{saved.path} is damaged: {strange[0]} of its data is {of[strange[0]]!r}; train again")
    then, here = _splits(saved.settings), _splits(now)
    said = [text for split in here if split in then and (text := changed_split(split, then, here))]
    if not said and (table := changed_table(saved.settings.get("record", {}), now.get("record", {}))):
        said = [table]
    if said:
        raise UmbelError(
            f"{saved.path} learnt from other data: {' and '.join(said)}; give the unchanged data to resume"
        )


def _splits(described: Mapping[str, Any]) -> dict[str, Any]:
    """Fingerprints of the splits that are known; of the test split only where a record of the data is kept."""
    return {**described.get("record", {}).get("splits", {}), **described.get("splits", {})}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings without nesting: "fit.seed" for the seed in "fit".

    Args:
        values: Perhaps with mappings in them.
        prefix: In front of every name.
    """
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain |= flat(value, f"{prefix}{name}.")
        else:
            plain[prefix + name] = value
    return plain


def _shown(value: object) -> str:
    return "nothing" if value in (None, "") else str(value)
