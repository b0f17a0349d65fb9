/*
 * The namespaces that each process of a perf.data file came to be in, a line each. Reads a file, or standard input.
 *
 *   cargo build --release -p nsscope-c
 *   cc -I c -o containers c/examples/containers.c target/release/libnsscope_c.a
 *   ./containers perf.data
 */
#include "nsscope.h"

#include <inttypes.h>
#include <stdio.h>

struct seen {
    uint64_t records;
    uint64_t lost;
    uint64_t faults;
};

static void on_record(void *user, const struct nsscope_record *record)
{
    struct seen *seen = user;

    seen->records++;
    if (record->payload_type == NSSCOPE_PAYLOAD_TYPE_LOST)
        seen->lost += record->payload.lost.count;
    if (record->payload_type != NSSCOPE_PAYLOAD_TYPE_NAMESPACES)
        return;
    const struct nsscope_namespaces *namespaces = &record->payload.namespaces;
    printf("%" PRIu64 " %" PRIu32 " net:%" PRIu64 " pid:%" PRIu64 " mnt:%" PRIu64 "\n", record->time,
           namespaces->pid, namespaces->of[NSSCOPE_NAMESPACE_TYPE_NET].ino,
           namespaces->of[NSSCOPE_NAMESPACE_TYPE_PID].ino, namespaces->of[NSSCOPE_NAMESPACE_TYPE_MNT].ino);
}

static void on_fault(void *user, uint64_t offset, const char *message)
{
    struct seen *seen = user;

    seen->faults++;
    fprintf(stderr, "at %" PRIu64 ": %s\n", offset, message);
}

int main(int argc, char **argv)
{
    struct seen seen = { 0, 0, 0 };
    uint8_t bytes[65536];
    size_t len;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;

    if (!file) {
        perror(argv[1]);
        return 1;
    }
    struct nsscope_decoder *decoder = nsscope_decoder_new(on_record, on_fault, &seen);
    enum nsscope_status status = NSSCOPE_STATUS_OK;

    while (status == NSSCOPE_STATUS_OK && (len = fread(bytes, 1, sizeof bytes, file)) > 0)
        status = nsscope_decoder_push(decoder, bytes, len);
    if (status == NSSCOPE_STATUS_OK)
        status = nsscope_decoder_finish(decoder);
    if (status != NSSCOPE_STATUS_OK)
        fprintf(stderr, "%s\n", nsscope_decoder_error(decoder));
    fprintf(stderr, "%" PRIu64 " records, %" PRIu64 " lost, %" PRIu64 " faults\n", seen.records, seen.lost,
            seen.faults);
    nsscope_decoder_free(decoder);
    if (file != stdin)
        fclose(file);
    return status == NSSCOPE_STATUS_OK ? 0 : 1;
}
