/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which programs are known, and by which names. */
#include <string.h>

#include "libjobserver/memory/command/private.h"

static const struct {
    const char *program;
    const char *name;
    enum tool_kind kind;
} tools[] = {
    {"cc", "cc", TOOL_COMPILER},
    {"gcc", "cc", TOOL_COMPILER},
    {"clang", "cc", TOOL_COMPILER},
    {"icx", "cc", TOOL_COMPILER},
    {"c++", "c++", TOOL_COMPILER},
    {"g++", "c++", TOOL_COMPILER},
    {"clang++", "c++", TOOL_COMPILER},
    {"icpx", "c++", TOOL_COMPILER},
    {"gfortran", "fortran", TOOL_COMPILER},
    {"flang", "fortran", TOOL_COMPILER},
    {"nvcc", "nvcc", TOOL_COMPILER},
    {"ld", "link", TOOL_LINKER},
    {"ld.bfd", "link", TOOL_LINKER},
    {"ld.gold", "link", TOOL_LINKER},
    {"ld.lld", "link", TOOL_LINKER},
    {"ld.mold", "link", TOOL_LINKER},
    {"lld", "link", TOOL_LINKER},
    {"mold", "link", TOOL_LINKER},
    {"collect2", "link", TOOL_LINKER},
    {"ar", "ar", TOOL_ARCHIVER},
    {"gcc-ar", "ar", TOOL_ARCHIVER},
    {"llvm-ar", "ar", TOOL_ARCHIVER},
    {"rustc", "rustc", TOOL_RUSTC},
    {"clippy-driver", "rustc", TOOL_LAUNCHER},
    {"as", "as", TOOL_WRITER},
    {"nasm", "nasm", TOOL_WRITER},
    {"yasm", "yasm", TOOL_WRITER},
    {"moc", "moc", TOOL_WRITER},
    {"uic", "uic", TOOL_WRITER},
    {"rcc", "rcc", TOOL_WRITER},
    {"protoc", "protoc", TOOL_WRITER},
    {"windres", "windres", TOOL_WRITER},
    {"msgfmt", "msgfmt", TOOL_WRITER},
    {"llvm-tblgen", "tblgen", TOOL_WRITER},
    {"clang-tblgen", "tblgen", TOOL_WRITER},
    {"mlir-tblgen", "tblgen", TOOL_WRITER},
    {"fixdep", "fixdep", TOOL_FILTER},
    {"ranlib", "ranlib", TOOL_NOTHING},
    {"gcc-ranlib", "ranlib", TOOL_NOTHING},
    {"llvm-ranlib", "ranlib", TOOL_NOTHING},
    {"strip", "strip", TOOL_NOTHING},
    {"cat", "cat", TOOL_FILTER},
    {"sed", "sed", TOOL_FILTER},
    {"grep", "grep", TOOL_FILTER},
    {"tr", "tr", TOOL_FILTER},
    {"cmp", "cmp", TOOL_FILTER},
    {"echo", "echo", TOOL_NOTHING},
    {"printf", "printf", TOOL_NOTHING},
    {":", ":", TOOL_NOTHING},
    {"true", "true", TOOL_NOTHING},
    {"false", "false", TOOL_NOTHING},
    {"test", "test", TOOL_NOTHING},
    {"[", "test", TOOL_NOTHING},
    {"set", "set", TOOL_NOTHING},
    {"unset", "unset", TOOL_NOTHING},
    {"export", "export", TOOL_NOTHING},
    {"umask", "umask", TOOL_NOTHING},
    {"ulimit", "ulimit", TOOL_NOTHING},
    {"exit", "exit", TOOL_NOTHING},
    {"trap", "trap", TOOL_NOTHING},
    {"touch", "touch", TOOL_NOTHING},
    {"cd", "cd", TOOL_CD},
    {"rm", "rm", TOOL_REMOVE},
    {"mv", "mv", TOOL_MOVE},
    {"cp", "cp", TOOL_COPY},
    {"ln", "ln", TOOL_LINK},
    {"mkdir", "mkdir", TOOL_MKDIR},
    {"ccache", "ccache", TOOL_LAUNCHER},
    {"sccache", "sccache", TOOL_LAUNCHER},
    {"buildcache", "buildcache", TOOL_LAUNCHER},
    {"distcc", "distcc", TOOL_LAUNCHER},
    {"icecc", "icecc", TOOL_LAUNCHER},
    {"env", "env", TOOL_LAUNCHER},
    {"nice", "nice", TOOL_LAUNCHER},
    {"ionice", "ionice", TOOL_LAUNCHER},
    {"time", "time", TOOL_LAUNCHER},
    {"timeout", "timeout", TOOL_LAUNCHER},
    {"exec", "exec", TOOL_LAUNCHER},
    {"command", "command", TOOL_LAUNCHER},
    {"sh", "sh", TOOL_SHELL},
    {"bash", "sh", TOOL_SHELL},
    {"dash", "sh", TOOL_SHELL},
    {"ash", "sh", TOOL_SHELL},
    {"ksh", "sh", TOOL_SHELL},
    {"mksh", "sh", TOOL_SHELL},
    {"zsh", "sh", TOOL_SHELL},
    {"make", "make", TOOL_MAKER},
    {"gmake", "make", TOOL_MAKER},
    {"remake", "make", TOOL_MAKER},
    {"cargo", "cargo", TOOL_MAKER},
    {"ninja", "ninja", TOOL_MAKER},
    {"ninja-build", "ninja", TOOL_MAKER},
    {"samu", "ninja", TOOL_MAKER},
    {"jobwrap", "jobwrap", TOOL_MAKER},
    {"jobgate", "jobgate", TOOL_MAKER},
    {"libtool", "libtool", TOOL_LIBTOOL},
    {"cmake", "cmake", TOOL_CMAKE},
};

const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool
is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* Without "-12" or "-12.3". */
static size_t
length_without_version(const char *name)
{
    size_t length = strlen(name), end = length;

    while (end > 0 && strchr("0123456789.", name[end - 1]))
        end--;
    return end < length && end > 1 && name[end - 1] == '-' ? end - 1 : length;
}

/* Is what stands before "-gcc" the name of a target? A script may be called anything that ends in -cc. */
static bool
is_target(const char *name)
{
    static const char *const machines[] = {
        "aarch64", "alpha",  "amdgcn", "arm",   "avr",  "bpf",     "hppa",
        "i386",    "i486",   "i586",   "i686",  "ia64", "loong",   "m68k",
        "mips",    "msp430", "musl",   "nvptx", "or1k", "powerpc", "ppc",
        "riscv",   "s390",   "sparc",  "thumb", "wasm", "x86_64",  "xtensa"};

    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
        if (strncmp(name, machines[i], strlen(machines[i])) == 0)
            return true;
    return false;
}

struct tool
tool_of(const char *program)
{
    const char *name = base_name(program);
    size_t length = length_without_version(name), longest = 0;
    struct tool tool = {name, TOOL_UNKNOWN, false};

    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
        size_t known = strlen(tools[i].program);
        const char *end = name + length - known;
        if (known <= longest || known > length || memcmp(end, tools[i].program, known) != 0)
            continue;
        bool is_prefixed = known < length;
        if (is_prefixed && (end[-1] != '-' || tools[i].kind > TOOL_WRITER))
            continue;
        longest = known;
        tool = (struct tool){tools[i].name, tools[i].kind, !is_prefixed || is_target(name)};
    }
    return tool;
}
