//! Where in a kernel's sources C hands over to Rust: each place is found by the name of a function, a structure or a
//! statement, and one that is not there once fails. Not here: the sources, what is built of them.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What chooses between the two.
const CONFIG: &str = "CONFIG_PERF_NAMESPACES_RUST";

/// Changes the files of a tree; a file that is as it should be is not written again. They are always changed from what
/// they were at first, of which a copy is kept.
pub(crate) fn apply(tree: &Path) -> Result<()> {
    let mut core = Source::open(tree, "kernel/events/core.c")?;
    core.choose(
        core.line("static atomic_t nr_namespaces_events __read_mostly;")?,
        "#include \"nsscope/perf_namespaces.h\"\n",
    );
    let first = core.definition("struct perf_namespaces_event {")?;
    let last = core.definition("void perf_event_namespaces(struct task_struct *task)\n{")?;
    core.choose(first.start..last.end, "#include \"nsscope/shim.h\"\n");
    for (function, call) in [("account_event", "account"), ("unaccount_event", "unaccount")] {
        let within = core.definition(&format!("static void {function}(struct perf_event *event)\n{{"))?;
        core.choose(
            core.statement("if (event->attr.namespaces)", within)?,
            &format!("\tperf_namespaces_{call}(event);\n"),
        );
    }
    let within = core.definition("SYSCALL_DEFINE5(perf_event_open,")?;
    let permission = core.statement("if (attr.namespaces) {", within)?;
    // A bit that C knows nothing of is refused as a reserved one is.
    let refuse = "\tif (attr.namespaces_time)\n\t\treturn -EINVAL;\n";
    core.insert(permission.end, refuse);
    core.choose(
        permission.start..permission.end + refuse.len(),
        "\terr = perf_namespaces_permission(&attr);\n\tif (err)\n\t\treturn err;\n",
    );
    core.write()?;

    // One of the reserved bits, the last.
    let mut header = Source::open(tree, "include/uapi/linux/perf_event.h")?;
    let within = header.definition("struct perf_event_attr {")?;
    let reserved = header.once("__reserved_1   : ", within)?;
    let count = reserved.end..reserved.end + header.text[reserved.end..].find(';').context("a semicolon")?;
    let bits: u32 = header.text[count.clone()].trim().parse().context("a number of reserved bits")?;
    let indent = header.text[..reserved.start].rsplit('\n').next().unwrap_or_default().to_owned();
    header.insert(count.end, &format!(",\n{indent}namespaces_time:  1"));
    header.text.replace_range(count, &(bits - 1).to_string());
    header.write()?;

    let mut bindings = Source::open(tree, "rust/bindings/bindings_helper.h")?;
    let record = ["linux/fs", "linux/path", "linux/perf_event", "linux/proc_ns"];
    let driver = [
        "linux/cgroup",
        "linux/ipc_namespace",
        "linux/kprobes",
        "linux/miscdevice",
        "linux/mm",
        "linux/namei",
        "linux/nsproxy",
        "linux/pid_namespace",
        "linux/poll",
        "linux/time_namespace",
        "linux/user_namespace",
        "linux/utsname",
        "linux/vmalloc",
        "net/net_namespace",
    ];
    for include in record.iter().chain(&driver) {
        bindings.include(&format!("#include <{include}.h>\n"))?;
    }
    let end = bindings.text.len();
    bindings.insert(end, "\n#include \"../../kernel/events/nsscope/bindings.h\"\n");
    bindings.write()?;

    let mut kconfig = Source::open(tree, "init/Kconfig")?;
    let menu = kconfig.line("menu \"Kernel Performance Events And Counters\"")?.end;
    let end = menu + kconfig.text[menu..].find("\nendmenu\n").context("the end of the menu")? + 1;
    kconfig.insert(end, "source \"kernel/events/nsscope/Kconfig\"\n\n");
    kconfig.write()?;

    let mut makefile = Source::open(tree, "kernel/events/Makefile")?;
    makefile.insert(makefile.text.len(), "\nobj-$(CONFIG_RUST) += nsscope/\n");
    makefile.write()
}

/// A file of the tree as it was.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn open(tree: &Path, name: &str) -> Result<Self> {
        let (path, kept) = (tree.join(name), tree.join(".nsscope").join(name));
        if !kept.exists() {
            fs::create_dir_all(kept.parent().context("a folder")?)?;
            fs::copy(&path, &kept).with_context(|| format!("{}", path.display()))?;
        }
        Ok(Self { text: fs::read_to_string(&kept)?, path })
    }

    fn write(self) -> Result<()> {
        if fs::read_to_string(&self.path)? != self.text {
            fs::write(&self.path, self.text)?;
        }
        Ok(())
    }

    /// Where `what` is, which must be there once.
    fn once(&self, what: &str, within: Range<usize>) -> Result<Range<usize>> {
        let mut found = self.text[within.clone()].match_indices(what);
        let (Some((at, _)), None) = (found.next(), found.next()) else {
            bail!("{}: {what:?} is not there once: this kernel is not one that the rule knows", self.path.display());
        };
        Ok(within.start + at..within.start + at + what.len())
    }

    /// A whole line.
    fn line(&self, line: &str) -> Result<Range<usize>> {
        self.once(&format!("{line}\n"), 0..self.text.len())
    }

    /// A function or a structure that begins so, to the brace in the first column that ends it.
    fn definition(&self, begin: &str) -> Result<Range<usize>> {
        let begin = self.once(&format!("\n{begin}"), 0..self.text.len())?.start + 1;
        let brace = begin + self.text[begin..].find("\n}").context("a closing brace")? + 1;
        let end = brace + self.text[brace..].find('\n').context("the end of the line")? + 1;
        Ok(begin..end)
    }

    /// An `if` with what depends on it: a line, or a block that ends with a brace as deep as the `if`.
    fn statement(&self, condition: &str, within: Range<usize>) -> Result<Range<usize>> {
        let at = self.once(condition, within)?.start;
        let begin = self.text[..at].rfind('\n').context("a line before it")? + 1;
        let indent = &self.text[begin..at];
        ensure!(indent.trim().is_empty(), "{}: something is before {condition:?}", self.path.display());
        let end = if condition.ends_with('{') {
            let closing = format!("\n{indent}}}\n");
            at + self.text[at..].find(&closing).context("a closing brace")? + closing.len()
        } else {
            let lines = self.text[at..].split_inclusive('\n').take(2);
            at + lines.map(str::len).sum::<usize>()
        };
        Ok(begin..end)
    }

    /// What is there stays for a kernel without our Rust.
    fn choose(&mut self, range: Range<usize>, rust: &str) {
        let old = &self.text[range.clone()];
        let new = format!("#ifdef {CONFIG}\n{rust}#else\n{old}#endif\n");
        self.text.replace_range(range, &new);
    }

    fn insert(&mut self, at: usize, text: &str) {
        self.text.insert_str(at, text);
    }

    /// A line among those that are sorted.
    fn include(&mut self, line: &str) -> Result<()> {
        if self.text.contains(line) {
            return Ok(());
        }
        let mut at = 0;
        let mut place = None;
        for old in self.text.split_inclusive('\n') {
            at += old.len();
            if old.starts_with("#include <") && (place.is_none() || old < line) {
                place = Some(at);
            }
        }
        let place = place.with_context(|| format!("{}: no place for {line:?}", self.path.display()))?;
        self.insert(place, line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn source(text: &str) -> Source {
        Source { path: "core.c".into(), text: text.into() }
    }

    #[test]
    fn places_are_found_by_name() {
        let file = source("int x;\nvoid f(void)\n{\n\tif (a.b)\n\t\tg();\n\tif (c) {\n\t\th();\n\t}\n}\nint y;\n");
        let function = file.definition("void f(void)\n{").unwrap();
        assert_eq!(&file.text[function.end..], "int y;\n");
        assert_eq!(&file.text[file.statement("if (a.b)", function.clone()).unwrap()], "\tif (a.b)\n\t\tg();\n");
        assert_eq!(&file.text[file.statement("if (c) {", function).unwrap()], "\tif (c) {\n\t\th();\n\t}\n");
    }

    #[test]
    fn a_place_that_is_missing_or_twice_there_fails() {
        let file = source("int x;\nint x;\n");
        for line in ["int x;", "int y;"] {
            assert!(file.line(line).unwrap_err().to_string().contains("is not there once"));
        }
        assert!(file.definition("void f(void)").is_err());
    }
}
