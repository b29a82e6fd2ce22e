"""Four workers. Nothing of ours is made before the fork, so nothing is shared that must not be."""

import os
from pathlib import Path

bind = os.environ.get("BIND", "127.0.0.1:8000")
chdir = str(Path(__file__).parent)
workers = 4
threads = 4
