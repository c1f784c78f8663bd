# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules are tested where they stand, not as the packages carry them."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "libjobserver" / "python"), str(ROOT / "pytest-plugin" / "src")]
