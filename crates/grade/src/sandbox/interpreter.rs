//! Which interpreter, and what of the file system is its own.
//!
//! The one that is configured may be a link, a shim or part of a virtual environment; it is asked, once
//! and outside of the sandbox, for it is the operator's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::pool::PoolError;

/// An interpreter that takes longer to say who it is will not grade anything.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The oldest with `os.pidfd_open`.
const VERSION_MIN: (u32, u32) = (3, 9);

const QUESTION: &str = r#"
import ctypes, json, os, sys, sysconfig
paths = sys.path + list(sysconfig.get_paths().values()) + [sysconfig.get_config_var("LIBDIR")]
paths += [sys.executable, os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg")]
paths = [path for path in paths if path and path not in (sys.prefix, sys.base_prefix)]
print(json.dumps({"executable": sys.executable, "version": sys.version_info[:2], "readable": paths}))
"#;

/// An interpreter that was asked.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Interpreter {
    /// The program itself, behind links and shims.
    pub(super) executable: PathBuf,
    /// Major and minor.
    version: (u32, u32),
    /// Its library, its packages and itself.
    pub(super) readable: Vec<PathBuf>,
}

impl Interpreter {
    /// Asks the interpreter of this name.
    pub(super) async fn ask(python: &Path) -> Result<Self, PoolError> {
        let output = Command::new(python)
            .args(["-I", "-c", QUESTION])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(TIMEOUT, output)
            .await
            .map_err(|_late| PoolError::interpreter(python, "it does not answer"))?
            .map_err(|error| PoolError::interpreter(python, &error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(PoolError::interpreter(python, said.trim()));
        }
        Self::read(python, &output.stdout)
    }

    fn read(python: &Path, answer: &[u8]) -> Result<Self, PoolError> {
        let found: Self = serde_json::from_slice(answer)
            .map_err(|error| PoolError::interpreter(python, &format!("its answer: {error}")))?;
        if found.version < VERSION_MIN {
            let (major, minor) = found.version;
            let why = format!("it is Python {major}.{minor}, and 3.9 is the oldest that will do");
            return Err(PoolError::interpreter(python, &why));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Interpreter;

    #[test]
    fn old_interpreters_and_other_programs_are_refused() {
        let read = |text: &str| Interpreter::read(Path::new("py"), text.as_bytes());
        let answer = r#"{"executable": "/usr/bin/python3", "version": [3, 11], "readable": []}"#;
        assert_eq!(
            read(answer).unwrap().executable,
            Path::new("/usr/bin/python3")
        );
        let old = read(&answer.replace("11", "8")).unwrap_err().to_string();
        assert!(old.contains("Python 3.8"), "{old}");
        assert!(read("hello").is_err());
    }
}
