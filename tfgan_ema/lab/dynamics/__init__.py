# ruff: noqa: F401, I001 (what is imported here is the package's interface)
"""The dynamics laboratory: why averaging and leaking work, on games small enough to solve.

`games` are the vector fields, a class per objective; `regularisers` go around them; `simulate` runs
them; `spectra` looks at the equilibrium; `averages` are the closed forms of an averaged cycle;
`controlled` has the leak whose share follows the discriminator; `tilted` is the optimal
discriminator of an (α_D, α_G)-GAN and the gradients that samples receive from it;
`papers` are the papers' runs, and `claims` checks what the papers state. NumPy and SciPy only.
"""

# fmt: off
from tfgan_ema.lab.dynamics.games import (
    AlphaGAN, Bilinear, GAN, GANQP, Game, LSGAN, NSGAN, NormalisedWGAN, RelativisticGAN, Separable,
    WGAN,
)
from tfgan_ema.lab.dynamics.regularisers import (
    Consensus, DRAGAN, GradientPenalty, InstanceNoise, L2, LeakyEMA, R1, R2, UnnormalisedLeakyEMA,
    WGANGP,
)
from tfgan_ema.lab.dynamics.simulate import RULES, Trajectory, descend, integrate
from tfgan_ema.lab.dynamics.spectra import (
    critical, discriminant, eigenvalues, growth_rate, leaky_margin, leaky_polynomial, lookahead,
    routh_hurwitz, spectral_radius, update_matrix,
)
from tfgan_ema.lab.dynamics.averages import (
    ema_amplitude, ema_gain, ema_on_cycle, power_average, power_gain, turn, uniform_on_cycle,
)
from tfgan_ema.lab.dynamics.controlled import Controlled, controlled_leak, mean_share
from tfgan_ema.lab.dynamics.tilted import (
    direction, gradient_scalar, log_density, log_odds, score, tilted_posterior,
)
