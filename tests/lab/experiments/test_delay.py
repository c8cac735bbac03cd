"""How much a leaked step counts."""

import numpy as np
import pytest

from tfgan_ema.lab.experiments import delay


def test_a_pure_delay_is_found():
    """The curve falls like exp(-step / 1000); with a leak from step 400 each step counts a half."""

    def row(step, at, seed, leak=""):
        distance = (2 + seed) * np.exp(-at / 1000)
        return {"generator": "ema", "leak": leak, "seed": seed, "samples": 5, "step": step,
                "distance": str(distance)}  # fmt: skip

    leak = "beta 0.5 from step 1,400"
    table = [row(step, step, seed) for seed in (0, 1) for step in range(200, 3001, 200)]
    table += [row(step, 1400 + (step - 1400) / 2, 0, leak) for step in (1600, 3000)]
    table += [row(3000, 3100, 1, leak)]  # this seed ends nearer than without
    table += [row(3000, 100, 0, leak) | {"samples": 9}]  # there is no such curve
    (key, shares), *rest = delay.counted(table).items()
    assert (key, rest) == (("ema", leak), [])
    assert shares == [pytest.approx(0.5), float("inf")]
    text = delay.described(shares)
    assert text == "0.50 (0.50 to 0.50); 1 of 2 seeds end nearer than without a leak"


def test_a_step_is_read_between_the_points_of_a_curve():
    curve = [100.0, 10.0, 1.0, 2.0]
    assert delay.step_of(10**0.5, [10, 20, 30, 40], curve) == pytest.approx(25)
    assert delay.step_of(100.0, [10, 20, 30, 40], curve) == 10
    assert delay.step_of(0.5, [10, 20, 30, 40], curve) == float("inf")
