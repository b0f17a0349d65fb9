//! What is to be drawn of a row: spans as words, at the resolution of the screen. Not here: colours and pixels, which
//! are the page's.

use nsscope_timeline::order::distinct;
use nsscope_timeline::{Process, Task, Throttled};

/// When processes began and ended, each in order: how many lived at a time.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    pub(crate) begins: Vec<u64>,
    pub(crate) ends: Vec<u64>,
    pub(crate) peak: usize,
    /// Times of its samples, in order.
    pub(crate) samples: Vec<u64>,
    /// When its limit held it back, in order.
    pub(crate) throttled: Vec<Throttled>,
}

impl Curve {
    pub(crate) fn of<'p>(processes: impl Iterator<Item = &'p Process>) -> Self {
        // A process that began or ended, by its number: equal times are to stay.
        let mut steps = Vec::new();
        for (number, process) in processes.enumerate() {
            steps.push((process.start, (number as u64) << 1));
            steps.extend(process.end.map(|end| (end, (number as u64) << 1 | 1)));
        }
        let mut curve = Self::default();
        for (time, step) in distinct(steps) {
            if step & 1 == 0 { curve.begins.push(time) } else { curve.ends.push(time) }
        }
        let mut ended = 0;
        for (begun, &time) in curve.begins.iter().enumerate() {
            while curve.ends.get(ended).is_some_and(|&end| end < time) {
                ended += 1;
            }
            curve.peak = curve.peak.max(begun + 1 - ended);
        }
        curve
    }

    /// Most that lived at a time of the window: at least those at its begin, at most those and all that began in it.
    pub(crate) fn between(&self, from: u64, to: u64) -> usize {
        let begun = self.begins.partition_point(|&begin| begin < to);
        let ended = self.ends.partition_point(|&end| end < from);
        (begun - ended.min(begun)).min(self.peak)
    }
}

/// What a span shows; the numbers are the page's, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    /// A life, or a part of it with one namespace set: `value` is the set's number.
    Life = 0,
    /// An exec.
    Exec = 1,
    /// A change of namespaces.
    Change = 2,
    /// How many processes live: `value` of 255 is the most of this row.
    Density = 3,
    /// How many samples: `value` of 255 is one CPU all the time, as far as the rate is known; else the most in sight.
    Cpu = 4,
    /// A limit held the container back: `value` of 255 is all the time, on one CPU. 5 and 6 are the page's own.
    Throttled = 7,
}

/// The life was there before the recording told.
const OPEN_BEFORE: i32 = 1 << 8;
/// The life goes on.
const OPEN_AFTER: i32 = 1 << 9;

/// A window of time and how wide it is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// ns of the recording's clock.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) pixels: f64,
}

impl View {
    pub(crate) fn x(self, time: u64) -> i32 {
        let x = (time as f64 - self.from) / (self.to - self.from) * self.pixels * 16.0;
        // `clamp` can fail, and to tell so prints floats: 17 kilobytes of wasm.
        x.min(self.pixels * 16.0 + 64.0).max(-64.0) as i32
    }

    pub(crate) fn time(self, pixel: f64) -> u64 {
        (self.from + (self.to - self.from) * pixel / self.pixels).max(0.0) as u64
    }
}

pub(crate) struct Draw<'o> {
    pub(crate) out: &'o mut Vec<i32>,
    pub(crate) row: i32,
    pub(crate) view: View,
}

impl Draw<'_> {
    pub(crate) fn put(&mut self, left: i32, right: i32, shape: i32, value: u32) {
        self.out.extend([self.row, left, right, shape, value.cast_signed()]);
    }

    pub(crate) fn sees(&self, from: u64, to: Option<u64>) -> bool {
        (from as f64) <= self.view.to && to.is_none_or(|to| to as f64 >= self.view.from)
    }

    pub(crate) fn life(&mut self, (from, to, exact): (u64, Option<u64>, bool), value: u32) {
        if !self.sees(from, to) {
            return;
        }
        let flags = if exact { 0 } else { OPEN_BEFORE } | if to.is_none() { OPEN_AFTER } else { 0 };
        let right = to.map_or((self.view.pixels * 16.0) as i32 + 64, |to| self.view.x(to));
        self.put(self.view.x(from), right, Shape::Life as i32 | flags, value);
    }

    pub(crate) fn task(&mut self, task: &Task, end: Option<u64>) {
        let mut from = task.start;
        let mut exact = task.start_exact;
        let mut value = 0;
        for since in &task.namespaces {
            if since.time > from {
                self.life((from, Some(since.time), exact), value);
                (from, exact) = (since.time, true);
                if value != 0 && self.sees(since.time, Some(since.time)) {
                    let x = self.view.x(since.time);
                    self.put(x, x, Shape::Change as i32, since.value + 1);
                }
            }
            value = since.value + 1;
        }
        self.life((from, end, exact), value);
        let mut before = i32::MIN / 2;
        for since in task.names.iter().skip(1) {
            if !self.sees(since.time, Some(since.time)) {
                continue;
            }
            let x = self.view.x(since.time);
            // One mark is enough for those of a pixel.
            if x - before >= 16 {
                self.put(x, x, Shape::Exec as i32, since.value);
                before = x;
            }
        }
    }

    /// When a limit held a container back. What is close together on the screen is one span.
    fn throttled(&mut self, times: &[Throttled]) {
        let mut open: Option<Throttled> = None;
        for &next in times {
            if !self.sees(next.from, Some(next.to)) {
                continue;
            }
            match &mut open {
                Some(span) if self.view.x(next.from) - self.view.x(span.from) < 32 => {
                    (span.to, span.ns) = (next.to, span.ns.saturating_add(next.ns));
                }
                _ => self.put_throttled(open.replace(next)),
            }
        }
        self.put_throttled(open);
    }

    fn put_throttled(&mut self, span: Option<Throttled>) {
        let Some(span) = span else { return };
        let value = (span.ns.min(1 << 50) * 255).div_ceil(span.to.saturating_sub(span.from).max(1)).min(255);
        self.put(self.view.x(span.from), self.view.x(span.to), Shape::Throttled as i32, value as u32);
    }

    pub(crate) fn curve(&mut self, curve: &Curve, last: u64) {
        let pixels = self.view.pixels as usize;
        let view = self.view;
        self.throttled(&curve.throttled);
        let mut levels = |shape: Shape, level: &dyn Fn(u64, u64) -> u32| {
            let mut run = (0, 0);
            for pixel in 0..=pixels {
                let (from, to) = (view.time(pixel as f64), view.time(pixel as f64 + 1.0).max(1));
                let value = if pixel == pixels || from > last { 0 } else { level(from, to) };
                if value != run.1 {
                    if run.1 > 0 {
                        self.put(run.0 * 16, pixel as i32 * 16, shape as i32, run.1);
                    }
                    run = (pixel as i32, value);
                }
            }
        };
        if curve.peak > 0 {
            levels(Shape::Density, &|from, to| (curve.between(from, to) * 255).div_ceil(curve.peak) as u32);
        }
        if !curve.samples.is_empty() {
            let within = |from: u64, to: u64| {
                let before = curve.samples.partition_point(|&time| time < from);
                curve.samples.partition_point(|&time| time < to) - before
            };
            let most = (0..pixels)
                .map(|pixel| within(view.time(pixel as f64), view.time(pixel as f64 + 1.0)))
                .max()
                .unwrap_or(0)
                .max(1);
            levels(Shape::Cpu, &|from, to| (within(from, to) * 255).div_ceil(most) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_limit_that_are_close_are_one_span() {
        let mut out = Vec::new();
        let view = View { from: 0.0, to: 1000.0, pixels: 100.0 };
        let time = |from, to, ns| Throttled { path: 0, from, to, ns };
        // The last is what a damaged file says.
        let times = [time(0, 10, 5), time(10, 20, 5), time(500, 600, 100), time(900, 800, u64::MAX), time(901, 0, 1)];
        Draw { out: &mut out, row: 3, view }.throttled(&times);
        let shape = Shape::Throttled as i32;
        let expected = [[3, 0, 32, shape, 128], [3, 800, 960, shape, 255], [3, 1440, 0, shape, 255]];
        assert_eq!(out, expected.concat());
    }
}
