//! A warm interpreter and the three pipes that lead to it.
//!
//! Requests go in by standard input, to the child that waits there. Standard output is the worker's own
//! word: which child is ready, and that it is done. Standard error is the child's: what it prints, and
//! its answer. The child has no way to the worker's word, so it cannot answer for the next grade.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, MissedTickBehavior};

use super::config::{Config, Limits};
use super::enter::{Order, VARIABLE};
use super::interpreter::Interpreter;
use super::watch;

/// From the start of a worker, its imports included, to its first word.
const START_MAX: Duration = Duration::from_mins(1);
/// How often a grade is looked at; most are over before the first time.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// From the signal that nobody survives to the end.
const DEATH_MAX: Duration = Duration::from_secs(1);
/// What a worker that does not start has to say.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;

/// A worker process. Dropping it kills it and all that it started.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    /// None once it is to end.
    stdin: Option<ChildStdin>,
    words: Lines<BufReader<ChildStdout>>,
    data: ChildStderr,
    tmp: TempDir,
    /// The child that waits for a request.
    waiting: Option<u32>,
    /// Grades begun.
    served: u32,
}

/// How a grade's process ended, and what it wrote.
#[derive(Debug)]
pub(super) struct Ended {
    /// As its parent saw it.
    pub(super) status: ExitStatus,
    /// What was printed and answered.
    pub(super) text: Vec<u8>,
    /// Whether the worker can serve another.
    pub(super) is_clean: bool,
}

/// Why a worker is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerError {
    /// It did not start; holds what it said.
    #[error("{0}")]
    Start(String),
    /// A limit was broken.
    #[error("{0}")]
    Stopped(String),
    /// It died, for no reason that is known.
    #[error("its worker was lost")]
    Lost,
}

/// What can happen during a grade.
enum Event {
    Sent(std::io::Result<()>),
    Word(std::io::Result<Option<String>>),
    Data(std::io::Result<usize>),
    Look,
    Late,
}

impl Worker {
    /// Starts a worker; it is warm when [`Self::ready`] has returned.
    pub(super) fn start(config: &Config, python: &Interpreter) -> Result<Self, WorkerError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            WorkerError::Start(format!("{what}: {error}"))
        };
        let tmp = tempfile::Builder::new()
            .prefix("grade-")
            .tempdir_in(&config.tmp_parent)
            .map_err(|error| failed("no temporary folder", &error))?;
        let order = Order {
            python: python.executable.clone(),
            readable: python
                .readable
                .iter()
                .chain(&config.readable)
                .cloned()
                .collect(),
            tmp: tmp.path().to_owned(),
            limits: config.limits,
            confined: !config.unsafe_code_graders,
            preload: config.preload.clone(),
        };
        let order = serde_json::to_string(&order).map_err(|error| failed("its order", &error))?;
        let mut child = Command::new(&config.launcher)
            .args(&config.launcher_arguments)
            .env_clear()
            .env(VARIABLE, order)
            .current_dir(tmp.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed("the launcher cannot be run", &error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(data)) = pipes else {
            return Err(WorkerError::Lost);
        };
        Ok(Self {
            child,
            stdin: Some(stdin),
            words: BufReader::new(stdout).lines(),
            data,
            tmp,
            waiting: None,
            served: 0,
        })
    }

    /// Waits until a child waits for a request.
    pub(super) async fn ready(&mut self) -> Result<(), WorkerError> {
        if self.waiting.is_some() {
            return Ok(());
        }
        let word = tokio::time::timeout(START_MAX, self.ready_word()).await;
        match word {
            Ok(Some(pid)) => {
                self.waiting = Some(pid);
                Ok(())
            }
            Ok(None) => Err(self.complaint().await),
            Err(_late) => Err(WorkerError::Start("it does not start".into())),
        }
    }

    /// The harness of a launcher that is a test binary talks before: that is passed over.
    async fn ready_word(&mut self) -> Option<u32> {
        while let Ok(Some(line)) = self.words.next_line().await {
            if let Some(pid) = line.strip_prefix("ready ") {
                return pid.parse().ok();
            }
        }
        None
    }

    /// Returns what a worker said that is at its end before it began.
    async fn complaint(&mut self) -> WorkerError {
        let mut text = Vec::new();
        let mut said = (&mut self.data).take(COMPLAINT_BYTES_MAX);
        let _all = tokio::time::timeout(DEATH_MAX, said.read_to_end(&mut text)).await;
        match String::from_utf8_lossy(&text).trim() {
            "" => WorkerError::Lost,
            text => WorkerError::Start(text.to_owned()),
        }
    }

    /// Has the waiting child serve one request. After an error the worker is of no more use.
    pub(super) async fn grade(
        &mut self,
        request: &[u8],
        limits: &Limits,
    ) -> Result<Ended, WorkerError> {
        let pid = self.waiting.take().ok_or(WorkerError::Lost)?;
        let ended = self.serve(pid, request, limits).await;
        if ended.is_err() {
            self.kill(pid).await;
        }
        ended
    }

    /// Kills the child and then the rest: in this order somebody is there to bury it.
    async fn kill(&mut self, pid: u32) {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _gone = kill_process(pid, Signal::KILL);
        }
        let _buried = tokio::time::timeout(DEATH_MAX, self.words.next_line()).await;
        self.kill_all();
        let _ended = tokio::time::timeout(DEATH_MAX, self.child.wait()).await;
    }

    /// Kills whatever is left of the process group, which nobody in the sandbox can leave.
    fn kill_all(&self) {
        // Not yet waited for, so the id is still its own, even if it is dead.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
    }

    async fn serve(
        &mut self,
        pid: u32,
        request: &[u8],
        limits: &Limits,
    ) -> Result<Ended, WorkerError> {
        self.served += 1;
        let deadline = Instant::now() + limits.wall;
        let mut ticks = tokio::time::interval_at(Instant::now() + WATCH_EVERY, WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut text = Vec::new();
        let (mut sent, mut done) = (false, None);
        let stdin = self.stdin.as_mut().ok_or(WorkerError::Lost)?;
        let sending = send(stdin, request);
        tokio::pin!(sending);
        loop {
            let event = tokio::select! {
                result = &mut sending, if !sent => Event::Sent(result),
                result = self.words.next_line(), if done.is_none() => Event::Word(result),
                result = self.data.read_buf(&mut text) => Event::Data(result),
                _ = ticks.tick() => Event::Look,
                () = tokio::time::sleep_until(deadline) => Event::Late,
            };
            match event {
                Event::Sent(Ok(())) => sent = true,
                Event::Word(Ok(Some(line))) => done = Some(Done::read(&line)?),
                Event::Data(Ok(read)) if read > 0 => {}
                Event::Sent(_) | Event::Word(_) | Event::Data(_) => return Err(WorkerError::Lost),
                Event::Look => look(pid, self.tmp.path(), limits).await?,
                Event::Late => {
                    let wall = limits.wall.as_secs_f64();
                    return Err(WorkerError::Stopped(format!("it ran longer than {wall} s")));
                }
            }
            if text.len() > limits.output_bytes_max {
                let most = limits.output_bytes_max;
                let why = format!("it printed and returned more than {most} bytes");
                return Err(WorkerError::Stopped(why));
            }
            if let Some(done) = &done
                && text.ends_with(done.end.as_bytes())
            {
                text.truncate(text.len() - done.end.len());
                return Ok(Ended {
                    status: done.status,
                    text,
                    is_clean: sent && emptied(self.tmp.path()).await,
                });
            }
        }
    }

    /// Lets the worker end by itself, which it does when there can be no more requests.
    pub(super) async fn retire(mut self) {
        drop(self.stdin.take());
        let _ended = tokio::time::timeout(DEATH_MAX, self.child.wait()).await;
    }

    /// Returns how many grades it began.
    pub(super) fn served(&self) -> u32 {
        self.served
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// What the worker says when a child has ended.
struct Done {
    status: ExitStatus,
    /// With what the child's part of the data ends.
    end: String,
}

impl Done {
    fn read(line: &str) -> Result<Self, WorkerError> {
        use std::os::unix::process::ExitStatusExt as _;

        let mut words = line.split(' ');
        let is_done = words.next() == Some("done");
        let status = words.next().and_then(|word| word.parse().ok());
        match (is_done, status, words.next()) {
            (true, Some(status), Some(marker)) => Ok(Self {
                status: ExitStatus::from_raw(status),
                end: format!("\n{marker}\n"),
            }),
            _ => Err(WorkerError::Lost),
        }
    }
}

async fn send(stdin: &mut ChildStdin, request: &[u8]) -> std::io::Result<()> {
    let length = request.len() as u64;
    stdin.write_all(&length.to_be_bytes()).await?;
    stdin.write_all(request).await?;
    stdin.flush().await
}

/// Returns whether nothing is left in a folder.
async fn emptied(tmp: &Path) -> bool {
    let tmp = tmp.to_owned();
    let emptied = tokio::task::spawn_blocking(move || watch::empty(&tmp)).await;
    matches!(emptied, Ok(Ok(())))
}

/// Counting files may take a while, and is not for the threads that everybody shares.
async fn look(pid: u32, tmp: &Path, limits: &Limits) -> Result<(), WorkerError> {
    let (tmp, limits) = (tmp.to_owned(), *limits);
    let seen = tokio::task::spawn_blocking(move || watch::broken(pid, &tmp, &limits)).await;
    match seen {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(WorkerError::Stopped(why)),
        Err(_) => Err(WorkerError::Lost),
    }
}
