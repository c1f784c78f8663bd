# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests send of struct steved_memory (protocol.h)."""

CONTROL_MEMORY = 11
TOLD, MEMORY_SIZE = 152, 224  # so much of the structure is what is told
