//! A power cut, or the death of the process, after every operation, over several lives of one store.

use std::collections::{BTreeMap, HashMap};

use super::*;

/// What the store promised, and what it only tried.
#[derive(Clone, Default)]
struct Promises {
    acked: BTreeMap<u64, Vec<u8>>,
    /// Every payload that was appended under a number and not taken back since.
    tried: HashMap<u64, Vec<Vec<u8>>>,
    cursor: u64,
    variant: u64,
}

impl Promises {
    fn check_replay(&self, frames: &[(u64, Vec<u8>)], what: &str) {
        assert!(
            frames.is_sorted_by(|a, b| a.0 < b.0),
            "{what}: in order, none twice"
        );
        let found: BTreeMap<_, _> = frames.iter().cloned().collect();
        for (seq, bytes) in self.acked.range(self.cursor + 1..) {
            assert!(
                found.get(seq) == Some(bytes),
                "{what}: D1 frame {seq} was acked"
            );
        }
        for (seq, bytes) in &found {
            assert!(
                *seq > self.cursor,
                "{what}: frame {seq} is in the catalog already"
            );
            assert!(
                self.tried[seq].contains(bytes),
                "{what}: nobody appended this as {seq}"
            );
        }
    }

    fn append(
        &mut self,
        writer: &mut SegmentWriter,
        len: usize,
    ) -> Result<(u64, Vec<u8>), WalError> {
        let seq = writer.last_seq() + 1;
        self.variant += 1;
        let bytes = payload(seq, self.variant, len);
        self.tried.entry(seq).or_default().push(bytes.clone());
        writer.append(seq, &[&bytes])?;
        Ok((seq, bytes))
    }
}

/// Opens the log, checks what is replayed, and uses everything that a log can do.
fn live(disk: &FaultyDisk, promises: &mut Promises, what: &str) -> Result<(), WalError> {
    let Opened {
        frames,
        wal,
        mut writer,
        ..
    } = open(disk, promises.cursor)?;
    promises.check_replay(&frames, what);
    // What was replayed is in the log from now on, acked or not.
    promises.acked.extend(frames);
    let drains: [&[usize]; 9] = [
        &[10],
        &[3_000, 500, 20_000],
        &[200_000, 100_000],
        &[7],
        &[300_000, 5],
        &[40_000, 40_000],
        &[150_000, 150_000, 150_000],
        &[1, 2, 3],
        &[600],
    ];
    for (n, lens) in drains.into_iter().enumerate() {
        let appended: Result<Vec<_>, _> = lens
            .iter()
            .map(|&len| promises.append(&mut writer, len))
            .collect();
        let appended = appended?;
        if n % 3 == 1 {
            writer.rollback()?;
            for (seq, bytes) in appended {
                let tried = promises.tried.get_mut(&seq).expect("it was tried");
                tried.retain(|other| *other != bytes);
            }
            continue;
        }
        writer.commit()?;
        promises.acked.extend(appended);
        match n {
            0 | 3 => writer.prepare_spare()?,
            2 | 6 => {
                promises.cursor = writer.last_seq() - 1;
                wal.cut(promises.cursor)?;
            }
            5 => writer.roll()?,
            _ => {}
        }
    }
    Ok(())
}

/// Returns how many operations a whole life takes.
fn ops_of_a_life() -> u64 {
    let disk = FaultyDisk::new();
    live(&disk, &mut Promises::default(), "no failure").unwrap();
    disk.ops()
}

/// Lets the store die after `n` operations, and again soon after, and looks at what is left.
fn check(n: u64, seed: u64, restart: impl Fn(&FaultyDisk, u64) -> FaultyDisk) {
    let what = format!("{n} operations, seed {seed}");
    let mut promises = Promises::default();
    let mut disk = FaultyDisk::new();
    disk.fail_after(n);
    drop(live(&disk, &mut promises, &what));
    for life in 1..=3 {
        disk = restart(&disk, seed.wrapping_mul(31).wrapping_add(life));
        // The second and the third die early, most often while they recover.
        let dies_after =
            [u64::MAX, (n * 7 + seed) % 40, (n * 3 + seed) % 25, u64::MAX][life as usize];
        disk.fail_after(dies_after);
        let lived = live(&disk, &mut promises, &what);
        assert_eq!(lived.is_ok(), life == 3, "{what}, life {life}: {lived:?}");
    }
}

#[test]
fn d1_a_power_cut_after_any_operation_loses_nothing_that_was_acked_and_doubles_nothing() {
    for n in 0..=ops_of_a_life() {
        for seed in 0..3 {
            check(n, seed, FaultyDisk::power_cut);
        }
    }
}

#[test]
fn d1_a_process_that_dies_after_any_operation_loses_nothing_that_was_acked() {
    for n in 0..=ops_of_a_life() {
        check(n, 0, |disk, _| disk.snapshot());
    }
}

#[test]
fn a_full_or_failing_disk_at_any_operation_costs_at_most_the_process() {
    for n in 0..=ops_of_a_life() {
        for errno in [Errno::NOSPC, Errno::IO] {
            let what = format!("{errno:?} at operation {n}");
            let mut promises = Promises::default();
            let disk = FaultyDisk::new();
            let skip = n as u32;
            disk.fail(Fault {
                op: None,
                path_part: String::new(),
                skip,
                times: 1,
                errno,
            });
            drop(live(&disk, &mut promises, &what));
            disk.heal();
            live(&disk.power_cut(n), &mut promises, &what).unwrap();
        }
    }
}
