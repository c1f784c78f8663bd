# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest runs its tests on the tokens of a jobserver. The plugin is in plugin.py."""

from pytest_jobwrap._client import JobserverError
from pytest_jobwrap._fixture import Jobserver, Token

__all__ = ["Jobserver", "JobserverError", "Token"]
