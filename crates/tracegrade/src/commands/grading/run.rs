//! A grading run as it is told to people.

use serde::Deserialize;

use crate::output::{self, Align, BAD, BOLD, Cell, DIM, GOOD, OPEN, PLAIN, styled};
use crate::text::{self, count, safe_text, short_text};

/// A run as the API tells it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Run {
    /// Missing where it was only tried.
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    graders: Vec<UsedGrader>,
    #[serde(default)]
    selection: Selected,
    #[serde(default)]
    pub(super) counts: Counts,
    pub(super) cost: Cost,
    #[serde(default)]
    power: Vec<Power>,
    #[serde(default)]
    watch_id: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
}

/// A grader as it was when the run was made.
#[derive(Debug, Clone, Deserialize)]
struct UsedGrader {
    name: Option<String>,
    version: Option<u32>,
}

/// Which traces were chosen.
#[derive(Debug, Clone, Default, Deserialize)]
struct Selected {
    #[serde(default)]
    strategy: Option<String>,
    #[serde(default)]
    population: Option<u64>,
    #[serde(default)]
    sampled: Option<u64>,
    #[serde(default)]
    running_left_out: u64,
    #[serde(default)]
    outside_strata: u64,
    #[serde(default)]
    missing_count: u64,
    #[serde(default)]
    strata: Vec<Stratum>,
    #[serde(default)]
    references: Option<References>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// What became of the references that were given.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct References {
    given: u64,
    unmatched: u64,
    #[serde(default)]
    unmatched_first: Vec<String>,
    doubled: u64,
    #[serde(default)]
    doubled_first: Vec<String>,
    traces: u64,
}

impl References {
    /// Returns what became of them, in sentences.
    pub(super) fn words(&self) -> Vec<String> {
        let mut all = vec![format!(
            "{} given; {} held against one",
            count(self.given),
            match self.traces {
                1 => "1 trace is".to_owned(),
                n => format!("{} traces are", count(n)),
            }
        )];
        for (number, names, why) in [
            (
                self.unmatched,
                &self.unmatched_first,
                "for no trace that is meant",
            ),
            (
                self.doubled,
                &self.doubled_first,
                "passed over for another one",
            ),
        ] {
            if number > 0 {
                let names = short_text(&names.join(", "), 100);
                all.push(format!("{} {why}: {names}", count(number)));
            }
        }
        all
    }
}

/// What a run of this size could see.
#[derive(Debug, Clone, Deserialize)]
struct Power {
    grader: String,
    sentence: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Stratum {
    name: String,
    population: u64,
    sampled: u64,
}

/// How far it is, in traces.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Counts {
    pub(super) items: u64,
    pub(super) done: u64,
    pub(super) unscored: u64,
    #[serde(default)]
    deleted: u64,
}

/// What it costs, in US dollars.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Cost {
    pub(super) estimate_usd: Option<f64>,
    pub(super) cap_usd: Option<f64>,
    #[serde(default)]
    pub(super) spent_usd: f64,
}

impl Run {
    /// Returns whether nothing more happens unless somebody does something.
    pub(super) fn rests(&self) -> bool {
        matches!(
            self.status.as_str(),
            "completed" | "canceled" | "failed" | "paused"
        )
    }

    /// Returns the id, to be shown and copied.
    pub(super) fn shown_id(&self) -> String {
        safe_text(self.id.as_deref().unwrap_or("-")).into_owned()
    }

    /// Returns what is likely not as it was meant.
    pub(super) fn warnings(&self) -> &[String] {
        &self.selection.warnings
    }

    /// Returns the run in one line.
    pub(super) fn line(&self) -> String {
        let style = match self.status.as_str() {
            "completed" => GOOD,
            "failed" | "canceled" => BAD,
            _ => OPEN,
        };
        let mut parts = vec![format!(
            "{} {}",
            styled(BOLD, self.shown_id()),
            styled(style, safe_text(&self.status).replace('_', " "))
        )];
        parts.extend(self.name.as_deref().map(|name| short_text(name, 60)));
        parts.push(self.progress());
        parts.extend(self.money());
        let mut line = parts.join(" · ") + "\n";
        if let Some(reason) = &self.reason {
            line.push_str(&format!("  {}\n", short_text(reason, 400)));
        }
        line
    }

    fn progress(&self) -> String {
        let items = text::traces(self.counts.items);
        let mut words = match self.counts.done == self.counts.items {
            true => items,
            false => format!("{} of {items} graded", count(self.counts.done)),
        };
        if self.counts.unscored > 0 {
            words.push_str(&format!(
                ", {} without a verdict",
                count(self.counts.unscored)
            ));
        }
        if self.counts.deleted > 0 {
            words.push_str(&format!(
                ", {} deleted meanwhile",
                count(self.counts.deleted)
            ));
        }
        words
    }

    /// Returns what was spent, if anything could be.
    fn money(&self) -> Option<String> {
        let Cost {
            cap_usd, spent_usd, ..
        } = self.cost;
        match cap_usd {
            Some(cap) => Some(format!(
                "{} of at most {} spent",
                text::cost(spent_usd),
                text::cost(cap)
            )),
            None if spent_usd > 0.0 => Some(format!("{} spent", text::cost(spent_usd))),
            None => None,
        }
    }

    /// Returns what is or would be graded, in lines.
    pub(super) fn plan(&self) -> String {
        let mut out = String::new();
        let mut fact = |what: &str, value: String| {
            out.push_str(&format!(
                "  {} {value}\n",
                styled(DIM, format_args!("{what:<9}"))
            ));
        };
        fact("graders", self.grader_names());
        fact("traces", self.chosen());
        for stratum in &self.selection.strata {
            fact(
                "stratum",
                format!(
                    "{}: {} of {}",
                    short_text(&stratum.name, 60),
                    count(stratum.sampled),
                    count(stratum.population)
                ),
            );
        }
        for (traces, why) in [
            (
                self.selection.running_left_out,
                "still run and are left out",
            ),
            (
                self.selection.outside_strata,
                "are in no stratum: nothing is said of them",
            ),
            (self.selection.missing_count, "are not there"),
        ] {
            if traces > 0 {
                fact("", format!("{} {why}", text::traces(traces)));
            }
        }
        let references = self.selection.references.iter();
        for words in references.flat_map(References::words) {
            fact("reference", words);
        }
        for warning in &self.selection.warnings {
            fact("mind", short_text(warning, 400));
        }
        if let Some(estimate) = self.cost.estimate_usd.filter(|usd| *usd > 0.0) {
            fact("cost", format!("about {}", text::cost(estimate)));
        }
        for power in &self.power {
            let name = short_text(&power.grader, 40);
            fact(
                "can see",
                format!("{name}: {}", short_text(&power.sentence, 200)),
            );
        }
        if let Some(watch) = &self.watch_id {
            fact("watch", safe_text(watch).into_owned());
        }
        if let Some(created) = &self.created_at {
            fact("made", format!("{} UTC", text::moment(created)));
        }
        out
    }

    fn grader_names(&self) -> String {
        let name = |grader: &UsedGrader| {
            let name = short_text(grader.name.as_deref().unwrap_or("(unnamed)"), 60);
            match grader.version {
                Some(version) if version > 1 => format!("{name} v{version}"),
                _ => name,
            }
        };
        let names: Vec<_> = self.graders.iter().map(name).collect();
        names.join(", ")
    }

    /// Returns how many traces were chosen of how many, and how.
    fn chosen(&self) -> String {
        let items = self.selection.sampled.unwrap_or(self.counts.items);
        let chosen = count(items);
        let of = match self.selection.population {
            Some(population) if population > items => {
                format!(" of {}", count(population))
            }
            _ => return format!("{chosen}, all that are meant"),
        };
        match self.selection.strategy.as_deref() {
            Some(strategy) => format!("{chosen}{of}, {}", short_text(strategy, 40)),
            None => format!("{chosen}{of}"),
        }
    }
}

/// Returns runs in columns.
pub(super) fn table(runs: &[Run]) -> String {
    let columns = [
        ("made (UTC)", Align::Left),
        ("run", Align::Left),
        ("status", Align::Left),
        ("traces", Align::Right),
        ("no verdict", Align::Right),
        ("spent", Align::Right),
        ("graders", Align::Left),
        ("name", Align::Left),
    ];
    let row = |run: &Run| {
        let style = match run.status.as_str() {
            "completed" => PLAIN,
            "failed" | "canceled" => BAD,
            _ => OPEN,
        };
        let made = text::moment(run.created_at.as_deref().unwrap_or("-"));
        let traces = match run.counts.done == run.counts.items {
            true => count(run.counts.items),
            false => format!("{}/{}", count(run.counts.done), count(run.counts.items)),
        };
        vec![
            Cell::from(made),
            Cell::from(run.shown_id()),
            Cell::styled(style, safe_text(&run.status).replace('_', " ")),
            Cell::from(traces),
            Cell::from(count(run.counts.unscored)),
            Cell::from(text::cost(run.cost.spent_usd)),
            Cell::from(short_text(&run.grader_names(), 50)),
            Cell::styled(DIM, short_text(run.name.as_deref().unwrap_or(""), 40)),
        ]
    };
    let rows: Vec<Vec<Cell>> = runs.iter().map(row).collect();
    output::table(&columns, &rows)
}
