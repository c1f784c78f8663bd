# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-in for Portage: the package of its scheduler."""
