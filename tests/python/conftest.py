# SPDX-License-Identifier: GPL-2.0-or-later
"""The module is tested where it stands, not as the packages carry it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "libjobserver" / "python"))
