"""What a search must do on every Redis: on 7 by comparing all, on 8 by vector sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.services.models import At, items

WHERE: list[tuple[dict[str, Any] | None, Any]] = [
    (None, lambda m: True),
    ({"n": 1}, lambda m: m["n"] == 1),
    ({"n": 1.0, "about": "birds"}, lambda m: m["n"] == 1 and m["about"] == "birds"),
    ({'odd" || ]': True}, lambda m: m['odd" || ]']),
    ({"n": 7}, lambda m: False),
    ({"nobody": None}, lambda m: False),
]


async def search_cases(at: At) -> None:
    """Index, search with and without filters, replace, forget; compared with NumPy over the same vectors."""
    given = items(90)
    for first in range(0, 90, 50):
        said = await at.index("notes", given[first : first + 50])
    assert said == {"collection": "notes", "indexed": 40, "items": 90}
    assert (await at.index("notes", given[:5]))["items"] == 90  # the same ids once more
    queries = ["sailing on the sea", "note 77"]
    vectors = np.array((await at.embed([*(i["text"] for i in given), *queries]))["vectors"])
    for query, vector in zip(queries, vectors[90:]):
        for where, holds in WHERE:
            found = (await at.search("notes", query, k=10, filter=where))["results"]
            scores = {i["id"]: float(row @ vector) for i, row in zip(given, vectors) if holds(i["meta"])}
            best = sorted(scores.values(), reverse=True)[:10]
            np.testing.assert_allclose([f["score"] for f in found], best, atol=3e-6)
            for one in found:
                assert abs(scores[one["id"]] - one["score"]) < 3e-6
                kept = given[int(one["id"][-3:])]
                assert (one["text"], one["meta"]) == (kept["text"], kept["meta"])
    await at.index("notes", [{**given[0], "text": "Sailing ships on the high sea", "meta": {"n": "one"}}])
    found = (await at.search("notes", "sailing on the sea", k=1, filter={"n": "one"}))["results"]
    assert found[0]["id"] == "note-000" and found[0]["score"] > 0.7
    assert (await at.forget("notes", ids=["note-000", "note-001", "unknown"])) == {"forgotten": 2}
    assert not (await at.search("notes", "sailing on the sea", k=1, filter={"n": "one"}))["results"]
    assert (await at.forget("notes")) == {"forgotten": 88}
    assert (await at.forget("notes")) == {"forgotten": 0}
