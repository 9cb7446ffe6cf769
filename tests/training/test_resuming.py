"""A training run that was interrupted goes on, equal to the bit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import drift_of, seen_paths

KEY = jax.random.key(8)


class Crash(Exception):
    """The power fails."""


def fails(line):
    if line.startswith("step 20 "):
        raise Crash


@pytest.mark.parametrize("run", [fl.train, fl.train_ensemble])
def test_resumed_equals_uninterrupted_to_the_bit(run, tmp_path):
    """Minibatches, data held out and the optimiser's memory too; a run that has ended is read again."""
    module = {"w": -0.5 * jnp.eye(2), "start": jnp.zeros(2)}
    module = module if run is fl.train else jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 0.1]), module)
    data, file = fl.stacked(seen_paths()), fl.Checkpoint(tmp_path / "run.npz")
    given = {"steps": 35, "batch": 1, "every": 10, "held_out": data, "key": KEY}
    whole = run(fl.WeakForm(drift_of, 5), module, data, **given)
    with pytest.raises(Crash):
        run(fl.WeakForm(drift_of, 5), module, data, **given, progress=fails, checkpoint=file)
    told = []
    for lines in (2, 2):  # steps 30 and 35, then none
        again = run(fl.WeakForm(drift_of, 5), module, data, **given, progress=told.append, checkpoint=file)
        assert eqx.tree_equal(again, whole)
        assert len(told) == lines
    with pytest.raises(ValueError, match="checkpoint: .*run.npz was made with steps=35, not 40; delete it"):
        run(fl.WeakForm(drift_of, 5), module, data, **(given | {"steps": 40}), checkpoint=file)
    other = {**module, "w": jnp.zeros((*np.shape(module["w"])[:-1], 3))}
    with pytest.raises(ValueError, match="path: leaf"):
        run(fl.WeakForm(lambda m: lambda t, x, u: x, 5), other, data, **given, checkpoint=file)
