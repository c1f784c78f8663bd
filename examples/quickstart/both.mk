# SPDX-License-Identifier: GPL-2.0-or-later
# Both builds at once, where there is no server but a jobwrap around this make. A make and not a
# shell's `&`, because one slot of jobwrap's command is paid for, not one of each build: make starts
# the first build on that, and acquires a token for the second. The `+` hands the jobserver on.
all: make ninja
.PHONY: all make ninja

make ninja:
	+@"$(QUICKSTART)" --build $@
