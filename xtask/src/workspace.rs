//! What is in the repository: packages as cargo sees them, and files as they lie on disk.
//!
//! Cargo's JSON is read with the few fields that the checks need. The `cargo_metadata` crate would do,
//! but it turns on a feature of `serde_json` for the whole workspace. Files come from walking, not from
//! `git ls-files`, so that the checks also work in an exported archive or under another owner.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Directories that `.gitignore` names, and git's own: nothing in them is ours.
const SKIPPED_DIRS: [&str; 6] = [
    ".git",
    ".venv",
    "__pycache__",
    "node_modules",
    "target",
    "tracegrade-data",
];

/// The answer of `cargo metadata`, cut to what is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target_dir: PathBuf,
}

/// One package: ours, or one that we depend on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a manifest's dependency tables.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The key in the manifest, where it differs from the package's name.
    pub(crate) rename: Option<String>,
    /// `None` is a normal dependency.
    pub(crate) kind: Option<String>,
    /// Present for crates of this workspace.
    pub(crate) path: Option<PathBuf>,
}

/// One thing that cargo builds: a library, a binary, a bench.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// A text file of the repository, its path relative to the root and with `/` between parts.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Returns our own packages; needs no network and no lock.
    pub(crate) fn load() -> Result<Self> {
        metadata(&["--no-deps"])
    }

    /// Returns our packages and everything in the lock file, whatever the platform.
    pub(crate) fn load_with_dependencies() -> Result<Self> {
        metadata(&[])
    }

    /// Returns every UTF-8 file of the repository in the order of their paths.
    pub(crate) fn text_files(&self) -> Result<Vec<TextFile>> {
        let mut files = Vec::new();
        collect(&self.root, &self.root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Returns a path as a reader at the root would write it.
    pub(crate) fn relative(&self, path: &Path) -> String {
        relative(&self.root, path)
    }
}

impl Dependency {
    /// Returns whether the dependency is for tests and benches only.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

fn metadata(extra: &[&str]) -> Result<Workspace> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1"])
        .args(extra)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("failed to start `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("failed to read what `cargo metadata` printed")
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<TextFile>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to list {}", dir.display()))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .with_context(|| format!("failed to stat {}", path.display()))?;
        let skipped = entry
            .file_name()
            .to_str()
            .is_some_and(|name| SKIPPED_DIRS.contains(&name));
        if kind.is_dir() && !skipped {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            // what is not UTF-8 is data, and data has no style
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile {
                    path: relative(root, &path),
                    text,
                });
            }
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
