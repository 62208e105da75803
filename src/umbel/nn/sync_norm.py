"""Batch normalisation over all processes, on any device."""

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from umbel.core import UmbelError


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Make every batch normalisation in `module` take its statistics over all processes.

    W processes, each with a share of a batch (shares need not be equal), then compute what one process computes on the
    whole batch: the same output, the same running statistics, and, when every process scales its losses by its share
    (`umbel.core.shares`) and gradients are **summed** over the processes, the same gradients. With one process, without
    an initialised `torch.distributed`, and in evaluation the layers are ordinary batch normalisation.

    All processes must run the same forward and backward passes in the same order: each training pass exchanges
    3 values a channel.

    Differs from `torch.nn.SyncBatchNorm`: works on CPUs (gloo), and can be differentiated twice.

    Args:
        module: Changed in place: its layers change class, and keep their parameters, buffers, names and hooks. Layers
            that know several processes themselves (slimmable ones) are told by their attribute `over_processes`.

    Returns:
        The same module.

    Raises:
        UmbelError: A batch normalisation with a forward pass of its own, which this function cannot know.
    """
    for name, layer in module.named_modules():
        if hasattr(layer, "over_processes"):
            layer.over_processes = True
        elif type(layer) in _SYNCHRONISED:
            layer.__class__ = _SYNCHRONISED[type(layer)]
        elif isinstance(layer, _BatchNorm) and not isinstance(layer, _OverProcesses | nn.SyncBatchNorm):
            raise UmbelError(
                f"{name or 'the module'} is a {type(layer).__name__}, which cannot be made to work over processes; "
                "use BatchNorm1d, 2d or 3d, or train in one process"
            )
    return module


class _Sum(torch.autograd.Function):
    """Sum over processes. The gradient of the summed losses of all processes is again a sum over processes."""

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        """The sum, on every process."""
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing to keep: the map is linear."""

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """The same sum, of the gradients."""
        return _Sum.apply(gradient)

    @staticmethod
    def vmap(info, in_dims, tensor: Tensor):
        """Elementwise, so a batch of tensors is summed as it is (for gradients of several losses at once)."""
        return _Sum.apply(tensor), in_dims[0]


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean [C] and biased variance [C] of x [B, C, ...] over all processes, and the number of values a channel.

    With n, m, v of each process (Chan, Golub & LeVeque, 1983):

        mean = sum n m / N,   variance = sum n (v + (m - mean)^2) / N
    """
    axes = [axis for axis in range(x.ndim) if axis != 1]
    count = x.numel() // x.shape[1]
    if count:
        variance, mean = torch.var_mean(x, axes, correction=0)
    else:
        variance, mean = x.sum(axes), x.sum(axes)
    own = torch.stack([mean, variance, torch.full_like(mean, count)])
    table = own.new_zeros(distributed.get_world_size(), *own.shape)
    table[distributed.get_rank()] = own
    means, variances, counts = _Sum.apply(table).unbind(1)
    weights = (counts / counts.sum(0)).detach()
    mean = (weights * means).sum(0)
    variance = (weights * (variances + (means - mean).square())).sum(0)
    return mean, variance, float(counts[:, 0].detach().sum())


def normalise_over_processes(norm: _BatchNorm, x: Tensor, follow: bool = True) -> Tensor:
    """A training pass of a batch normalisation with the statistics of all processes.

    Args:
        norm: The first channels of its weight and bias are used.
        x: [B, C, ...].
        follow: Move the running statistics as ordinary batch normalisation does.

    Raises:
        ValueError: One value a channel over all processes, as torch does.
    """
    given, x = x, x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    mean, variance, count = _statistics(x)
    if count < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.size()}")
    if follow and norm.track_running_stats and norm.running_mean is not None:
        norm.num_batches_tracked.add_(1)
        step = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        unbiased = variance.detach() * (count / (count - 1))
        norm.running_mean.lerp_(mean.detach().to(norm.running_mean.dtype), step)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), step)
    scale = torch.rsqrt(variance + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight[: len(scale)]
    shift = -mean * scale if norm.bias is None else norm.bias[: len(scale)] - mean * scale
    shape = (1, -1, *[1] * (x.ndim - 2))
    return torch.addcmul(shift.view(shape), x, scale.view(shape)).to(given.dtype)


class _OverProcesses(_BatchNorm):
    """A batch normalisation whose training pass uses the statistics of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not several_processes():
            return super().forward(input)
        self._check_input_dim(input)
        return normalise_over_processes(self, input)


def several_processes() -> bool:
    """Whether this process is one of several."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _OverProcesses1d(_OverProcesses, nn.BatchNorm1d):
    pass


class _OverProcesses2d(_OverProcesses, nn.BatchNorm2d):
    pass


class _OverProcesses3d(_OverProcesses, nn.BatchNorm3d):
    pass


_SYNCHRONISED = {
    nn.BatchNorm1d: _OverProcesses1d,
    nn.BatchNorm2d: _OverProcesses2d,
    nn.BatchNorm3d: _OverProcesses3d,
}
