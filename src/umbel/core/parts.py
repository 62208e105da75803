"""Parts of a model by name: which parameters they hold, at which rate they learn, and which stay as they are."""

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from umbel.core.model import MultiTaskModel
from umbel.errors import unknown


def freeze(model: nn.Module, names: Iterable[str]) -> None:
    """Leave parts of a model as they are: no gradients, and evaluation mode through training and validation.

    Args:
        model: Any module.
        names: As `named_part` takes them.

    Raises:
        UmbelError: No such part.
    """
    for name in names:
        part = named_part(model, name)
        if isinstance(part, nn.Module):
            part.eval()
        for parameter in _parameters(part):
            parameter.requires_grad_(False)


def named_part(model: nn.Module, name: str) -> nn.Module | nn.Parameter:
    """The module or parameter that a name stands for.

    Args:
        model: Any module.
        name: As `named_modules` and `named_parameters` call it, "encoder.stages.0"; of a `MultiTaskModel` also
            "heads.depth" and "links.depth", by the name of the task.

    Raises:
        UmbelError: No such part; names the nearest.
    """
    parts = _named_parts(model)
    if name not in parts:
        shown = [known for known in parts if known.count(".") <= max(1, name.count("."))]
        raise unknown(f"part of a {type(model).__name__}", name, shown)
    return parts[name]


def parameters_by_part(model: nn.Module, names: Sequence[str]) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part; one that lies in several belongs to the innermost.

    Args:
        model: Any module.
        names: As `named_part` takes them.

    Raises:
        UmbelError: No such part.
    """
    parts = {name: named_part(model, name) for name in names}
    smallest_first = sorted(parts, key=lambda name: len(list(_parameters(parts[name]))))
    owners: dict[int, str] = {}
    for name in smallest_first:
        for parameter in _parameters(parts[name]):
            owners.setdefault(id(parameter), name)
    return {name: [p for p in _parameters(parts[name]) if owners[id(p)] == name] for name in names}


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


def _named_parts(model: nn.Module) -> Mapping[str, nn.Module | nn.Parameter]:
    parts: dict[str, nn.Module | nn.Parameter] = {}
    if isinstance(model, MultiTaskModel):
        for kind, modules in (("heads", model.heads), ("links", model.links)):
            for name in model.task_names:
                parts |= _inner(modules[name], f"{kind}.{name}") if name in modules else {}
    return parts | _inner(model, "")


def _inner(module: nn.Module, name: str) -> dict[str, nn.Module | nn.Parameter]:
    """All modules and parameters inside, itself where it has a name."""
    inner: dict[str, nn.Module | nn.Parameter] = {**dict(module.named_modules()), **dict(module.named_parameters())}
    return {".".join(filter(None, (name, part))): value for part, value in inner.items() if name or part}
