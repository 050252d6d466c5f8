"""Every objective written down a second time, in numpy and float64, from the papers: costs and their derivatives.

`v` are logits `[B, 1, H, W]`; a cost comes with its derivatives by the real and by the fake logits.
"""

from dataclasses import dataclass

import numpy as np

MAX_EXPONENT = 10.0


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def softplus(v):
    return np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v)))


@dataclass
class Cost:
    value: float
    real: np.ndarray
    fake: np.ndarray


def apart(on_real, on_fake):
    """A cost E a(real) + E b(fake), of functions that give values and derivatives."""

    def cost(real, fake):
        (a, da), (b, db) = on_real(real), on_fake(fake)
        return Cost(a.mean() + b.mean(), da / real.size, db / fake.size)

    return cost


def nothing(v):
    return np.zeros_like(v), np.zeros_like(v)


def of_fakes(on_fake):
    return apart(nothing, on_fake)


def times(factor, function):
    return lambda v: tuple(factor * part for part in function(v))


def log_loss(target):
    """-t log D - (1 - t) log(1 - D), whose derivative is D - t."""
    return lambda v: (target * softplus(-v) + (1 - target) * softplus(v), sigmoid(v) - target)


def squared(target):
    return lambda v: ((v - target) ** 2, 2 * (v - target))


def identity(v):
    return v, np.ones_like(v)


def hinge_real(v):
    return np.maximum(1 - v, 0), (v < 1.0) * -1.0


def hinge_fake(v):
    return np.maximum(1 + v, 0), (v > -1.0) * 1.0


def exponential(v):
    """exp, with its tangent from 10 on, so that no gradient is infinite."""
    bounded = np.minimum(v, MAX_EXPONENT)
    return np.exp(bounded) * (1 + v - bounded), np.exp(bounded)


def reflected(function):
    """f(-v)"""

    def made(v):
        value, slope = function(-v)
        return value, -slope

    return made


def moved(function, by):
    return lambda v: function(v + by)


def plus(function, number):
    def made(v):
        value, slope = function(v)
        return value + number, slope

    return made


def half_vanilla(smoothing=0.0):
    return apart(times(0.5, log_loss(1 - smoothing)), times(0.5, log_loss(0.0)))


def half_squares(smoothing=0.0):
    return apart(times(0.5, squared(1 - smoothing)), times(0.5, squared(0.0)))


def whole_vanilla(smoothing=0.0):
    return apart(log_loss(1 - smoothing), log_loss(0.0))


def paired(real, fake):
    """E log(1 + exp(-(real - fake))), as R3GAN has it."""
    slope = -sigmoid(fake - real) / real.size
    return Cost(softplus(fake - real).mean(), slope, -slope)


def paired_generator(real, fake):
    swapped = paired(fake, real)
    return Cost(swapped.value, swapped.fake, swapped.real)


def average(smoothing=0.0):
    """0.5 E loss(real - E fake, 1 - a) + 0.5 E loss(fake - E real, 0)."""

    def cost(real, fake):
        a, da = log_loss(1 - smoothing)(real - fake.mean())
        b, db = log_loss(0.0)(fake - real.mean())
        by_real = (
            0.5 * da / real.size - 0.5 * db.mean() / real.size
        )  # each real logit is in the mean of all fakes' terms
        by_fake = 0.5 * db / fake.size - 0.5 * da.mean() / fake.size
        return Cost(0.5 * a.mean() + 0.5 * b.mean(), by_real, by_fake)

    return cost


def average_generator(real, fake):
    swapped = average()(fake, real)
    return Cost(swapped.value, swapped.fake, swapped.real)


ACTIVATIONS = {  # g(v), Nowozin 2016, table 6
    "kl": identity,
    "reverse-kl": times(-1, reflected(exponential)),
    "pearson": identity,
    "hellinger": plus(times(-1, reflected(exponential)), 1.0),
    "jensen-shannon": plus(times(-1, reflected(lambda v: (softplus(v), sigmoid(v)))), np.log(2)),
}
CONJUGATES = {  # f*(g(v))
    "kl": moved(exponential, -1.0),
    "reverse-kl": plus(identity, -1.0),
    "pearson": lambda v: (v**2 / 4 + v, v / 2 + 1),
    "hellinger": plus(exponential, -1.0),
    "jensen-shannon": plus(lambda v: (softplus(v), sigmoid(v)), -np.log(2)),
}


def divergence(name):
    bound = apart(times(-1, ACTIVATIONS[name]), CONJUGATES[name])
    return Formulas(lambda: bound, of_fakes(times(-1, CONJUGATES[name])), of_fakes(times(-1, ACTIVATIONS[name])))


@dataclass
class Formulas:
    discriminator: object  # numbers of the cost -> cost of (real, fake)
    generator: object  # cost of (real, fake)
    non_saturating: object = None


def margin_cost(margin):
    return apart(identity, lambda v: (np.maximum(margin - v, 0), (v < margin) * -1.0))


FORMULAS = {
    "vanilla": Formulas(half_vanilla, of_fakes(log_loss(1.0))),
    "minimax": Formulas(half_vanilla, of_fakes(lambda v: (-softplus(v), -sigmoid(v))), of_fakes(log_loss(1.0))),
    "maximum-likelihood": Formulas(half_vanilla, of_fakes(times(-1, exponential))),
    "lsgan": Formulas(half_squares, of_fakes(squared(1.0))),
    "wasserstein": Formulas(lambda: apart(times(-1, identity), identity), of_fakes(times(-1, identity))),
    "hinge": Formulas(lambda: apart(hinge_real, hinge_fake), of_fakes(times(-1, identity))),
    "softplus": Formulas(whole_vanilla, of_fakes(log_loss(1.0))),
    "relativistic": Formulas(lambda: paired, paired_generator),
    "relativistic-average": Formulas(average, average_generator),
    **{name: divergence(name) for name in ACTIVATIONS},
    "ebgan": Formulas(margin_cost, of_fakes(identity)),
    "began": Formulas(lambda k: apart(identity, times(-k, identity)), of_fakes(identity)),
}
"""A new objective has to be written here, too: a test holds this table beside `OBJECTIVES`."""


# f-divergences of densities p (data) and q (model)


F = {  # of u = p_data / p_model (REFERENCE 1), and its derivative
    "kl": (lambda u: u * np.log(u), lambda u: np.log(u) + 1),
    "reverse-kl": (lambda u: -np.log(u), lambda u: -1 / u),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
    "hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / np.sqrt(u)),
    "jensen-shannon": (
        lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
        lambda u: np.log(2 * u / (u + 1)),
    ),
}
OPTIMUM = {  # the logit v at which g(v) = f'(u)
    "kl": lambda u: np.log(u) + 1,
    "reverse-kl": np.log,
    "pearson": lambda u: 2 * (u - 1),
    "hellinger": lambda u: 0.5 * np.log(u),
    "jensen-shannon": np.log,
}
BY_HAND = {  # of the densities (p of the data, q of the model)
    "kl": lambda p, q: (p * np.log(p / q)).sum(),
    "reverse-kl": lambda p, q: (q * np.log(q / p)).sum(),
    "pearson": lambda p, q: ((p - q) ** 2 / q).sum(),
    "hellinger": lambda p, q: ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
    "jensen-shannon": lambda p, q: (
        (p * np.log(2 * p / (p + q))).sum() + (q * np.log(2 * q / (p + q))).sum()  # 2 JSD
    ),
}
WEIGHTS = np.array([[5, 3, 1, 1], [2, 2, 2, 4]])
"""p and q on four points, in tenths."""
