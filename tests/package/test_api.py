"""The names and signatures that others' code is written against."""

import json

from tests.golden import signatures


def test_public_names_and_signatures_are_those_of_the_listing() -> None:
    listed = json.loads(signatures.FILE.read_text(encoding="utf-8"))
    assert signatures.listing() == listed, (
        "If a public name or a signature has changed on purpose, say so in CHANGELOG.md and run "
        "`python -m tests.golden.signatures`."
    )
