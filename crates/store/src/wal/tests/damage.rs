//! Every byte flipped and every length cut: one bad frame costs that frame, and is told.

use super::*;

/// Frames 1 to 3 in segment 1, 4 and 5 in segment 2, which was the active one.
const LENS: [usize; 5] = [100, 0, 300, 10, 200];

/// The places of the frames: number of the segment, start, end.
const PLACES: [(u64, u64, u64); 5] = [
    (1, 1024, 1156),
    (1, 1156, 1188),
    (1, 1188, 1520),
    (2, 1024, 1066),
    (2, 1066, 1298),
];

fn small_log() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 0).unwrap();
    commit(&mut log.writer, 1, &LENS[..3]);
    log.writer.roll().unwrap();
    commit(&mut log.writer, 4, &LENS[3..]);
    disk
}

fn all_but(lost: &[u64]) -> Vec<(u64, Vec<u8>)> {
    let mut frames = expected(1, &LENS);
    frames.retain(|(seq, _)| !lost.contains(seq));
    frames
}

/// Checks that exactly the frames `lost` are lost, that a second start finds the same, and that the
/// log can be used. Returns the report of the first.
fn check(disk: &FaultyDisk, lost: &[u64], what: &str) -> RecoveryReport {
    let mut log = open(disk, 0).unwrap();
    assert_eq!(log.frames, all_but(lost), "{what}");
    let next = log.writer.last_seq() + 1;
    commit(&mut log.writer, next, &[33]);
    let again = open(disk, 0).unwrap();
    let want = [all_but(lost), expected(next, &[33])].concat();
    assert_eq!(again.frames, want, "{what}, second start");
    assert_eq!(again.report.torn_tail, None, "{what}: what was cut is gone");
    assert_eq!(again.report.quarantined, log.report.quarantined, "{what}");
    for kept in &log.report.quarantined {
        assert_eq!(disk.len(&kept.path).unwrap(), kept.bytes, "{what}");
    }
    log.report
}

#[test]
fn the_places_are_right() {
    let disk = small_log();
    for ((number, start, end), len) in PLACES.into_iter().zip(LENS) {
        assert_eq!(end - start, HEADER + len as u64);
        assert_eq!(
            disk.read(&segment(number)).unwrap()[start as usize..][..4],
            FRAME_MAGIC
        );
    }
    assert_eq!(disk.len(&segment(1)).unwrap(), 1520);
    assert_eq!(disk.len(&segment(2)).unwrap(), SEGMENT_BYTES_MIN);
    assert_eq!(check(&disk, &[], "no damage").quarantined, []);
}

#[test]
fn a_flipped_byte_costs_its_frame_and_no_other() {
    let disk = small_log();
    for (number, used) in [(1, 1520), (2, 1298)] {
        for offset in 0..used {
            let what = format!("segment {number}, byte {offset}");
            let damaged = disk.snapshot();
            damaged.flip(&segment(number), offset, 1 << (offset % 8));
            let is_hit =
                |place: &(u64, u64, u64)| place.0 == number && (place.1..place.2).contains(&offset);
            match PLACES.iter().position(is_hit) {
                None => {
                    let report = check(&damaged, &[], &what);
                    assert_eq!(
                        (report.quarantined, report.gaps),
                        (vec![], vec![]),
                        "{what}"
                    );
                }
                Some(4) => {
                    // The last one cannot be told from a drain that never finished.
                    let torn = check(&damaged, &[5], &what).torn_tail.unwrap();
                    assert_eq!((torn.path, torn.offset), (segment(2), 1066), "{what}");
                }
                Some(index) => {
                    let (seq, (_, start, end)) = (index as u64 + 1, PLACES[index]);
                    let report = check(&damaged, &[seq], &what);
                    let [kept] = &report.quarantined[..] else {
                        panic!("{what}: {report:?}")
                    };
                    assert_eq!(
                        (kept.segment, kept.offset, kept.bytes),
                        (number, start, end - start)
                    );
                    let is_header_whole = offset >= start + HEADER;
                    assert_eq!(kept.seq, is_header_whole.then_some(seq), "{what}");
                    assert_eq!(
                        report.gaps,
                        [SeqGap {
                            first: seq,
                            last: seq
                        }],
                        "{what}"
                    );
                    assert_eq!(report.torn_tail, None, "{what}");
                    let bytes = damaged.read(&segment(number)).unwrap();
                    let bytes = &bytes[start as usize..end as usize];
                    assert_eq!(
                        damaged.read(&kept.path).unwrap(),
                        bytes,
                        "{what}: as it was found"
                    );
                }
            }
        }
    }
}

#[test]
fn noise_behind_the_last_frame_is_cut() {
    let disk = small_log();
    for offset in [1298, 1299, 1330, 5_000, SEGMENT_BYTES_MIN - 1] {
        let damaged = disk.snapshot();
        damaged.flip(&segment(2), offset, 0xff);
        let report = check(&damaged, &[], "noise");
        let (path, bytes) = (segment(2), offset + 1 - 1298);
        assert_eq!(
            report.torn_tail,
            Some(TornTail {
                path,
                offset: 1298,
                bytes
            })
        );
    }
}

#[test]
fn a_closed_segment_that_was_cut_short_costs_the_frames_behind_the_cut() {
    let disk = small_log();
    for len in 0..1520 {
        let what = format!("segment 1 cut to {len}");
        let damaged = disk.snapshot();
        damaged
            .open_write(&segment(1))
            .unwrap()
            .truncate(len)
            .unwrap();
        if len <= BODY_START {
            // Nothing shows that frames were there, but that the log starts too late.
            let refused = open(&damaged, 0).map(|_| ()).unwrap_err();
            assert!(
                matches!(refused, WalError::CursorBehind { first_seq: 4, .. }),
                "{what}"
            );
            continue;
        }
        let lost: Vec<u64> = (1..=3)
            .filter(|&seq| PLACES[seq as usize - 1].2 > len)
            .collect();
        let report = check(&damaged, &lost, &what);
        assert_eq!(
            report.gaps,
            [SeqGap {
                first: lost[0],
                last: 3
            }],
            "{what}"
        );
        let is_boundary = PLACES.iter().any(|place| place.0 == 1 && place.2 == len);
        assert_eq!(
            report.quarantined.is_empty(),
            is_boundary,
            "{what}: {report:?}"
        );
    }
}

#[test]
fn a_last_segment_that_was_cut_short_ends_before_the_cut() {
    let disk = small_log();
    for len in 0..1298 {
        let what = format!("segment 2 cut to {len}");
        let damaged = disk.snapshot();
        damaged
            .open_write(&segment(2))
            .unwrap()
            .truncate(len)
            .unwrap();
        let lost: Vec<u64> = (4..=5)
            .filter(|&seq| PLACES[seq as usize - 1].2 > len)
            .collect();
        let report = check(&damaged, &lost, &what);
        let start = if len < 1066 { 1024 } else { 1066 };
        let torn = report.torn_tail.map(|torn| torn.offset);
        assert_eq!(torn, (len > start).then_some(start), "{what}");
        assert_eq!(
            (report.quarantined, report.gaps),
            (vec![], vec![]),
            "{what}"
        );
    }
}

#[test]
fn a_segment_without_a_header_is_kept_as_a_whole() {
    let disk = small_log();
    for (number, lost) in [(1, vec![1, 2, 3]), (2, vec![4, 5])] {
        let damaged = disk.snapshot();
        damaged.flip(&segment(number), 20, 1);
        damaged.flip(&segment(number), 532, 1);
        let report = check_once(&damaged, &lost);
        let [kept] = &report.quarantined[..] else {
            panic!("{report:?}")
        };
        assert_eq!((kept.segment, kept.offset, kept.seq), (number, 0, None));
        assert!(!damaged.exists(&segment(number)).unwrap());
    }
}

#[test]
fn a_segment_under_the_name_of_another_is_kept_as_a_whole() {
    let disk = small_log();
    disk.rename(&segment(2), &segment(5)).unwrap();
    let report = check_once(&disk, &[4, 5]);
    assert_eq!(report.quarantined[0].bytes, 1298);
}

fn check_once(disk: &FaultyDisk, lost: &[u64]) -> RecoveryReport {
    let log = open(disk, 0).unwrap();
    assert_eq!(log.frames, all_but(lost));
    log.report
}

#[test]
fn damage_that_the_catalog_has_long_committed_is_no_news() {
    let disk = small_log();
    disk.flip(&segment(1), 1100, 1);
    disk.flip(&segment(1), 1300, 1);
    let log = open(&disk.snapshot(), 3).unwrap();
    assert_eq!((log.frames.len(), log.report.quarantined), (2, vec![]));
    let log = open(&disk, 2).unwrap();
    assert_eq!(log.report.quarantined.len(), 1);
    assert_eq!(log.report.gaps, [SeqGap { first: 3, last: 3 }]);
}

#[test]
fn several_bad_frames_in_a_row_and_a_torn_tail_are_told_apart() {
    let disk = small_log();
    for offset in [1024, 1160, 1500] {
        disk.flip(&segment(1), offset, 4);
    }
    disk.flip(&segment(2), 1066, 4);
    let report = check(&disk, &[1, 2, 3, 5], "many");
    let kept: Vec<_> = report
        .quarantined
        .iter()
        .map(|q| (q.offset, q.bytes, q.seq))
        .collect();
    assert_eq!(kept, [(1024, 164, None), (1188, 332, Some(3))]);
    assert_eq!(report.torn_tail.map(|torn| torn.offset), Some(1066));
}

#[test]
fn stale_frames_are_never_taken_for_frames() {
    let disk = small_log();
    let old: Vec<_> = [1, 2]
        .map(|number| disk.read(&segment(number)).unwrap())
        .into();
    // The same places of other segments, another process, and a sender who sends us our own log.
    for salt in [77, 78] {
        let disk = FaultyDisk::new();
        let data = Path::new("/data");
        let mut log = open_in(Arc::new(disk.clone()), data, salt, 0).unwrap();
        log.writer.append(1, &[&old[0]]).unwrap();
        log.writer.commit().unwrap();
        let mut file = disk.open_write(&segment(1)).unwrap();
        let (end, own) = (BODY_START + HEADER + 1520, disk.read(&segment(1)).unwrap());
        for stale in [&old[0], &old[1], &own] {
            let stale = &stale[BODY_START as usize..stale.len().min(4_096)];
            file.write_at(end, &[stale]).unwrap();
            for damaged in [false, true] {
                let disk = disk.snapshot();
                if damaged {
                    disk.flip(&segment(1), BODY_START, 1);
                }
                let log = open(&disk, 0).unwrap();
                let frames: Vec<u64> = log.frames.iter().map(|(seq, _)| *seq).collect();
                assert_eq!(frames, if damaged { vec![] } else { vec![1] });
                assert!(log.report.torn_tail.is_some());
            }
        }
    }
}

#[test]
fn a_number_that_comes_twice_is_replayed_once() {
    let disk = small_log();
    let other = disk.snapshot();
    commit(&mut open(&other, 0).unwrap().writer, 6, &[50]);
    // A spare takes number 3, so that the next frames here are in segment 4.
    open(&disk, 0).unwrap().writer.prepare_spare().unwrap();
    commit(&mut open(&disk, 0).unwrap().writer, 6, &[60, 70]);
    let bytes = other.read(&segment(3)).unwrap();
    let mut file = disk.create(&segment(3)).unwrap();
    file.write_at(0, &[&bytes]).unwrap();
    let log = open(&disk, 0).unwrap();
    let seqs: Vec<u64> = log.frames.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(log.frames[5..6], expected(6, &[50]));
    assert_eq!(log.frames[6].0, 7);
    let kept = &log.report.quarantined[..];
    assert_eq!((kept.len(), kept[0].segment, kept[0].seq), (1, 4, Some(6)));
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error_and_not_a_short_log() {
    let disk = small_log();
    for skip in 0..200 {
        let broken = disk.snapshot();
        let op = Some(DiskOp::Read);
        broken.fail(Fault {
            op,
            path_part: "wal".into(),
            skip,
            times: 1,
            errno: Errno::IO,
        });
        match open(&broken, 0) {
            Err(WalError::Disk(error)) => assert_eq!(error.op, DiskOp::Read),
            Ok(log) => {
                assert_eq!(log.frames, all_but(&[]));
                assert!(skip > 5, "no read failed");
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
        broken.heal();
        assert_eq!(open(&broken, 0).unwrap().frames, all_but(&[]));
    }
    panic!("a start needs less than 200 reads");
}
