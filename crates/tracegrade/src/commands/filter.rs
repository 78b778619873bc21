//! Which traces are meant, on the command line: the fields of the one `TraceFilter`, a flag each.
//!
//! The flags are made from a table, and their values go to the server as they were typed: it is the
//! server that reads dates and says what is wrong with a value.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

/// What was asked for: fields of a filter and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FilterArgs {
    pairs: Vec<(String, String)>,
}

struct Field {
    /// As the API calls it.
    name: &'static str,
    flag: &'static str,
    value: &'static str,
    help: &'static str,
}

const fn field(
    name: &'static str,
    flag: &'static str,
    value: &'static str,
    help: &'static str,
) -> Field {
    Field {
        name,
        flag,
        value,
        help,
    }
}

/// Fields of which one of several values is meant, then those with one value.
const FIELDS: [Field; 22] = [
    field("id", "id", "ID", "One of these traces"),
    field("workflow_name", "workflow-name", "NAME", "Its workflow"),
    field("group_id", "group-id", "ID", "Its group (session)"),
    field("user_id", "user-id", "ID", "Its user"),
    field("agent_id", "agent-id", "ID", "The agent as deployed"),
    field("agent", "agent", "NAME", "An agent at work in it"),
    field("version", "version", "VERSION", "Its version"),
    field("environment", "environment", "NAME", "Its environment"),
    field("tag", "tag", "TAG", "One of its tags"),
    field("model", "model", "NAME", "A model that was called"),
    field("tool", "tool", "NAME", "A tool that was called"),
    field(
        "status",
        "status",
        "STATUS",
        "running, success, error, timeout or abandoned",
    ),
    field(
        "error_type",
        "error-type",
        "TYPE",
        "The type of the error that decided its status",
    ),
    field(
        "has_errors",
        "has-errors",
        "true|false",
        "Whether it failed or got over a tool's error",
    ),
    field(
        "min_duration_ms",
        "min-duration-ms",
        "MS",
        "It took at least this long",
    ),
    field(
        "max_duration_ms",
        "max-duration-ms",
        "MS",
        "It took at most this long",
    ),
    field(
        "min_cost_usd",
        "min-cost-usd",
        "USD",
        "It cost at least this",
    ),
    field(
        "max_cost_usd",
        "max-cost-usd",
        "USD",
        "It cost at most this",
    ),
    field(
        "min_tokens",
        "min-tokens",
        "N",
        "It read and wrote at least so many tokens",
    ),
    field(
        "max_tokens",
        "max-tokens",
        "N",
        "It read and wrote at most so many tokens",
    ),
    field(
        "start_date",
        "start-date",
        "DATE",
        "It started then or later: 2026-05-01, -7d, yesterday, a moment",
    ),
    field(
        "end_date",
        "end-date",
        "DATE",
        "It started before; a bare date includes its day",
    ),
];

const METADATA: &str = "metadata";
const ZONE: &str = "tz";
/// No field of every filter: where a grader is tried, `--rule` is the grader.
const RULE: &str = "rule";
pub(crate) const HEADING: &str = "Filter (repeat a flag for any of several values)";

impl FilterArgs {
    /// Returns this with a rule beside the fields.
    #[must_use]
    pub(crate) fn with_rule(&self, rule: Option<&str>) -> Self {
        let rule = rule.map(|rule| (RULE.to_owned(), rule.to_owned()));
        let pairs = self.pairs.iter().cloned().chain(rule);
        Self {
            pairs: pairs.collect(),
        }
    }

    /// Returns the pairs of a query string.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        self.pairs.clone()
    }

    /// Refuses to choose traces by what they cost where somebody may mean what judges may cost.
    pub(crate) fn require_no_cost(&self) -> anyhow::Result<()> {
        let is_of_cost = self.pairs.iter().any(|(name, _)| name == "max_cost_usd");
        anyhow::ensure!(
            !is_of_cost,
            "--max-cost-usd would choose traces by what they cost themselves. What judges may cost is --max-cost; \
             traces are chosen by their cost with --rule 'total_cost_usd <= 0.05'"
        );
        Ok(())
    }

    /// Returns whether every trace is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the filter as the object that a request's body holds.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        for (name, value) in &self.pairs {
            let values = object
                .entry(name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(Value::String(value.clone()));
            }
        }
        for (name, values) in &mut object {
            let is_single =
                name == ZONE || name == RULE || FIELDS[12..].iter().any(|field| field.name == name);
            if let (true, Value::Array(list)) = (is_single, &mut *values)
                && list.len() == 1
            {
                *values = list.remove(0);
            }
        }
        Value::Object(object)
    }
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let arg =
            |name: &'static str, flag: &'static str, value: &'static str, help: &'static str| {
                let arg = Arg::new(name).long(flag).value_name(value).help(help);
                arg.action(ArgAction::Append)
                    .allow_hyphen_values(true)
                    .help_heading(HEADING)
            };
        let fields = FIELDS
            .iter()
            .map(|field| arg(field.name, field.flag, field.value, field.help));
        command
            .args(fields)
            .arg(arg(
                METADATA,
                METADATA,
                "KEY=VALUE",
                "Its metadata has this value under this key",
            ))
            .arg(arg(
                ZONE,
                ZONE,
                "ZONE",
                "The time zone of bare dates; UTC without it",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut pairs = Vec::new();
        let values = |name: &str| matches.get_many::<String>(name).into_iter().flatten();
        for name in FIELDS.iter().map(|field| field.name).chain([ZONE]) {
            pairs.extend(values(name).map(|value| (name.to_owned(), value.clone())));
        }
        for text in values(METADATA) {
            let Some((key, value)) = text.split_once('=') else {
                let message =
                    format!("{text:?} is not KEY=VALUE, such as --metadata tenant=acme\n");
                return Err(clap::Error::raw(ErrorKind::ValueValidation, message));
            };
            pairs.push((format!("{METADATA}.{key}"), value.to_owned()));
        }
        Ok(Self { pairs })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Time, TraceFilter};

    fn parse(args: &[&str]) -> Result<FilterArgs, clap::Error> {
        let command = FilterArgs::augment_args(Command::new("x").no_binary_name(true));
        FilterArgs::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    fn check(args: &[&str], want: &str) {
        let filter = parse(args).unwrap();
        assert_eq!(filter.json().to_string(), want);
        // What goes out as pairs and as JSON means the same to whoever reads it.
        let now = Time::parse_rfc3339("2026-05-10T12:00:00Z").unwrap();
        let pairs = filter.pairs();
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let (read, unread) = TraceFilter::from_pairs(pairs, now).unwrap();
        assert!(unread.is_empty(), "{unread:?}");
        assert_eq!(TraceFilter::from_json(&filter.json(), now).unwrap(), read);
        assert_eq!(read.is_empty(), args.is_empty());
    }

    #[test]
    fn flags_are_fields_of_the_filter() {
        check(&[], "{}");
        check(
            &["--status", "error", "--status", "timeout"],
            r#"{"status":["error","timeout"]}"#,
        );
        check(
            &["--start-date", "-7d", "--end-date", "today"],
            r#"{"start_date":"-7d","end_date":"today"}"#,
        );
        check(
            &["--metadata", "a.b=c=d", "--tag", "x,y"],
            r#"{"tag":["x,y"],"metadata.a.b":["c=d"]}"#,
        );
        check(
            &[
                "--has-errors",
                "true",
                "--min-cost-usd",
                "0.5",
                "--max-tokens",
                "9",
            ],
            r#"{"has_errors":"true","min_cost_usd":"0.5","max_tokens":"9"}"#,
        );
    }

    #[test]
    fn a_rule_stands_beside_the_fields() {
        let filter = parse(&["--tool", "a"]).unwrap();
        assert_eq!(filter.with_rule(None), filter);
        let json = filter.with_rule(Some("tool_errors > 0")).json();
        assert_eq!(
            json.to_string(),
            r#"{"tool":["a"],"rule":"tool_errors > 0"}"#
        );
    }

    #[test]
    fn metadata_has_a_key_and_a_value() {
        assert!(
            parse(&["--metadata", "tenant"])
                .unwrap_err()
                .to_string()
                .contains("KEY=VALUE")
        );
    }
}
