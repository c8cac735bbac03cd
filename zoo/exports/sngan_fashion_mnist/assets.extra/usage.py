"""Draws 16 samples. It needs tensorflow."""

from pathlib import Path

import tensorflow as tf

folder = Path(__file__).parents[1]
# The labels 0, 1, ... are ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal",
# "Shirt", "Sneaker", "Bag", "Ankle boot"]
model = tf.saved_model.load(folder)  # keep it as long as its signatures are used
request = {"count": tf.constant(16), "seed": tf.constant(0, tf.int64)}
images = model.signatures["sample"](**request)["images"].numpy()
# model.signatures["sample_label"](**request, label=tf.constant(0)): one class
print(images.shape, images.dtype)
