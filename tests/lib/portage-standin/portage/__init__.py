# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-in for Portage: its version."""

VERSION = "0.stand-in"
