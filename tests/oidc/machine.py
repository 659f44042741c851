"""A person's machine for the tests: an empty home with a configuration, in which the real `dbgate` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DBGATE = Path(sys.executable).parent / "dbgate"
OIDC = """
identity:
  provider: oidc
  issuer: {issuer}
  client_id: dbgate
  ca_file: {ca_file}
  token_store: file
"""


class Machine:
    """An empty home with a configuration, in which commands run."""

    def __init__(self, home: Path, configuration: str) -> None:
        self.home = home
        home.mkdir()
        config = home / "config.yaml"
        config.write_text(configuration)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        self.config = config
        self.environment = {**kept, "HOME": str(home), "TMPDIR": str(home), "DBGATE_CONFIG": str(config), "TZ": "UTC"}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DBGATE), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kept(self) -> list[str]:
        """Names of the files, but for the configuration and what was read of it."""
        files = [path for path in self.home.rglob("*") if path.is_file() and path.parent.name != "documents"]
        return [path.name for path in files if path.name != "config.yaml"]
