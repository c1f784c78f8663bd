/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/seccomp/exit.h"

#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_MAX 16

/* What becomes of `status` in the code. */
enum place { PLACE_BYTE, PLACE_MOV_WIDE };

struct exit_code {
    unsigned char class;
    uint16_t machine;
    enum place place;
    size_t at, length; /* where the status goes */
    unsigned char code[CODE_MAX];
};

/* The number of exit_group(2) is part of each architecture's ABI: syscall(2). */
static const struct exit_code exit_codes[] = {
    /* mov $status, %edi; mov $231, %eax; syscall */
    {ELFCLASS64, EM_X86_64, PLACE_BYTE, 1, 12, {0xbf, 0, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}},
    /* mov $status, %ebx; mov $252, %eax; int $0x80 */
    {ELFCLASS32, EM_386, PLACE_BYTE, 1, 12, {0xbb, 0, 0, 0, 0, 0xb8, 252, 0, 0, 0, 0xcd, 0x80}},
    /* mov w0, #status; mov w8, #94; svc #0 */
    {ELFCLASS64,
     EM_AARCH64,
     PLACE_MOV_WIDE,
     0,
     12,
     {0x00, 0x00, 0x80, 0x52, 0xc8, 0x0b, 0x80, 0x52, 0x01, 0x00, 0x00, 0xd4}},
};

static int
open_proc(pid_t pid, const char *name, int flags)
{
    char path[sizeof("/proc/2147483647/syscall")];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return open(path, flags | O_CLOEXEC);
}

static ssize_t
read_proc(pid_t pid, const char *name, void *buffer, size_t size)
{
    int fd = open_proc(pid, name, O_RDONLY);

    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buffer, size);
    close(fd);
    return length;
}

/* Its dynamic loader, where it stands, is of the same kind. */
static const struct exit_code *
find_code(pid_t pid)
{
    Elf64_Ehdr header; /* of both classes the same up to e_machine */
    const size_t needed = offsetof(Elf64_Ehdr, e_version);

    if (read_proc(pid, "exe", &header, needed) != (ssize_t)needed ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++)
        if (exit_codes[i].class == header.e_ident[EI_CLASS] &&
            exit_codes[i].machine == header.e_machine)
            return &exit_codes[i];
    return NULL;
}

/* The last field of /proc/PID/syscall (proc(5)). false: it runs, or may not be looked at. */
static bool
read_program_counter(pid_t pid, off_t *counter)
{
    char text[256];
    ssize_t length = read_proc(pid, "syscall", text, sizeof(text) - 1);

    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *last = strrchr(text, ' ');
    *counter = last ? (off_t)strtoull(last + 1, NULL, 16) : 0;
    return *counter > 0;
}

static void
place_status(const struct exit_code *exit_code, int status, unsigned char *code)
{
    memcpy(code, exit_code->code, exit_code->length);
    if (exit_code->place == PLACE_BYTE) {
        code[exit_code->at] = (unsigned char)status;
        return;
    }
    /* The immediate value of movz begins at bit 5. */
    code[exit_code->at] |= (unsigned char)((unsigned)status << 5);
    code[exit_code->at + 1] |= (unsigned char)((unsigned)status >> 3);
}

bool
seccomp_exit_prepare(pid_t pid, int status)
{
    const struct exit_code *exit_code = find_code(pid);
    unsigned char code[CODE_MAX];
    off_t counter;

    if (!exit_code || !read_program_counter(pid, &counter))
        return false;
    int memory = open_proc(pid, "mem", O_WRONLY);
    if (memory < 0)
        return false;
    place_status(exit_code, status, code);
    ssize_t written = pwrite(memory, code, exit_code->length, counter);
    close(memory);
    return written == (ssize_t)exit_code->length;
}
