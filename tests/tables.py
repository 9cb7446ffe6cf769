"""Who works with whom, found out by asking: `python -m tests.tables` writes the tables of docs/choose.md anew."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import filterlearn as fl
from tests.cases import (
    EXACT_FILTERS,
    FILTERS,
    FINITE,
    GENEALOGIES,
    LEARNERS,
    MIXTURE_FILTERS,
    OBSERVATIONS,
    PARTED_FILTERS,
    QUASI_FILTERS,
    TRANSITIONS,
    WIDER,
    switching_model,
)

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
    notes = list(dict.fromkeys(cell for cells in rows.values() for cell in cells if cell.startswith("refused:")))
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


def wider_table():
    """Every filter, on a model of each kind; the refusals unquoted."""
    linear, jumping = (fl.StateSpaceModel(START, TRANSITIONS[name](), SEEN()) for name in ("linear_sde", "linear_sde_jumps"))
    start = fl.Initial(dist.Categorical(jnp.array([0.5, 0.2, 0.3])), 0.0)
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(x[:1], 1.0))
    kinds = {
        "`LinearSDE`": linear,
        "`LinearSDE` with jumps": jumping,
        "`Switched`": switching_model(),
        "`MarkovChain`": fl.StateSpaceModel(start, FINITE["markov_chain"](), seen),
    }
    exact = {"`LinearSDE`": {*EXACT_FILTERS, "parallel_kalman"}, "`MarkovChain`": {"hidden_markov", "parallel_hidden_markov"}}
    every = FILTERS | {name: make for name, (make, _) in WIDER.items()} | MIXTURE_FILTERS | QUASI_FILTERS | GENEALOGIES
    every |= PARTED_FILTERS
    known = {kind: {type(every[name]()) for name in names} for kind, names in exact.items()}
    rows = {
        name: [answer(one, model, type(one) in known.get(kind, ())).partition(":")[0] for kind, model in kinds.items()]
        for name, one in named(every).items()
    }
    return table("filter", list(kinds), rows)


def learners_table():
    model = fl.StateSpaceModel(START, LINEAR(), SEEN())

    def build(p):
        return eqx.tree_at(lambda m: m.transition.offset, model, p["offset"])

    family = fl.ModelFamily(build, {"offset": fl.Parameter(dist.Normal(jnp.zeros(2), 1.0), fl.RandomWalk(0.1))})
    algorithms, rows = named(FILTERS), {}
    further = {fl.Nested: (4,), fl.RecursiveMaximumLikelihood: (fl.natural_gradient(),), fl.LowRank: (2,)}
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
    tables = "\n".join((filters_table(), wider_table(), learners_table()))
    return f"{before}{BEGIN}\n{tables}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page())
