//! The log on a disk that works, and on one that is full, foreign or broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::format::{BODY_START, FRAME_HEADER_BYTES, FRAME_MAGIC};
use super::*;
use crate::disk::faulty::{Fault, FaultyDisk};
use crate::disk::{DiskOp, RealDisk};

mod damage;
mod follow;
mod power_cut;

const STORE: StoreId = StoreId([0xab; 16]);
const HEADER: u64 = FRAME_HEADER_BYTES as u64;

/// A log that was opened and replayed.
struct Opened {
    frames: Vec<(u64, Vec<u8>)>,
    wal: Wal,
    writer: SegmentWriter,
    report: RecoveryReport,
}

fn open_in(disk: Arc<dyn Disk>, dir: &Path, salt: u64, cursor: u64) -> Result<Opened, WalError> {
    let options = WalOptions {
        segment_bytes: 0,
        salt,
    };
    let mut recovery = Wal::open(disk, dir, STORE, options, cursor)?;
    let mut frames = Vec::new();
    while let Some(frame) = recovery.next_frame()? {
        frames.push((frame.seq, frame.payload.to_vec()));
    }
    let (wal, writer, report) = recovery.finish()?;
    Ok(Opened {
        frames,
        wal,
        writer,
        report,
    })
}

fn open(disk: &FaultyDisk, cursor: u64) -> Result<Opened, WalError> {
    // Every process draws its own salt.
    open_in(
        Arc::new(disk.clone()),
        Path::new("/data"),
        disk.ops(),
        cursor,
    )
}

fn segment(number: u64) -> PathBuf {
    PathBuf::from(format!("/data/wal/{number:016x}.wal"))
}

/// Returns bytes that belong to `seq` and `variant`, with something like frame headers in them.
fn payload(seq: u64, variant: u64, len: usize) -> Vec<u8> {
    let mut state = seq << 32 | variant;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ state >> 31).to_le_bytes());
    }
    bytes.truncate(len);
    for place in bytes.chunks_mut(1_000).filter(|place| place.len() > 40) {
        place[3..7].copy_from_slice(&FRAME_MAGIC);
        place[7..15].copy_from_slice(&1_u64.to_le_bytes());
    }
    bytes
}

/// Appends and commits one frame for each length, numbered from `first`.
fn commit(writer: &mut SegmentWriter, first: u64, lens: &[usize]) {
    for (seq, &len) in (first..).zip(lens) {
        let bytes = payload(seq, 0, len);
        writer
            .append(seq, &[&bytes[..len / 3], &[], &bytes[len / 3..]])
            .unwrap();
    }
    writer.commit().unwrap();
}

fn expected(first: u64, lens: &[usize]) -> Vec<(u64, Vec<u8>)> {
    (first..)
        .zip(lens)
        .map(|(seq, &len)| (seq, payload(seq, 0, len)))
        .collect()
}

#[test]
fn what_was_appended_is_replayed_in_order_behind_the_cursor() {
    let root = tempfile::tempdir().unwrap();
    let lens = [1, 0, 70_000, 5_000, 200_000, 3, 100_000, 90_000];
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut log = open_in(Arc::clone(&disk), root.path(), 1, 0).unwrap();
    assert_eq!((log.frames.len(), log.writer.last_seq()), (0, 0));
    commit(&mut log.writer, 1, &lens[..5]);
    log.writer.prepare_spare().unwrap();
    commit(&mut log.writer, 6, &lens[5..]);
    log.writer.append(9, &[b"never committed"]).unwrap();
    let size = log.wal.bytes();

    for cursor in 0..=8 {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(&root.path().join("wal"), &copy.path().join("wal"));
        let log = open_in(Arc::clone(&disk), copy.path(), 2, cursor).unwrap();
        let mut want = expected(1, &lens);
        want.push((9, b"never committed".to_vec()));
        want.retain(|(seq, _)| *seq > cursor);
        assert_eq!(log.frames, want);
        assert_eq!(
            (log.report.skipped, log.report.frames),
            (cursor, 9 - cursor)
        );
        assert_eq!(
            log.report.bytes,
            want.iter()
                .map(|(_, bytes)| bytes.len() as u64)
                .sum::<u64>()
        );
        assert_eq!(log.report.gaps, []);
        assert_eq!(log.writer.last_seq(), 9);
        assert_eq!(log.wal.bytes(), size + HEADER + 15);
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for path in RealDisk.list(from).unwrap() {
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn segments_are_numbered_upwards_and_an_oversize_frame_has_its_own() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    log.writer.prepare_spare().unwrap();
    let lens = [100_000, 100_000, 100_000, 1_000_000, 10, 20];
    commit(&mut log.writer, 1, &lens);
    let seqs = |wal: &Wal| -> Vec<_> {
        let segments = wal.segments().into_iter();
        segments
            .map(|s| (s.number, s.first_seq.unwrap(), s.last_seq.unwrap()))
            .collect()
    };
    assert_eq!(seqs(&log.wal), [(1, 1, 2), (2, 3, 3), (3, 4, 4), (4, 5, 6)]);
    assert_eq!(
        disk.len(&segment(3)).unwrap(),
        BODY_START + HEADER + 1_000_000
    );
    assert_eq!(disk.len(&segment(4)).unwrap(), SEGMENT_BYTES_MIN);

    // A spare that is too small for the frame grows; one that was not used goes at the next start.
    log.writer.prepare_spare().unwrap();
    commit(&mut log.writer, 7, &[2_000_000]);
    log.writer.prepare_spare().unwrap();
    assert_eq!(seqs(&log.wal).last(), Some(&(5, 7, 7)));
    let mut log = open(&disk, 0).unwrap();
    assert_eq!(
        log.frames,
        [expected(1, &lens), expected(7, &[2_000_000])].concat()
    );
    assert!(!disk.exists(&segment(6)).unwrap());
    commit(&mut log.writer, 8, &[1]);
    assert_eq!(
        seqs(&log.wal).last(),
        Some(&(7, 8, 8)),
        "numbers are not used again"
    );
}

#[test]
fn d1_what_was_committed_survives_any_power_cut_and_one_drain_is_one_sync() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &[1_000, 50_000]);
    let before = disk.ops();
    let bytes = payload(3, 0, 60_000);
    log.writer.append(3, &[&bytes]).unwrap();
    let recovered = |seed| open(&disk.power_cut(seed), 0).unwrap().frames;
    let mut found: Vec<_> = (0..40).map(|seed| recovered(seed).len()).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [2, 3], "not committed yet: it may be there or not");
    log.writer.commit().unwrap();
    assert_eq!(disk.ops() - before, 2, "one write, one sync");
    for seed in 0..40 {
        assert_eq!(recovered(seed), expected(1, &[1_000, 50_000, 60_000]));
    }
    log.writer.commit().unwrap();
    assert_eq!(disk.ops() - before, 2, "nothing new, nothing to sync");
}

#[test]
fn d4_only_whole_segments_behind_the_commit_are_cut_and_only_if_nobody_holds_them() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    for seq in 1..=5 {
        commit(&mut log.writer, seq, &[150_000]);
    }
    let numbers = |wal: &Wal| wal.segments().iter().map(|s| s.number).collect::<Vec<_>>();
    assert_eq!(
        (log.wal.cut(0).unwrap(), numbers(&log.wal)),
        (0, vec![1, 2, 3, 4, 5])
    );
    let hold = log.wal.hold(2);
    assert_eq!(
        (log.wal.cut(4).unwrap(), numbers(&log.wal)),
        (1, vec![2, 3, 4, 5])
    );
    let other = log.wal.hold(4);
    hold.advance(3);
    hold.advance(1);
    assert_eq!(
        (log.wal.cut(4).unwrap(), numbers(&log.wal)),
        (1, vec![3, 4, 5])
    );
    drop(hold);
    disk.fail(Fault {
        times: 1,
        ..Fault::always(DiskOp::SyncDir, Errno::IO)
    });
    assert!(matches!(log.wal.cut(9), Err(WalError::Disk(_))));
    let before = disk.ops();
    assert_eq!(
        (log.wal.cut(9).unwrap(), numbers(&log.wal)),
        (0, vec![4, 5])
    );
    assert_eq!(
        disk.ops() - before,
        1,
        "the directory is synced at the next try"
    );
    drop(other);
    disk.fail(Fault {
        times: 1,
        ..Fault::always(DiskOp::Remove, Errno::IO)
    });
    assert!(log.wal.cut(9).is_err());
    assert_eq!(
        (log.wal.cut(9).unwrap(), numbers(&log.wal)),
        (1, vec![5]),
        "the active one stays"
    );
    assert_eq!(log.wal.bytes(), BODY_START + HEADER + 150_000);
    for seed in 0..20 {
        assert_eq!(
            open(&disk.power_cut(seed), 4).unwrap().frames,
            expected(5, &[150_000])
        );
    }

    log.writer.roll().unwrap();
    assert_eq!((log.wal.cut(5).unwrap(), numbers(&log.wal)), (1, vec![]));
    log.writer.roll().unwrap();
    commit(&mut log.writer, 6, &[7]);
    assert_eq!(numbers(&log.wal), [6], "a roll of nothing takes no number");
    assert_eq!(log.wal.segments_since(5).len(), 1);
    assert_eq!(log.wal.segments_since(6).len(), 0);
}

#[test]
fn a_backup_is_a_log() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &[200_000, 100_000, 5]);
    log.writer.append(4, &[b"not yet"]).unwrap();
    let copy = FaultyDisk::new();
    copy.create_dir_all(Path::new("/data/wal")).unwrap();
    for part in log.wal.segments_since(1) {
        let bytes = disk.read(&part.path).unwrap().slice(..part.bytes as usize);
        copy.create(&part.path)
            .unwrap()
            .write_at(0, &[&bytes])
            .unwrap();
    }
    assert_eq!(open(&copy, 1).unwrap().frames, expected(2, &[100_000, 5]));
}

#[test]
fn a_full_disk_refuses_the_frame_and_the_log_goes_on_when_there_is_space() {
    let disk = FaultyDisk::new();
    disk.create_dir_all(Path::new("/data/quarantine")).unwrap();
    disk.set_free(SEGMENT_BYTES_MIN + 1_000);
    let mut log = open(&disk, 0).unwrap();
    log.writer.append(1, &[&payload(1, 0, 200_000)]).unwrap();
    for len in [100_000, 300_000] {
        let refused = log.writer.append(2, &[&payload(2, 9, len)]).unwrap_err();
        assert!(
            matches!(refused, WalError::Full(_)) && !refused.is_fatal(),
            "{refused:?}"
        );
    }
    assert!(matches!(log.writer.prepare_spare(), Err(WalError::Full(_))));
    // A frame that has room in the active segment is taken all the same.
    log.writer.append(2, &[&payload(2, 0, 50)]).unwrap();
    log.writer.commit().unwrap();
    disk.set_free(10 << 20);
    commit(&mut log.writer, 3, &[100_000]);
    let left: Vec<_> = disk.list(Path::new("/data/wal")).unwrap();
    assert_eq!(left.len(), 2, "no file of a failed attempt stays: {left:?}");
    let log = open(&disk, 0).unwrap();
    assert_eq!(log.frames, expected(1, &[200_000, 50, 100_000]));
    assert_eq!(
        (log.report.torn_tail, log.report.quarantined),
        (None, vec![])
    );
}

#[test]
fn a_start_needs_no_space() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &[10]);
    disk.set_free(0);
    let mut log = open(&disk, 0).unwrap();
    assert_eq!(log.frames, expected(1, &[10]));
    disk.set_free(0);
    assert!(matches!(
        log.writer.append(2, &[b"x"]),
        Err(WalError::Full(_))
    ));
}

#[test]
fn what_was_rolled_back_never_comes_back_and_its_numbers_are_free() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &[100]);
    for (seq, len) in [(2, 100), (3, 200_000), (4, 200_000)] {
        log.writer.append(seq, &[&payload(seq, 9, len)]).unwrap();
    }
    log.writer.rollback().unwrap();
    assert_eq!(log.writer.last_seq(), 1);
    for seed in 0..20 {
        assert_eq!(
            open(&disk.power_cut(seed), 0).unwrap().frames,
            expected(1, &[100])
        );
    }
    // Frames of the very sizes of those that were taken back, so that they would fit in between.
    commit(&mut log.writer, 2, &[100]);
    for seed in 0..20 {
        assert_eq!(
            open(&disk.power_cut(seed), 0).unwrap().frames,
            expected(1, &[100, 100])
        );
    }
    log.writer.rollback().unwrap();
    commit(&mut log.writer, 3, &[10]);
    assert_eq!(
        log.wal.segments().len(),
        2,
        "with nothing to take back, the segment goes on"
    );
}

#[test]
fn a_write_that_finds_no_space_leaves_nothing_that_could_come_back() {
    // How far a failing write gets depends on the number of the operation: one of these gets to the
    // end of the 40 bytes.
    for ops in 0..41 {
        let disk = FaultyDisk::new();
        let mut log = open(&disk, 0).unwrap();
        commit(&mut log.writer, 1, &[100, 10]);
        (0..ops).for_each(|_| drop(disk.exists(Path::new("/"))));
        disk.fail(Fault {
            times: 1,
            ..Fault::always(DiskOp::Write, Errno::NOSPC)
        });
        let refused = log.writer.append(3, &[&payload(3, 9, 8)]).unwrap_err();
        assert!(matches!(refused, WalError::Full(_)), "{refused:?}");
        commit(&mut log.writer, 3, &[700]);
        for seed in 0..48 {
            let log = open(&disk.power_cut(seed), 0).unwrap();
            assert_eq!(log.frames, expected(1, &[100, 10, 700]));
        }
    }
}

#[test]
fn a_failed_sync_or_write_is_fatal_and_never_tried_again() {
    for op in [DiskOp::Sync, DiskOp::Write] {
        for errno in [Errno::IO, Errno::NOSPC] {
            if (op, errno) == (DiskOp::Write, Errno::NOSPC) {
                continue;
            }
            let disk = FaultyDisk::new();
            let mut log = open(&disk, 0).unwrap();
            commit(&mut log.writer, 1, &[100]);
            disk.fail(Fault {
                times: 1,
                ..Fault::always(op, errno)
            });
            let appended = log.writer.append(2, &[b"x"]);
            let failed = appended.and_then(|()| log.writer.commit()).unwrap_err();
            assert!(
                matches!(failed, WalError::Fatal(_)) && failed.is_fatal(),
                "{failed:?}"
            );
            let again = [
                log.writer.commit(),
                log.writer.append(3, &[b"y"]),
                log.writer.rollback(),
            ];
            for again in again
                .into_iter()
                .chain([log.writer.roll(), log.writer.prepare_spare()])
            {
                assert!(matches!(again, Err(WalError::Stopped)));
            }
            assert_eq!(
                log.wal.segments()[0].last_seq,
                Some(1),
                "nobody was told of frame 2"
            );
        }
    }
}

#[test]
#[should_panic(expected = "frame 2 after frame 2")]
fn a_sequence_number_is_used_once() {
    let mut log = open(&FaultyDisk::new(), 0).unwrap();
    log.writer.append(2, &[b"x"]).unwrap();
    drop(log.writer.append(2, &[b"y"]));
}

#[test]
fn a_log_that_starts_behind_the_cursor_is_refused() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 7).unwrap();
    commit(&mut log.writer, 8, &[1, 2]);
    assert_eq!(open(&disk.snapshot(), 7).unwrap().frames.len(), 2);
    let refused = open(&disk, 6).map(|_| ()).unwrap_err();
    assert!(matches!(
        refused,
        WalError::CursorBehind {
            cursor: 6,
            first_seq: 8
        }
    ));
    assert!(refused.to_string().contains("rebuild-catalog"), "{refused}");
    assert_eq!(open(&disk, 9).unwrap().frames, []);
    assert_eq!(open(&disk, 20).unwrap().writer.last_seq(), 20);
}

#[test]
fn segments_of_a_newer_version_or_of_another_store_are_refused_untouched() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &[200_000, 100_000]);
    let check = |disk: &FaultyDisk, store: StoreId, want: &str| {
        let files = |disk: &FaultyDisk| -> Vec<_> {
            let paths = disk.list(Path::new("/data/wal")).unwrap();
            paths
                .into_iter()
                .map(|path| (disk.read(&path).unwrap(), path))
                .collect()
        };
        let (before, shared) = (files(disk), Arc::new(disk.clone()));
        let opened = Wal::open(shared, Path::new("/data"), store, WalOptions::new(1), 0);
        let refused = opened.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(want), "{refused}");
        assert_eq!(files(disk), before);
    };
    let newer = disk.snapshot();
    for copy in [0, 512] {
        newer.flip(&segment(2), copy + 8, SEGMENT_VERSION as u8 ^ 3);
        newer.flip(&segment(2), copy + 12, SEGMENT_VERSION as u8 ^ 3);
    }
    check(
        &newer,
        STORE,
        "has format version 3, and the newest that can be read is 2",
    );
    let other = StoreId([1; 16]);
    check(
        &disk,
        other,
        &format!("it belongs to store {STORE}, not to {other}"),
    );
}

#[test]
fn files_that_are_no_segments_are_left_alone() {
    let disk = FaultyDisk::new();
    drop(open(&disk, 0).unwrap());
    for name in [
        "1.wal",
        "000000000000000A.wal",
        "0000000000000001.wal.tmp",
        "note",
    ] {
        drop(disk.create(&Path::new("/data/wal").join(name)).unwrap());
    }
    assert_eq!(open(&disk, 0).unwrap().wal.segments(), []);
    assert_eq!(disk.list(Path::new("/data/wal")).unwrap().len(), 4);
}
