//! Three of the walls: files, privileges, resources.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::config::Limits;
use super::enter::EnterError;

/// What must be there: files and folders cannot be reached but where a rule says so.
const NEEDED: ABI = ABI::V1;
/// What is taken if the kernel has it: truncation, devices, TCP, signals and abstract sockets. The list
/// of system calls closes these holes as well.
const WANTED: ABI = ABI::V6;

/// What every dynamically linked interpreter reads.
const SYSTEM: [&str; 12] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/dev/urandom",
];

/// What is lost or empty by its nature, and may be written to.
const DEVICES: [&str; 2] = ["/dev/null", "/dev/zero"];

/// Closes the file system but for what is listed.
pub(super) fn close_files(readable: &[PathBuf], tmp: &Path) -> Result<(), EnterError> {
    let read = AccessFs::from_read(WANTED);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let tmp = PathBeneath::new(PathFd::new(tmp).map_err(EnterError::Tmp)?, in_tmp());
    let rules = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(NEEDED))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(WANTED))?
            .handle_access(AccessNet::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .add_rule(tmp)?
            .restrict_self()
    };
    rules().map_err(EnterError::Landlock)?;
    Ok(())
}

/// Files and folders as one likes, but no programs, devices, pipes and sockets.
fn in_tmp() -> BitFlags<AccessFs> {
    let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo;
    let unwanted = special | AccessFs::MakeSock | AccessFs::Execute;
    AccessFs::from_all(WANTED) & !unwanted
}

/// Gives up what a process of root may do besides what files' owners may.
pub(super) fn drop_privileges() -> Result<(), EnterError> {
    let failed = |what| move |source| EnterError::Process { what, source };
    let held = rustix::thread::capabilities(None).map_err(failed("capabilities"))?;
    // Without this a program that root runs would get them all back.
    if rustix::process::geteuid().is_root() && !held.permitted.is_empty() {
        let bits = CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED;
        rustix::thread::set_capabilities_secure_bits(bits).map_err(failed("secure bits"))?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(failed("capabilities"))
}

/// Sets what the kernel counts for a process.
pub(super) fn limit(limits: &Limits) -> Result<(), EnterError> {
    // If memory runs short all the same, the grader is to go and not the recorder. May be forbidden.
    let _marked = std::fs::write("/proc/self/oom_score_adj", "1000");
    set("the limit of memory", Resource::As, limits.memory_bytes_max)?;
    set(
        "the limit of processor time",
        Resource::Cpu,
        limits.cpu_seconds_max,
    )?;
    set(
        "the limit of file size",
        Resource::Fsize,
        limits.tmp_bytes_max,
    )?;
    set(
        "the limit of open files",
        Resource::Nofile,
        limits.open_files_max,
    )?;
    set("the limit of core dumps", Resource::Core, 0)?;
    set("the limit of locked memory", Resource::Memlock, 0)
}

fn set(what: &'static str, resource: Resource, most: u64) -> Result<(), EnterError> {
    let held = rustix::process::getrlimit(resource).maximum;
    let within = |wanted: u64| Some(held.map_or(wanted, |held| held.min(wanted)));
    // The signal that tells of the end of processor time comes at the first, the end at the second.
    let maximum = match resource {
        Resource::Cpu => most.saturating_add(1),
        _ => most,
    };
    let limit = Rlimit {
        current: within(most),
        maximum: within(maximum),
    };
    setrlimit(resource, limit).map_err(|source| EnterError::Process { what, source })
}
