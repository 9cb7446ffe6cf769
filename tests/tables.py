"""Who works with whom, found out by asking: `python -m tests.tables` writes the tables of docs/choose.md anew."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import filterlearn as fl
from tests.cases import EXACT_FILTERS, FILTERS, LEARNERS, OBSERVATIONS, TRANSITIONS

PAGE = Path(__file__).parents[1] / "docs" / "choose.md"
BEGIN, END = "<!-- tables: python -m tests.tables -->\n", "<!-- end of tables -->"
START = fl.Gaussian([0.1, 0.2], 1.0, time=0.0)
LINEAR, SEEN = TRANSITIONS["linear_sde"], OBSERVATIONS["linear_gaussian"]


def answer(algorithm, problem, exact):
    """`exact`, `approximate`, or the refusal; traced, never compiled or run."""
    width = problem.observation if isinstance(problem, fl.StateSpaceModel) else problem(problem.median).resolve().observation
    shape = jax.eval_shape(lambda key: width.sample(START.mean, 1.0, key=key), jax.random.key(0)).shape
    data = fl.Dataset(jnp.arange(1.0, 3.0), jnp.zeros((2, *shape)))
    try:
        eqx.filter_eval_shape(lambda key: fl.log_evidence(algorithm, problem, data, key=key), jax.random.key(0))
    except (TypeError, ValueError) as error:
        return f"refused: {error}"
    return "exact" if exact else "approximate"


def table(corner, columns, rows):
    """Markdown, the refusals numbered below it."""
    notes = list(dict.fromkeys(cell for cells in rows.values() for cell in cells if cell.startswith("refused")))
    short = {note: f"refused [{k + 1}]" for k, note in enumerate(notes)}
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(short.get(cell, cell) for cell in cells) + " |" for name, cells in rows.items()]
    return "\n".join(lines + [""] + [f"{k + 1}. `{note.removeprefix('refused: ')}`" for k, note in enumerate(notes)]) + "\n"


def named(registry):
    """The first row of each class: several rows may try one class in several ways."""
    made = {name: make() for name, make in registry.items()}
    seen = {}
    for name, one in made.items():
        seen.setdefault(type(one).__name__, name)
    return {f"`{cls}`": made[name] for cls, name in seen.items()}


def models():
    """Each transition with a linear Gaussian observation, then each observation with a linear transition."""
    yield from ((name, fl.StateSpaceModel(START, transition, SEEN())) for name, transition in named(TRANSITIONS).items())
    others = {name: seen for name, seen in named(OBSERVATIONS).items() if not isinstance(seen, fl.LinearGaussianObservation)}
    yield from ((name, fl.StateSpaceModel(START, LINEAR(), seen)) for name, seen in others.items())


def filters_table():
    algorithms = named(FILTERS)
    exact = {f"`{type(make()).__name__}`" for make in EXACT_FILTERS.values()}
    rows = {}
    for name, model in models():
        linear = isinstance(model.transition, fl.AbstractLinearTransition)
        known = linear and isinstance(model.observation, fl.LinearGaussianObservation)
        rows[name] = [answer(one, model, known and who in exact) for who, one in algorithms.items()]
    return table("model with", list(algorithms), rows)


def learners_table():
    model = fl.StateSpaceModel(START, LINEAR(), SEEN())

    def build(p):
        return eqx.tree_at(lambda m: m.transition.offset, model, p["offset"])

    family = fl.ModelFamily(build, {"offset": fl.Parameter(dist.Normal(jnp.zeros(2), 1.0), fl.RandomWalk(0.1))})
    algorithms, rows = named(FILTERS), {}
    further = {fl.Nested: (4,), fl.RecursiveMaximumLikelihood: (fl.natural_gradient(),)}
    for learner in {type(made): None for make, *_ in LEARNERS.values() if hasattr(made := make(), "filter")}:
        more = further.get(learner, ())
        rows[f"`{learner.__name__}`"] = [wrapped(learner, one, more, family) for one in algorithms.values()]
    return table("around", list(algorithms), rows)


def wrapped(learner, inside, more, family):
    try:
        algorithm = learner(inside, *more)
    except TypeError as error:
        return f"refused: {error}"
    return answer(algorithm, family, False)


def page():
    """docs/choose.md with its tables made anew."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{filters_table()}\n{learners_table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page())
