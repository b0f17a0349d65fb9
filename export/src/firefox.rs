//! A profile for the Firefox Profiler: a process for each container, a thread for each of its threads that has samples,
//! the lives of its processes as markers. Not here: the format's JSON, which is a crate's.

use crate::follow::{Follow, UNKNOWN};
use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, MarkerFieldFlags, MarkerFieldFormat,
    MarkerTiming, Profile, ReferenceTimestamp, SamplingInterval, StaticSchemaMarker, StaticSchemaMarkerField,
    StringHandle, Timestamp,
};
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::attr::AttrFlags;
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::select::title;
use nsscope_timeline::{Definition, Key, Timeline};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Samples of a thread in a container: when, and what it was called then.
type Samples = Vec<(u64, String)>;

/// Collects samples and writes a profile.
pub struct Firefox {
    follow: Follow,
    threads: BTreeMap<(Option<Key>, u32, u32), Samples>,
}

/// The life of a process.
struct Life {
    comm: StringHandle,
    pid: u32,
}

impl StaticSchemaMarker for Life {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "process";
    const CHART_LABEL: Option<&'static str> = Some("{marker.name} {marker.data.pid}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.name} {marker.data.pid}");
    const FIELDS: &'static [StaticSchemaMarkerField] = &[StaticSchemaMarkerField {
        key: "pid",
        label: "pid",
        format: MarkerFieldFormat::Integer,
        flags: MarkerFieldFlags::SEARCHABLE,
    }];

    fn name(&self, _: &mut Profile) -> StringHandle {
        self.comm
    }

    fn category(&self, _: &mut Profile) -> CategoryHandle {
        CategoryHandle::OTHER
    }

    fn string_field_value(&self, _: u32) -> StringHandle {
        self.comm
    }

    fn number_field_value(&self, _: u32) -> f64 {
        f64::from(self.pid)
    }
}

impl Firefox {
    /// The profile of a stream.
    pub fn new(follow: Follow) -> Self {
        Self { follow, threads: BTreeMap::new() }
    }

    /// Takes the next record, in the order of their times.
    pub fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) {
        let Some((container, comm)) = self.follow.cpu_sample(session, record) else { return };
        let id = session.sample_id(record);
        if let Some(time) = id.time {
            let key = (container, id.pid.unwrap_or(0), id.tid.unwrap_or(0));
            self.threads.entry(key).or_default().push((time, comm));
        }
    }

    /// Writes the profile. Returns how many samples it has.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(
        self,
        session: &Session,
        timeline: &Timeline,
        definition: &Definition,
        mut out: impl Write,
    ) -> io::Result<u64> {
        let (begin, end) = timeline.span().unwrap_or_default();
        let at = |time: u64| Timestamp::from_nanos_since_reference(time.saturating_sub(begin));
        let reference = Duration::from_nanos(session.wall_clock(begin).unwrap_or(begin));
        let interval = session.events().iter().map(|event| &event.attr).find(|attr| attr.sample_period.get() > 0);
        let interval = interval.map_or(SamplingInterval::from_millis(1), |attr| match attr.sample_period.get() {
            hz if attr.flags().has(AttrFlags::FREQ) => SamplingInterval::from_hz(hz as f32),
            ns => SamplingInterval::from_nanos(ns),
        });
        let reference = ReferenceTimestamp::from_duration_since_unix_epoch(reference);
        let mut profile = Profile::new(&format!("containers of {}", self.follow.host()), reference, interval);
        profile.set_os_name("Linux");
        let colors = [CategoryColor::Gray, CategoryColor::Blue];
        let [of_host, of_container] =
            ["host", "container"].map(|name| profile.add_category(name, colors[usize::from(name != "host")]));

        let mut threads: BTreeMap<Option<Key>, Vec<_>> = BTreeMap::new();
        for ((key, pid, tid), samples) in self.threads {
            threads.entry(key).or_default().push((pid, tid, samples));
        }
        let mut written = 0;
        let mut containers: Vec<_> = timeline.containers(definition).into_iter().map(Some).collect();
        containers.push(None);
        for container in containers {
            let (name, first, last, pid) = match &container {
                Some(one) => (title(one), one.start, one.end, one.root_pid.unwrap_or(0)),
                None => ("host".into(), begin, None, 0),
            };
            let process = profile.add_process(&name, pid, at(first));
            if let Some(last) = last {
                profile.set_process_end_time(process, at(last));
            }
            let main = profile.add_thread(process, pid, at(first), true);
            profile.set_thread_name(main, &name);
            profile.set_thread_show_markers_in_timeline(main, true);
            for one in container.iter().flat_map(|one| timeline.processes(one.tasks.iter().copied())) {
                let comm = timeline.last_name(timeline.task_at(one.leader)).unwrap_or_else(|| UNKNOWN.into());
                let life = Life { comm: profile.intern_string(&comm), pid: one.pid };
                let timing = MarkerTiming::Interval(at(one.start), at(one.end.unwrap_or(end).max(one.start)));
                profile.add_marker(main, timing, life);
            }
            let category = if container.is_some() { of_container } else { of_host };
            for (pid, tid, samples) in threads.remove(&container.map(|one| one.key)).unwrap_or_default() {
                let Some((first, comm)) = samples.first() else { continue };
                let thread = profile.add_thread(process, tid, at(*first), false);
                profile.set_thread_name(thread, &if pid == tid { comm.clone() } else { format!("{comm} of {pid}") });
                for (time, comm) in samples {
                    let frame = Frame::Label(profile.intern_string(&comm));
                    let frame = FrameInfo { frame, category_pair: category.into(), flags: FrameFlags::empty() };
                    let stack = profile.intern_stack_frames(thread, std::iter::once(frame));
                    profile.add_sample(thread, at(time), stack, CpuDelta::ZERO, 1);
                    written += 1;
                }
            }
        }
        serde_json::to_writer(&mut out, &profile)?;
        out.flush()?;
        Ok(written)
    }
}
