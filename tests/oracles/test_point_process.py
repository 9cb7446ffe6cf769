"""Point processes whose likelihoods are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import stats
from scipy.special import gammaln

import filterlearn as fl

MU, ALPHA, BETA, END = 0.3, 0.8, 1.5, 8.0
EVENTS = np.array([0.4, 0.9, 1.0, 3.2, 3.3, 3.35, 6.0, 7.7])
FILTER, KEY = fl.ParticleFilter(2), jax.random.key(0)


def intensity(t, x, u):
    return MU + x


def hawkes(transition):
    """dx = -beta x dt, x + alpha after an event, at rate mu + x."""
    moved = fl.JumpsAtData(transition, lambda t, x, u: x + ALPHA * u[0], reset=1)
    return fl.StateSpaceModel(fl.Gaussian(np.zeros(2), 0.0, time=0.0), moved, fl.PointProcess(intensity))


def exactly():
    return hawkes(fl.LinearSDE(np.array([[-BETA, 0.0], [1.0, 0.0]]), np.zeros(2), np.array([0.0, MU])))


def stepped(steps):
    return hawkes(fl.RungeKutta(fl.SDE(lambda t, x, u: -BETA * x, np.zeros(1)).with_integral(intensity), steps=steps))


def closed_form(mu, alpha, beta, events, end):
    """sum_i log(mu + alpha sum_j<i exp(-beta (t_i - t_j))) - mu T - alpha / beta sum_i (1 - exp(-beta (T - t_i)))."""
    apart = events[:, None] - events
    raised = np.where(apart > 0, np.exp(-beta * np.maximum(apart, 0.0)), 0.0).sum(1)
    return np.log(mu + alpha * raised).sum() - mu * end - alpha / beta * -np.expm1(-beta * (end - events)).sum()


def test_the_evidence_of_a_hawkes_process_is_its_closed_form():
    """With or without rows that say that nothing happened; a step of Runge-Kutta at its order."""
    known = closed_form(MU, ALPHA, BETA, EVENTS, END)
    for gap in (np.inf, 0.5):
        found = fl.log_evidence(FILTER, exactly(), fl.event_data(EVENTS, END, gap=gap), key=KEY)
        np.testing.assert_allclose(found, known, rtol=1e-12)
    off = [abs(fl.log_evidence(FILTER, stepped(n), fl.event_data(EVENTS, END), key=KEY) - known) for n in (4, 8)]
    assert off[1] < 1e-3
    assert 10 < off[0] / off[1] < 25


def test_the_derivative_is_that_of_the_closed_form():
    family = fl.ModelFamily(
        lambda p: fl.StateSpaceModel(
            fl.Gaussian(np.zeros(2), 0.0, time=0.0),
            fl.JumpsAtData(
                fl.LinearSDE(
                    jnp.array([[-1.0, 0.0], [0.0, 0.0]]) * p["beta"] + jnp.array([[0.0, 0.0], [1.0, 0.0]]),
                    np.zeros(2),
                    jnp.array([0.0, 1.0]) * p["mu"],
                ),
                lambda t, x, u: x + p["alpha"] * u[0],
                reset=1,
            ),
            fl.PointProcess(lambda t, x, u: p["mu"] + x),
        ),
        {name: fl.Parameter(dist.Normal(1.0, 1.0)) for name in ("alpha", "beta", "mu")},
    )
    data, theta = fl.event_data(EVENTS, END), np.array([ALPHA, BETA, MU])
    found = jax.grad(lambda th: fl.log_evidence(FILTER, family(th), data, key=KEY))(jnp.asarray(theta))
    for k in range(3):
        ends = [closed_form(*(theta + s * 1e-5 * np.eye(3)[k])[[2, 0, 1]], EVENTS, END) for s in (1, -1)]
        np.testing.assert_allclose(found[k], (ends[0] - ends[1]) / 2e-5, rtol=1e-7)


def test_drawn_events_are_those_of_the_process():
    """The mean number of events from rest, mu (T + a s), s = (T - (1 - exp(-c T)) / c) / c, c = b - a; and residuals that are
    uniform under the change of time; a steady rate explains the events worse."""
    n, slack, model = 150, BETA - ALPHA, exactly()
    drawn = [fl.simulate_events(model, END, step=0.5, most=200, key=k) for k in jax.random.split(KEY, n)]
    counts = np.array([np.asarray(series.values).sum() for series in drawn])
    mean = MU * (END + ALPHA / slack * (END + np.expm1(-slack * END) / slack))
    assert abs(counts.mean() - mean) < 5 * counts.std() / np.sqrt(n)
    long = fl.simulate_events(model, 500.0, step=0.5, key=KEY)
    pit = np.asarray(fl.run(FILTER, model, long, key=KEY).info.pit)[:-1, 0]
    assert len(pit) > 200
    assert stats.kstest(pit, "uniform").pvalue > 0.01
    still = closed_form(len(pit) / 500, 0.0, BETA, np.asarray(long.times)[:-1], 500.0)
    assert fl.log_evidence(FILTER, model, long, key=KEY) > still + 10


def test_two_kinds_excite_each_other_and_carry_marks():
    """Kinds and marks of the datum before reach the jump; evidence by hand. A row of NaN is a gap in which nobody looked."""
    base, decay = np.array([0.4, 0.2]), np.array([1.0, 2.0])
    weights = np.array([[0.3, 0.1], [0.5, 0.2]])  # of the kind before, on each intensity
    rates = lambda t, x, u: base + x  # noqa: E731
    jump = lambda t, x, u: x + weights @ u[:2] * (1 + jnp.tanh(u[2]))  # noqa: E731
    sde = fl.SDE(lambda t, x, u: -decay * x, np.zeros(2)).with_integral(rates)
    seen = fl.PointProcess(rates, fl.DistributionObservation(lambda t, x, u: dist.Normal(x[:1], 0.7)))
    model = fl.StateSpaceModel(
        fl.Gaussian(np.zeros(3), 0.0, time=0.0), fl.JumpsAtData(fl.RungeKutta(sde, steps=20), jump, reset=1), seen
    )
    times, kinds, marks = np.array([0.5, 1.1, 2.0]), np.array([1, 0, 1]), np.array([0.3, -0.8, 0.5])
    x, now, total = np.zeros(2), 0.0, 0.0
    for t, kind, mark in [*zip(times, kinds, marks, strict=True), (2.5, None, None)]:
        fallen = np.exp(-decay * (t - now))
        total -= base.sum() * (t - now) + (x * (1 - fallen) / decay).sum()
        x, now = x * fallen, t
        if kind is not None:
            total += np.log(base[kind] + x[kind]) + stats.norm.logpdf(mark, x[0], 0.7)
            x = x + weights[:, kind] * (1 + np.tanh(mark))
    data = fl.event_data(times, 2.5, kinds=kinds, marks=marks, number=2)
    np.testing.assert_allclose(fl.log_evidence(FILTER, model, data, key=KEY), total, rtol=1e-7)
    drawn = fl.simulate_events(model, 20.0, step=0.5, key=KEY)
    assert drawn.values.shape[1] == 3
    assert np.isfinite(fl.log_evidence(FILTER, model, drawn, key=KEY))


def test_a_window_in_which_nobody_looked_says_nothing():
    """No event in (0, 1], nobody looked in (1, 2], an event at 3 of an intensity that stands at mu."""
    data = fl.Dataset([1.0, 2.0, 3.0], [0.0, np.nan, 1.0], np.zeros((3, 1)))
    np.testing.assert_allclose(fl.log_evidence(FILTER, exactly(), data, key=KEY), np.log(MU) - 2 * MU, rtol=1e-12)


def test_a_session_absorbs_events_as_a_run_does():
    session, before, total = fl.Session(FILTER, exactly(), key=KEY), np.zeros(1), 0.0
    for time, value in [*((t, 1.0) for t in EVENTS), (END, 0.0)]:
        total += float(session.observe(time, value, inputs=before).log_evidence)
        before = np.array([value])
    np.testing.assert_allclose(total, closed_form(MU, ALPHA, BETA, EVENTS, END), rtol=1e-12)


def test_a_mixed_poisson_process_has_the_evidence_of_its_gamma_law():
    """A rate drawn once from Gamma(a, b): G(a + n) b^a / (G(a) (b + T)^(a + n))."""
    a, b, n = 3.0, 2.0, len(EVENTS)
    known = gammaln(a + n) - gammaln(a) + a * np.log(b) - (a + n) * np.log(b + END)
    level = fl.LinearSDE(np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros(2))
    start = fl.Initial(dist.Gamma(jnp.array([a, a]), b), 0.0)  # of the rate, and of an integral that starts anew
    model = fl.StateSpaceModel(start, fl.JumpsAtData(level, None, reset=1), fl.PointProcess(lambda t, x, u: x))
    data = fl.event_data(EVENTS, END)
    run = lambda k: fl.log_evidence(fl.ParticleFilter(500, fl.Adaptive(fl.Systematic(), 0.0)), model, data, key=k)  # noqa: E731
    ratios = np.exp(np.asarray(jax.vmap(run)(jax.random.split(KEY, 200))) - known)
    assert abs(ratios.mean() - 1) < 5 * ratios.std() / np.sqrt(200)
    assert ratios.std() < 0.5
