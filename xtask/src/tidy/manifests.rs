//! Does each crate use only what the drawing lets it see?
//!
//! The drawing is the table below: normal and build dependencies among our crates, complete. What tests
//! use is free. The columnar crates are one version train and are coupled to the two crates that hide them.

use super::{Violation, sources::FORBIDDEN_NAMES};
use crate::workspace::{Dependency, Package, TextFile, Workspace};

/// Each crate and the crates of ours that it may use. `testkit` may use any and is used by tests only.
const ARROWS: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("stats", &[]),
    ("ingest", &["model"]),
    ("store", &["model"]),
    ("query", &["model", "store"]),
    ("insight", &["model", "stats"]),
    ("grade", &["insight", "model", "query", "stats", "store"]),
    (
        "server",
        &[
            "grade", "ingest", "insight", "model", "query", "stats", "store",
        ],
    ),
    ("sdk", &["model"]),
    ("tracegrade", &["model", "sdk", "server"]),
    ("xtask", &[]),
];
const TESTKIT: &str = "testkit";

/// The version train, and who may name it.
const LAKE_FAMILIES: [&str; 4] = ["arrow", "datafusion", "object_store", "parquet"];
const LAKE_CRATES: [&str; 2] = ["query", "store"];

/// Checks every manifest of the workspace.
pub(super) fn check(workspace: &Workspace, files: &[TextFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        let path = workspace.relative(&package.manifest_path);
        let text = files
            .iter()
            .find(|file| file.path == path)
            .map_or("", |file| &file.text);
        for (rule, line, message) in check_package(package, text) {
            violations.push(Violation {
                rule,
                path: path.clone(),
                line,
                message,
            });
        }
    }
    violations
}

type Finding = (&'static str, usize, String);

fn check_package(package: &Package, manifest: &str) -> Vec<Finding> {
    let name = package.name.as_str();
    let mut found = Vec::new();
    if FORBIDDEN_NAMES.contains(&name) {
        found.push((
            "names",
            1,
            format!("a crate `{name}` says nothing: name it after what it hides"),
        ));
    }
    if !inherits_lints(manifest) {
        found.push(("lints", 1, "add `[lints]` with `workspace = true`".into()));
    }
    for dependency in &package.dependencies {
        let findings = [arrow(name, dependency), lake(name, dependency)];
        let line = line_naming(manifest, dependency);
        found.extend(
            findings
                .into_iter()
                .flatten()
                .map(|(rule, message)| (rule, line, message)),
        );
    }
    found
}

fn arrow(from: &str, dependency: &Dependency) -> Option<(&'static str, String)> {
    let to = dependency.name.as_str();
    if dependency.path.is_none() || dependency.is_dev() || from == TESTKIT {
        return None;
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return Some((
            "arrows",
            format!("`{from}` is not in the drawing (xtask/src/tidy/manifests.rs)"),
        ));
    };
    if allowed.contains(&to) {
        return None;
    }
    let message = if to == TESTKIT {
        format!("`{to}` belongs under [dev-dependencies]")
    } else if allowed.is_empty() {
        format!("`{from}` must not see `{to}`: it uses none of our crates")
    } else {
        format!(
            "`{from}` must not see `{to}`: it may use {}",
            allowed.join(", ")
        )
    };
    Some(("arrows", message))
}

fn lake(from: &str, dependency: &Dependency) -> Option<(&'static str, String)> {
    let named = dependency.name.as_str();
    let in_family = LAKE_FAMILIES.iter().any(|family| {
        named
            .strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    if !in_family || LAKE_CRATES.contains(&from) {
        return None;
    }
    Some((
        "lake",
        format!(
            "`{named}` is named by {} only: ask them",
            LAKE_CRATES.join(" and ")
        ),
    ))
}

/// Returns the line that names the dependency; the first where it is written in a way we do not know.
fn line_naming(manifest: &str, dependency: &Dependency) -> usize {
    let key = dependency.rename.as_ref().unwrap_or(&dependency.name);
    let at = manifest.lines().position(|line| {
        line.strip_prefix(key.as_str())
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    });
    at.map_or(1, |line| line + 1)
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{check_package, inherits_lints};
    use crate::workspace::{Dependency, Package};

    enum Is {
        Ours,
        OursForTests,
        Foreign,
        ForeignForTests,
    }

    fn check(name: &str, dependencies: &[(&str, Is)], expected: &[(&str, usize)]) {
        let mut manifest = String::from("[lints]\nworkspace = true\n");
        let dependencies = dependencies
            .iter()
            .map(|(name, is)| {
                manifest.push_str(&format!("{name}.workspace = true\n"));
                Dependency {
                    name: (*name).into(),
                    rename: None,
                    kind: matches!(is, Is::OursForTests | Is::ForeignForTests)
                        .then(|| "dev".to_owned()),
                    path: matches!(is, Is::Ours | Is::OursForTests).then(|| PathBuf::from(name)),
                }
            })
            .collect();
        let package = Package {
            name: name.into(),
            version: "0.1.0".into(),
            license: None,
            manifest_path: PathBuf::new(),
            dependencies,
            targets: Vec::new(),
        };
        let found: Vec<_> = check_package(&package, &manifest)
            .into_iter()
            .map(|(rule, line, _)| (rule, line))
            .collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn arrows_in_the_drawing() {
        check("model", &[("serde", Is::Foreign)], &[]);
        check("query", &[("model", Is::Ours), ("store", Is::Ours)], &[]);
        check(
            "tracegrade",
            &[("server", Is::Ours), ("sdk", Is::Ours)],
            &[],
        );
        check("testkit", &[("server", Is::Ours)], &[]);
        check(
            "store",
            &[("testkit", Is::OursForTests), ("query", Is::OursForTests)],
            &[],
        );
    }

    #[test]
    fn arrows_not_in_the_drawing() {
        check(
            "model",
            &[("serde", Is::Foreign), ("store", Is::Ours)],
            &[("arrows", 4)],
        );
        check(
            "sdk",
            &[("model", Is::Ours), ("ingest", Is::Ours)],
            &[("arrows", 4)],
        );
        check("store", &[("testkit", Is::Ours)], &[("arrows", 3)]);
        check("newcomer", &[("model", Is::Ours)], &[("arrows", 3)]);
    }

    #[test]
    fn the_lake_is_hidden() {
        check("query", &[("datafusion-functions-json", Is::Foreign)], &[]);
        check("server", &[("arrow", Is::Foreign)], &[("lake", 3)]);
        check(
            "server",
            &[("arrow-ipc", Is::ForeignForTests)],
            &[("lake", 3)],
        );
        check(
            "grade",
            &[("arrowhead", Is::Foreign), ("parquet", Is::Foreign)],
            &[("lake", 4)],
        );
    }

    #[test]
    fn crates_have_names() {
        check("utils", &[], &[("names", 1)]);
    }

    #[test]
    fn lints_are_inherited() {
        assert!(inherits_lints("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nworkspace = true\n"));
        assert!(!inherits_lints(
            "[lints]\n\n[dependencies]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[lints.rust]\nunsafe_code = \"warn\"\n"));
    }
}
