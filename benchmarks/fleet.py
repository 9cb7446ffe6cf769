"""S2: many independent series, a datum of each at a time."""

import time

import numpy as np

from benchmarks.case import Case

CASES = {
    "1,000 series, Kalman d = 2": Case({"size": 1000}, 100.0, by="data/s"),
    "10,000 series, Kalman d = 2": Case({"size": 10_000}, by="data/s"),
}
ROUNDS = 10
MOVES, NOISE, SEEN, ERROR = np.array([[1.0, 0.1], [0.0, 0.95]]), 0.05 * np.eye(2), np.array([[1.0, 0.0]]), 0.3 * np.eye(1)


def gate(told, size):
    """The first mean of the first series, 0 before its datum, after a few."""
    if not abs(told["mean"] - KNOWN) < 1e-4:
        raise AssertionError(f"mean {told['mean']}, {KNOWN} is known")


def values(size):
    """For each of the rounds; the first series is the same in every fleet."""
    rng = np.random.default_rng(9000)
    return rng.normal(size=(ROUNDS, 1)).astype(np.float32) + np.r_[0.0, rng.normal(size=size - 1)].astype(np.float32)


def by_hand():
    """The mean of the first series after the rounds."""
    m, p = np.zeros(2), np.eye(2)
    for k, y in enumerate(values(2)[:, 0]):
        if k:
            m, p = MOVES @ m, MOVES @ p @ MOVES.T + NOISE
        gain = p @ SEEN.T / (SEEN @ p @ SEEN.T + ERROR)
        m, p = m + gain @ (y - SEEN @ m), p - gain @ SEEN @ p
    return m[0]


KNOWN = by_hand()


def of(begin, observe, mean, size):
    """A run: a fleet begun anew, the data a second of its rounds."""
    rows = values(size)

    def run():
        begin()
        start = time.perf_counter()
        for k, row in enumerate(rows):
            observe(k, row)
        return {"data/s": ROUNDS * size / (time.perf_counter() - start), "mean": float(mean())}

    return run


def filterlearn(size):
    """`Fleet.observe`: mean, variance, evidence and flags of each, on the host."""
    import jax

    import filterlearn as fl

    seen = fl.LinearGaussianObservation(SEEN, ERROR)
    model = fl.StateSpaceModel(fl.Gaussian(np.zeros(2), 1.0), fl.LinearDiscrete(MOVES, NOISE), seen)
    names, fleets = list(range(size)), []

    def begin():
        fleets[:] = [fl.Fleet(fl.Kalman(), model, size, key=jax.random.key(0))]
        fleets[0].add(names)

    def observe(k, row):
        fleets[0].observe(names, np.full(size, float(k)), row[:, None])

    return of(begin, observe, lambda: fleets[0].belief(0).mean[0], size)


def bare(size):
    """Means and covariances, one jitted step of arrays written for this model."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def step(m, p, y, first):
        moves, noise = jnp.where(first, jnp.eye(2), MOVES), jnp.where(first, 0.0, NOISE)
        m, p = m @ moves.T, moves @ p @ moves.T + noise
        s = p[:, 0, 0] + ERROR[0, 0]
        gain = p[:, :, 0] / s[:, None]
        return m + gain * (y - m[:, 0])[:, None], p - gain[:, :, None] * p[:, None, 0]

    held = []

    def begin():
        held[:] = [(jnp.zeros((size, 2)), jnp.tile(jnp.eye(2), (size, 1, 1)))]

    def observe(k, row):
        held[0] = jax.block_until_ready(step(*held[0], row, k == 0))

    return of(begin, observe, lambda: held[0][0][0, 0], size)


def filterpy(size):
    """Means, covariances and likelihoods, a Python loop over its filters."""
    from filterpy.kalman import KalmanFilter

    fleet = []

    def begin():
        fleet.clear()
        for _ in range(size):
            each = KalmanFilter(dim_x=2, dim_z=1)
            each.x, each.P, each.F, each.H, each.Q, each.R = np.zeros(2), np.eye(2), MOVES, SEEN, NOISE, ERROR
            fleet.append(each)

    def observe(k, row):
        for each, y in zip(fleet, row, strict=True):
            if k:
                each.predict()
            each.update(y)

    return of(begin, observe, lambda: fleet[0].x[0], size)


SIDES = {"filterlearn": filterlearn, "bare": bare, "filterpy": filterpy}
