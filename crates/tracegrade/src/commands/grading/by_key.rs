//! A run seen by a key of its traces: how reliably tasks pass, and which segments differ from the rest.

use serde::Deserialize;

use super::figure::Figure;
use crate::output::{self, Align, BAD, BOLD, Cell, GOOD, PLAIN, styled};
use crate::text::{count, short_text};

/// How reliably a grader's tasks pass.
#[derive(Debug, Deserialize)]
pub(super) struct Reliability {
    grader: String,
    tasks: u64,
    tries: u64,
    by_tries: Vec<OfTries>,
}

#[derive(Debug, Deserialize)]
struct OfTries {
    tries: u64,
    any_passes_figure: Option<Figure>,
    all_pass_figure: Option<Figure>,
}

/// The segments of a run, as one grader sees them.
#[derive(Debug, Deserialize)]
pub(super) struct Segments {
    grader: String,
    sentence: String,
    segments: Vec<Segment>,
    #[serde(default)]
    left_out: u64,
}

#[derive(Debug, Deserialize)]
struct Segment {
    value: String,
    pass_rate_figure: Option<Figure>,
    difference: Option<Figure>,
    differs: bool,
}

impl Reliability {
    /// Tells it as a table.
    pub(super) fn tell(&self, out: &mut String) {
        out.push_str(&format!(
            "\n{}: {} tasks in {} tries\n",
            styled(BOLD, short_text(&self.grader, 40)),
            count(self.tasks),
            count(self.tries)
        ));
        let columns = ["tries", "one passes", "all pass"].map(|name| (name, Align::Left));
        let rate = |figure: Option<Figure>| figure.map_or_else(|| "-".to_owned(), |it| it.rate());
        let row = |of: &OfTries| {
            vec![
                Cell::from(count(of.tries)),
                Cell::from(rate(of.any_passes_figure)),
                Cell::from(rate(of.all_pass_figure)),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.by_tries.iter().map(row).collect();
        out.push_str(&output::table(&columns, &rows));
    }
}

impl Segments {
    /// Tells it as a table, those that differ first.
    pub(super) fn tell(&self, out: &mut String) {
        out.push_str(&format!(
            "\n{}: {}\n",
            styled(BOLD, short_text(&self.grader, 40)),
            short_text(&self.sentence, 400)
        ));
        let columns = ["segment", "passes", "against the rest"].map(|name| (name, Align::Left));
        let row = |of: &Segment| {
            let below = of.difference.is_some_and(|it| it.estimate < 0.0);
            let style = match (of.differs, below) {
                (false, _) => PLAIN,
                (true, true) => BAD,
                (true, false) => GOOD,
            };
            let told = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
            vec![
                Cell::styled(style, short_text(&of.value, 40)),
                Cell::from(told(of.pass_rate_figure.map(|it| it.rate()))),
                Cell::from(told(of.difference.map(|it| it.points()))),
            ]
        };
        let mut ordered: Vec<&Segment> = self.segments.iter().collect();
        ordered.sort_by_key(|segment| !segment.differs);
        let rows: Vec<Vec<Cell>> = ordered.into_iter().map(row).collect();
        out.push_str(&output::table(&columns, &rows));
        if self.left_out > 0 {
            out.push_str(&format!(
                "{} smaller segments are not told\n",
                count(self.left_out)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_first_and_with_how_sure_it_is() {
        let figure = |estimate: f64| {
            format!(
                r#"{{"estimate":{estimate},"interval":[0.1,0.9],"n":20,"groups":20,"design_effect":1.0}}"#
            )
        };
        let segments = format!(
            r#"{{"grader":"goal","sentence":"1 of 2 segments differ.","left_out":3,"segments":[
              {{"value":"a\u001b[2J","pass_rate_figure":{0},"difference":{0},"differs":false}},
              {{"value":"b","pass_rate_figure":null,"difference":{1},"differs":true}}]}}"#,
            figure(0.5),
            figure(-0.25)
        );
        let reliability = format!(
            r#"{{"grader":"goal","tasks":5,"tries":20,"by_tries":[{{"tries":1,"any_passes_figure":{0},"all_pass_figure":null}}]}}"#,
            figure(0.5)
        );
        let mut out = String::new();
        serde_json::from_str::<Segments>(&segments)
            .unwrap()
            .tell(&mut out);
        serde_json::from_str::<Reliability>(&reliability)
            .unwrap()
            .tell(&mut out);
        let plain = anstream::adapter::strip_str(&out).to_string();
        assert!(!out.contains("\u{1b}[2J"), "{plain}");
        let (b, a) = (plain.find("\nb ").unwrap(), plain.find("\na").unwrap());
        assert!(b < a, "{plain}");
        assert!(
            plain.contains("−25.0 points (95 %: +10.0 to +90.0, n = 20)"),
            "{plain}"
        );
        assert!(
            plain.contains("5 tasks in 20 tries") && plain.contains("3 smaller segments"),
            "{plain}"
        );
    }
}
