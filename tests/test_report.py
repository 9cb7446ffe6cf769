"""A report finds each fault that was put in, and none in what is sound."""

from html.parser import HTMLParser

import arviz as az
import jax
import numpy as np
import pytest
import xarray as xr

import filterlearn as fl
from filterlearn.diagnostics import pictures
from filterlearn.diagnostics.findings import findings
from filterlearn.diagnostics.report import page, tables
from tests.cases import linear_data, linear_model

T = 2000


@pytest.fixture(scope="module")
def sound():
    """A filter on data of its own model, and independent draws in four chains."""
    model, times = linear_model(), np.arange(1.0, T + 1)
    values = fl.simulate(model, times, key=jax.random.key(0))[1]
    tree = fl.to_datatree(fl.run(fl.Kalman(), model, fl.Dataset(times, values)))
    rng, dims = np.random.default_rng(0), ("chain", "draw", "a_dim_0")
    draws = {"a": (dims, rng.normal(size=(4, 500, 2))), "b": (dims[:2], rng.normal(size=(4, 500)))}
    tree["posterior"] = xr.DataTree(xr.Dataset(draws, {"chain": range(4), "draw": range(500)}))
    tree["sample_stats"] = xr.DataTree(xr.Dataset({"diverging": (dims[:2], np.zeros((4, 500), bool))}))
    tree["filter"].attrs |= {"steps": 2, "half_step_change": 0.9, "half_step_error": 0.0}
    return tree


def changed(tree, group, name, change):
    """A copy in which one variable is another."""
    copy = tree.copy(deep=True)
    copy[group][name] = copy[group][name].copy(data=change(copy[group][name].values))
    return copy


def shifted(draws):
    return draws + np.where(np.arange(4) == 0, 0.3, 0.0).reshape(4, *[1] * (draws.ndim - 1))


def walking(draws):
    return draws.cumsum(axis=1)


def standing(draws):
    draws[1, 100:220] = draws[1, 100]
    return draws


def starved(ess):
    ess[::10] = 3.0
    return ess


def flagged(flags):
    flags[7] = 1 + 2
    return flags


FAULTS = {
    "a chain apart": (("posterior", "b", shifted), ("b", "R-hat 1.0")),
    "a vector's chain apart": (("posterior", "a", shifted), ("a", "R-hat 1.0")),
    "draws that wander": (("posterior", "b", walking), ("b", "bulk ESS")),
    "stuck draws": (("posterior", "b", lambda draws: draws * np.nan), ("b", "bulk ESS nan")),
    "few effective points": (("filter", "ess", starved), ("filter", "ESS below 10 at 200 of 200 data")),
    "divergences": (("sample_stats", "diverging", lambda d: d | (np.arange(500) < 3)), ("sampler", "12 divergences")),
    "flags": (("filter", "flags", flagged), ("filter", "not finite: 1 times")),
    "narrow predictions": (("filter", "pit", lambda p: np.where(p < 0.5, p**2, 1 - (1 - p) ** 2)), ("sensor 0", "PIT")),
}


def test_nothing_is_found_in_what_is_sound(sound):
    assert findings(sound).rows == []
    assert str(findings(sound)) == "Warnings: none"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found(sound, name):
    change, (where, said) = FAULTS[name]
    rows = findings(changed(sound, *change)).rows
    assert any(row[0] == where and row[1].startswith(said) for row in rows)


def test_an_approximation_that_misses_the_posterior_is_found(sound):
    far = sound.copy(deep=True)
    far["sample_stats"].attrs["pareto_k"] = 0.69
    assert findings(far).rows == []
    far["sample_stats"].attrs["pareto_k"] = 0.8
    assert [row[:2] for row in findings(far).rows] == [("posterior", "Pareto k 0.80")]
    far["sample_stats"].attrs["pareto_k"] = np.nan  # not to be had
    assert [row[:2] for row in findings(far).rows] == [("posterior", "Pareto k nan")]


def test_a_chain_that_stands_still_and_a_noisy_evidence_are_found(sound):
    stuck = changed(changed(sound, "posterior", "a", standing), "posterior", "b", standing)
    assert findings(stuck).rows[0][:2] == ("chain 1", "stuck for 120 of 500 draws")
    noisy = sound.copy(deep=True)
    noisy["sample_stats"].attrs["evidence_variance"] = 7.2
    assert "take 8 times as many" in findings(noisy).rows[0][2]
    noisy["sample_stats"].attrs |= {"evidence_variance": 1.6, "best_variance": 0.5}
    assert "above 1.5: too few particles; take 4 times as many" in findings(noisy).rows[0][2]


def test_a_tree_that_lacks_a_variable_is_judged_by_the_others(sound):
    less = changed(sound, "filter", "flags", flagged)
    less["filter"] = xr.DataTree(less["filter"].to_dataset().drop_vars(["ess", "pit"]))
    assert [row[:2] for row in findings(less).rows] == [
        row[:2] for row in findings(changed(sound, "filter", "flags", flagged)).rows
    ]


def test_a_line_of_points_that_dies_out_is_told():
    """Of 20 points nearly all descend from one after 60 data; of 500 many are left after 10."""
    model, data = linear_model(), linear_data(60)
    said = {}
    for size, length in ((20, 60), (500, 10)):
        filtered = fl.run(
            fl.Genealogy(fl.ParticleFilter(size, fl.Multinomial())), model, data[:length], key=jax.random.key(0)
        )
        tree = fl.to_datatree(filtered)
        left = [len(set(row)) for row in np.asarray(filtered.beliefs.lineage.roots).tolist()]
        assert tree["filter"]["ancestors"].to_numpy().tolist() == left
        said[size] = [row for row in findings(tree).rows if "first points" in row[1]]
    assert said[500] == []
    assert "BackwardSampling" in said[20][0][2]


def informed(together, sd=1.0):
    """Exact draws of (a, b), priors N(0, 1), given 20 data y ~ N(a, sd^2), or N(a + b, sd^2) `together`."""
    rng, wide = np.random.default_rng(1), 2.0 if together else 1.0  # prior variance of what is seen
    y, noise = rng.normal(0.5, sd, 20), rng.normal(size=(2, 4, 500))
    variance = 1 / (20 / sd**2 + 1 / wide)
    seen = variance * y.sum() / sd**2 + variance**0.5 * noise[0]
    half = noise[1] / 2**0.5  # of the difference, which nothing is known of
    a, b = (seen / 2 + half, seen / 2 - half) if together else (seen, noise[1])
    log = {"y": -0.5 * ((y - seen[..., None]) / sd) ** 2}
    prior = {name: -0.5 * each**2 for name, each in (("a", a), ("b", b))}
    return az.from_dict({"posterior": {"a": a, "b": b}, "log_prior": prior, "log_likelihood": log})


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (informed(False), [("b", "prior")]),
        (informed(True), [("a", "prior"), ("b", "prior")]),
        (informed(True, 0.01), [("a", "prior"), ("b", "prior"), ("a, b", "rank ")]),
    ],
    ids=["unused", "a sum", "a sum, well known"],
)
def test_what_the_data_do_not_tell_is_found(tree, found):
    assert [(row[0], row[1][:5]) for row in findings(tree).rows] == found


def test_a_coarse_step_and_a_single_chain_are_found(sound):
    coarse = sound.copy(deep=True)
    coarse["filter"].attrs["half_step_change"] = -1.1
    assert [row[0] for row in findings(coarse).rows] == ["steps"]
    coarse["filter"].attrs["half_step_error"] = 0.4  # not beyond three of them
    assert [row[2][:3] for row in findings(coarse).rows] == ["not"]  # judged
    coarse["filter"].attrs |= {"half_step_error": 0.1, "half_step_change": 0.5, "half_step_shift": -0.3}
    assert "0.3 posterior sds" in findings(coarse).rows[0][2]
    single = sound.copy(deep=True)
    single["posterior"] = single["posterior"].isel(chain=[0])
    assert findings(single).rows[0][:2] == ("chains", "1")


def test_the_gravest_comes_first(sound):
    both = changed(changed(sound, "posterior", "b", shifted), "filter", "flags", flagged)
    assert [row[0] for row in findings(both).rows] == ["filter", "filter", "b"]


def test_missing_data_have_no_score():
    data = fl.Dataset([1.0, 2.0, 3.0], [[0.1, 0.2], [np.nan, np.nan], [0.3, np.nan]])
    tree = fl.to_datatree(fl.run(fl.Kalman(), linear_model(), data))
    scores = tree["filter"]["log_evidence"].values
    assert tables(tree)[-1].rows[0][1:] == pytest.approx((2, scores.sum(), scores[[0, 2]].mean()))


class Elements(HTMLParser):
    """(tag, attributes, the tags around it) of each element."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), [(name, own.get("class")) for name, own in self.open]))
        if tag not in ("meta", "img"):
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def named(self, tag):
        return [each for each in self.found if each[0] == tag]


def test_the_page_is_whole(sound):
    """Warnings first; pictures inside, each with its own words; what is wide scrolls by itself; light and dark."""
    text = page(changed(sound, "filter", "flags", flagged), "<b>")
    assert "<h1>&lt;b&gt;</h1>" in text
    elements, images = Elements(text), len(pictures.of(sound))
    assert not elements.open
    assert [own.get("class") for _, own, _ in elements.named("section")] == ["bad", *["plain"] * (len(tables(sound)) - 1)]
    assert len(elements.named("img")) == len({own["alt"] for _, own, _ in elements.named("img")}) == images == 6
    assert all(("div", "wide") in around for _, _, around in [*elements.named("img"), *elements.named("table")])
    assert all(own["src"].startswith("data:image/png;base64,") for _, own, _ in elements.named("img"))
    assert {own.get("name") for _, own, _ in elements.named("meta")} == {None, "viewport", "color-scheme"}
    assert "prefers-color-scheme: dark" in text
    assert not elements.named("link") + elements.named("script")
    assert '<section class="good">' in page(sound, "sound")
