"""Draws 16 samples. It needs tensorflow."""

from pathlib import Path

import tensorflow as tf

folder = Path(__file__).parents[1]
model = tf.saved_model.load(folder)  # keep it as long as its signatures are used
request = {"count": tf.constant(16), "seed": tf.constant(0, tf.int64)}
images = model.signatures["sample"](**request)["images"].numpy()
print(images.shape, images.dtype)
