# Distributed under the terms of the GNU General Public License v2

EAPI=8

DISTUTILS_USE_PEP517=setuptools
PYTHON_COMPAT=( python3_{11..14} )

inherit distutils-r1 git-r3

DESCRIPTION="Plugin for pytest: each test takes a token from the jobserver"
# Stands for the real one. A clone is built with the EGIT_OVERRIDE_ variable that git-r3 names.
HOMEPAGE="https://example.org/steved"
EGIT_REPO_URI="https://example.org/steved.git"
S=${WORKDIR}/${P}/pytest-plugin

LICENSE="GPL-2+"
SLOT="0"

# Both have an option --jobserver, and pytest stops when it finds both.
RDEPEND="
	!dev-python/pytest-jobserver
	>=dev-python/pytest-7[${PYTHON_USEDEP}]
"

EPYTEST_PLUGINS=( "${PN}" pytest-xdist )
distutils_enable_tests pytest
