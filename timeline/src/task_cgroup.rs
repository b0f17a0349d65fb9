//! `nsscope:task_cgroup`: how a recording says which cgroup a task was in when the recording began.
//!
//! No kernel record tells. So the recorder reads `/proc/PID/task/TID/cgroup` and writes a SAMPLE of an event of
//! its own: a tracepoint whose format is in the file's `TRACING_DATA`, so that every reader of perf.data can print
//! it and one that does not know it passes it by.
//!
//! Raw bytes, in the byte order of the file:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 2 | `common_type`: 65535 |
//! | 2 | 6 | other common fields: 0 |
//! | 8 | 4 | `pid`: thread id |
//! | 12 | 4 | `root`: hierarchy id, 0 for cgroup v2 |
//! | 16 | 4 | `path`: offset in the low, length in the high 16 bits |
//! | 20 | | the path with its NUL |

use alloc::vec::Vec;

/// `attr.config` of the event. The kernel numbers its own from 1 on and stays far below.
pub const ID: u64 = 65_535;

/// The event's group.
pub const SYSTEM: &str = "nsscope";

/// The event's full name.
pub const NAME: &str = "nsscope:task_cgroup";

/// The event's format, in the form of tracefs.
pub const FORMAT: &str = "name: task_cgroup
ID: 65535
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:int root;\toffset:12;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] path;\toffset:16;\tsize:4;\tsigned:0;

print fmt: \"pid=%d root=%d path=%s\", REC->pid, REC->root, __get_str(path)
";

/// The raw bytes, in the byte order of this machine. A path over 4095 bytes is cut.
pub fn encode(tid: u32, root: u32, path: &[u8]) -> Vec<u8> {
    let path = &path[..path.len().min(4095)];
    let mut raw = Vec::with_capacity(24 + path.len());
    raw.extend((ID as u16).to_ne_bytes());
    raw.extend([0; 6]);
    raw.extend(tid.to_ne_bytes());
    raw.extend(root.to_ne_bytes());
    raw.extend((((path.len() as u32 + 1) << 16) + 20).to_ne_bytes());
    raw.extend(path);
    raw.push(0);
    raw
}
