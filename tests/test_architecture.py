"""Imports go in one direction, third parties stay behind their fences, and what is public is registered."""

import ast
from pathlib import Path

import filterlearn as fl

HOUSE = Path(fl.__file__).parent
ORDER = (
    "numerics",
    "data",
    "beliefs",
    "models",
    "resamplers",
    "protocol",
    "filters",
    "learners",
    "diagnostics",
    "posteriors",
    "streams",
)
FENCES = {
    "blackjax": ("posteriors",),
    "arviz": ("diagnostics", "posteriors", "demo", "cli"),
    "matplotlib": ("diagnostics",),
    "numpyro": ("models", "posteriors", "volatility"),
}


def imports():
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                yield path.relative_to(HOUSE).with_suffix("").parts, name


def test_imports_point_one_way():
    wrong = []
    for parts, name in imports():
        target = name.split(".")
        ours = target[0] == "filterlearn" and len(target) > 1
        if ours and {parts[0], target[1]} <= set(ORDER) and ORDER.index(target[1]) > ORDER.index(parts[0]):
            wrong.append((parts, name))
    assert not wrong


def test_third_parties_are_fenced():
    wrong = [
        (p, n) for p, n in imports() for library, homes in FENCES.items() if n.split(".")[0] == library and p[0] not in homes
    ]
    assert not wrong


def test_every_public_name_exists_and_is_documented():
    for name in fl.__all__:
        assert getattr(fl, name).__doc__, name


def test_algorithms_are_registered():
    from tests import cases

    made = {type(make()).__name__ for make in cases.FILTERS.values()}
    made |= {type(make()).__name__ for make, _ in cases.LEARNERS.values()}
    made |= {
        type(make()).__name__
        for registry in (cases.TRANSITIONS, cases.OBSERVATIONS, cases.RESAMPLERS)
        for make in registry.values()
    }
    kinds = (fl.AbstractTransition, fl.AbstractObservation)
    from filterlearn.protocol import AbstractAlgorithm
    from filterlearn.resamplers.base import AbstractResampler

    public = [getattr(fl, n) for n in fl.__all__ if not n.startswith("Abstract") and isinstance(getattr(fl, n), type)]
    wanted = {c.__name__ for c in public if issubclass(c, (*kinds, AbstractAlgorithm, AbstractResampler))}
    assert wanted <= made
