"""Names of a file's inputs and outputs: letters, digits and underscores, whatever columns and tasks are called."""

import re
from collections.abc import Collection, Sequence

_LONGEST = 60


def plain_names(names: Sequence[str], what: str = "task", taken: Collection[str] = ()) -> dict[str, str]:
    """Each name as an identifier of its own.

    Args:
        names: Of tasks or columns.
        what: Stands before what would not begin with a letter.
        taken: Identifiers that are used already.

    Examples:
        >>> plain_names(["depth", "pm2.5", "pm2-5", "3d"])
        {'depth': 'depth', 'pm2.5': 'pm2_5', 'pm2-5': 'pm2_5_2', '3d': 'task_3d'}
    """
    given: dict[str, str] = {}
    used = {*taken}
    for name in names:
        safe = re.sub(r"\W", "_", name, flags=re.ASCII)[:_LONGEST]
        safe = f"{what}_{safe}" if not safe or safe[0].isdigit() or safe in taken else safe
        number, chosen = 1, safe
        while chosen in used:
            number += 1
            chosen = f"{safe}_{number}"
        used.add(chosen)
        given[name] = chosen
    return given
