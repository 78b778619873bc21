//! May a run stop, since what it was to find out is known?
//!
//! Whoever looks after every trace and stops when he likes what he sees must not use an interval of a fixed
//! size. So the bet of a confidence sequence is kept, over one value a trace, or a group, in the order of
//! work: that is the order of a hash, so that what was graded when the run stops is a random sample, and
//! groups lie together, so that each is whole before it counts. What is graded out of turn waits.

use std::collections::BTreeMap;

use stats::Level;
use stats::eprocess::Betting;

/// When a run stops: as soon as one of these holds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StopRule {
    /// The interval is no wider than this on either side.
    pub half_width: Option<f64>,
    /// The interval leaves this value out.
    pub excludes: Option<f64>,
}

/// A mean and the interval in which it lies, whenever one looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The mean so far.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Traces, or groups, that it rests on.
    pub units: usize,
}

impl StopRule {
    /// Returns why the run may stop, if it may.
    pub fn reached(&self, seen: &Seen) -> Option<String> {
        let half = (seen.high - seen.low) / 2.0;
        if let Some(asked) = self.half_width.filter(|asked| half <= *asked) {
            return Some(format!("no wider than ±{asked}"));
        }
        let excludes = self.excludes?;
        let side = match (seen.low > excludes, seen.high < excludes) {
            (true, _) => "above",
            (_, true) => "below",
            _ => return None,
        };
        Some(format!("all {side} {excludes}"))
    }
}

/// The values of one grader in the order of work.
#[derive(Debug)]
pub struct Sequence {
    /// Items by their places, from the first that has no value yet.
    waiting: BTreeMap<i64, Slot>,
    /// The group whose items come in.
    open: Option<Group>,
    bet: Betting,
    ends: (f64, f64),
    level: Level,
}

#[derive(Debug)]
struct Slot {
    group: Option<String>,
    /// None: it is not graded yet. None inside: the grader said nothing.
    value: Option<Option<f64>>,
}

#[derive(Debug)]
struct Group {
    id: String,
    sum: f64,
    n: f64,
}

impl Sequence {
    /// Returns the sequence of a grader whose values lie between these ends.
    pub fn new(ends: (f64, f64), level: Level) -> Self {
        Self {
            waiting: BTreeMap::new(),
            open: None,
            bet: Betting::new(0.0).expect("0 is a margin"),
            ends,
            level,
        }
    }

    /// Takes an item whose turn it is: what comes behind it waits until it has a value.
    pub fn begin(&mut self, position: i64, group: Option<&str>) {
        self.waiting.entry(position).or_insert_with(|| Slot {
            group: group.map(str::to_owned),
            value: None,
        });
    }

    /// Takes what the grader said of an item; none if it gave no verdict.
    pub fn put(&mut self, position: i64, group: Option<&str>, value: Option<f64>) {
        self.begin(position, group);
        if let Some(slot) = self.waiting.get_mut(&position) {
            slot.value = Some(value);
        }
        while let Some(first) = self.waiting.first_entry() {
            let Some(value) = first.get().value else {
                return;
            };
            let slot = first.remove();
            self.take(slot.group, value);
        }
    }

    /// Takes the next value in order.
    fn take(&mut self, group: Option<String>, value: Option<f64>) {
        let is_open = |open: &Group| Some(&open.id) == group.as_ref();
        if !self.open.as_ref().is_some_and(is_open) {
            if let Some(whole) = self.open.take().filter(|group| group.n > 0.0) {
                self.bet_on(whole.sum / whole.n);
            }
            self.open = group.map(|id| Group {
                id,
                sum: 0.0,
                n: 0.0,
            });
        }
        match (&mut self.open, value) {
            (Some(open), Some(value)) => {
                open.sum += value;
                open.n += 1.0;
            }
            (None, Some(value)) => self.bet_on(value),
            (_, None) => {}
        }
    }

    fn bet_on(&mut self, value: f64) {
        let (low, high) = self.ends;
        // From −1 to 1, as the bet has it. What is no number is refused, and no value.
        let share = 2.0 * (value - low) / (high - low) - 1.0;
        let _refused = self.bet.push(share.clamp(-1.0, 1.0));
    }

    /// Returns what is known by now; nothing before the first value.
    pub fn seen(&self) -> Option<Seen> {
        let figure = self.bet.confidence_sequence(self.level).ok()?;
        let (low, high) = self.ends;
        let scaled = |share: f64| low + share.midpoint(1.0) * (high - low);
        Some(Seen {
            estimate: scaled(figure.estimate),
            low: scaled(figure.interval.low),
            high: scaled(figure.interval.high),
            units: figure.n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence() -> Sequence {
        Sequence::new((0.0, 1.0), Level::P95)
    }

    #[test]
    fn what_is_graded_out_of_turn_waits_for_what_is_before_it() {
        let mut values = sequence();
        for position in 0..4 {
            values.begin(position, None);
        }
        values.put(2, None, Some(1.0));
        values.put(1, None, Some(0.0));
        assert_eq!(values.seen(), None, "the first is still open");
        values.put(0, None, None);
        let seen = values.seen().unwrap();
        assert_eq!((seen.estimate, seen.units), (0.5, 2));
        // A place that is missing, for its trace was deleted, is not waited for.
        values.put(7, None, Some(1.0));
        assert_eq!(values.seen().unwrap().units, 2);
        values.put(3, None, Some(1.0));
        assert_eq!(values.seen().unwrap().units, 4);
    }

    #[test]
    fn a_group_counts_once_it_is_whole() {
        let mut values = sequence();
        values.put(0, Some("g"), Some(1.0));
        values.put(1, Some("g"), Some(0.0));
        assert_eq!(values.seen(), None);
        values.put(2, Some("h"), Some(1.0));
        assert_eq!(values.seen().unwrap().estimate, 0.5);
        values.put(3, None, Some(1.0));
        let seen = values.seen().unwrap();
        assert_eq!(seen.units, 3);
        assert!((seen.estimate - 2.5 / 3.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn a_rule_says_what_it_saw() {
        let seen = |low: f64, high: f64| Seen {
            estimate: low.midpoint(high),
            low,
            high,
            units: 100,
        };
        let check = |half_width, excludes, (low, high), want: Option<&str>| {
            let rule = StopRule {
                half_width,
                excludes,
            };
            assert_eq!(rule.reached(&seen(low, high)).as_deref(), want);
        };
        check(Some(0.05), None, (0.85, 0.94), Some("no wider than ±0.05"));
        check(Some(0.05), None, (0.8, 0.94), None);
        check(None, Some(0.9), (0.91, 0.99), Some("all above 0.9"));
        check(None, Some(0.9), (0.7, 0.89), Some("all below 0.9"));
        check(None, Some(0.9), (0.7, 0.9), None);
        check(None, None, (0.7, 0.7), None);
    }

    /// Runs that stop as soon as their interval is narrow, or leaves a value out: the truth lies in 95 % of
    /// the intervals at the stop, or more.
    #[test]
    fn the_interval_holds_at_the_stop() {
        // SplitMix64: this crate draws nothing else.
        let mut state = 1_u64;
        let mut unit = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let rule = StopRule {
            half_width: Some(0.08),
            excludes: Some(0.8),
        };
        let (mut held, mut runs, mut stopped) = (0, 0, 0);
        for rate in [0.95, 0.8, 0.75, 0.5] {
            for _ in 0..100 {
                let mut values = sequence();
                let mut seen = None;
                for position in 0..600 {
                    values.put(position, None, Some(f64::from(u8::from(unit() < rate))));
                    if position % 5 == 4 {
                        seen = values.seen();
                        if seen.as_ref().and_then(|seen| rule.reached(seen)).is_some() {
                            stopped += 1;
                            break;
                        }
                    }
                }
                let seen = seen.unwrap();
                runs += 1;
                held += usize::from(seen.low <= rate && rate <= seen.high);
            }
        }
        assert!(held as f64 >= 0.95 * f64::from(runs), "{held} of {runs}");
        assert!(
            f64::from(stopped) > 0.5 * f64::from(runs),
            "{stopped} of {runs} stop"
        );
    }
}
