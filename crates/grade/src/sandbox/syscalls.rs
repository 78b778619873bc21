//! The fourth wall: which system calls there are for a worker, and which are left to a grade.
//!
//! Two filters, one on top of the other. The worker's is a list of what is allowed, so that whatever
//! the kernel will learn to do is not; the rest does not exist (`ENOSYS`), which makes libraries fall
//! back to what does. The grade's takes away a few of these, and says of the things that code
//! would try that they are not permitted (`EPERM`), which is what its author should read.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Returns the filter that a worker starts under.
pub(super) fn of_a_worker() -> Result<BpfProgram, BackendError> {
    let mut rules: Rules = BTreeMap::new();
    for call in ALLOWED.iter().chain(ALLOWED_OF_OLD) {
        rules.insert(*call, Vec::new());
    }
    allow_conditionally(&mut rules)?;
    compile(
        rules,
        SeccompAction::Errno(errno(libc::ENOSYS)),
        SeccompAction::Allow,
    )
}

/// Returns the filter that is put on when a grade begins.
pub(super) fn of_a_grade() -> Result<BpfProgram, BackendError> {
    let mut rules: Rules = BTreeMap::new();
    for call in FORBIDDEN.iter().chain(FORBIDDEN_OF_OLD) {
        rules.insert(*call, Vec::new());
    }
    // Threads are made by the same call as processes. By its newer form too, whose arguments a filter
    // cannot see: it is left not to exist, and C libraries then take the older one.
    let thread = flag(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![all([masked(0, thread, 0)?])?]);
    compile(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::EPERM)),
    )
}

/// Returns a filter as the kernel reads it, in hexadecimal.
pub(super) fn hexadecimal(program: &BpfProgram) -> String {
    let bytes = |it: &sock_filter| {
        let mut bytes = Vec::with_capacity(8);
        bytes.extend(it.code.to_ne_bytes());
        bytes.extend([it.jt, it.jf]);
        bytes.extend(it.k.to_ne_bytes());
        bytes
    };
    let bytes = program.iter().flat_map(bytes);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, listed, arch)?.try_into()
}

/// Allows what is harmless with some arguments only.
fn allow_conditionally(rules: &mut Rules) -> Result<(), BackendError> {
    // New namespaces come with rights of their own.
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    rules.insert(
        libc::SYS_clone,
        vec![all([masked(0, flag(namespaces), 0)?])?],
    );
    // Connected to each other and to nothing else; event loops wake themselves through such a pair.
    let pair = [
        equal(0, flag(libc::AF_UNIX))?,
        masked(1, 0xf, flag(libc::SOCK_STREAM))?,
    ];
    rules.insert(libc::SYS_socketpair, vec![all(pair)?]);
    // To ask for one's own limits, not to set any.
    let own = [equal(0, 0)?, pointer_is_null(2)?];
    rules.insert(libc::SYS_prlimit64, vec![all(own)?]);
    // These have the kernel send signals, to processes of one's choice.
    let signalling = [
        libc::F_SETOWN,
        F_SETSIG,
        F_SETOWN_EX,
        libc::F_SETLEASE,
        libc::F_NOTIFY,
    ];
    let others = signalling.map(|command| different(1, flag(command)));
    let others: Result<Vec<_>, _> = others.into_iter().collect();
    rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(others?)?]);
    let ioctls = [0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451];
    rules.insert(libc::SYS_ioctl, any_of(1, &ioctls)?);
    let prctls = [
        libc::PR_SET_NAME,
        libc::PR_GET_NAME,
        libc::PR_SET_SECCOMP,
        libc::PR_SET_VMA,
    ];
    rules.insert(libc::SYS_prctl, any_of(0, &prctls.map(flag))?);
    // No folder that its owner cannot look into and remove.
    rules.insert(libc::SYS_umask, vec![all([masked(0, OWNER, 0)?])?]);
    rules.insert(libc::SYS_mkdirat, vec![all([masked(2, OWNER, OWNER)?])?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mkdir, vec![all([masked(1, OWNER, OWNER)?])?]);
    rules.insert(libc::SYS_openat, open(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, open(1)?);
    Ok(())
}

/// Older kernels let a file that is opened for reading be truncated in passing.
fn open(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let access = flag(libc::O_ACCMODE);
    Ok(vec![
        all([masked(flags, flag(libc::O_TRUNC), 0)?])?,
        all([masked(flags, access, flag(libc::O_WRONLY))?])?,
        all([masked(flags, access, flag(libc::O_RDWR))?])?,
    ])
}

fn any_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |value: &u64| all([equal(argument, *value)?]);
    values.iter().map(rule).collect()
}

fn all<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into())
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn different(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn pointer_is_null(argument: u8) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

/// The kernel looks at 32 bits of these arguments, whatever their sign.
fn flag(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

fn errno(value: i32) -> u32 {
    value.cast_unsigned()
}

/// The owner's permissions.
const OWNER: u64 = 0o700;
/// These are not among the constants of every C library.
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;

/// What an interpreter and its numerical libraries use. No call of these reaches another process or
/// the network; those that take a path are held back by Landlock.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // files
    libc::SYS_close, libc::SYS_close_range, libc::SYS_copy_file_range, libc::SYS_dup, libc::SYS_dup3,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fadvise64, libc::SYS_fallocate, libc::SYS_fchdir,
    libc::SYS_chdir, libc::SYS_fdatasync, libc::SYS_flock, libc::SYS_fstat, libc::SYS_fstatfs, libc::SYS_fsync,
    libc::SYS_ftruncate, libc::SYS_getcwd, libc::SYS_getdents64, libc::SYS_linkat, libc::SYS_lseek,
    libc::SYS_newfstatat, libc::SYS_pread64, libc::SYS_preadv, libc::SYS_preadv2,
    libc::SYS_pwrite64, libc::SYS_pwritev, libc::SYS_pwritev2, libc::SYS_read, libc::SYS_readahead,
    libc::SYS_readlinkat, libc::SYS_readv, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_sendfile,
    libc::SYS_splice, libc::SYS_statfs, libc::SYS_statx, libc::SYS_symlinkat, libc::SYS_tee,
    libc::SYS_unlinkat, libc::SYS_write, libc::SYS_writev,
    // memory
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_mincore, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap,
    libc::SYS_msync, libc::SYS_munmap, libc::SYS_mlock, libc::SYS_munlock,
    // time and waiting
    libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
    libc::SYS_gettimeofday, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create,
    libc::SYS_timer_settime, libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete,
    libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_pipe2, libc::SYS_signalfd4,
    // pairs of sockets
    libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_shutdown,
    libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_getsockname, libc::SYS_getpeername,
    // this process
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_get_robust_list,
    libc::SYS_set_robust_list, libc::SYS_set_tid_address, libc::SYS_rseq, libc::SYS_restart_syscall,
    libc::SYS_getcpu, libc::SYS_getpid, libc::SYS_gettid, libc::SYS_getppid, libc::SYS_getpgid,
    libc::SYS_getsid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    libc::SYS_getgroups, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getpriority, libc::SYS_getrandom,
    libc::SYS_getrusage, libc::SYS_times, libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_membarrier,
    libc::SYS_capget, libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min, libc::SYS_sched_yield,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigpending, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait, libc::SYS_sigaltstack, libc::SYS_seccomp,
    // the worker only, see below
    libc::SYS_execve, libc::SYS_kill, libc::SYS_tgkill, libc::SYS_pidfd_open, libc::SYS_wait4, libc::SYS_waitid,
];

/// The same under the names that newer processors' tables leave out.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_OF_OLD: &[c_long] = &[
    libc::SYS_access, libc::SYS_alarm, libc::SYS_arch_prctl, libc::SYS_creat, libc::SYS_dup2,
    libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_fork, libc::SYS_getdents,
    libc::SYS_getpgrp, libc::SYS_getrlimit, libc::SYS_link, libc::SYS_lstat, libc::SYS_pause,
    libc::SYS_pipe, libc::SYS_poll, libc::SYS_readlink, libc::SYS_rename, libc::SYS_rmdir, libc::SYS_select,
    libc::SYS_stat, libc::SYS_symlink, libc::SYS_time, libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OF_OLD: &[c_long] = &[];

/// What a grade may not do, and is told so.
#[rustfmt::skip]
const FORBIDDEN: &[c_long] = &[
    // network
    libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4,
    // other processes
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_setsid, libc::SYS_setpgid, libc::SYS_setpriority, libc::SYS_sched_setaffinity,
    libc::SYS_shmget, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open,
    // modes, owners and times, which Landlock does not look after
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr, libc::SYS_truncate,
    libc::SYS_mknodat, libc::SYS_memfd_create,
    // the machine
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_chroot, libc::SYS_unshare, libc::SYS_setns, libc::SYS_bpf,
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_reboot, libc::SYS_io_uring_setup, libc::SYS_perf_event_open,
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_userfaultfd,
];

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const FORBIDDEN_OF_OLD: &[c_long] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime,
    libc::SYS_utimes, libc::SYS_futimesat, libc::SYS_mknod,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_OF_OLD: &[c_long] = &[];

#[cfg(test)]
mod tests {
    use super::{ALLOWED, ALLOWED_OF_OLD, FORBIDDEN, FORBIDDEN_OF_OLD, hexadecimal};

    /// What a worker needs and a grade does not.
    #[test]
    fn what_is_both_allowed_and_forbidden_is_what_a_worker_needs() {
        let allowed: Vec<_> = ALLOWED.iter().chain(ALLOWED_OF_OLD).collect();
        let forbidden = FORBIDDEN.iter().chain(FORBIDDEN_OF_OLD);
        let mut both: Vec<i64> = forbidden
            .filter(|it| allowed.contains(it))
            .copied()
            .collect();
        both.sort_unstable();
        let mut needed = vec![
            libc::SYS_execve,
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_pidfd_open,
        ];
        #[cfg(target_arch = "x86_64")]
        needed.push(libc::SYS_fork);
        needed.sort_unstable();
        assert_eq!(both, needed);
    }

    #[test]
    fn filters_fit_the_kernel_and_are_written_as_it_reads_them() {
        let worker = super::of_a_worker().unwrap();
        let grade = super::of_a_grade().unwrap();
        assert!(worker.len() < 4096 && grade.len() < 4096);
        let text = hexadecimal(&grade);
        assert_eq!(text.len(), grade.len() * 16);
        // BPF_LD | BPF_W | BPF_ABS of the architecture, at offset 4
        #[cfg(target_endian = "little")]
        assert_eq!(&text[..16], "2000000004000000");
    }
}
