//! What the page on the tables says is what the tables are.

use std::path::Path;

use arrow::datatypes::{DataType, Field};
use store::lake::{self, Table};

/// Returns the columns of a table as the page has them: names and types in order.
fn told(page: &str, table: Table) -> Vec<(String, String)> {
    let heading = format!("\n## {table}\n");
    let section = page.split_once(&heading).expect("a section a table").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.splitn(4, '|').map(str::trim);
            let name = cells.next()?.trim_end_matches('`').to_owned();
            let kind = cells.next()?.to_owned();
            assert!(
                cells.next().is_some_and(|meaning| !meaning.is_empty()),
                "{table}.{name} has no meaning"
            );
            Some((name, kind))
        })
        .collect()
}

/// Returns whether the page's word may stand for a type.
fn fits(word: &str, field: &Field) -> bool {
    match (word, field.data_type()) {
        ("text" | "JSON", DataType::Utf8) | ("boolean", DataType::Boolean) => true,
        ("timestamp", DataType::Timestamp(..)) | ("date", DataType::Date32) => true,
        ("binary", DataType::FixedSizeBinary(_)) => true,
        ("integer", kind) => kind.is_integer(),
        ("number", kind) => kind.is_floating(),
        (word, DataType::List(item)) => word
            .strip_prefix("list of ")
            .is_some_and(|word| fits(word, item)),
        _ => false,
    }
}

#[test]
fn the_page_on_the_tables_tells_every_column() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tables.md");
    let page = std::fs::read_to_string(path).unwrap();
    for table in Table::ALL {
        let schema = lake::schema(table);
        let told = told(&page, table);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        let want: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, want, "{table}");
        for ((name, word), field) in told.iter().zip(schema.fields()) {
            let kind = field.data_type();
            assert!(fits(word, field), "{table}.{name} is no {word} but {kind}");
        }
    }
}
