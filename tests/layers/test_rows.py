"""Networks that look at every row by itself, and those that do not or may not."""

import keras
import pytest
from keras import ops

import zoo
from tfgan_ema import layers as tl


class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0)


class OwnModel(keras.Model):
    def call(self, inputs):
        return inputs


def functional(*layers):
    inputs = x = keras.Input((8,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("network", "alone"),
    [
        ([keras.layers.Dense(4), keras.layers.LayerNormalization()], True),
        ([tl.SNDense(4), ops.relu, lambda x: ops.sum(x, axis=-1, keepdims=True)], True),
        ([keras.layers.BatchNormalization()], False),
        ([keras.layers.Dropout(0.1)], False),
        ([keras.layers.SpectralNormalization(keras.layers.Dense(4))], False),
        ([keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization()])], False),
        ([keras.layers.Reshape((2, 2, 2)), tl.MinibatchStd(group=2)], False),
        ([keras.layers.Lambda(lambda x: x - ops.mean(x, axis=0))], False),
        ([lambda x: x - ops.mean(x, axis=0, keepdims=True)], False),
        ([Own()], False),
    ],
)
def test_layers_that_take_rows_together_are_found(network, alone):
    assert tl.independent_rows(functional(*network)) is alone


def test_models_without_a_graph_count_as_dependent():
    assert not tl.independent_rows(OwnModel())


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("sngan_32", True),
        ("wgan_gp_32", True),
        ("biggan_32", True),
        ("conventional_32", True),
        ("mlp", True),
        ("r3gan_32", True),
        ("dcgan_32", False),
        ("stylegan2_32", False),
    ],
)
def test_discriminators_of_the_zoo(name, alone):
    classes = zoo.entry(name).num_classes and 4
    _, discriminator = zoo.build(name, width=1 / 16, num_classes=classes)
    assert tl.independent_rows(discriminator) is alone
