/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a server keeps of the rows that a pool tells: the last state of each at the index of its number.
 * Zeroed memory is an empty table.
 */

#include <stdlib.h>
#include <string.h>

#include "libjobserver/pool/rows.h"

struct row_table {
    struct pool_row *rows[POOL_ROW_KINDS];
    size_t count[POOL_ROW_KINDS];
};

static inline void
row_table_put(struct row_table *table, const struct pool_row *row)
{
    size_t count = table->count[row->kind], needed = row->number + 1;

    if (needed > count) {
        struct pool_row *rows = realloc(table->rows[row->kind], needed * 2 * sizeof(*rows));
        if (!rows)
            abort();
        memset(rows + count, 0, (needed * 2 - count) * sizeof(*rows));
        table->rows[row->kind] = rows;
        table->count[row->kind] = needed * 2;
    }
    struct pool_row *slot = &table->rows[row->kind][row->number];
    if (row->is_gone)
        memset(slot, 0, sizeof(*slot));
    else
        *slot = *row;
}

/* All that the pool has to tell: how many. */
static inline size_t
row_table_follow(struct row_table *table, struct pool *pool)
{
    struct pool_row row;
    size_t count = 0;

    for (; pool_next_change(pool, &row); count++)
        row_table_put(table, &row);
    return count;
}

static inline void
row_table_clear(struct row_table *table)
{
    for (size_t kind = 0; kind < POOL_ROW_KINDS; kind++)
        free(table->rows[kind]);
    memset(table, 0, sizeof(*table));
}

/* NULL: there is none with this number. */
static inline const struct pool_row *
row_table_get(const struct row_table *table, unsigned kind, size_t number)
{
    const struct pool_row *row = number < table->count[kind] ? &table->rows[kind][number] : NULL;

    return row && row->kind ? row : NULL;
}

static inline bool
row_is_same(const struct pool_row *a, const struct pool_row *b)
{
    const unsigned char *first = (const unsigned char *)a, *second = (const unsigned char *)b;

    return memcmp(first, second, sizeof(*a)) == 0;
}

/* The first row in which they differ; NULL: none. */
static inline const struct pool_row *
row_table_difference(const struct row_table *a, const struct row_table *b)
{
    for (unsigned kind = POOL_ROW_POOL; kind < POOL_ROW_KINDS; kind++) {
        for (size_t i = 0; i < a->count[kind] || i < b->count[kind]; i++) {
            const struct pool_row *first = row_table_get(a, kind, i);
            const struct pool_row *second = row_table_get(b, kind, i);
            if (!first != !second || (first && !row_is_same(first, second)))
                return first ? first : second;
        }
    }
    return NULL;
}

/* For pool_restore(). */
struct row_reader {
    const struct row_table *table;
    unsigned kind;
    size_t number;
};

static inline bool
row_reader_next(void *context, struct pool_row *row)
{
    struct row_reader *reader = context;

    for (; reader->kind < POOL_ROW_KINDS; reader->kind++, reader->number = 0) {
        while (reader->number < reader->table->count[reader->kind]) {
            const struct pool_row *found =
                row_table_get(reader->table, reader->kind, reader->number++);
            if (!found)
                continue;
            *row = *found;
            return true;
        }
    }
    return false;
}

static inline struct pool *
row_table_restore(const struct row_table *table, struct pool_row_fault *fault)
{
    struct row_reader reader = {.table = table};

    return pool_restore(row_reader_next, &reader, fault);
}
