//! Hostile graders in the real sandbox: each is told what it did, and the next grade is as good as ever.
//!
//! This binary is its own launcher: it is started again with the name of the test `launcher`.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use grade::openai::{Grader, Place, Python as _, PythonError, Services, Subject};
use grade::sandbox::{Config, Limits, Pool};
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter};
use serde_json::json;

/// No test, but what this program does when it is started to become an interpreter.
#[test]
fn launcher() {
    grade::sandbox::enter_if_asked();
}

fn config() -> Config {
    let mut config = Config::new(PathBuf::from("/proc/self/exe"));
    config.launcher_arguments = ["launcher", "--exact", "--nocapture"]
        .map(Into::into)
        .into();
    config.workers_max = 1;
    config.limits = Limits {
        wall: Duration::from_secs(60),
        ..Limits::default()
    };
    config
}

async fn pool() -> Pool {
    open(config()).await
}

/// Opens a pool. A kernel without Landlock has no sandbox to be tried: that the pool then says so is a test
/// of its own, which needs none.
async fn open(config: Config) -> Pool {
    match Pool::open(config).await {
        Ok(pool) => pool,
        Err(error) if !has_landlock() => {
            eprintln!("not tried, this kernel has no Landlock: {error}");
            std::process::exit(0)
        }
        Err(error) => panic!("a sandbox can be built here: {error}"),
    }
}

/// Returns whether the kernel knows Landlock, asked without our own code.
fn has_landlock() -> bool {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1));
    ruleset.and_then(Ruleset::create).is_ok()
}

async fn grade(pool: &Pool, source: &str) -> Result<f64, PythonError> {
    let (item, sample) = (json!({"want": "b"}), json!({"output_text": "b"}));
    let subject = Subject {
        item: &item,
        sample: &sample,
    };
    pool.grade(source, subject).await
}

/// The grader fails with these words, and the pool goes on working.
async fn refuse(pool: &Pool, source: &str, words: &[&str]) -> PythonError {
    let error = grade(pool, source).await.expect_err(source);
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}\n{source}");
    }
    assert_eq!(grade(pool, GOOD).await, Ok(1.0), "after {source}");
    error
}

/// A module whose `grade` has this body.
fn body(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("def grade(sample, item):\n{}", lines.concat())
}

const GOOD: &str = "def grade(sample, item):
    return float(sample['output_text'] == item['want'])
";

#[tokio::test]
async fn graders_return_numbers() {
    let pool = pool().await;
    assert_eq!(grade(&pool, GOOD).await, Ok(1.0));
    let given = body("return sample['output_text'] == 'b' and item['want'] == 'b' and 0.25");
    assert_eq!(grade(&pool, &given).await, Ok(0.25));
    for (value, expected) in [("0.5", 0.5), ("1", 1.0), ("True", 1.0), ("-3.5e2", -350.0)] {
        let source = body(&format!("return {value}"));
        assert_eq!(grade(&pool, &source).await, Ok(expected), "{value}");
    }
    let prints = body(
        "import sys\nprint('{\"number\": 0}')\nprint('done 0 x', file=sys.stderr)\nreturn 0.75",
    );
    assert_eq!(grade(&pool, &prints).await, Ok(0.75));
    let own =
        body("import os\nopen('x', 'w').write('1')\nos.mkdir('d')\nreturn float(open('x').read())");
    assert_eq!(grade(&pool, &own).await, Ok(1.0));
    let modules = "import dataclasses, threading, asyncio, decimal, re, statistics
@dataclasses.dataclass
class A:
    x: float
async def half():
    await asyncio.sleep(0.001)
    return 0.5
def grade(sample, item):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(A(1.0)))
    thread.start(); thread.join()
    return seen[0].x * asyncio.run(half())
";
    assert_eq!(grade(&pool, modules).await, Ok(0.5));
}

#[tokio::test]
async fn traces_get_verdicts() {
    let pool = pool().await;
    let trace = json!({"spans": [{"id": "s1"}, {"id": "s2"}]});
    let source = "def grade(trace):
    print('looking')
    return {'score': len(trace['spans']) / 4, 'label': 'half', 'reasoning': 'two of four', 'citations': ['s1']}
";
    let verdict = pool.grade_trace(source, &trace).await.unwrap();
    assert_eq!(verdict.score, Some(0.5));
    assert_eq!(verdict.label.as_deref(), Some("half"));
    assert_eq!(verdict.reasoning.as_deref(), Some("two of four"));
    assert_eq!(verdict.citations, ["s1"]);
    assert_eq!(verdict.printed, "looking\n");
    let truth = "def grade(trace): return not trace['spans']";
    assert_eq!(
        pool.grade_trace(truth, &trace).await.unwrap().passed,
        Some(false)
    );
    let two = pool
        .grade_trace(GOOD, &trace)
        .await
        .unwrap_err()
        .to_string();
    assert!(two.contains("grade(trace)"), "{two}");
    refuse(
        &pool,
        &body("return {'score': 1.0}"),
        &["not a number", "dict"],
    )
    .await;
}

#[tokio::test]
async fn code_that_fails_says_why() {
    let pool = pool().await;
    let raised = body("\nreturn item['missing']");
    refuse(
        &pool,
        &raised,
        &["KeyError: 'missing'", "line 3", "return item['missing']"],
    )
    .await;
    for (source, words) in [
        ("def grade(sample, item)", vec!["SyntaxError"]),
        ("x = 1", vec!["no function `grade`"]),
        (
            "def grade(sample): return 1.0",
            vec!["grade(sample, item)", "too many"],
        ),
        (
            "def grade(a, b, c): return 1.0",
            vec!["grade(sample, item)", "'c'"],
        ),
        (
            "raise ValueError('at import')",
            vec!["ValueError: at import"],
        ),
        (
            "import requests_that_is_missing",
            vec!["ModuleNotFoundError"],
        ),
    ] {
        refuse(&pool, source, &words).await;
    }
    for (lines, words) in [
        ("return 'good'", vec!["not a number", "str"]),
        ("return None", vec!["not a number", "NoneType"]),
        ("return [1.0]", vec!["not a number", "list"]),
        ("return float('nan')", vec!["nan"]),
        ("return 10 ** 400", vec!["OverflowError"]),
        ("raise SystemExit(0)", vec!["SystemExit"]),
        ("return grade(sample, item)", vec!["RecursionError"]),
        ("return float(input())", vec!["EOFError"]),
        (
            "import sys\nreturn float(sys.stdin.read())",
            vec!["ValueError", "''"],
        ),
        (
            "import os\nreturn float(os.read(0, 10))",
            vec!["ValueError", "b''"],
        ),
    ] {
        refuse(&pool, &body(lines), &words).await;
    }
}

#[tokio::test]
async fn a_module_is_checked_without_being_run() {
    let pool = pool().await;
    for sound in [
        GOOD,
        "while True: pass",
        "import missing\nraise ValueError\ndef grade(trace): ...",
    ] {
        assert_eq!(pool.check(sound).await, Ok(()), "{sound}");
    }
    let deep = format!("x = {}0", "(".repeat(5_000));
    for (source, words) in [
        (
            "def grade(t)\n  return 1",
            vec!["line 1: ", "':'", "def grade(t)"],
        ),
        (
            "def grade(t):\n  return 1\n   x = 2",
            vec!["line 3: ", "indent"],
        ),
        (
            "def grade(t):\n  return\n\n\nawait x",
            vec!["line 5: ", "await"],
        ),
        ("x = '\0'", vec!["null"]),
        (deep.as_str(), vec!["line 1: "]),
    ] {
        let error = pool.check(source).await.expect_err(source);
        assert!(matches!(&error, PythonError::Runtime(_)), "{error}");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(text.len() < 1_000, "{}", text.len());
    }
    assert_eq!(grade(&pool, GOOD).await, Ok(1.0));
}

#[tokio::test]
async fn crashes_are_told_and_survived() {
    let pool = pool().await;
    refuse(&pool, &body("import os\nos._exit(3)"), &["status 3"]).await;
    refuse(
        &pool,
        &body("import os\nprint('so far')\nos._exit(0)"),
        &["status 0", "so far"],
    )
    .await;
    let segfault = body("import ctypes\nctypes.string_at(0)");
    refuse(
        &pool,
        &segfault,
        &["signal 11", "Segmentation fault", "<grader>"],
    )
    .await;
    refuse(&pool, &body("import os\nos.abort()"), &["signal"]).await;
    // It may close what it likes: nobody hears of its answer then, and that is all.
    let closed = body("import os\nos.closerange(0, 100)\nreturn 1.0");
    refuse(&pool, &closed, &["status 1"]).await;
}

#[tokio::test]
async fn time_is_limited() {
    let mut config = config();
    config.limits.wall = Duration::from_secs(1);
    let pool = open(config).await;
    for lines in [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(60)",
        "import os, time\nos.closerange(0, 100)\ntime.sleep(60)",
        "import threading\nwhile True: threading.Event().wait(0.1)",
    ] {
        let begun = Instant::now();
        let error = refuse(&pool, &body(lines), &["longer than 1 s"]).await;
        assert!(matches!(error, PythonError::Stopped(_)));
        assert!(begun.elapsed() < Duration::from_secs(30), "{lines}");
    }
}

#[tokio::test]
async fn processor_time_is_limited() {
    let mut config = config();
    config.limits.cpu_seconds_max = 1;
    let pool = open(config).await;
    let error = refuse(&pool, &body("while True: pass"), &["processor time"]).await;
    assert!(matches!(error, PythonError::Stopped(_)));
    let deaf = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass";
    refuse(&pool, &body(deaf), &["processor time"]).await;
}

#[tokio::test]
async fn memory_is_limited() {
    let pool = pool().await;
    refuse(
        &pool,
        &body("return float(len(bytearray(2 << 30)))"),
        &["MemoryError"],
    )
    .await;
    let raised = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))";
    refuse(&pool, &body(raised), &["Error"]).await;
    refuse(
        &pool,
        &body("import os\nreturn float(os.memfd_create('x'))"),
        &["PermissionError"],
    )
    .await;
    let mut config = config();
    config.limits.memory_bytes_max = 256 << 20;
    let pool = open(config).await;
    let many = "kept = []\nwhile True: kept.append(bytearray(8 << 20))";
    refuse(&pool, &body(many), &["MemoryError"]).await;
}

#[tokio::test]
async fn there_are_no_other_processes() {
    let pool = pool().await;
    for lines in [
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.system('true') == 0 or os.posix_spawn('/bin/true', ['true'], {})",
        "import os\nos.execv('/bin/true', ['true'])",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.kill(-1, 9)",
        "import os\nos.kill(1, 0)",
        "import os\nos.setsid()",
        "import os\nos.setpgid(0, 0)",
        "import os\nos.setpriority(os.PRIO_PROCESS, 0, 10)",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    ] {
        refuse(&pool, &body(lines), &["PermissionError", "not permitted"]).await;
    }
    // By the system call itself: fork, and clone with every flag but the one of threads.
    for (call, errno) in [
        ("57", 1),
        ("56, 17", 1),
        ("56, 0x100", 1),
        ("435, 0, 88", 38),
    ] {
        let lines = format!(
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nresult = libc.syscall({call}, 0, 0, 0, 0)\nassert result == 0, ctypes.get_errno()"
        );
        if cfg!(target_arch = "x86_64") {
            let word = format!("AssertionError: {errno}");
            refuse(&pool, &body(&lines), &[&word]).await;
        }
    }
}

#[tokio::test]
async fn threads_are_limited() {
    let mut config = config();
    config.limits.threads_max = 20;
    let pool = open(config).await;
    let lines = "import threading, time
threading.stack_size(65536)
for _ in range(100): threading.Thread(target=time.sleep, args=(60,)).start()
time.sleep(60)";
    refuse(&pool, &body(lines), &["threads; 20 at most"]).await;
}

#[tokio::test]
async fn the_file_system_is_closed() {
    // A secret of ours, in the environment and in a file beside the sandbox's own folder
    let secret = tempfile::NamedTempFile::new().unwrap();
    let pool = pool().await;
    let own = std::process::id();
    let secret = secret.path().display();
    for lines in [
        "open('/etc/passwd').read()".to_owned(),
        "open('/etc/hostname').read()".to_owned(),
        format!("open('/proc/{own}/environ').read()"),
        format!("open('/proc/{own}/mem', 'rb').read(1)"),
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').read(1)".to_owned(),
        "open('/proc/self/environ').read()".to_owned(),
        "import os\nos.listdir('/')".to_owned(),
        "import os\nos.listdir('/tmp')".to_owned(),
        "import os\nos.listdir('..')".to_owned(),
        format!("open('{secret}').read()"),
        format!("open('{secret}', 'w')"),
        "open('/tmp/written', 'w')".to_owned(),
        "open('/dev/shm/written', 'w')".to_owned(),
        "open('/var/tmp/written', 'w')".to_owned(),
        format!("import os\nos.unlink('{secret}')"),
        format!("import os\nos.chmod('{secret}', 0)"),
        format!("import os\nos.chown('{secret}', 1, 1)"),
        format!("import os\nos.utime('{secret}')"),
        format!("import os\nos.truncate('{secret}', 0)"),
        format!("import os\nos.symlink('{secret}', 'mine')\nopen('mine').read()"),
        "import os\nopen(os.__file__, 'a')".to_owned(),
        "import os\nos.mkfifo('pipe')".to_owned(),
        "import os\nos.mknod('disk', 0o60600, os.makedev(254, 0))".to_owned(),
    ] {
        refuse(&pool, &body(&lines), &["PermissionError"]).await;
    }
    for lines in [
        format!("import os\nos.rename('{secret}', 'mine')"),
        format!("import os\nos.link('{secret}', 'mine')\nopen('mine').read()"),
        "import os\nos.open(os.__file__, os.O_RDONLY | os.O_TRUNC)".to_owned(),
    ] {
        refuse(&pool, &body(&lines), &["[Errno "]).await;
    }
    assert!(std::path::Path::new(&secret.to_string()).exists());
    // Nothing of ours is in its own environment either
    let seen = "import os\nreturn float(len(set(os.environ) - {'HOME', 'TMPDIR', 'LC_CTYPE', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'}))";
    assert_eq!(grade(&pool, &body(seen)).await, Ok(0.0));
}

#[tokio::test]
async fn there_is_no_network() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let pool = pool().await;
    for lines in [
        format!("import socket\nsocket.create_connection(('127.0.0.1', {port}))"),
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)".to_owned(),
        "import socket\nsocket.socket(socket.AF_INET6)".to_owned(),
        "import socket\nsocket.socket(socket.AF_UNIX)".to_owned(),
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)".to_owned(),
        "import socket\na, b = socket.socketpair()\na.bind('name')".to_owned(),
        "import socket\na, b = socket.socketpair()\na.connect('/run/x')".to_owned(),
        format!("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/')"),
    ] {
        refuse(&pool, &body(&lines), &["not permitted"]).await;
    }
    let datagrams = "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)";
    refuse(&pool, &body(datagrams), &["OSError"]).await;
    let ring = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nassert libc.syscall(425, 8, bytes(120)) >= 0, ctypes.get_errno()";
    refuse(&pool, &body(ring), &["AssertionError: 1"]).await;
}

#[tokio::test]
async fn output_and_answers_are_limited() {
    let mut config = config();
    config.limits.output_bytes_max = 100_000;
    config.limits.source_bytes_max = 1_000;
    let pool = open(config).await;
    let stopped = ["more than 100000 bytes"];
    refuse(&pool, &body("while True: print('x' * 1000)"), &stopped).await;
    refuse(
        &pool,
        &body("import os\nwhile True: os.write(2, b'x' * 100000)"),
        &stopped,
    )
    .await;
    let huge = "def grade(trace): return {'score': 1.0, 'reasoning': 'x' * 100_000_000}";
    let error = pool.grade_trace(huge, &json!({})).await.unwrap_err();
    assert!(
        matches!(&error, PythonError::Stopped(why) if why.contains(stopped[0])),
        "{error}"
    );
    refuse(&pool, &"#".repeat(1_001), &["1001 bytes"]).await;
}

#[tokio::test]
async fn temporary_files_are_limited_and_do_not_stay() {
    let mut config = config();
    config.limits.tmp_bytes_max = 1 << 20;
    config.limits.tmp_files_max = 50;
    let parent = tempfile::tempdir().unwrap();
    config.tmp_parent = parent.path().to_owned();
    let pool = open(config).await;
    let big = body("open('x', 'wb').write(bytes(2 << 20))");
    refuse(&pool, &big, &["OSError", "File too large"]).await;
    let several =
        "import time\nfor n in range(9): open(str(n), 'wb').write(bytes(900_000))\ntime.sleep(60)";
    refuse(&pool, &body(several), &["more than 1048576 bytes"]).await;
    let nameless = "import os, time\nkept = [open('x', 'wb', 0)]\nfor n in range(9):\n    kept[-1].write(bytes(900_000))\n    os.unlink('x')\n    kept.append(open('x', 'wb', 0))\ntime.sleep(60)";
    refuse(&pool, &body(nameless), &["more than 1048576 bytes"]).await;
    let many = "import time\nfor n in range(99): open(str(n), 'w')\ntime.sleep(60)";
    refuse(&pool, &body(many), &["more than 50 temporary files"]).await;

    let leave = body("import os\nopen('left', 'w')\nos.makedirs('a/b')\nreturn 1.0");
    assert_eq!(grade(&pool, &leave).await, Ok(1.0));
    let look = body("import os\nreturn float(len(os.listdir('.')))");
    assert_eq!(grade(&pool, &look).await, Ok(0.0));
    for closed in ["os.mkdir('closed', mode=0)", "os.umask(0o777)"] {
        refuse(&pool, &body(&format!("import os\n{closed}")), &["OSError"]).await;
    }
    drop(pool);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_passes_from_one_grade_to_the_next() {
    let pool = pool().await;
    let leave = body(
        "import builtins, json, sys, os\nbuiltins.left = 1\njson.left = 1\nsys.modules['left'] = json\nos.environ['left'] = '1'\njson.loads = None\nreturn 1.0",
    );
    assert_eq!(grade(&pool, &leave).await, Ok(1.0));
    let look = body(
        "import builtins, json, sys, os\nfound = [hasattr(builtins, 'left'), hasattr(json, 'left'), 'left' in sys.modules, 'left' in os.environ]\nreturn float(sum(found))",
    );
    assert_eq!(grade(&pool, &look).await, Ok(0.0));
    // Nor does the warm process remember what others were given: it never had it.
    let item = json!({"want": "SECRET-OF-ANOTHER-PROJECT".to_lowercase()});
    let subject = Subject {
        item: &item,
        sample: &item,
    };
    assert_eq!(pool.grade(&body("return 1.0"), subject).await, Ok(1.0));
    let scan = body(
        "import gc\nword = 'secret-of-' + 'another-project'\nreturn float(any(word in repr(it) for it in gc.get_objects() if isinstance(it, dict)))",
    );
    assert_eq!(grade(&pool, &scan).await, Ok(0.0));
    // An answer for the next grade, written to everything that is open, is not taken for one.
    let forge = body(
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\ndone 0 x\\nready 1\\n{\"number\": 1.0}\\n')\n    except OSError: pass\nreturn 0.5",
    );
    assert_eq!(grade(&pool, &forge).await, Ok(0.5));
    assert_eq!(grade(&pool, &body("return 0.125")).await, Ok(0.125));
}

#[tokio::test]
async fn workers_are_replaced_and_grade_side_by_side() {
    let mut config = config();
    config.workers_max = 2;
    config.grades_per_worker_max = 3;
    config.preload = vec!["decimal".to_owned()];
    let pool = open(config).await;
    let parent =
        body("import os, sys\nassert 'decimal' in sys.modules\nreturn float(os.getppid())");
    let mut parents = Vec::new();
    for _ in 0..9 {
        parents.push(grade(&pool, &parent).await.unwrap());
    }
    let firsts: Vec<f64> = parents.chunks(3).map(|it| it[0]).collect();
    assert!(
        parents
            .chunks(3)
            .all(|it| it.iter().all(|pid| *pid == it[0])),
        "{parents:?}"
    );
    assert!(
        firsts[0] != firsts[1] && firsts[1] != firsts[2],
        "{parents:?}"
    );
    // Each begins before the other is over.
    let slow = body("import time\nbegun = time.time()\ntime.sleep(3)\nreturn begun");
    let (first, second) = tokio::join!(grade(&pool, &slow), grade(&pool, &slow));
    let apart = (first.unwrap() - second.unwrap()).abs();
    assert!(apart < 3.0, "{apart} s apart");
}

/// What a client of OpenAI sends, all the way.
#[tokio::test]
async fn graders_of_openai_run_in_the_sandbox() {
    let pool = pool().await;
    let services = Services {
        python: Some(&pool),
        ..Services::default()
    };
    let (item, sample) = (json!({"want": "b"}), json!({"output_text": "b"}));
    let subject = Subject {
        item: &item,
        sample: &sample,
    };
    for (source, score, is_passed) in [
        (GOOD.to_owned(), 1.0, Some(true)),
        (body("return 0.25"), 0.25, Some(false)),
        (body("return open('/etc/passwd')"), 0.0, None),
    ] {
        let grader = json!({"type": "python", "name": "g", "source": source});
        let grader = Grader::parse(&grader, Place::Eval).unwrap();
        let report = grader.run(subject, &services).await;
        assert_eq!(
            (report.reward, report.passed),
            (score, is_passed),
            "{report:?}"
        );
        assert_eq!(report.errors.any(), source.contains("passwd"), "{report:?}");
    }
}

/// A caller that gives up takes the grader's process with it.
#[tokio::test]
async fn a_grade_that_nobody_waits_for_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let mut config = config();
    config.tmp_parent = parent.path().to_owned();
    let pool = open(config).await;
    let source = body("import time\ntime.sleep(60)");
    let late = tokio::time::timeout(Duration::from_millis(300), grade(&pool, &source));
    assert!(late.await.is_err());
    assert_eq!(grade(&pool, GOOD).await, Ok(1.0));
    // Its folder went with it: only the new worker's is there.
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

/// What `workers_do_not_outlive_the_pool` starts: a pool whose process is killed while it grades.
#[tokio::test]
#[ignore = "another test runs it in a process of its own"]
async fn endless() {
    let mut config = config();
    config.limits.wall = Duration::from_secs(60);
    config.tmp_parent = std::env::current_dir().unwrap();
    let pool = open(config).await;
    let _never = grade(&pool, &body("import time\ntime.sleep(60)")).await;
}

#[test]
fn workers_do_not_outlive_the_pool() {
    let parent = tempfile::tempdir().unwrap();
    let inside = parent.path().canonicalize().unwrap().join("grade-");
    let count = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let folders = processes.filter_map(|it| std::fs::read_link(it.path().join("cwd")).ok());
        let inside = inside.to_str().unwrap();
        folders
            .filter(|it| it.to_string_lossy().starts_with(inside))
            .count()
    };
    let until = |wanted: usize| {
        let begun = Instant::now();
        while count() != wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{} processes",
                count()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut pool = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["endless", "--exact", "--ignored"])
        .current_dir(parent.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until(2);
    // The grade is begun soon after its process is there.
    std::thread::sleep(Duration::from_millis(300));
    pool.kill().unwrap();
    pool.wait().unwrap();
    until(0);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut absent = config();
    absent.python = PathBuf::from("/nowhere/python3");
    let error = Pool::open(absent).await.unwrap_err().to_string();
    assert!(
        error.contains("/nowhere/python3") && error.contains("No such file"),
        "{error}"
    );
    let mut other = config();
    other.python = PathBuf::from("/bin/true");
    let error = Pool::open(other).await.unwrap_err().to_string();
    assert!(error.contains("/bin/true"), "{error}");
    let mut import = config();
    import.preload = vec!["missing_module".to_owned()];
    let error = Pool::open(import).await.unwrap_err().to_string();
    assert!(error.contains("missing_module"), "{error}");
    let mut launcher = config();
    launcher.launcher = PathBuf::from("/nowhere/tracegrade");
    let error = Pool::open(launcher).await.unwrap_err().to_string();
    assert!(error.contains("launcher"), "{error}");
}

/// Returns a filter that makes of this kernel one that does not have this system call.
fn without(call: i64) -> Result<BpfProgram, BackendError> {
    let rules = std::iter::once((call, Vec::new())).collect();
    let (allow, missing) = (SeccompAction::Allow, SeccompAction::Errno(38));
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, allow, missing, arch)?.try_into()
}

#[test]
fn launcher_without_landlock() {
    let filter = without(libc::SYS_landlock_create_ruleset).unwrap();
    seccompiler::apply_filter(&filter).unwrap();
    grade::sandbox::enter_if_asked();
}

#[test]
fn launcher_without_seccomp() {
    let filter = without(libc::SYS_seccomp).unwrap();
    seccompiler::apply_filter(&filter).unwrap();
    grade::sandbox::enter_if_asked();
}

#[tokio::test]
async fn without_a_part_of_the_sandbox_graders_do_not_run() {
    for (launcher, part) in [
        ("launcher_without_landlock", "Landlock is missing"),
        ("launcher_without_seccomp", "seccomp is missing"),
    ] {
        let mut config = config();
        config.launcher_arguments[0] = launcher.into();
        let error = Pool::open(config.clone()).await.unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("unsafe_code_graders"),
            "{error}"
        );
        config.unsafe_code_graders = true;
        let pool = open(config).await;
        assert_eq!(grade(&pool, GOOD).await, Ok(1.0));
    }
}

/// Without a sandbox graders can read what we can, and limits hold all the same.
#[tokio::test]
async fn the_sandbox_can_be_left_out() {
    let mut config = config();
    config.unsafe_code_graders = true;
    config.limits.wall = Duration::from_secs(2);
    let pool = open(config).await;
    let source = body("return float(len(open('/etc/passwd').read()) > 0)");
    assert_eq!(grade(&pool, &source).await, Ok(1.0));
    refuse(
        &pool,
        &body("return float(len(bytearray(2 << 30)))"),
        &["MemoryError"],
    )
    .await;
    refuse(&pool, &body("while True: pass"), &["longer than 2 s"]).await;
}

/// `cargo test -p grade --test sandbox -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "a measurement, for a quiet machine"]
async fn speed() {
    let begun = Instant::now();
    let pool = pool().await;
    println!("warm after {:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..500 {
        assert_eq!(grade(&pool, GOOD).await, Ok(1.0));
    }
    println!(
        "{:.0} grades/s, one worker",
        500.0 / begun.elapsed().as_secs_f64()
    );
}

/// `GRADER_PYTHON=/venv/bin/python cargo test -p grade --test sandbox -- --ignored packages`, where the
/// environment has numpy, pandas, scikit-learn, rapidfuzz, pydantic and jsonschema.
#[tokio::test]
#[ignore = "needs an environment with packages"]
async fn packages_of_openai_s_image_work() {
    let mut config = config();
    config.python = std::env::var_os("GRADER_PYTHON").unwrap().into();
    config.limits.wall = Duration::from_secs(100);
    let source = "import numpy as np, pandas as pd, pydantic, jsonschema
from rapidfuzz import fuzz, utils
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
class Row(pydantic.BaseModel):
    x: float
def grade(sample, item):
    jsonschema.validate(item, {'type': 'object', 'required': ['want']})
    frame = pd.DataFrame({'x': np.linspace(0, 1, 1001)})
    product = np.random.default_rng(1).random((300, 300)) @ np.eye(300)
    assert product.shape == (300, 300)
    same = cosine_similarity(TfidfVectorizer().fit_transform(['the red fox', 'the red fox']))[0, 1]
    wide = np.float32(fuzz.WRatio('fox', 'FOX', processor=utils.default_process) / 100)
    return np.float32(Row(x=frame['x'].mean()).x * same * wide)
";
    for preload in [
        vec![],
        vec![
            "numpy".to_owned(),
            "pandas".to_owned(),
            "sklearn.metrics".to_owned(),
        ],
    ] {
        config.preload = preload;
        let begun = Instant::now();
        let pool = Pool::open(config.clone()).await.unwrap();
        println!("warm after {:?}", begun.elapsed());
        for _ in 0..2 {
            let begun = Instant::now();
            let score = grade(&pool, source).await.unwrap();
            assert!((score - 0.5).abs() < 1e-6);
            println!("a grade took {:?}", begun.elapsed());
        }
    }
}
