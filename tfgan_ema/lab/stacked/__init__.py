# ruff: noqa: F401 (what is imported here is the package's interface)
"""Many seeds trained at once, as stacks of small networks."""

from tfgan_ema.lab.stacked.draws import Replay, StackedDraws, replayed
from tfgan_ema.lab.stacked.gan import StackedGAN, StackedPlayers
from tfgan_ema.lab.stacked.layers import StackedDense, slice_weights
from tfgan_ema.lab.stacked.networks import stacked_mlp
