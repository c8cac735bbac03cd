"""Prints the SHA-256 of an exported generator's first samples, drawn with TensorFlow alone.

    python plain_tensorflow.py FOLDER COUNT SEED

Neither this package nor Keras can be imported here, so anybody with TensorFlow gets these samples.
"""

import hashlib
import sys

sys.modules["tfgan_ema"] = sys.modules["keras"] = None  # importing them fails from here on
import tensorflow as tf  # noqa: E402

folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(1)  # one thread adds in one order
model = tf.saved_model.load(folder)
samples = model.signatures["sample"](count=tf.constant(count), seed=tf.constant(seed, tf.int64))
print(hashlib.sha256(samples["images"].numpy().tobytes()).hexdigest())
