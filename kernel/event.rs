// SPDX-License-Identifier: MIT OR GPL-2.0

//! An event of perf's, and the buffer that its records go to.

use crate::task::{PidNs, Task};
use core::marker::PhantomData;
use core::mem::{offset_of, MaybeUninit};
use core::ptr::{self, NonNull};
use kernel::bindings;
use nsscope_codec::emit::{self, Requested, Trailer};
use nsscope_codec::wire::attr::AttrFlags;
use nsscope_codec::wire::namespaces::{NsKind, NsLink};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_codec::{encode, Native};

extern "C" {
    fn perf_namespaces_cpu() -> u32;
}

/// The longest record: header, ids and count, a link for each type, six fields of a trailer.
const LONGEST: usize = 8 + 16 + NsKind::ALL.len() * size_of::<NsLink<Native>>() + 6 * 8;

const _: () = assert!(offset_of!(bindings::perf_event_attr, _bitfield_1) == 40);

/// The attr's bit field, which `bindgen` has as bytes.
pub(crate) fn flags(attr: &bindings::perf_event_attr) -> AttrFlags {
    // SAFETY: The field is 8 bytes, at an offset that is a multiple of 8.
    AttrFlags(unsafe { ptr::addr_of!(attr._bitfield_1).cast::<u64>().read() })
}

/// A `struct perf_event` that lives for as long as it is borrowed.
///
/// # Invariants
/// The pointer is valid for `'a`.
pub(crate) struct Event<'a> {
    event: NonNull<bindings::perf_event>,
    /// An inherited event has its parent's id and pid namespace.
    parent: NonNull<bindings::perf_event>,
    pid_ns: PidNs,
    lives: PhantomData<&'a bindings::perf_event>,
}

impl Event<'_> {
    /// # Safety
    /// The event is not freed while the borrow lives: the caller is in an RCU read-side critical section, or holds it.
    pub(crate) unsafe fn borrow(event: *mut bindings::perf_event) -> Self {
        // SAFETY: The event exists, and a parent outlives its children.
        unsafe {
            let parent = NonNull::new((*event).parent);
            let event = NonNull::new_unchecked(event);
            let parent = parent.unwrap_or(event);
            Self { event, parent, pid_ns: PidNs((*parent.as_ptr()).ns), lives: PhantomData }
        }
    }
}

impl emit::Event for Event<'_> {
    type PidNs = PidNs;
    type Output<'b>
        = Output<'b>
    where
        Self: 'b;

    #[inline]
    fn requested(&self) -> Requested {
        // SAFETY: The event lives (type invariant), and its attr does not change.
        let attr = unsafe { &(*self.event.as_ptr()).attr };
        Requested { flags: flags(attr), sample_type: SampleType(attr.sample_type), clockid: attr.clockid }
    }

    #[inline]
    fn id(&self) -> u64 {
        // SAFETY: As above.
        unsafe { (*self.parent.as_ptr()).id }
    }

    #[inline]
    fn stream_id(&self) -> u64 {
        // SAFETY: As above.
        unsafe { (*self.event.as_ptr()).id }
    }

    #[inline]
    fn pid_ns(&self) -> &PidNs {
        &self.pid_ns
    }

    /// `perf_output_begin()` tells by itself what was lost, with a trailer of its own making.
    #[inline]
    fn begin(&mut self, size: usize, _: &Trailer) -> Option<Output<'_>> {
        Output::begin(self, size)
    }
}

/// Room in an event's buffer. What is put is gathered and copied at once.
///
/// # Invariants
/// `perf_output_begin()` has succeeded and `perf_output_end()` was not called. `bytes[..len]` is written.
pub(crate) struct Output<'a> {
    handle: MaybeUninit<bindings::perf_output_handle>,
    bytes: MaybeUninit<[u8; LONGEST]>,
    len: usize,
    event: PhantomData<&'a bindings::perf_event>,
}

impl Output<'_> {
    #[inline]
    fn begin(event: &mut Event<'_>, size: usize) -> Option<Self> {
        if size > LONGEST {
            return None;
        }
        let mut output =
            Self { handle: MaybeUninit::uninit(), bytes: MaybeUninit::uninit(), len: 0, event: PhantomData };
        // Room for the trailer of a LOST record, of which the kernel reads but what it has set, and these flags.
        let mut data = MaybeUninit::<bindings::perf_sample_data>::uninit();
        // SAFETY: Both are memory of ours, and the event lives (type invariant).
        let error = unsafe {
            ptr::addr_of_mut!((*data.as_mut_ptr()).sample_flags).write(0);
            bindings::perf_output_begin(
                output.handle.as_mut_ptr(),
                data.as_mut_ptr(),
                event.event.as_ptr(),
                size as core::ffi::c_uint,
            )
        };
        if error == 0 {
            return Some(output);
        }
        // There is nothing to end.
        core::mem::forget(output);
        None
    }
}

impl encode::Sink for Output<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() <= LONGEST - self.len {
            // SAFETY: It fits, and a slice does not overlap with what is borrowed as mutable.
            unsafe {
                let to = self.bytes.as_mut_ptr().cast::<u8>().add(self.len);
                ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            }
            self.len += bytes.len();
        }
    }
}

impl emit::Output for Output<'_> {
    #[inline]
    fn commit(self) {}
}

impl Drop for Output<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The handle is in use, and the bytes are written (type invariants).
        unsafe {
            bindings::perf_output_copy(
                self.handle.as_mut_ptr(),
                self.bytes.as_ptr().cast(),
                self.len as core::ffi::c_uint,
            );
            bindings::perf_output_end(self.handle.as_mut_ptr());
        }
    }
}

/// What is the case while a record is made: the task that runs, the event's clock, the CPU.
pub(crate) struct Here {
    current: Task,
    clock: Option<unsafe extern "C" fn() -> u64>,
}

impl Here {
    pub(crate) fn new(event: &Event<'_>) -> Self {
        // SAFETY: The event lives (type invariant), and its clock does not change.
        Self { current: Task::current(), clock: unsafe { (*event.event.as_ptr()).clock } }
    }
}

impl emit::Context for Here {
    type Task = Task;

    #[inline]
    fn current(&self) -> &Task {
        &self.current
    }

    /// Of the event's clock, which `perf_event_open(2)` has chosen by the attr's `clockid`.
    #[inline]
    fn now(&self, _: Option<i32>) -> u64 {
        // SAFETY: Every clock of perf's may be read anywhere.
        self.clock.map_or(0, |clock| unsafe { clock() })
    }

    #[inline]
    fn cpu(&self) -> u32 {
        // SAFETY: Always allowed.
        unsafe { perf_namespaces_cpu() }
    }
}
