//! A disk in memory that fails as real ones do: errors, and power cuts.
//!
//! A kernel may write dirty pages back in any order, at any time, or never, until the program asks it
//! to sync; the same holds for names until their directory is synced. So this disk keeps, beside what
//! the program sees, what is certainly durable, and every version of every 512-byte sector written
//! since. [`FaultyDisk::power_cut`] draws one of the disks that could be found afterwards. It is worse
//! than most file systems: names survive without regard to their order, and what was being written may
//! be noise, or what another file once held there. One thing it grants, as SQLite does ("powersafe
//! overwrite"): bytes of a sector that were not written stay. Same calls and same seed, same disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;

use self::inode::{Fate, Inode, Rng};
use super::{Disk, DiskError, DiskFile, DiskOp, DiskRead};

mod inode;

/// An error that is to happen.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The operation that fails; `None` is any.
    pub op: Option<DiskOp>,
    /// It fails on paths that contain this; the empty text is any.
    pub path_part: String,
    /// This many calls that match go well first.
    pub skip: u32,
    /// Then this many fail.
    pub times: u32,
    /// With this error.
    pub errno: Errno,
}

impl Fault {
    /// Returns a fault of every `op` from now on.
    pub fn always(op: DiskOp, errno: Errno) -> Self {
        Self {
            op: Some(op),
            path_part: String::new(),
            skip: 0,
            times: u32::MAX,
            errno,
        }
    }
}

/// A disk in memory that loses, breaks and refuses on demand. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Never removed, so an open file stays readable after its name is gone.
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the directory was synced, oldest first.
    pending_names: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    free: u64,
    ops: u64,
    dies_at: u64,
    faults: Vec<Fault>,
    /// One operation in `.0` fails with `.1`.
    random_faults: Option<(u64, Errno, Rng)>,
}

#[derive(Debug, Clone)]
struct NameChange {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, usize)>,
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyDisk {
    /// Returns an empty disk on which nothing fails yet.
    pub fn new() -> Self {
        Self::with(State {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: BTreeSet::new(),
            free: 1 << 40,
            ops: 0,
            dies_at: u64::MAX,
            faults: Vec::new(),
            random_faults: None,
        })
    }

    fn with(state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        Self { state }
    }

    /// Returns how many operations were asked for so far, failed ones included.
    pub fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// Lets the process die after `n` more operations: every later one fails.
    pub fn fail_after(&self, n: u64) {
        let mut state = self.state.lock();
        state.dies_at = state.ops.saturating_add(n);
    }

    /// Returns whether the process has died, or will after some more operations.
    pub fn is_doomed(&self) -> bool {
        self.state.lock().dies_at != u64::MAX
    }

    /// Adds an error that is to happen. The first that matches an operation counts.
    pub fn fail(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Lets one operation in `one_in` fail, chosen by `seed`.
    pub fn fail_randomly(&self, one_in: u64, errno: Errno, seed: u64) {
        self.state.lock().random_faults = Some((one_in.max(1), errno, Rng(seed)));
    }

    /// Takes back every error that was to happen.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.random_faults = None;
        state.dies_at = u64::MAX;
    }

    /// Leaves this many bytes for files to grow.
    pub fn set_free(&self, bytes: u64) {
        self.state.lock().free = bytes;
    }

    /// Changes one byte of a file behind everybody's back, durably.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let inode = &mut state.inodes[state.names[path]];
        for content in [&mut inode.live, &mut inode.durable] {
            if let Some(byte) = content.get_mut(offset as usize) {
                *byte ^= mask;
            }
        }
    }

    /// Returns an independent copy of the disk as the program sees it, everything durable.
    pub fn snapshot(&self) -> Self {
        let state = self.state.lock();
        let contents = state.names.iter();
        let contents =
            contents.map(|(path, &inode)| (path.clone(), state.inodes[inode].live.clone()));
        Self::found(contents.collect(), &state)
    }

    /// Returns a disk that could be found after a power cut at this moment. This one stays as it is.
    pub fn power_cut(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let mut rng = Rng(seed);
        let names = state.names_after_power_cut(&mut rng);
        let stale: Vec<&[u8]> = state.inodes.iter().map(|inode| &inode.live[..]).collect();
        let mut contents = Vec::with_capacity(names.len());
        for (path, inode) in names {
            contents.push((path, state.inodes[inode].after_power_cut(&mut rng, &stale)));
        }
        Self::found(contents, &state)
    }

    fn found(contents: Vec<(PathBuf, Vec<u8>)>, before: &State) -> Self {
        let disk = Self::new();
        let mut state = disk.state.lock();
        state.dirs = before.dirs.clone();
        state.free = before.free;
        for (path, content) in contents {
            let inode = state.inodes.len();
            state.inodes.push(Inode::synced(content));
            state.names.insert(path, inode);
        }
        state.durable_names = state.names.clone();
        drop(state);
        disk
    }
}

impl State {
    /// Counts an operation, and fails it if it is one that is to fail.
    fn begin(&mut self, op: DiskOp, path: &Path) -> Result<(), DiskError> {
        self.ops += 1;
        if self.ops > self.dies_at {
            return Err(DiskError::new(op, path, Errno::IO));
        }
        if let Some((one_in, errno, rng)) = &mut self.random_faults
            && rng.next().is_multiple_of(*one_in)
        {
            return Err(DiskError::new(op, path, *errno));
        }
        let text = path.to_string_lossy();
        let matches = |fault: &&mut Fault| {
            let is_op = fault.op.is_none_or(|wanted| wanted == op);
            is_op && fault.times > 0 && text.contains(&fault.path_part)
        };
        match self.faults.iter_mut().find(matches) {
            Some(fault) if fault.skip > 0 => fault.skip -= 1,
            Some(fault) => {
                fault.times -= 1;
                return Err(DiskError::new(op, path, fault.errno));
            }
            None => {}
        }
        Ok(())
    }

    fn inode(&self, op: DiskOp, path: &Path) -> Result<usize, DiskError> {
        let inode = self.names.get(path).copied();
        inode.ok_or_else(|| DiskError::new(op, path, Errno::NOENT))
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// Takes from the free space what a file grows by, or gives back what it shrinks by.
    fn account(&mut self, before: usize, after: usize) -> Result<(), Errno> {
        let free = self.free as i128 + before as i128 - after as i128;
        self.free = u64::try_from(free).map_err(|_| Errno::NOSPC)?;
        Ok(())
    }

    fn names_after_power_cut(&self, rng: &mut Rng) -> BTreeMap<PathBuf, usize> {
        let mut names = self.durable_names.clone();
        let fate = Fate::draw(rng, self.pending_names.len());
        for (n, change) in self.pending_names.iter().enumerate() {
            let survives = match fate {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Prefix(count) => n < count,
                Fate::Torn => rng.below(2) == 0,
            };
            if survives {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, inode)) = &self.added {
            names.insert(path.clone(), *inode);
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let added = self.added.as_ref().map(|(path, _)| path);
        self.removed
            .iter()
            .chain(added)
            .any(|path| path.parent() == Some(dir))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Create, path)?;
        if state.names.contains_key(path) {
            return Err(DiskError::new(DiskOp::Create, path, Errno::EXIST));
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(DiskError::new(DiskOp::Create, path, Errno::NOENT));
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        let added = Some((path.to_owned(), inode));
        state.change_names(NameChange {
            removed: None,
            added,
        });
        Ok(Box::new(self.handle(path, inode)))
    }

    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Open, path)?;
        let inode = state.inode(DiskOp::Open, path)?;
        Ok(Box::new(self.handle(path, inode)))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskRead>, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Open, path)?;
        let inode = state.inode(DiskOp::Open, path)?;
        let mut handle = self.handle(path, inode);
        handle.len = state.inodes[inode].live.len() as u64;
        Ok(Arc::new(handle))
    }

    fn len(&self, path: &Path) -> Result<u64, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Stat, path)?;
        let inode = state.inode(DiskOp::Stat, path)?;
        Ok(state.inodes[inode].live.len() as u64)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Stat, path)?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Rename, from)?;
        let inode = state.inode(DiskOp::Rename, from)?;
        let (removed, added) = (Some(from.to_owned()), Some((to.to_owned(), inode)));
        state.change_names(NameChange { removed, added });
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::HardLink, from)?;
        let inode = state.inode(DiskOp::HardLink, from)?;
        if state.names.contains_key(to) {
            return Err(DiskError::new(DiskOp::HardLink, to, Errno::EXIST));
        }
        let added = Some((to.to_owned(), inode));
        state.change_names(NameChange {
            removed: None,
            added,
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Remove, path)?;
        let inode = state.inode(DiskOp::Remove, path)?;
        let removed = Some(path.to_owned());
        state.change_names(NameChange {
            removed,
            added: None,
        });
        if !state.names.values().any(|&other| other == inode) {
            state.free += state.inodes[inode].live.len() as u64;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::SyncDir, dir)?;
        let pending = std::mem::take(&mut state.pending_names);
        let (synced, rest) = pending.into_iter().partition(|change| change.touches(dir));
        state.pending_names = rest;
        let synced: Vec<NameChange> = synced;
        synced
            .iter()
            .for_each(|change| change.apply(&mut state.durable_names));
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::List, dir)?;
        if !state.dirs.contains(dir) {
            return Err(DiskError::new(DiskOp::List, dir, Errno::NOENT));
        }
        let all = state.names.keys().chain(&state.dirs);
        let mut paths: Vec<_> = all
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::CreateDir, dir)?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let mut state = self.state.lock();
        state.begin(DiskOp::Stat, path)?;
        Ok(state.free)
    }
}

#[derive(Debug)]
struct Handle {
    disk: FaultyDisk,
    inode: usize,
    path: PathBuf,
    len: u64,
}

impl FaultyDisk {
    fn handle(&self, path: &Path, inode: usize) -> Handle {
        let (disk, path) = (self.clone(), path.to_owned());
        Handle {
            disk,
            inode,
            path,
            len: 0,
        }
    }
}

impl Handle {
    fn resize(&self, op: DiskOp, len: u64, may_shrink: bool) -> Result<(), DiskError> {
        let mut state = self.disk.state.lock();
        state.begin(op, &self.path)?;
        let before = state.inodes[self.inode].live.len();
        let after = len as usize;
        if after > before || (after < before && may_shrink) {
            let accounted = state.account(before, after);
            accounted.map_err(|errno| DiskError::new(op, &self.path, errno))?;
            state.inodes[self.inode].resize(after);
        }
        Ok(())
    }
}

impl DiskFile for Handle {
    fn write_at(&mut self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let mut bytes = parts.concat();
        let mut state = self.disk.state.lock();
        let mut done = state.begin(DiskOp::Write, &self.path);
        if done.is_err() {
            // A write that fails has got somewhere; a process that is dead writes no more.
            let is_dead = state.ops > state.dies_at.saturating_add(1);
            let some = (state.ops as usize).wrapping_mul(0x9e37_79b9) % (bytes.len() + 1);
            bytes.truncate(if is_dead { 0 } else { some });
        }
        let offset = offset as usize;
        let before = state.inodes[self.inode].live.len();
        let after = before.max(offset + bytes.len());
        match state.account(before, after) {
            Ok(()) => state.inodes[self.inode].write(offset, &bytes),
            Err(errno) => done = Err(DiskError::new(DiskOp::Write, &self.path, errno)),
        }
        done
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        let mut state = self.disk.state.lock();
        state.begin(DiskOp::Sync, &self.path)?;
        state.inodes[self.inode].sync();
        Ok(())
    }

    fn allocate(&mut self, len: u64) -> Result<(), DiskError> {
        self.resize(DiskOp::Allocate, len, false)
    }

    fn truncate(&mut self, len: u64) -> Result<(), DiskError> {
        self.resize(DiskOp::Truncate, len, true)
    }
}

impl DiskRead for Handle {
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let mut state = self.disk.state.lock();
        state.begin(DiskOp::Read, &self.path)?;
        let offset = offset as usize;
        let range = offset..offset.saturating_add(len);
        let bytes = state.inodes[self.inode]
            .live
            .get(range)
            .map(Bytes::copy_from_slice);
        bytes.ok_or_else(|| DiskError::new(DiskOp::Read, &self.path, io::ErrorKind::UnexpectedEof))
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::inode::SECTOR;
    use super::*;

    fn disk_with(content: &[u8]) -> (FaultyDisk, PathBuf, Box<dyn DiskFile>) {
        let disk = FaultyDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = PathBuf::from("/d/f");
        let mut file = disk.create(&path).unwrap();
        file.write_at(0, &[content]).unwrap();
        (disk, path, file)
    }

    #[test]
    fn what_was_synced_survives_every_power_cut_and_what_was_not_may_be_lost_in_part() {
        let (disk, path, mut file) = disk_with(&[1; 4 * SECTOR]);
        let mut found = BTreeSet::new();
        for seed in 0..50 {
            found.insert(disk.power_cut(seed).read(&path).ok());
        }
        assert!(found.contains(&None), "the name was not synced");
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(SECTOR as u64, &[&[2; 2 * SECTOR]]).unwrap();
        found.clear();
        for seed in 0..200 {
            let bytes = disk.power_cut(seed).read(&path).unwrap();
            assert_eq!(
                disk.power_cut(seed).read(&path).unwrap(),
                bytes,
                "same seed, same disk"
            );
            assert_eq!(
                bytes[..SECTOR],
                [1; SECTOR],
                "a sector that was not written again"
            );
            assert_eq!(bytes[3 * SECTOR..], [1; SECTOR]);
            found.insert(Some(bytes));
        }
        assert!(found.len() >= 4, "old, new and each mixture");
    }

    #[test]
    fn a_removed_name_may_come_back_until_its_directory_is_synced() {
        let (disk, path, mut file) = disk_with(b"x");
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.remove(&path).unwrap();
        let is_back = |seed| disk.power_cut(seed).exists(&path).unwrap();
        assert!((0..20).any(is_back) && !(0..20).all(is_back));
        disk.sync_dir(Path::new("/d")).unwrap();
        assert!(!(0..20).any(is_back));
    }

    #[test]
    fn errors_come_when_they_were_ordered() {
        let (disk, path, mut file) = disk_with(b"x");
        let skip = 1;
        disk.fail(Fault {
            skip,
            times: 1,
            ..Fault::always(DiskOp::Sync, Errno::IO)
        });
        assert!(file.sync_data().is_ok());
        assert!(!file.sync_data().unwrap_err().is_full());
        assert!(file.sync_data().is_ok());
        disk.set_free(10);
        assert!(file.allocate(12).unwrap_err().is_full());
        assert!(file.allocate(11).is_ok());
        assert!(file.write_at(10, &[b"ab"]).unwrap_err().is_full());
        disk.remove(&path).unwrap();
        assert_eq!(disk.free_bytes(&path).unwrap(), 11);
        disk.fail_after(1);
        assert!(disk.exists(&path).is_ok());
        assert!(disk.exists(&path).is_err() && disk.sync_dir(&path).is_err());
        disk.heal();
        disk.fail_randomly(2, Errno::NOSPC, 1);
        let failed = (0..100).filter(|_| disk.exists(&path).is_err()).count();
        assert!((20..80).contains(&failed), "{failed}");
    }
}
