# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules are tested where they stand, not as the packages carry them."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = ("libjobserver/python", "pytest-plugin/src", "portage")
sys.path[:0] = [str(ROOT / path) for path in MODULES]
