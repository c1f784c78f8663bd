/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/table.h"

#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

_Noreturn void
table_out_of_memory(void)
{
    message("hold jobs back: out of memory; ending all of them");
    _exit(EXIT_FAILURE);
}

void *
table_new(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL)
        table_out_of_memory();
    return memory;
}
