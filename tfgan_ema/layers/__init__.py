"""Keras layers that the networks of the zoo are made of."""

from tfgan_ema.layers.attention import ZeroGain, self_attention
from tfgan_ema.layers.blocks import BlockStyle, down_block, up_block
from tfgan_ema.layers.grouped import GroupedConv2D
from tfgan_ema.layers.norms import ConditionalBatchNorm, ProjectedBatchNorm, batch_norm
from tfgan_ema.layers.resampling import ResampledConv2D
from tfgan_ema.layers.rows import independent_rows
from tfgan_ema.layers.spectral import (
    SNConv2D,
    SNDense,
    SNEmbedding,
    power_iterate,
    spectral_layers,
)
from tfgan_ema.layers.style import (
    ConstantInput,
    EqualConv2D,
    EqualDense,
    MeanTracker,
    MinibatchStd,
    ModulatedConv2D,
    NoiseBiasActivation,
    StyleMixing,
)

__all__ = [
    "BlockStyle", "ConditionalBatchNorm", "ConstantInput", "EqualConv2D", "EqualDense",
    "GroupedConv2D", "MeanTracker", "MinibatchStd", "ModulatedConv2D", "NoiseBiasActivation",
    "ProjectedBatchNorm", "ResampledConv2D", "SNConv2D", "SNDense", "SNEmbedding",
    "StyleMixing", "ZeroGain", "batch_norm", "down_block", "independent_rows", "power_iterate",
    "self_attention", "spectral_layers", "up_block",
]  # fmt: skip
