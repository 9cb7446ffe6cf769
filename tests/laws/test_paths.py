"""Paths, data drawn anew and the future, against one dense Gaussian of all of them and the parameter."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import filterlearn as fl
from tests.oracles.dense import joint_sensors, joint_states

KEY = jax.random.key(0)
TIMES, AHEAD = np.array([0.3, 0.5, 0.5, 1.4, 2.0]), np.array([2.0, 2.6, 3.5])
DATA = fl.Dataset(TIMES, [0.4, -0.2, np.nan, 1.3, 0.9])
CHAINS, DRAWS = 2, 1600


def build(p):
    """A level that relaxes, seen beside a constant, and a drift that moves if there is one."""
    seen = fl.LinearGaussianObservation([[1.0]], [[0.2]], (p["constant"] + p.get("drift", 0.0))[None])
    return fl.StateSpaceModel(fl.Gaussian([0.2], 0.4, time=0.0), fl.LinearSDE([[-0.5]], [[0.6]]), seen)


CONSTANT = fl.Parameter(dist.Normal(0.3, 0.7))
DRIFT = fl.Parameter(dist.Normal(0.1, 0.5), fl.RandomWalk(0.3))
STILL, MOVING = fl.ModelFamily(build, {"constant": CONSTANT}), fl.ModelFamily(build, {"constant": CONSTANT, "drift": DRIFT})
CASES = {  # the family, the algorithm, the smoother
    "filter": (STILL, fl.Kalman(), fl.GaussianPaths(fl.Kalman(), 1)),
    "learner": (MOVING, fl.Joint(fl.ExtendedKalman()), fl.GaussianPaths(fl.Joint(fl.ExtendedKalman()), 1)),
}


def exact(drifts):
    """Mean and covariance given the data: of (x, drift, constant) at each time and ahead."""
    start = fl.Gaussian([0.2, 0.1, 0.3], np.diag([0.4, 0.25 * drifts, 0.49]), time=0.0)
    move = fl.LinearSDE(np.diag([-0.5, 0.0, 0.0]), np.diag([0.6, 0.3 * drifts, 0.0]))
    model = fl.StateSpaceModel(start, move, fl.LinearGaussianObservation([[1.0, drifts, 1.0]], [[0.2]]))
    values = np.concatenate([DATA.values, np.full((len(AHEAD), 1), np.nan)])
    data = fl.Dataset(np.concatenate([TIMES, AHEAD]), values)
    (prior, joint), (h, r, y) = joint_states(model, data), joint_sensors(model, data)
    use = np.flatnonzero(~np.isnan(y))
    gain = np.linalg.solve(h[use] @ joint @ h[use].T + r[np.ix_(use, use)], h[use] @ joint).T
    return prior + gain @ (y[use] - h[use] @ prior), joint - gain @ h[use] @ joint, h


def posterior(drifts):
    """Independent draws of the constant from its posterior, as a fit lays them out."""
    mean, covariance, _ = exact(drifts)
    draws = mean[2] + covariance[2, 2] ** 0.5 * np.random.default_rng(0).normal(size=(CHAINS, DRAWS))
    dims = {"chain": range(CHAINS), "draw": range(DRAWS)}
    return xr.DataTree.from_dict({"posterior": xr.Dataset({"constant": (("chain", "draw"), draws)}, dims)})


def assert_has_the_law(draws, mean, covariance):
    """Means and second moments within five standard errors of independent draws `(k, n)`."""
    away = draws - mean
    assert (abs(away.mean(0)) < 5 * np.sqrt(np.diag(covariance) / len(draws))).all()
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(draws))
    assert (abs(away.T @ away / len(draws) - covariance) < 5 * error + 1e-12).all()


def flat(array):
    return array.values.reshape(CHAINS * DRAWS, -1)


@pytest.fixture(scope="module", params=CASES)
def drawn(request):
    (family, algorithm, smoother), drifts = CASES[request.param], float(request.param == "learner")
    tree = fl.with_paths(posterior(drifts), family, DATA, algorithm, smoother, draws=DRAWS, key=KEY)
    return fl.with_predictions(tree, family, DATA, algorithm, AHEAD, draws=DRAWS, key=jax.random.key(1)), drifts


def test_paths_and_the_constant_have_their_joint_law(drawn):
    """Across times and with the parameters, of which the constant was drawn first."""
    tree, drifts = drawn
    mean, covariance, _ = exact(drifts)
    names, paths = ["x", *(["parameter_drift"] if drifts else [])], tree["paths"]
    found = np.concatenate([flat(tree["posterior"]["constant"]), *(flat(paths[name]) for name in names)], axis=1)
    k = 3 * np.arange(len(TIMES))
    which = np.concatenate([[2], k, k + 1] if drifts else [[2], k])
    assert_has_the_law(found, mean[which], covariance[np.ix_(which, which)])
    assert set(paths.data_vars) == set(names)
    assert [paths[name].dims[3:] for name in names] == [("state",), ()][: len(names)]


def test_data_drawn_anew_have_their_joint_law(drawn):
    """The missing one too."""
    tree, drifts = drawn
    mean, covariance, h = exact(drifts)
    h = h[: len(TIMES)]
    y = tree["posterior_predictive"]["y"]
    assert_has_the_law(flat(y), h @ mean, h @ covariance @ h.T + 0.2 * np.eye(len(TIMES)))
    assert y.dims == ("chain", "draw", "time", "sensor")


def test_the_future_has_its_joint_law(drawn):
    """States and data; a drift stays where it is, so that with one only the first time is exact."""
    tree, drifts = drawn
    mean, covariance, h = exact(drifts)
    ahead = 1 if drifts else len(AHEAD)
    k = 3 * (len(TIMES) + np.arange(ahead))
    found, h = tree["predictions"], h[len(TIMES) :][:ahead]
    assert_has_the_law(flat(found["x"][:, :, :ahead]), mean[k], covariance[np.ix_(k, k)])
    assert_has_the_law(flat(found["y"][:, :, :ahead]), h @ mean, h @ covariance @ h.T + 0.2 * np.eye(ahead))
    np.testing.assert_array_equal(found["time"], AHEAD)


def test_datetimes_are_kept(tmp_path):
    """The first time ahead is that of the last datum."""
    stamps, ahead = (np.datetime64("2020-01-01") + (1440 * t).round().astype("timedelta64[m]") for t in (TIMES, AHEAD))
    family, algorithm, smoother = CASES["filter"]
    data = fl.Dataset(stamps, DATA.values)
    tree = fl.with_paths(posterior(0.0), family, data, algorithm, smoother, draws=DRAWS, key=KEY)
    tree = fl.with_predictions(tree, family, data, algorithm, ahead, draws=DRAWS, key=KEY)
    tree.to_zarr(tmp_path / "tree.zarr")
    with xr.open_datatree(tmp_path / "tree.zarr", engine="zarr") as again:
        xr.testing.assert_equal(again.load(), tree)
    np.testing.assert_array_equal(tree["paths"]["time"], stamps)
    np.testing.assert_array_equal(tree["predictions"]["time"], ahead)
    last, first = tree["paths"]["x"][:, :, -1], tree["predictions"]["x"][:, :, 0]
    wide = float(last.std())
    assert abs(float(first.mean() - last.mean())) < 5 * wide * np.sqrt(2 / (CHAINS * DRAWS))
    assert abs(np.log(float(first.std()) / wide)) < 5 / np.sqrt(CHAINS * DRAWS)


@pytest.mark.parametrize("name", ["particles", "ensemble"])
def test_samples_give_paths_too(name):
    """Of some of the draws, evenly spaced; the bias of 200 points is small beside five standard errors of 64 draws."""
    algorithm = fl.ParticleFilter(200) if name == "particles" else fl.EnsembleKalman(200)
    smoother = fl.BackwardSampling(1) if name == "particles" else fl.EnsembleRauchTungStriebel(algorithm)
    tree = fl.with_paths(posterior(0.0), STILL, DATA, algorithm, smoother, draws=32, key=KEY)
    mean, covariance, _ = exact(0.0)
    k, found = 3 * np.arange(len(TIMES)), tree["paths"]["x"].values.reshape(-1, len(TIMES))
    assert tree["paths"]["draw"].values.tolist() == np.linspace(0, DRAWS - 1, 32).round().tolist()
    assert (tree["posterior"].sizes["draw"], len(found)) == (DRAWS, 64)
    assert (abs(found.mean(0) - mean[k]) < 5 * np.sqrt(np.diag(covariance)[k] / 64)).all()
    assert (abs(np.log(found.var(0) / np.diag(covariance)[k])) < 5 * np.sqrt(2 / 64)).all()


def test_what_draws_no_path_is_refused():
    tree, (family, algorithm, smoother) = posterior(0.0), CASES["filter"]
    with pytest.raises(TypeError, match="smoother: one that draws paths is needed, got RauchTungStriebel"):
        fl.with_paths(tree, family, DATA, algorithm, fl.RauchTungStriebel(algorithm), draws=2, key=KEY)
    with pytest.raises(ValueError, match="tree: its posterior has no 'drift'"):
        fl.with_paths(tree, MOVING, DATA, algorithm, smoother, draws=2, key=KEY)
    with pytest.raises(ValueError, match="times: 2, the last of the data, or later is needed, got 1"):
        fl.with_predictions(tree, family, DATA, algorithm, [1.0, 3.0], draws=2, key=KEY)
    with pytest.raises(TypeError, match="times: those of the data are numbers"):
        fl.with_predictions(tree, family, DATA, algorithm, [np.datetime64("2020-01-01")], draws=2, key=KEY)
    with pytest.raises(ValueError, match="draws: a whole number of at least 1"):
        fl.with_predictions(tree, family, DATA, algorithm, [3.0], draws=0, key=KEY)
