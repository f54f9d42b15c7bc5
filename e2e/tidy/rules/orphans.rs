//! Rust files that no crate compiles: tests in them pass for ever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::lexer::{code_only, words};
use crate::tree::{Tree, root};
use crate::workspace::Workspace;

/// Rust files that are reached from no target of cargo's.
pub(crate) fn broken(tree: &Tree, workspace: &Workspace) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let targets = workspace.packages.iter().flat_map(|package| &package.targets);
    let mut next: Vec<(PathBuf, bool)> = targets.map(|target| (target.src_path.clone(), true)).collect();
    next.extend(tree.sources.iter().flat_map(|source| named_programs(&source.path, &source.text)));
    while let Some((file, is_root)) = next.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        next.extend(modules(&text, &module_folder(&file, is_root)).into_iter().map(|file| (file, false)));
        next.extend(included(&text, &file).into_iter().map(|file| (file, true)));
    }
    tree.sources
        .iter()
        .filter(|source| source.path.ends_with(".rs") && !reached.contains(&root().join(&source.path)))
        .map(|source| source.path.clone())
        .collect()
}

/// The programs that a manifest names by path, and its library. Cargo lists those of the workspace; outside of it are
/// fuzz targets, because they need another toolchain, and stand-ins for crates of others.
fn named_programs(path: &str, text: &str) -> Vec<(PathBuf, bool)> {
    let Some(folder) = path.strip_suffix("Cargo.toml") else { return Vec::new() };
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let programs =
        manifest.get("bin").and_then(|bins| bins.as_array()).map(Vec::as_slice).unwrap_or_default();
    let paths = programs.iter().filter_map(|bin| bin.get("path").and_then(|path| path.as_str()));
    let library = manifest.contains_key("package").then_some("src/lib.rs");
    paths.chain(library).map(|path| (root().join(folder).join(path), true)).collect()
}

/// The folder in which the modules of `file` lie.
fn module_folder(file: &Path, is_root: bool) -> PathBuf {
    let folder = file.parent().expect("a file lies in a folder");
    let stem = file.file_stem().unwrap_or_default();
    if is_root || stem == "mod" { folder.to_owned() } else { folder.join(stem) }
}

/// The files of the modules that `text` declares without a body.
fn modules(text: &str, folder: &Path) -> Vec<PathBuf> {
    let code = code_only(text);
    let mut files = Vec::new();
    for at in words(&code, "mod") {
        let Some((name, _)) = code[at + 3..].split_once(';') else { continue };
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            continue; // a module with a body
        }
        match path_attribute(&text[..at]) {
            Some(path) => files.push(folder.join(path)),
            None => files.extend([folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]),
        }
    }
    files.into_iter().filter(|file| file.is_file()).collect()
}

/// The path in the attribute right before a declaration.
fn path_attribute(before: &str) -> Option<&str> {
    let attribute =
        before.trim_end_matches(['p', 'u', 'b', ' ', '(', ')', 'c', 'r', 'a', 't', 'e']).trim_end();
    let (_, path) = attribute.strip_suffix("\"]")?.rsplit_once("#[path = \"")?;
    Some(path)
}

/// The Rust files that `text` includes by name.
fn included(text: &str, file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().expect("a file lies in a folder");
    let names = text.split("include!(\"").skip(1).filter_map(|rest| rest.split_once('"'));
    names.map(|(name, _)| folder.join(name)).filter(|file| file.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_module_is_read_from_its_attribute_alone() {
        assert_eq!(path_attribute("#[cfg(test)]\n#[path = \"a/b.rs\"]\npub(crate) "), Some("a/b.rs"));
        assert_eq!(path_attribute("#[path = \"a/b.rs\"]\nmod a;\n"), None);
    }

    #[test]
    fn modules_lie_beside_a_root_and_below_a_module() {
        assert_eq!(module_folder(Path::new("src/lib.rs"), true), Path::new("src"));
        assert_eq!(module_folder(Path::new("src/a/mod.rs"), false), Path::new("src/a"));
        assert_eq!(module_folder(Path::new("src/a.rs"), false), Path::new("src/a"));
    }
}
