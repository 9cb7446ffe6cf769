"""The house holds: imports point one way, third parties stay behind fences, modules are abstract or final, and what is public
is documented, sourced and registered."""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
from pathlib import Path

import equinox as eqx
import jax

import filterlearn as fl
from tests import cases

HOUSE = Path(fl.__file__).parent
APPLICATIONS = ("volatility", "rivals", "demo", "cli")  # they use the public names, as a user would
ORDER = (
    *("numerics", "clock", "inputs", "data", "datasets", "beliefs", "models", "resamplers"),
    *("analyses", "inflations", "quadratures", "forms", "proposals", "guides", "regressions"),
    *("protocol", "filters", "smoothers", "scores", "moves", "learners", "diagnostics", "posteriors", "training", "streams"),
    *APPLICATIONS,
)
FENCES = {
    "blackjax": ("posteriors",),
    "arviz": ("diagnostics", "posteriors", *APPLICATIONS),
    "scoringrules": ("diagnostics",),
    "diffrax": ("models.transitions.diffrax",),
    "lineax": ("models.transitions.diffrax",),
    "optax": ("learners", "posteriors", "training"),
    "ott": ("resamplers.optimal_transport",),
    "pandas": ("data", "diagnostics.results"),
    "xarray": ("data", "diagnostics.results", "posteriors", *APPLICATIONS),
    "matplotlib": ("diagnostics",),
    "numpyro": ("models", "posteriors", *APPLICATIONS),
    "arch": ("datasets", "rivals"),
    "statsmodels": ("datasets",),
    "zarr": ("streams.store",),
    "redis": ("streams.sources.redis",),
    "websockets": ("streams.sources.websocket", "streams.service"),
    "cyclopts": ("cli",),
    "tqdm": ("demo", "cli"),
}
# Folders whose files are alternatives to each other: each imports base.py and its parents, and takes siblings as fields.
ALTERNATIVES = (
    *(
        "beliefs",
        "models.transitions",
        "models.drifts",
        "models.diffusions",
        "models.observations",
        "models.parameter_dynamics",
        "resamplers",
    ),
    *("analyses", "inflations", "quadratures", "forms", "proposals", "guides", "regressions"),
    *("filters", "smoothers", "scores", "moves", "learners", "training.objectives", "streams.sources"),
)
COMPOSITES = ("beliefs.joint", "beliefs.mixture")  # made of the other beliefs
# What computes an estimate or a law by a published method says whose it is.
SOURCED = (
    *(
        "models.transitions",
        "models.drifts",
        "models.diffusions",
        "resamplers",
        "analyses",
        "inflations",
        "quadratures",
        "forms",
        "proposals",
    ),
    *("guides", "regressions", "filters", "smoothers", "scores", "moves", "learners", "posteriors", "training.objectives"),
)
SOURCE = re.compile(r"doi:10\.\d{4,9}/\S+|arXiv:\d{4}\.\d{4,5}|ISBN \d{13}")


def home(path):
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {home(path): ast.parse(path.read_text()) for path in sorted(HOUSE.rglob("*.py"))}
MODULES = [importlib.import_module(m.name) for m in pkgutil.walk_packages([str(HOUSE)], "filterlearn.")]
CLASSES = [c for m in MODULES for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__]
LAWFUL = [c for c in CLASSES if issubclass(c, eqx.Module)]


def place(cls):
    return cls.__module__.removeprefix("filterlearn.")


def abstract(cls):
    return bool(cls.__abstractmethods__ or cls.__abstractvars__ or cls.__abstractclassvars__)


def inside(name, roots):
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def imports():
    """(the importing file, the module or module.name it takes), functions' own imports included."""
    for here, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{here}: write absolute imports"
                yield from ((here, f"{node.module}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((here, alias.name) for alias in node.names)


OURS = [(here, name.removeprefix("filterlearn.")) for here, name in imports() if name.startswith("filterlearn.")]


def test_every_room_has_a_place_in_the_order():
    assert {name.split(".")[0] for name in TREES if name} <= set(ORDER)


def test_imports_point_to_the_left():
    def rank(name):
        return ORDER.index(name.split(".")[0])

    assert not [(here, name) for here, name in OURS if here and rank(name) > rank(here)]


def test_the_flat_namespace_is_for_users_and_applications():
    """Inside, names are taken from where they live, so that the order can be read."""
    flat = [here for here, name in imports() if name == "filterlearn"]
    assert [here for here in flat if here not in APPLICATIONS] == []


def test_alternatives_do_not_know_each_other():
    wrong = []
    for here, name in OURS:
        folder, _, own = here.rpartition(".")
        if folder in ALTERNATIVES and here not in COMPOSITES and name.startswith(f"{folder}."):
            sibling = name.removeprefix(f"{folder}.").split(".")[0]
            wrong += [(here, name)] if sibling not in ("base", own) else []
    assert not wrong


def test_no_cycles():
    known = set(TREES)
    edges = {here: {name if name in known else name.rpartition(".")[0] for h, name in OURS if h == here} for here in known}
    while leaves := {here for here, targets in edges.items() if not targets & set(edges)}:
        edges = {here: targets for here, targets in edges.items() if here not in leaves}
    assert not edges


def test_third_parties_are_fenced():
    assert not [(h, name) for h, name in imports() if (top := name.split(".")[0]) in FENCES and not inside(h, FENCES[top])]


def test_modules_are_abstract_or_final():
    """Abstract classes say so in their name; a concrete one, private helpers included, has no subclass anywhere here, so no
    finished method is ever replaced under its caller (equinox's `strict=True` no longer checks this)."""
    named = [c for c in LAWFUL if abstract(c) != c.__name__.lstrip("_").startswith("Abstract")]
    extended = [(base, c) for c in LAWFUL for base in c.__mro__[1:] if base in LAWFUL and not abstract(base)]
    assert not named
    assert not extended


def test_what_is_final_and_public_is_exported():
    private = [c for c in LAWFUL if not abstract(c) and not c.__name__.startswith("_") and c.__name__ not in fl.__all__]
    assert not private


def registered():
    """Every module inside the values of the registries of `tests/cases.py` (dictionaries in capitals)."""
    rows = [
        row for name, given in vars(cases).items() if name.isupper() and isinstance(given, dict) for row in given.values()
    ]
    made = [row[0]() if isinstance(row, tuple) else row() for row in rows]
    seen = set()
    while made:
        one = made.pop()
        if isinstance(one, eqx.Module):
            seen.add(type(one))
        made += jax.tree_util.default_registry.flatten_one_level(one)[0] if isinstance(one, eqx.Module | dict | tuple) else []
    return seen


def test_every_implementation_is_registered():
    kinds = tuple(folder for folder in ALTERNATIVES if folder not in ("inflations", "streams.sources"))
    assert {c.__name__ for c in set(finished(kinds)) - registered()} == set()


def test_every_public_name_is_documented():
    nodes = [(here, node) for here, tree in TREES.items() for node in documented(tree)]
    assert len(nodes) > 100
    assert [(here, getattr(node, "name", "")) for here, node in nodes if not ast.get_docstring(node)] == []


def documented(tree):
    """The module, its public classes and functions, and the public methods of public classes."""
    yield from [tree] if tree.body else []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            members = node.body if isinstance(node, ast.ClassDef) else []
            yield node
            yield from (m for m in members if isinstance(m, ast.FunctionDef) and not m.name.startswith("_"))


def finished(kinds):
    """The final public classes of some folders, but for what their base.py lays out for all of them."""
    mine = [c for c in LAWFUL if inside(place(c), kinds) and not place(c).endswith(".base")]
    return [c for c in mine if not abstract(c) and not c.__name__.startswith("_")]


def test_every_method_says_whose_it_is():
    assert [c.__name__ for c in finished(SOURCED) if not SOURCE.search(" ".join(inspect.getdoc(c).split()))] == []


def test_isbns_have_their_check_digit():
    numbers = re.findall(r"ISBN (\d{13})", " ".join(path.read_text() for path in HOUSE.rglob("*.py")))
    assert numbers
    assert all(sum(int(d) * w for d, w in zip(n, itertools.cycle((1, 3)), strict=False)) % 10 == 0 for n in numbers)


def defaults(node):
    """(argument, default) of a function, or (field, default) of a class."""
    if isinstance(node, ast.ClassDef):
        return [(s.target.id, s.value) for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    arguments = [*node.args.posonlyargs, *node.args.args]
    late = zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True)
    return [(a.arg, d) for a, d in (*late, *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))]


def test_no_default_is_a_switch():
    """Two algorithms are two classes: no boolean or string has a default, but the names of columns and of units of time."""
    wrong = []
    for here, tree in TREES.items():
        for node in ast.walk(tree):
            for name, value in defaults(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else []:
                switch = isinstance(value, ast.Constant) and isinstance(value.value, bool | str)
                named = here == "data" and name in ("time", "unit")
                wrong += [(here, node.name, name)] if switch and not named else []
    assert not wrong
