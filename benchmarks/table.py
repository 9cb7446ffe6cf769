"""One line of the table for each case."""

HEAD = """\
| workload | case | ours | bare kernel | best peer | other peers | ahead | target | |
|---|---|---|---|---|---|---|---|---|"""
OURS, BARE = "filterlearn", "bare"


def value(row, by):
    """The number that counts, a minimum of times or a median of rates; None where it is missing."""
    return None if "missing" in row else row["ms"] if by == "ms" else row["told"].get(by)


def better(by):
    """Whether more is better."""
    return by.endswith("/s")


def cell(row, by):
    """The number and, in brackets, the seconds of the first call."""
    return "MISSING" if value(row, by) is None else f"{value(row, by):.3g} [{row['first s']:.1f} s]"


def ratio(ours, other, by):
    """How many times better ours is."""
    return ours / other if better(by) else other / ours


def bounds(case, row):
    """(what is bounded and how it came out, whether all bounds hold)."""
    own = row.get("told", {}) | {name: row.get(name) for name in ("ms", "first s", "peak MB")}
    found = {name: own.get(name) for name in case.most}
    words = [
        f"{name} {found[name]:.3g} <= {most:g}" if found[name] is not None else f"{name} ?"
        for name, most in case.most.items()
    ]
    return words, all(found[name] is not None and found[name] <= most for name, most in case.most.items())


def line(label, name, case, rows):
    """The case's line; MET or MISSED where it has a target, MISSING where ours or every peer is."""
    ours, bare = value(rows.get(OURS, {"missing": ""}), case.by), value(rows.get(BARE, {"missing": ""}), case.by)
    peers = {side: row for side, row in rows.items() if side not in (OURS, BARE)}
    there = {side: value(row, case.by) for side, row in peers.items() if value(row, case.by) is not None}
    best = (max if better(case.by) else min)(there, key=there.get, default=None)
    ahead = ratio(ours, there[best], case.by) if ours and best else None
    words, held = bounds(case, rows.get(OURS, {}))
    if case.ahead:
        words, held = [f"{case.ahead:g} x", *words], held and ahead is not None and ahead >= case.ahead
    verdict = "" if not words else "MISSING" if ours is None or (case.ahead and not best) else "MET" if held else "MISSED"
    others = [
        f"{side} {cell(row, case.by)}" for side, row in peers.items() if side != best and value(row, case.by) is not None
    ]
    others += [
        f"{side} MISSING ({row['missing']})"
        for side, row in rows.items()
        if not row.get("missing", "Missing").startswith("Missing")
    ]
    cells = (
        label,
        f"{name}, {case.by}",
        cell(rows[OURS], case.by) if OURS in rows else "MISSING",
        "" if bare is None else cell(rows[BARE], case.by),
        "" if best is None else f"{best} {cell(peers[best], case.by)}",
        "; ".join(others),
        "" if ahead is None else f"{ahead:.2g} x",
        "; ".join(words),
        verdict,
    )
    return "| " + " | ".join(cells) + " |"
