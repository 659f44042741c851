"""What needs parts of a desktop runs with `make test-browser` alone, which brings them."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("DBGATE_TEST_DESKTOP") else ["test_*.py"]
