# SPDX-License-Identifier: GPL-2.0-or-later
VERSION = "0.stand-in"
