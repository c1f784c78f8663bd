# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-in for Portage: the features that it says to have."""

import os

SUPPORTED_FEATURES = frozenset(os.environ.get("STANDIN_SUPPORTS", "").split())
