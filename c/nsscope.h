/*
 * nsscope's decoder of perf.data files (`perf record`, `nsscope record`), for C.
 *
 * Link with libnsscope_c.a (`cargo build --release -p nsscope-c`). One decoder is for one stream and one thread at a time;
 * several may run beside each other.
 */

#ifndef NSSCOPE_H
#define NSSCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Which member of `nsscope_payload` a record has.
 */
enum nsscope_payload_type {
    /**
     * None: another type of record, or one that is damaged. Its bytes are there.
     */
    NSSCOPE_PAYLOAD_TYPE_OTHER = 0,
    /**
     * `namespaces`.
     */
    NSSCOPE_PAYLOAD_TYPE_NAMESPACES = 1,
    /**
     * `task`, which begins.
     */
    NSSCOPE_PAYLOAD_TYPE_FORK = 2,
    /**
     * `task`, which ends.
     */
    NSSCOPE_PAYLOAD_TYPE_EXIT = 3,
    /**
     * `comm`.
     */
    NSSCOPE_PAYLOAD_TYPE_COMM = 4,
    /**
     * `cgroup`.
     */
    NSSCOPE_PAYLOAD_TYPE_CGROUP = 5,
    /**
     * `lost`.
     */
    NSSCOPE_PAYLOAD_TYPE_LOST = 6,
    /**
     * `context_switch`.
     */
    NSSCOPE_PAYLOAD_TYPE_SWITCH = 7,
};

/**
 * What became of a call.
 */
enum nsscope_status {
    /**
     * It was done.
     */
    NSSCOPE_STATUS_OK = 0,
    /**
     * A pointer is null that may not be.
     */
    NSSCOPE_STATUS_NULL = 1,
    /**
     * The input is no perf.data stream, or what follows cannot be found any more: `nsscope_decoder_error` says why.
     */
    NSSCOPE_STATUS_UNREADABLE = 2,
    /**
     * The decoder has been finished, or has failed before.
     */
    NSSCOPE_STATUS_OVER = 3,
};

/**
 * Index of a namespace's type in `nsscope_namespaces.of`, as in the kernel's record (`NET_NS_INDEX` and so on).
 */
enum nsscope_namespace_type {
    /**
     * Network devices, addresses, ports.
     */
    NSSCOPE_NAMESPACE_TYPE_NET = 0,
    /**
     * Host and domain name.
     */
    NSSCOPE_NAMESPACE_TYPE_UTS = 1,
    /**
     * System V IPC and POSIX message queues.
     */
    NSSCOPE_NAMESPACE_TYPE_IPC = 2,
    /**
     * Process ids.
     */
    NSSCOPE_NAMESPACE_TYPE_PID = 3,
    /**
     * User and group ids, capabilities.
     */
    NSSCOPE_NAMESPACE_TYPE_USER = 4,
    /**
     * Mount points.
     */
    NSSCOPE_NAMESPACE_TYPE_MNT = 5,
    /**
     * The cgroup root that the task sees.
     */
    NSSCOPE_NAMESPACE_TYPE_CGROUP = 6,
    /**
     * Clock offsets. Only nsscope's eBPF programs and kernels record it.
     */
    NSSCOPE_NAMESPACE_TYPE_TIME = 7,
};

/**
 * Decodes one perf.data stream.
 */
struct nsscope_decoder;

/**
 * Device (the kernel's `new_encode_dev()` form) and inode of a namespace; both are 0 where the record does not have it.
 */
struct nsscope_namespace {
    /**
     * Device of nsfs.
     */
    uint64_t dev;
    /**
     * Inode, which /proc shows in brackets: `net:[4026531840]`.
     */
    uint64_t ino;
};

/**
 * `PERF_RECORD_NAMESPACES`: the namespaces that a task is in from now on.
 */
struct nsscope_namespaces {
    /**
     * Process id.
     */
    uint32_t pid;
    /**
     * Thread id.
     */
    uint32_t tid;
    /**
     * By `nsscope_namespace_type`.
     */
    struct nsscope_namespace of[8];
};

/**
 * `PERF_RECORD_FORK` and `PERF_RECORD_EXIT`: a task begins, a task ends.
 */
struct nsscope_task {
    /**
     * Process id.
     */
    uint32_t pid;
    /**
     * The parent's process id; equal to `pid` for a new thread.
     */
    uint32_t ppid;
    /**
     * Thread id.
     */
    uint32_t tid;
    /**
     * The parent's thread id.
     */
    uint32_t ptid;
};

/**
 * Bytes of a name: not ended by a NUL, and not necessarily UTF-8.
 */
struct nsscope_text {
    /**
     * The first; never null.
     */
    const uint8_t *bytes;
    /**
     * How many.
     */
    size_t len;
};

/**
 * `PERF_RECORD_COMM`: a task has a name.
 */
struct nsscope_comm {
    /**
     * Process id.
     */
    uint32_t pid;
    /**
     * Thread id.
     */
    uint32_t tid;
    /**
     * Its name.
     */
    struct nsscope_text comm;
    /**
     * Whether it has it because it began a program.
     */
    bool exec;
};

/**
 * `PERF_RECORD_CGROUP`: a cgroup's id has a path.
 */
struct nsscope_cgroup {
    /**
     * Its id in the unified hierarchy.
     */
    uint64_t id;
    /**
     * Its path from that hierarchy's root.
     */
    struct nsscope_text path;
};

/**
 * `PERF_RECORD_LOST` and `PERF_RECORD_LOST_SAMPLES`: records are missing here.
 */
struct nsscope_lost {
    /**
     * How many.
     */
    uint64_t count;
};

/**
 * `PERF_RECORD_SWITCH` and `PERF_RECORD_SWITCH_CPU_WIDE`: a context switch. Who switched is the record's own pid and tid.
 */
struct nsscope_switch {
    /**
     * Whether it left the CPU; else it came.
     */
    bool out;
    /**
     * Whether it would have run on.
     */
    bool preempted;
    /**
     * Process id of who came before or comes next; `UINT32_MAX` where the record does not say.
     */
    uint32_t other_pid;
    /**
     * Thread id of the same.
     */
    uint32_t other_tid;
};

/**
 * What a record says, by its `payload_type`.
 */
union nsscope_payload {
    /**
     * `NAMESPACES`.
     */
    struct nsscope_namespaces namespaces;
    /**
     * `FORK` and `EXIT`.
     */
    struct nsscope_task task;
    /**
     * `COMM`.
     */
    struct nsscope_comm comm;
    /**
     * `CGROUP`.
     */
    struct nsscope_cgroup cgroup;
    /**
     * `LOST`.
     */
    struct nsscope_lost lost;
    /**
     * `SWITCH`.
     */
    struct nsscope_switch context_switch;
};

/**
 * A record. All that it points to is there until the function returns that was called with it.
 */
struct nsscope_record {
    /**
     * `PERF_RECORD_*`; those of the perf tool itself begin at 64.
     */
    uint32_t kind;
    /**
     * The header's `misc`.
     */
    uint16_t misc;
    /**
     * Where it stands in the input, in bytes.
     */
    uint64_t offset;
    /**
     * All of it, header included, in the byte order of the machine that recorded.
     */
    const uint8_t *bytes;
    /**
     * How many bytes that are.
     */
    size_t len;
    /**
     * When, in ns of the recording's clock; `UINT64_MAX` where the record does not say.
     */
    uint64_t time;
    /**
     * Process id of who caused it; `UINT32_MAX` where the record does not say.
     */
    uint32_t pid;
    /**
     * Thread id of the same.
     */
    uint32_t tid;
    /**
     * On which CPU; `UINT32_MAX` where the record does not say.
     */
    uint32_t cpu;
    /**
     * Which member of `payload` is there.
     */
    enum nsscope_payload_type payload_type;
    /**
     * What it says.
     */
    union nsscope_payload payload;
};

/**
 * Takes a record. It may not call the decoder.
 */
typedef void (*nsscope_on_record)(void *user, const struct nsscope_record *record);

/**
 * Takes what is damaged and costs a part of the input: at which offset, in bytes, and what it is, ended by a NUL. The
 * decoder goes on behind it. It may not call the decoder.
 */
typedef void (*nsscope_on_fault)(void *user, uint64_t offset, const char *message);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a decoder. `on_record` is called for each record, in the order of their times; `on_fault` for what is damaged.
 * Either may be null, and both are called with `user`. Free it with `nsscope_decoder_free`.
 *
 * # Safety
 * The functions take what their types say.
 */
struct nsscope_decoder *nsscope_decoder_new(nsscope_on_record on_record,
                                            nsscope_on_fault on_fault,
                                            void *user);

/**
 * Takes the next bytes of the stream, in pieces of any size.
 *
 * # Safety
 * `decoder` is one of `nsscope_decoder_new`, or null; `bytes` are `len` bytes.
 */
enum nsscope_status nsscope_decoder_push(struct nsscope_decoder *decoder,
                                         const uint8_t *bytes,
                                         size_t len);

/**
 * The stream is over: the last records come. What was cut off is a fault.
 *
 * # Safety
 * `decoder` is one of `nsscope_decoder_new`, or null.
 */
enum nsscope_status nsscope_decoder_finish(struct nsscope_decoder *decoder);

/**
 * Why the decoder failed, ended by a NUL; empty where it did not. It is there until the decoder is freed.
 *
 * # Safety
 * `decoder` is one of `nsscope_decoder_new`, or null.
 */
const char *nsscope_decoder_error(const struct nsscope_decoder *decoder);

/**
 * Frees a decoder; null is none.
 *
 * # Safety
 * `decoder` is one of `nsscope_decoder_new` that has not been freed, or null.
 */
void nsscope_decoder_free(struct nsscope_decoder *decoder);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NSSCOPE_H */
