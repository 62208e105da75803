"""Compiled parts of a model, whose backward pass by default can be walked only once."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from umbel.core import UmbelError
from umbel.descent.torch_internals import is_compiled, keep_for_several_walks


def allow_several_walks(model: nn.Module) -> None:
    """Where a part of the model is compiled: compile backward passes so that they can be walked more than once.

    Torch's compiler lets a backward pass overwrite what the forward pass saved ("donated buffers") unless it is told
    not to before it compiles. The setting is torch's, for the whole process; it costs some memory.

    Args:
        model: Before its first forward pass.
    """
    if any(map(is_compiled, model.modules())):
        keep_for_several_walks()


@contextmanager
def explained_walks() -> Iterator[None]:
    """The compiler's refusal of a second walk as one line.

    Raises:
        UmbelError: Says what to set.
    """
    try:
        yield
    except RuntimeError as error:
        if "donated buffer" not in str(error):
            raise
        raise UmbelError(
            "a part of the model was compiled so that its backward pass can be walked only once, and this descent "
            "walks it for every task; set torch._functorch.config.donated_buffer = False before the first step (the "
            "descent's prepare does where it sees the compiled part), or use a weighted sum"
        ) from error
