"""From `--proxies` and its neighbours to the arguments of `methods.physical_proxies`."""

from collections.abc import Sequence
from typing import Any

from umbel.core import Task, UmbelError, unknown
from umbel.recipes.settings import TrainedModelSettings, names


def proxy_arguments(settings: TrainedModelSettings, tasks: Sequence[Task]) -> dict[str, Any]:
    """What `physical_proxies` is given of the settings.

    Args:
        settings: With proxies.
        tasks: Of the data.

    Raises:
        UmbelError: A name that is no task's, or no main task that follows.
    """
    proxies = names(settings.proxies)
    by_name = {task.name: task for task in tasks}
    for flag, name in (*(("proxies", name) for name in proxies), *([("main", settings.main)] if settings.main else [])):
        if name not in by_name:
            raise unknown(f"task in --{flag}", name, by_name)
    return {
        "main": settings.main or _main_task([task for task in tasks if task.name not in proxies]),
        "proxies": proxies,
        "attention": settings.attention,
        "mining": settings.mining,
        "attributes": names(settings.attributes),
    }


def _main_task(others: Sequence[Task]) -> str:
    """The only task that can be served, or the only one of liveness."""
    vectors = [task.name for task in others if task.output == "vector"]
    liveness = [task.name for task in others if task.kind == "liveness"]
    for candidates in (liveness, vectors):
        if len(candidates) == 1:
            return candidates[0]
    if not vectors:
        raise UmbelError("--proxies leave no task that predicts a vector for them to serve; take one out of them")
    raise UmbelError(f"--proxies could serve {' or '.join(vectors)}; say which with --main")
