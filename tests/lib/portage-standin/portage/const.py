# SPDX-License-Identifier: GPL-2.0-or-later
import os

SUPPORTED_FEATURES = frozenset(os.environ.get("STANDIN_SUPPORTS", "").split())
