/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a stopped process is made to exit: by code that is written where it would go on. */
#include "ninja-shim/gate/seccomp/exit.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libjobserver/process.h"

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

/* Its dynamic loader, where it stands, is of the same kind. */
static const struct exit_code *
find_code(pid_t pid)
{
    Elf64_Ehdr header; /* of both classes the same up to e_machine */
    const size_t needed = offsetof(Elf64_Ehdr, e_version);

    if (process_read_program(pid, &header, needed) != (ssize_t)needed ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++)
        if (exit_codes[i].class == header.e_ident[EI_CLASS] &&
            exit_codes[i].machine == header.e_machine)
            return &exit_codes[i];
    return NULL;
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
    uint64_t address;

    if (!exit_code || process_program_counter(pid, &address) < 0)
        return false;
    place_status(exit_code, status, code);
    return process_write_memory(pid, address, code, exit_code->length) == 0;
}
