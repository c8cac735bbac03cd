"""What all layers share: configurations, and finding the layers of a model."""

import keras
import numpy as np
import pytest

from tfgan_ema import layers as tl
from tfgan_ema.layers.base import Layer, all_layers

LAYERS = [
    tl.SNDense(3, use_bias=False, kernel_initializer="orthogonal"),
    tl.SNConv2D(3, 3, resample="up", bias_initializer="ones"),
    tl.SNEmbedding(5, 3, epsilon=1e-6),
    tl.EqualDense(3, "lrelu", lr_multiplier=0.5, bias_start=2.0),
    tl.EqualConv2D(3, 1, True, "linear", False, 0.5),
    tl.ModulatedConv2D(3, up=True, demodulate=False),
    tl.NoiseBiasActivation("none", "linear"),
    tl.ConstantInput(4, 3),
    tl.MeanTracker(0.9, 0.7),
    tl.StyleMixing(0.3),
    tl.MinibatchStd(2),
    tl.GroupedConv2D(2, "orthogonal"),
    tl.ZeroGain(),
    tl.ConditionalBatchNorm(5, 0.02),
    tl.ProjectedBatchNorm("glorot_uniform", epsilon=1e-8),
]


def kinds(base):
    return {kind for child in base.__subclasses__() for kind in (child, *kinds(child))}


def test_every_layer_is_tested():
    ours = {kind for kind in kinds(Layer) if kind.__module__.startswith("tfgan_ema.")}
    assert {kind for kind in ours if kind.__name__[0] != "_"} == set(map(type, LAYERS))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_the_configuration_holds_all_arguments(layer):
    config = layer.get_config()
    assert set(layer.arguments) <= config.keys()
    again = type(layer).from_config(keras.saving.deserialize_keras_object(config))
    assert again.get_config() == config
    changed = type(layer).from_config({**config, "name": "other"})
    assert changed.get_config() != config


def test_a_constructor_takes_its_fields_as_a_dataclass_does():
    class Scale(Layer):
        factor: float
        power: float = 1.0

    class Shift(Scale):
        offset: float
        factor: float = 2.0

    layer = Shift(3.0, power=4.0, name="shift")
    assert (layer.offset, layer.factor, layer.power, layer.name) == (3.0, 2.0, 4.0, "shift")
    assert Scale(5.0).power == 1.0
    with pytest.raises(TypeError, match="factor"):
        Scale()
    with pytest.raises(TypeError, match="multiple values"):
        Scale(1.0, factor=2.0)
    with pytest.raises(ValueError, match="pwr"):
        Scale(1.0, pwr=2.0)


def test_float32_weights_under_mixed_precision():
    class Scale(Layer):
        def build(self, input_shape):
            self.scale = self.add_float32("scale", (2,), "ones", trainable=False)

        def call(self, inputs):
            assert keras.ops.convert_to_tensor(self.scale).dtype == "float32"
            return inputs * keras.ops.cast(self.scale, self.compute_dtype)

    layer = Scale(dtype="mixed_bfloat16")
    assert layer(np.ones((1, 2))).dtype == "bfloat16"
    assert not layer.trainable_weights


def test_all_layers_of_nested_models_and_layers():
    line = "Keras has renamed what all_layers in tfgan_ema/layers/base.py uses"
    assert hasattr(keras.Model, "_flatten_layers"), line
    inner = keras.Sequential([keras.Input((4, 4, 3)), tl.SNConv2D(3, 1, name="deep")])
    x, y = keras.Input((4, 4, 3)), keras.Input((2,))
    outputs = tl.ProjectedBatchNorm(name="norm")([inner(x), y])
    names = [layer.name for layer in all_layers(keras.Model([x, y], outputs))]
    assert {"deep", "norm", "gain", "bias", "statistics"} <= set(names)
