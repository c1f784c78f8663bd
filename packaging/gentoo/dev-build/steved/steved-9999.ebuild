# Distributed under the terms of the GNU General Public License v2

EAPI=8

inherit git-r3 linux-info meson systemd tmpfiles udev

DESCRIPTION="Jobserver for the whole machine, and one for each build that returns its tokens"
# Stands for the real one. A clone is built with the EGIT_OVERRIDE_ variable that git-r3 names.
HOMEPAGE="https://example.org/steved"
EGIT_REPO_URI="https://example.org/steved.git"

LICENSE="GPL-2+"
SLOT="0"
IUSE="+jobwrap man +ninja-shim +portage pytest +steved test"
REQUIRED_USE="|| ( jobwrap ninja-shim steved )"
# Allowed by ALLOW_TEST=privileged.
RESTRICT="test"
PROPERTIES="test? ( test_privileged )"

COMMON_DEPEND="
	dev-db/sqlite:3
	dev-libs/json-c:=
	dev-libs/libevent:=
	sys-libs/libseccomp
	steved? (
		>=sys-fs/fuse-3.14:3=
		sys-libs/ncurses:=[unicode(+)]
	)
"
RDEPEND="
	${COMMON_DEPEND}
	jobwrap? ( acct-group/jobserver )
	portage? (
		!dev-build/steve
		>=acct-user/portage-0-r4
		sys-apps/portage
	)
	steved? (
		!dev-build/steve
		acct-group/jobserver
		acct-user/steve
	)
"
DEPEND="
	${COMMON_DEPEND}
	dev-libs/uthash
	test? ( dev-util/cmocka )
"
BDEPEND="
	virtual/pkgconfig
	man? ( app-text/scdoc )
	test? (
		dev-util/bats
		steved? ( >=sys-fs/fuse-3.14:3 )
	)
"
PDEPEND="pytest? ( ~dev-python/pytest-jobwrap-9999 )"

pkg_setup() {
	local CONFIG_CHECK="" WARNING_CUSE WARNING_SECCOMP_FILTER
	if use steved; then
		CONFIG_CHECK+=" ~CUSE ~FUSE_FS"
		WARNING_CUSE="Without CONFIG_CUSE there is no /dev/steve; steved --mount works."
	fi
	if use ninja-shim; then
		CONFIG_CHECK+=" ~SECCOMP_FILTER"
		WARNING_SECCOMP_FILTER="Without it ninja is held back by ptrace only."
	fi
	linux-info_pkg_setup
}

src_configure() {
	local emesonargs=(
		$(meson_feature steved)
		$(meson_feature jobwrap)
		$(meson_feature ninja-shim)
		$(meson_feature portage)
		$(meson_feature man)
		$(meson_feature test tests)
		# Small files that do nothing elsewhere.
		$(meson_feature steved openrc)
		$(meson_feature steved systemd)
		$(meson_feature steved udev)
		-Dsystemdsystemunitdir="$(systemd_get_systemunitdir)"
		-Dsystemduserunitdir="$(systemd_get_userunitdir)"
		-Dudevdir="${EPREFIX}$(get_udevdir)"
		# OpenRC reads modules-load.d, too.
		$(meson_feature steved modules-load)
		$(meson_feature jobwrap tmpfiles)
		# The accounts are packages.
		-Dsysusers=disabled
	)

	meson_src_configure
}

# What neither loads something from the network nor serves /dev/steve, which may be in use.
src_test() {
	meson_src_test

	local -x BUILD=${BUILD_DIR}
	if use steved; then
		addwrite /dev/fuse
		[[ -w /dev/fuse ]] || die "The tests of steved need /dev/fuse"
		bats tests/bats/{stevectl,steved}-*.bats || die "tests of steved have failed"
	fi
	if use jobwrap; then
		addwrite /run/jobwrap
		bats tests/bats/jobwrap-{command,signals}.bats || die "tests of jobwrap have failed"
	fi
}

src_install() {
	meson_src_install
	dodoc CHANGELOG.md README.md docs/{accounting,farm,from-steve,memory,portage,protocol,recipes,security}.md
}

pkg_postinst() {
	udev_reload
	use jobwrap && tmpfiles_process jobwrap.conf
	use portage && tmpfiles_process jobwrap-portage.conf

	if use steved; then
		elog "To serve a pool of jobs for the whole machine from now on, run"
		elog "    rc-update add steved default && rc-service steved start"
		elog "or  systemctl enable --now steved"
		elog "To switch a running one to this version (builds do not notice), run"
		elog "    rc-service steved reload"
		elog "or  systemctl restart steved"
	fi
	if use portage; then
		elog "To see what to put into make.conf, and why, read"
		elog "    ${EPREFIX}/usr/share/jobwrap/portage/make.conf"
		elog "So that ebuilds find the shims for ninja, add to /etc/portage/bashrc the line"
		elog "    source ${EPREFIX}/usr/share/jobwrap/portage/bashrc"
	fi
}

pkg_postrm() {
	udev_reload
}
