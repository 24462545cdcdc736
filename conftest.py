"""How stored outputs are compared with fresh ones: settings that pytest reads for every folder."""

from __future__ import annotations

import pytest

from kexue_lite.claims import MIME


def pytest_collectstart(collector: pytest.Collector) -> None:
    # A claim's data holds the measured number at full precision, which differs between processors. The same
    # claim is compared as HTML and as text, with the measured digits blanked (tests/notebooks/sanitize.cfg).
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += (MIME,)


# Assignments are notebooks with placeholders and the modules beside them: they have tests of their own. The
# search for doctests would import every conftest.py under the one name "conftest", and stop at the second.
collect_ignore_glob = ["*/assignments/*", "*/conftest.py"]
