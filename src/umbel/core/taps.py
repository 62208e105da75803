"""What inner modules of a model give, recorded while it runs; nothing of it stays in the model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from umbel.errors import UmbelError, unknown


def named_modules_of(model: nn.Module, names: Sequence[str], what: str) -> list[nn.Module]:
    """The inner modules that names such as "layers.3" stand for, as `named_modules` calls them.

    Raises:
        UmbelError: The model has no module of such a name.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            raise unknown(f"{what} of a {type(model).__name__}", name, filter(None, modules))
    return [modules[name] for name in names]


class Taps(Mapping[str, Any]):
    """Outputs of named inner modules in the forward passes inside a `with`: heads on concepts, feature losses.

        with Taps(model, ["layers.3"]) as taps:
            logits = model(x)
        concept = head(taps["layers.3"])

    The hooks live as long as the `with`, so the model's parameters, names, copies and exports are those of the model
    by itself. A module that runs several times is there with its last output.

    Args:
        model: Any module.
        names: Of inner modules, as `named_modules` calls them.

    Raises:
        UmbelError: No such module; on entering: the model is compiled, which passes hooks by; on reading: the module
            did not run.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.model, self.names = model, tuple(names)
        self._modules = named_modules_of(model, names, "module")
        self._outputs: dict[str, Any] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Taps":
        self._refuse_compiled()
        self._outputs.clear()
        for name, module in zip(self.names, self._modules, strict=True):
            self._handles.append(module.register_forward_hook(self._recorder(name, module)))
        return self

    def _refuse_compiled(self) -> None:
        """A compiled module runs the hooks of its first pass for ever, or none."""
        for name, module in self.model.named_modules():
            if getattr(module, "_compiled_call_impl", None) is None:
                continue
            if hidden := [tap for tap in self.names if not name or tap == name or tap.startswith(f"{name}.")]:
                where = f"module {name!r}" if name else "the model"
                raise UmbelError(f"{where} is compiled, so {hidden[0]!r} cannot be tapped; leave `compile` off")

    def _recorder(self, name: str, tapped: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            if module is tapped:  # and no copy of it, which has the hook too
                self._outputs[name] = output

        return record

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise unknown("tapped module", name, self.names)
        if name not in self._outputs:
            raise UmbelError(f"module {name!r} did not run inside the taps, so there is no output of it")
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
