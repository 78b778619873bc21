//! A server that lives as long as the value: the real program, a free port, a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use tempfile::TempDir;

use crate::http::Client;
use crate::process;

/// How long the server may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running server, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    flags: Vec<String>,
    dir: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    address: SocketAddr,
    /// From the start of the process to its greeting.
    took: Duration,
}

impl Server {
    /// Starts `binary serve` in a new temporary folder.
    pub fn start(binary: impl Into<PathBuf>, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        Self::start_in(dir, binary, flags)
    }

    /// Starts `binary serve` in `dir`, which goes with the value.
    pub fn start_in(dir: TempDir, binary: impl Into<PathBuf>, flags: &[&str]) -> Self {
        let mut server = Self {
            binary: binary.into(),
            flags: flags.iter().map(ToString::to_string).collect(),
            dir,
            running: None,
        };
        server.restart();
        server
    }

    /// Starts the server again on the same folder. Returns how long it took until it listened.
    pub fn restart(&mut self) -> Duration {
        assert!(self.running.is_none(), "the server is running");
        let started = Instant::now();
        let mut child = Command::new(&self.binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--grpc-listen", "off"])
            .args(["--log", "warn"])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {}: {error}", self.binary.display()));
        let address = greeting(&mut child);
        let took = started.elapsed();
        self.running = Some(Running {
            child,
            address,
            took,
        });
        took
    }

    /// Changes the flags that the next start is given.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(ToString::to_string).collect();
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Returns a new client.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Returns the data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// Returns how long the last start took.
    pub fn start_took(&self) -> Duration {
        self.running().took
    }

    /// Returns the resident memory now, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        process::rss_bytes(self.pid())
    }

    /// Returns the most resident memory since the start, in bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        process::peak_rss_bytes(self.pid())
    }

    /// Returns the processor time since the start.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.pid())
    }

    /// Returns what the data folder takes on disk by file length, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        bytes_under(&self.data_dir())
    }

    /// Ends the process as a power cut would: nothing is asked of it.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().expect("a child can be killed");
            running.child.wait().expect("a child can be waited for");
        }
    }

    /// Asks the server to end, and waits. Returns how long that took.
    pub fn stop(&mut self) -> Duration {
        if self.running.is_some() {
            signal(self.pid(), "TERM");
        }
        self.wait()
    }

    /// Waits for a server that was asked to end, which it must do well. Returns how long that took.
    pub fn wait(&mut self) -> Duration {
        let started = Instant::now();
        let Some(mut running) = self.running.take() else {
            return Duration::ZERO;
        };
        while started.elapsed() < PATIENCE {
            if let Some(status) = running.child.try_wait().expect("a child can be asked") {
                assert!(status.success(), "the server ended with {status}");
                return started.elapsed();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.running = Some(running);
        panic!("the server does not stop");
    }

    /// Returns a figure of `/metrics`, summed over the series whose labels hold `label`.
    pub fn metric(&self, name: &str, label: &str) -> io::Result<f64> {
        let answer = self.client().get("/metrics")?.ok()?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            (is_it && labels.contains(label))
                .then(|| value.parse::<f64>().ok())
                .flatten()
        });
        Ok(values.sum())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server is running")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _killed = running.child.kill();
            let _ended = running.child.wait();
        }
    }
}

/// Waits for the line that says where the server listens, and lets the rest of the output go.
fn greeting(child: &mut Child) -> SocketAddr {
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once(" listens on http://")?.1.parse().ok());
    // A pipe that is closed or full would be a fault that no user has.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("the server says where it listens")
}

/// Sends a signal to a process, such as to a server that others still hold by reference.
pub fn signal(pid: u32, name: &str) {
    let told = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill(1) exists");
    assert!(told.success(), "kill(1) failed");
}

/// Returns the length of all files under a folder.
pub fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_under(&entry.path()),
            Ok(data) => data.len(),
            // A file may go between being listed and being asked.
            Err(_) => 0,
        })
        .sum()
}
