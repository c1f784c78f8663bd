# SPDX-License-Identifier: GPL-2.0-or-later
"""Each worker leaves its pid in a file, for those who want to kill it."""

from __future__ import annotations

import os
from pathlib import Path

from stamps import WORKER

Path(f"worker.{WORKER}").write_text(f"{os.getpid()}\n")
