//! Reading the log while it is written.

use super::*;

fn seqs(follower: &mut Follower, bytes_max: usize) -> Vec<u64> {
    let followed = follower.read(bytes_max).unwrap();
    followed.frames.iter().map(|frame| frame.seq).collect()
}

#[test]
fn a_follower_sees_what_is_durable_once_and_in_order() {
    let disk = FaultyDisk::new();
    let mut opened = open(&disk, 0).unwrap();
    let mut follower = opened.wal.follow(0);
    assert_eq!(seqs(&mut follower, 1_000), [0; 0]);
    opened.writer.append(1, &[&payload(1, 0, 100)]).unwrap();
    assert_eq!(seqs(&mut follower, 1_000), [0; 0], "it is not synced");
    opened.writer.commit().unwrap();
    let followed = follower.read(1_000).unwrap();
    assert_eq!(followed.frames[0].payload, payload(1, 0, 100));
    assert_eq!(seqs(&mut follower, 1_000), [0; 0]);
    // Segments of 256 KiB: these are in three.
    let lens = [100_000; 6];
    commit(&mut opened.writer, 2, &lens);
    assert_eq!(seqs(&mut follower, 150_000), [2, 3]);
    assert!(follower.unread_bytes() >= 400_000);
    assert_eq!(seqs(&mut follower, usize::MAX), [4, 5, 6, 7]);
    assert_eq!(follower.unread_bytes(), 0);
    assert_eq!(seqs(&mut opened.wal.follow(5), usize::MAX), [6, 7]);
    assert_eq!(opened.wal.last_seq(), Some(7));
}

#[test]
fn d4_what_a_follower_did_not_let_go_of_is_not_cut_and_counts_not_against_senders() {
    let disk = FaultyDisk::new();
    let mut opened = open(&disk, 0).unwrap();
    let mut follower = opened.wal.follow(0);
    commit(&mut opened.writer, 1, &[200_000; 4]);
    opened.writer.roll().unwrap();
    assert_eq!(opened.wal.cut(4).unwrap(), 0, "all of it is held");
    assert!(opened.wal.bytes() > 800_000 && opened.wal.uncovered_bytes(4) < 10_000);
    assert_eq!(seqs(&mut follower, usize::MAX), [1, 2, 3, 4]);
    assert_eq!(opened.wal.cut(4).unwrap(), 0, "read is not done");
    follower.let_go(2);
    assert_eq!(opened.wal.cut(4).unwrap(), 2);
    // D6: what is deleted goes all the same, but not from under a backup.
    let backup = opened.wal.hold(4);
    opened.wal.overrule(4);
    assert_eq!(opened.wal.cut(4).unwrap(), 1);
    drop(backup);
    assert_eq!(opened.wal.cut(4).unwrap(), 1);
    drop(follower);
    // One that comes too late is told what it missed.
    commit(&mut opened.writer, 5, &[10, 10]);
    let followed = opened.wal.follow(0).read(usize::MAX).unwrap();
    assert_eq!((followed.missing, followed.frames.len()), (4, 2));
}

#[test]
fn a_follower_goes_on_after_a_restart_and_over_damage() {
    let disk = FaultyDisk::new();
    let mut opened = open(&disk, 0).unwrap();
    commit(&mut opened.writer, 1, &[200_000; 3]);
    opened.writer.roll().unwrap();
    drop(opened);
    let first = segment(1);
    disk.flip(&first, BODY_START + HEADER + 7, 1);
    let opened = open(&disk, 3).unwrap();
    let followed = opened.wal.follow(0).read(usize::MAX).unwrap();
    let seqs: Vec<u64> = followed.frames.iter().map(|frame| frame.seq).collect();
    assert_eq!((followed.missing, seqs), (1, vec![2, 3]));
}
