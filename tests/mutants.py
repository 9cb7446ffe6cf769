"""Named mistakes, put into a copy of the source one at a time: each must make its test fail (`make mutants`).

Prints a line for each; exits with 1 where a mistake goes unnoticed, or its test fails without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """A file below the package, the text that is replaced and what by, and the test that must notice: a file and words."""

    file: str
    right: str
    wrong: str
    test: str
    words: str


MUTANTS = {
    "ancestors of the kept path drawn without its density": Mutant(
        "posteriors/latent_path.py",
        "back = weights + law(kept)",
        "back = weights + jnp.zeros_like(law(kept))",
        "tests/oracles/test_particle_gibbs.py",
        "keeps_the_law",
    ),
    "temperatures without their evidence": Mutant(
        "posteriors/smc.py",
        "evidence += jax.vmap(log_mean_exp)(unnormalised)",
        "evidence += 0 * jax.vmap(log_mean_exp)(unnormalised)",
        "tests/laws/test_posteriors.py",
        "smc_estimates",
    ),
    "a curvature in other units than the draws": Mutant(
        "posteriors/optimise.py",
        "factor = np.asarray(scale)[:, None] * directions",
        "factor = directions",
        "tests/laws/test_approximations.py",
        "found and laplace",
    ),
    "a guide's density in other units than the draws": Mutant(
        "posteriors/svi.py",
        "log_q - jnp.sum(jnp.log(scale))",
        "log_q - 0 * jnp.sum(jnp.log(scale))",
        "tests/laws/test_approximations.py",
        "found and svi",
    ),
    "a datum left out that is left in": Mutant(
        "posteriors/leave_out.py",
        "cholesky(masked_covariance(r - h",
        "cholesky(masked_covariance(r + h",
        "tests/oracles/test_leave_out.py",
        "predicted_as_if",
    ),
    "paths without the spread of their steps back": Mutant(
        "smoothers/gaussian_paths.py",
        "jax.vmap(semidefinite_factor)(steps.spread)",
        "0 * jax.vmap(semidefinite_factor)(steps.spread)",
        "tests/laws/test_paths.py",
        "paths_and_the_constant",
    ),
    "a start that forgets correlations": Mutant(
        "models/start.py",
        "return apart.T @ apart / len(apart)",
        "return jnp.diag(jnp.mean(apart**2, axis=0))",
        "tests/oracles/test_warm_start.py",
        "half_fitted and joint",
    ),
    "particles of static parameters never moved": Mutant(
        "moves/rejuvenation.py",
        "history.whole, self.moves, 0)",
        "history.whole, 0, 0)",
        "tests/laws/test_rejuvenation.py",
        "posterior_stays_exact",
    ),
    "moves accepted as if the fitted law were flat": Mutant(
        "moves/rejuvenation.py",
        "gain += 0.5 *",
        "gain += 0.0 *",
        "tests/laws/test_rejuvenation.py",
        "draws_from_the_posterior",
    ),
    "perturbations left out": Mutant(
        "analyses/perturbed.py",
        "errors = seen.error + noise -",
        "errors = seen.error -",
        "tests/laws/test_analyses.py",
        "perturbations_leave",
    ),
    "the value of the past left out": Mutant(
        "learners/online_variational.py",
        "back(slope + to_e)[0] + to_z",
        "back(to_e)[0] + to_z",
        "tests/oracles/test_online_variational.py",
        "linear_gaussian",
    ),
    "the spread of the backward kernel left out": Mutant(
        "numerics/quadratic.py",
        "matrix.T @ forms @ matrix + constant(averaged(forms, covariance), matrix.shape[1])",
        "matrix.T @ forms @ matrix + constant(0 * averaged(forms, covariance), matrix.shape[1])",
        "tests/oracles/test_online_em.py",
        "dense_smoother",
    ),
    "Stratonovich for Ito": Mutant(
        "models/transitions/euler_maruyama.py",
        "safe_sqrt(h) * self.sde.diffuse(t, x, u, z)",
        "safe_sqrt(h) * self.sde.diffuse(t, x + safe_sqrt(h) * self.sde.diffuse(t, x, u, z) / 2, u, z)",
        "tests/oracles/test_ito.py",
        "test_draws and euler_maruyama and not since",
    ),
    "the observation counted twice in an iterated filter": Mutant(
        "filters/extended_kalman.py",
        "            new = linearised(new[0])[1]",
        "            m, spread = new\n            new = linearised(m)[1]",
        "tests/laws/test_filters.py",
        "dense and iterated_extended",
    ),
    "a parallel filter that differs from the sequential one": Mutant(
        "filters/parallel_kalman.py",
        "form.moved(form.of_factor(white.T), a.T,",
        "form.moved(form.of_factor(white.T), a,",
        "tests/oracles/test_parallel.py",
        "parallel",
    ),
    "unequal lengths accepted": Mutant(
        "data.py", "if len(array) != length:", "if False:", "tests/test_refusals.py", "unequal"
    ),
    "NaN carried through": Mutant(
        "numerics/masking.py",
        "return ~jnp.isnan(value)",
        "return jnp.full(value.shape, True)",
        "tests/laws/test_filters.py",
        "all_missing and extended",
    ),
    "a taper on the cross-covariance alone": Mutant(
        "analyses/perturbed.py",
        "cholesky(between * (raw @ raw.T)",
        "cholesky((raw @ raw.T)",
        "tests/laws/test_analyses.py",
        "both_covariances",
    ),
    "a covariance that is not semidefinite accepted": Mutant(
        "beliefs/gaussian.py", "if matrix.size and (low", "if False and (low", "tests/test_refusals.py", "semidefinite"
    ),
    "a datum that sees the future": Mutant(
        "protocol.py",
        "return jax.lax.scan(jax.checkpoint(advance), belief, rows)",
        "return jax.lax.scan(jax.checkpoint(advance), belief, rows, reverse=True)",
        "tests/laws/test_filters.py",
        "streaming and kalman and not ensemble and not extended",
    ),
    "a branch drawn by its weight and weighed by it again": Mutant(
        "filters/rao_blackwellised.py",
        "weights + chance - jax.lax.stop_gradient(chance)",
        "chance + weights",
        "tests/oracles/test_rao_blackwellised.py",
        "regimes_against",
    ),
    "points that are evenly spread and not randomised": Mutant(
        "numerics/quasi.py",
        "random = jax.random.bits(key, (_BITS + 1, dimension), jnp.uint32)",
        "random = jnp.zeros((_BITS + 1, dimension), jnp.uint32)",
        "tests/oracles/test_quasi_monte_carlo.py",
        "each_point and float64",
    ),
    "a residual bridge that does not look ahead of its substep": Mutant(
        "proposals/residual_bridge.py",
        "return end - before, after - before",
        "return after - before, after - before",
        "tests/laws/test_proposals.py",
        "bent_drift",
    ),
    "backward moves that are always taken": Mutant(
        "smoothers/backward_sampling.py",
        "taken = level < ahead - now",
        "taken = jnp.isfinite(ahead)",
        "tests/laws/test_path_smoothers.py",
        "have_the_law and metropolis",
    ),
    "an inflation that narrows": Mutant(
        "inflations/multiplicative.py",
        "return self.factor * after",
        "return after / self.factor",
        "tests/laws/test_inflations.py",
        "number_is_a_factor or factor_multiplies",
    ),
    "a relaxation to the posterior": Mutant(
        "inflations/relaxation.py",
        "(1 - self.alpha) * after + self.alpha * before",
        "self.alpha * after + (1 - self.alpha) * before",
        "tests/laws/test_inflations.py",
        "relaxation_goes",
    ),
    "a relaxation that narrows": Mutant(
        "inflations/relaxation.py",
        "1 + self.alpha * (spread(before)",
        "1 - self.alpha * (spread(before)",
        "tests/laws/test_inflations.py",
        "relaxation_goes",
    ),
    "an inflation that learns from the noise of the data": Mutant(
        "inflations/adaptive.py",
        "(seen.error @ seen.error - count)",
        "(seen.error @ seen.error)",
        "tests/laws/test_inflations.py",
        "factor_is_drawn",
    ),
    "the datum counted at each iteration of an ensemble": Mutant(
        "analyses/iterative.py",
        "root @ (root @ (weights - spread.T @ seen.error))",
        "root @ (root @ (-spread.T @ seen.error))",
        "tests/oracles/test_iterative.py",
        "make_it_the_transform",
    ),
    "an ensemble that has collapsed not flagged": Mutant(
        "filters/ensemble_kalman.py",
        "COLLAPSED * _all_one(members)",
        "0 * _all_one(members)",
        "tests/laws/test_analyses.py",
        "without_spread",
    ),
    "jumps that are not weighed by their chances": Mutant(
        "filters/gaussian_sum.py",
        "(weights + chances.T).reshape(-1)",
        "(weights + 0 * chances.T).reshape(-1)",
        "tests/oracles/test_gaussian_sum.py",
        "noisy_prices",
    ),
    "a Markov chain that runs backward": Mutant(
        "filters/base.py",
        "safe_log(belief.weights @ moved)",
        "safe_log(moved @ belief.weights)",
        "tests/oracles/test_switching.py",
        "is_all_paths",
    ),
    "finite states that differ in parallel": Mutant(
        "numerics/densities.py",
        "a[:, None, :] + b.T[None]",
        "a[:, None, :] + b[None]",
        "tests/oracles/test_parallel.py",
        "finite",
    ),
    "regimes that do not move": Mutant(
        "filters/switching.py",
        "pairs = weights[:, None] + safe_log(",
        "pairs = weights[None, :] + 0 * safe_log(",
        "tests/oracles/test_switching.py",
        "known_state",
    ),
    "a smoother that forgets what the gap adds": Mutant(
        "smoothers/base.py",
        "m - gain @ moved.mean,",
        "m - gain @ m,",
        "tests/laws/test_smoothers.py",
        "dense and extended-linear",
    ),
    "a smoother misled by data before its start": Mutant(
        "smoothers/base.py",
        "neighbours(beliefs, beliefs.time, rows)",
        "neighbours(beliefs, data.times, rows)",
        "tests/laws/test_smoothers.py",
        "dense and extended-linear",
    ),
    "a parallel smoother that joins in the wrong order": Mutant(
        "smoothers/parallel_rauch_tung_striebel.py",
        "second.matrix @ first.matrix",
        "first.matrix @ second.matrix",
        "tests/laws/test_smoothers.py",
        "dense and parallel",
    ),
    "members smoothed by other noise than theirs": Mutant(
        "smoothers/ensemble.py",
        "key=step_keys(own)[0]",
        "key=step_keys(own)[1]",
        "tests/laws/test_ensemble_smoothers.py",
        "few_members",
    ),
    "a lag that is one short": Mutant(
        "smoothers/fixed_lag.py",
        "self.points[:, -1]",
        "self.points[:, -2]",
        "tests/laws/test_path_smoothers.py",
        "lag_of_samples and particle",
    ),
    "members of the past that move like those of now": Mutant(
        "smoothers/fixed_lag.py",
        "past + followed(change, ahead, past)",
        "past + change",
        "tests/laws/test_ensemble_smoothers.py",
        "few_members",
    ),
    "a past that keeps its old covariance with now": Mutant(
        "smoothers/fixed_lag.py",
        "gain @ new.covariance",
        "gain @ old.covariance",
        "tests/laws/test_path_smoothers.py",
        "smoother_of_the_data_so_far and kalman",
    ),
    "angles that do not wrap inside a learner": Mutant(
        "learners/joint.py",
        "return self.family(self.family.median).resolve().observation.innovation(y, mean)",
        "return y - mean",
        "tests/laws/test_learners.py",
        "angles and extended",
    ),
    "weights kept after resampling": Mutant(
        "resamplers/base.py",
        "uniform = jnp.full_like(log_weights, -jnp.log(log_weights.shape[0]))",
        "uniform = log_weights",
        "tests/laws/test_resamplers.py",
        "systematic",
    ),
    "a diffusion that does not look at the weights": Mutant(
        "resamplers/diffusion.py",
        "logits = log_weights + (cosine",
        "logits = (cosine",
        "tests/laws/test_resamplers.py",
        "diffusion",
    ),
    "a learned proposal that its weights forget": Mutant(
        "proposals/learned.py",
        "return point, density + ratio,",
        "return point, density,",
        "tests/laws/test_proposals.py",
        "learned",
    ),
    "a gradient that is noise not flagged": Mutant(
        "diagnostics/gradient.py",
        "~(self.deviation <= self.scale)",
        "~(self.deviation >= 0)",
        "tests/laws/test_gradient.py",
        "flagged",
    ),
}


def _passes(mutant: Mutant, tree: Path) -> bool:
    """Whether the test passes in a tree; RuntimeError where the words choose no test."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        mutant.test,
        "-k",
        mutant.words,
    ]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.test} -k {mutant.words!r}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def _verdict(mutant: Mutant, tree: Path) -> str:
    """Noticed or what is wrong; the tree is as it was afterwards."""
    file = tree / "filterlearn" / mutant.file
    text = file.read_text()
    if not _passes(mutant, tree):
        return "FAILS WITHOUT IT"
    file.write_text(text.replace(mutant.right, mutant.wrong))
    noticed = not _passes(mutant, tree)
    file.write_text(text)
    return "noticed" if noticed else "UNNOTICED"


def main(*names: str) -> int:
    """Tries the mistakes, or those named."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in ("filterlearn", "tests"):
            shutil.copytree(ROOT / name, tree / name)
        shutil.copy(ROOT / "pyproject.toml", tree)
        wrong = 0
        for name in names or MUTANTS:
            verdict = _verdict(MUTANTS[name], tree)
            wrong += verdict != "noticed"
            print(f"{verdict:17s} {name}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
