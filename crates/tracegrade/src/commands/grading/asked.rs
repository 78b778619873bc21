//! From what was typed to what is asked for: graders and the traces that are meant.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};

use crate::cli::grading::{GraderArgs, PairArgs, ReferenceArgs, Selection, StopArgs, Strategy};

/// Returns the graders that were typed, as the API takes them.
pub(super) fn graders(args: &GraderArgs) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for text in &args.graders {
        match meant(text)? {
            // A file may hold several.
            Value::Array(list) => all.extend(list),
            one => all.push(one),
        }
    }
    let check = |check: &String| json!({"type": "rule", "check": check});
    all.extend(args.checks.iter().map(check));
    let detector = |id: &String| json!({"type": "detector", "detector": id});
    all.extend(args.detectors.iter().map(detector));
    Ok(all)
}

/// Returns the graders that were typed, of which there has to be one.
pub(super) fn some_graders(args: &GraderArgs) -> anyhow::Result<Vec<Value>> {
    let all = graders(args)?;
    ensure!(
        !all.is_empty(),
        "no grader is given: --grader NAME, --check 'tool_errors == 0' or --detector D01"
    );
    Ok(all)
}

/// Returns what one text means: JSON as it stands, a file's content, or a name.
pub(super) fn meant(text: &str) -> anyhow::Result<Value> {
    if text.trim_start().starts_with(['{', '[']) {
        return serde_json::from_str(text)
            .with_context(|| format!("failed to read the grader {text:?} as JSON"));
    }
    let path = Path::new(text);
    let is_path = text == "-" || text.ends_with(".json") || text.contains('/') || path.is_file();
    match is_path {
        true => file(path),
        false => Ok(Value::String(text.to_owned())),
    }
}

/// Returns the definitions in a file; `-` is stdin.
pub(super) fn file(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_str(&text_of(path)?)
        .with_context(|| format!("{} is not the JSON of a grader", path.display()))
}

/// Returns what is in a file; `-` is stdin. A name that begins as a JSON object does is the text itself.
pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    if let Some(json) = path
        .to_str()
        .filter(|name| name.trim_start().starts_with('{'))
    {
        return Ok(json.to_owned());
    }
    let mut text = String::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    }
    .with_context(|| format!("failed to read {}", path.display()))?;
    Ok(text)
}

/// Puts what was chosen of the traces into the body of a request.
pub(super) fn choose(selection: &Selection, body: &mut Map<String, Value>) -> anyhow::Result<()> {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("rule", selection.rule.as_ref().map(|rule| json!(rule)));
    put("limit", selection.limit.map(|limit| json!(limit)));
    put("sample_size", selection.sample.map(|size| json!(size)));
    let strategy = selection.strategy.map(|strategy| match strategy {
        Strategy::Stratified => "stratified",
        Strategy::Random => "random",
        Strategy::Newest => "newest",
    });
    put("sample_strategy", strategy.map(|word| json!(word)));
    put("seed", selection.seed.as_ref().map(|seed| json!(seed)));
    put(
        "include_running",
        selection.include_running.then(|| json!(true)),
    );
    let strata = selection.strata.iter().map(|text| stratum(text));
    let strata = strata.collect::<anyhow::Result<Vec<Value>>>()?;
    if !strata.is_empty() {
        ensure!(
            selection.sample.is_none() && selection.strategy.is_none(),
            "strata have sizes of their own: --sample and --strategy do not go with --strata"
        );
        put("sample_strategy", Some(json!("stratified")));
        put("strata", Some(Value::Array(strata)));
    }
    Ok(())
}

/// Puts what traces are compared with into the body of a request.
pub(super) fn compare(pairs: &PairArgs, body: &mut Map<String, Value>) -> anyhow::Result<()> {
    let (Some(against), Some(pair_by)) = (&pairs.against, &pairs.pair_by) else {
        return Ok(());
    };
    let against = match against {
        run if run.starts_with("grun_") => json!({"run_id": run}),
        fields if fields.contains('=') => json!({"filter": fields_of(fields)?}),
        trace => json!({"trace_ids": [trace]}),
    };
    body.insert("against".to_owned(), against);
    body.insert("pair_by".to_owned(), json!(pair_by));
    Ok(())
}

/// Puts what should have been done into the body of a request.
pub(super) fn hold_against(
    args: &ReferenceArgs,
    body: &mut Map<String, Value>,
) -> anyhow::Result<()> {
    let Some(path) = &args.references else {
        return Ok(());
    };
    let references = references(&text_of(path)?)
        .with_context(|| format!("failed to read the references of {}", path.display()))?;
    body.insert("references".to_owned(), Value::Array(references));
    if let Some(by) = &args.references_by {
        body.insert("references_by".to_owned(), json!(by));
    }
    Ok(())
}

/// Reads a reference a line.
fn references(text: &str) -> anyhow::Result<Vec<Value>> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {number} is no JSON"))
    };
    let all: Vec<Value> = lines.map(read).collect::<anyhow::Result<_>>()?;
    ensure!(!all.is_empty(), "there are none");
    Ok(all)
}

/// Puts when a run stops early into the body of a request.
pub(super) fn stop(stop: &StopArgs, body: &mut Map<String, Value>) -> anyhow::Result<()> {
    let mut when = Map::new();
    let numbers = [
        ("half_width", stop.stop_half_width),
        ("excludes", stop.stop_excludes),
    ];
    for (name, number) in numbers {
        when.extend(number.map(|number| (name.to_owned(), json!(number))));
    }
    if when.is_empty() {
        ensure!(
            stop.stop_grader.is_none(),
            "--stop-grader needs --stop-half-width or --stop-excludes"
        );
        return Ok(());
    }
    let grader = stop.stop_grader.as_ref();
    when.extend(grader.map(|grader| ("grader".to_owned(), json!(grader))));
    body.insert("stop_when".to_owned(), Value::Object(when));
    Ok(())
}

/// Reads `[NAME:]FIELD=VALUE[,FIELD=VALUE]:SIZE`.
fn stratum(text: &str) -> anyhow::Result<Value> {
    let wrong = || {
        format!(
            "{text:?} is not [NAME:]FIELD=VALUE[,FIELD=VALUE]:SIZE, such as bad:status=error:100"
        )
    };
    let (rest, size) = text.rsplit_once(':').with_context(wrong)?;
    let size: u64 = size.parse().with_context(wrong)?;
    let (name, fields) = match rest.split_once(':') {
        Some((name, fields)) if !name.contains('=') => (Some(name), fields),
        _ => (None, rest),
    };
    let mut stratum = json!({"filter": fields_of(fields)?, "size": size});
    if let Some(name) = name {
        stratum["name"] = json!(name);
    }
    Ok(stratum)
}

/// Reads `FIELD=VALUE[,FIELD=VALUE]` as a filter; a field may be there several times.
pub(super) fn fields_of(text: &str) -> anyhow::Result<Value> {
    let mut filter = Map::new();
    for pair in text.split(',') {
        let Some((field, value)) = pair.split_once('=') else {
            bail!("{pair:?} is not FIELD=VALUE, such as version=v1.9.0");
        };
        let (field, value) = (field.trim(), value.trim());
        ensure!(!field.is_empty(), "{pair:?} names no field");
        let value = json!(value);
        match filter.get_mut(field) {
            None => {
                filter.insert(field.to_owned(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
    Ok(Value::Object(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grader_is_json_a_file_or_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("two.json");
        std::fs::write(&path, r#"[{"type":"rule","check":"a"},"goal"]"#).unwrap();
        let args = GraderArgs {
            graders: vec![
                "goal".into(),
                "library:goal_reached".into(),
                r#" {"type":"llm"}"#.into(),
                path.to_str().unwrap().into(),
            ],
            checks: vec!["tool_errors == 0".into()],
            detectors: vec!["D01".into()],
        };
        let want = json!([
            "goal",
            "library:goal_reached",
            {"type": "llm"},
            {"type": "rule", "check": "a"},
            "goal",
            {"type": "rule", "check": "tool_errors == 0"},
            {"type": "detector", "detector": "D01"}
        ]);
        assert_eq!(Value::Array(graders(&args).unwrap()), want);
        let told = file(Path::new(r#"{"type": "rule"}"#)).unwrap();
        assert_eq!(told, json!({"type": "rule"}), "where a file is asked for");
        let missing = meant("none/such.json").unwrap_err().to_string();
        assert!(missing.contains("none/such.json"), "{missing}");
        assert!(meant("{not json").is_err());
        assert!(some_graders(&GraderArgs::default()).is_err());
    }

    #[test]
    fn a_reference_is_a_line_of_json() {
        let text = "{\"trace_id\":\"a\",\"reference\":{}}\n\n{\"key\":7,\"reference\":1}\n";
        let want = [
            json!({"trace_id": "a", "reference": {}}),
            json!({"key": 7, "reference": 1}),
        ];
        assert_eq!(references(text).unwrap(), want);
        let wrong = references("{}\nno").unwrap_err().to_string();
        assert_eq!(wrong, "line 2 is no JSON");
        assert!(references("\n").is_err());
    }

    #[test]
    fn strata_have_a_name_a_filter_and_a_size() {
        let check = |text: &str, want: Value| assert_eq!(stratum(text).unwrap(), want);
        check(
            "bad:status=error,status=timeout:100",
            json!({"name": "bad", "filter": {"status": ["error", "timeout"]}, "size": 100}),
        );
        check(
            "metadata.at=10:30,version=v1:5",
            json!({"filter": {"metadata.at": "10:30", "version": "v1"}, "size": 5}),
        );
        for wrong in ["status=error", "bad:status=error:many", "bad:100", ""] {
            assert!(stratum(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_not_typed_is_not_sent() {
        let mut body = Map::new();
        choose(&Selection::default(), &mut body).unwrap();
        assert!(body.is_empty());
        let selection = Selection {
            sample: Some(200),
            strategy: Some(Strategy::Random),
            rule: Some("tool_errors > 0".into()),
            ..Selection::default()
        };
        choose(&selection, &mut body).unwrap();
        let want =
            json!({"rule": "tool_errors > 0", "sample_size": 200, "sample_strategy": "random"});
        assert_eq!(Value::Object(body.clone()), want);
        let both = Selection {
            strata: vec!["status=error:1".into()],
            ..selection
        };
        assert!(choose(&both, &mut body).is_err());
    }
}
