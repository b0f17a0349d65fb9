//! What cgroups' limits of CPU time do: `cpu.stat`, of the unified hierarchy and of the older one. Not here: what a
//! limit means for those who wait.

use crate::mounts;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// CPU time of a cgroup since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuStat {
    /// Used and held back, ns.
    pub(crate) times: [u64; 2],
    /// How many periods, and in how many it was held back.
    pub(crate) periods: [u64; 2],
}

/// Cgroups as they were read last, by path.
#[derive(Debug, Default)]
pub(crate) struct Limits(BTreeMap<Vec<u8>, CpuStat>);

impl Limits {
    /// Reads all cgroups, and hands out those that have used CPU time since.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8], CpuStat)) {
        // In a hybrid hierarchy the controller is in the older one.
        let root = mounts::controller_mount("cpu").or_else(mounts::cgroup2_mount);
        let Some(root) = root.map(PathBuf::from) else { return };
        let usage = mounts::controller_mount("cpuacct").map(PathBuf::from);
        let mut waiting = vec![PathBuf::new()];
        while let Some(below) = waiting.pop() {
            let dir = root.join(&below);
            if let Ok(text) = fs::read_to_string(dir.join("cpu.stat")) {
                let mut stat = parse(&text);
                if let Some(used) = usage.as_ref().and_then(|usage| number(&usage.join(&below).join("cpuacct.usage"))) {
                    stat.times[0] = used;
                }
                let path = [b"/", below.as_os_str().as_bytes()].concat();
                if self.0.insert(path.clone(), stat) != Some(stat) {
                    each(&path, stat);
                }
            }
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(dirs.map(|entry| below.join(entry.file_name())));
        }
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Lines `usage_usec 5`, `throttled_usec 5`, `nr_periods 5`, `nr_throttled 5`; `throttled_time` is the older name, in ns.
fn parse(text: &str) -> CpuStat {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let usec = |key: &str| value(key).map(|usec| usec.saturating_mul(1000));
    let throttled = usec("throttled_usec").or_else(|| value("throttled_time"));
    CpuStat {
        times: [usec("usage_usec").unwrap_or(0), throttled.unwrap_or(0)],
        periods: [value("nr_periods").unwrap_or(0), value("nr_throttled").unwrap_or(0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hierarchies_are_read() {
        let v2 = "usage_usec 7\nuser_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 9\nnr_bursts 0\n";
        assert_eq!(parse(v2), CpuStat { times: [7_000, 9_000], periods: [3, 2] });
        let v1 = "nr_periods 3\nnr_throttled 2\nthrottled_time 9500\nwait_sum 1\n";
        assert_eq!(parse(v1), CpuStat { times: [0, 9_500], periods: [3, 2] });
        assert_eq!(parse("nr_periods x"), CpuStat::default());
    }
}
