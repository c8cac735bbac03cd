"""Many seeds trained at once, as stacks of small networks."""

from tfgan_ema.lab.stacked.layers import StackedDense, slice_weights

__all__ = ["StackedDense", "slice_weights"]
