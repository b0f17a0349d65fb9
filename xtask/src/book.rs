//! The book: the pages of `docs/`, with what the program and the code say of themselves, as HTML. Not here: whether the
//! commands that it shows work, which is a test (`tests/tests/book.rs`).

use crate::{cargo, programs, root, tools};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where files are that are in the repository and not in the book.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main");

/// Pages that stand elsewhere in the repository: file, page of the book, title.
const PAGES: [(&str, &str, &str); 2] =
    [("codec/SPEC.md", "format.md", "Binary layouts"), ("COMPARISON.md", "comparison.md", "How it compares")];

/// Builds it in `target/book/html`, checks its links, and returns where it begins.
pub(crate) fn build() -> Result<PathBuf> {
    let mdbook = tools::install_by("mdbook", "mdbook", cargo(), &["--no-default-features"])?;
    programs::build()?;
    let dir = root().join("target/book");
    let src = dir.join("src");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&src)?;
    for page in fs::read_dir(root().join("docs"))? {
        let page = page?;
        if page.file_type()?.is_file() {
            copy(&page.path(), &src.join(page.file_name()))?;
        }
    }
    for (file, page, _) in PAGES {
        copy(&root().join(file), &src.join(page))?;
    }
    fs::write(src.join("command-reference.md"), commands()?)?;
    fs::write(src.join("tables.md"), tables()?)?;
    add_to_summary(&src.join("SUMMARY.md"))?;
    let title =
        "[book]\ntitle = \"nsscope\"\nlanguage = \"en\"\n[build]\nbuild-dir = \"html\"\ncreate-missing = false\n";
    let look = format!("[output.html]\ngit-repository-url = \"{}\"\n", env!("CARGO_PKG_REPOSITORY"));
    fs::write(dir.join("book.toml"), format!("{title}{look}"))?;
    let output = Command::new(mdbook).arg("build").arg(&dir).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "mdbook: {said}");
    let html = dir.join("html");
    let checked = check_links(&html)?;
    println!("{checked} links within the book lead somewhere");
    Ok(html.join("index.html"))
}

/// A page, with its links to what is not in the book leading to the repository, and its pictures beside it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let text = fs::read_to_string(from)?;
    let folder = from.parent().context("a folder")?;
    let mut parts = text.split("](");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (link, rest) = part.split_once(')').context("a link that does not end")?;
        out += "](";
        out += &leads_to(link, folder, to)?;
        out += ")";
        out += rest;
    }
    Ok(fs::write(to, out)?)
}

fn leads_to(link: &str, folder: &Path, page: &Path) -> Result<String> {
    let (file, anchor) = link.split_at(link.find('#').unwrap_or(link.len()));
    if file.is_empty() || link.contains("::") || link.contains("://") {
        return Ok(link.into());
    }
    let Ok(path) = fs::canonicalize(folder.join(file)) else { return Ok(link.into()) };
    let inside = path.strip_prefix(root())?.to_str().context("a name")?;
    if let Some((_, page, _)) = PAGES.iter().find(|(file, ..)| *file == inside) {
        return Ok((*page).into());
    }
    if path.extension().is_some_and(|extension| extension == "png") {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        fs::copy(&path, page.with_file_name(name))?;
        return Ok(name.into());
    }
    if let Some(name) = inside.strip_prefix("docs/") {
        return Ok(format!("{name}{anchor}"));
    }
    Ok(format!("{REPOSITORY}/{inside}"))
}

/// Pages that are not in `docs/` come last in the part for reference.
fn add_to_summary(summary: &Path) -> Result<()> {
    let text = fs::read_to_string(summary)?;
    let end = text.find("# Explanation").context("SUMMARY.md has no explanations")?;
    let (before, after) = text.split_at(end);
    let mut out = before.trim_end().to_string();
    out += "\n- [All commands and flags](command-reference.md)\n- [Tables of export and query](tables.md)\n";
    for (_, page, title) in PAGES {
        let _ = writeln!(out, "- [{title}]({page})");
    }
    Ok(fs::write(summary, format!("{out}\n{after}"))?)
}

fn says(args: &[&str]) -> Result<String> {
    let output = Command::new(programs::dir().join("nsscope")).args(args).output()?;
    ensure!(output.status.success(), "nsscope {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What the program says of its commands.
fn commands() -> Result<String> {
    let mut out = String::from("# All commands and flags\n\nAs `nsscope COMMAND --help` has them.\n");
    let help = says(&["--help"])?;
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).context("no commands")?;
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|&name| name != "help") {
        let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", says(&[name, "--help"])?.trim_end());
    }
    Ok(out)
}

/// And of its tables.
fn tables() -> Result<String> {
    let text = says(&["export", "--tables"])?;
    Ok(format!(
        "# Tables of export and query\n\nAs `nsscope export --tables` lists them.\n\n```text\n{}\n```\n",
        text.trim_end()
    ))
}

/// Every link between pages of the book leads to a page, and to a place in it. Returns how many there are.
fn check_links(html: &Path) -> Result<usize> {
    let mut checked = 0;
    for page in fs::read_dir(html)? {
        let page = page?.path();
        if page.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        let text = fs::read_to_string(&page)?;
        let links: BTreeSet<&str> = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for link in links.into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() { page.clone() } else { html.join(file) };
            ensure!(to.exists(), "{} links to {link}, which is not there", page.display());
            let is_there = || Ok::<_, anyhow::Error>(fs::read_to_string(&to)?.contains(&format!("id=\"{anchor}\"")));
            ensure!(anchor.is_empty() || is_there()?, "{} links to {link}, which has no such place", page.display());
            checked += 1;
        }
    }
    Ok(checked)
}
