"""Strategies, the chief, threads and accelerators, as Keras's backend knows them.

``strategy`` and ``distribute`` spread a run, ``scope`` is where a model's later variables are made
and ``strategy_of`` how the model is spread, ``is_chief`` says whether this process writes files and
``is_alone`` whether no other one trains, ``together`` and ``compare`` keep the workers of a cluster
in step, ``device_kind``, ``find_devices`` and ``is_fast_in_bfloat16`` say what the machine has and
is good at, ``share_machine`` and ``full_float32`` set how it is used, and ``check_strategy``
refuses what a strategy cannot do.
``TAKES_DATASETS`` says whether a step reads a `tf.data.Dataset`, or else NumPy arrays.
"""

import keras

if keras.config.backend() == "jax":
    from tfgan_ema.engines import jax_devices as _devices
else:
    from tfgan_ema.engines import tensorflow_devices as _devices

strategy = _devices.strategy
distribute = _devices.distribute
check_strategy = _devices.check_strategy
scope = _devices.scope
strategy_of = _devices.strategy_of
is_chief = _devices.is_chief
is_alone = _devices.is_alone
together = _devices.together
compare = _devices.compare
device_kind = _devices.device_kind
find_devices = _devices.find_devices
is_fast_in_bfloat16 = _devices.is_fast_in_bfloat16
share_machine = _devices.share_machine
full_float32 = _devices.full_float32
TAKES_DATASETS = _devices.TAKES_DATASETS
