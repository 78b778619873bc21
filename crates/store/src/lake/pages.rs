//! Which rows of a row group may hold what is sought? Those of the pages that its index does not rule out.

use parquet::arrow::arrow_reader::RowSelection;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

/// What pages are looked through for: any of these, in order.
#[derive(Clone, Copy)]
pub(super) enum Sought<'a> {
    Texts(&'a [&'a [u8]]),
    Micros(&'a [i64]),
}

/// Returns the rows of the pages of `column` that may hold what is sought; `None` if there is no usable index.
pub(super) fn page_selection(
    metadata: &ParquetMetaData,
    group: usize,
    column: &str,
    sought: Sought<'_>,
) -> Option<RowSelection> {
    let row_group = metadata.row_group(group);
    let leaf = leaf_of(row_group, column)?;
    let index = metadata.column_index()?.get(group)?.get(leaf)?;
    let pages = metadata
        .offset_index()?
        .get(group)?
        .get(leaf)?
        .page_locations();
    let rows = row_group.num_rows();
    // A damaged index must not ask for rows that are not there.
    let starts = || pages.iter().map(|page| page.first_row_index);
    let in_order = starts().is_sorted() && starts().all(|start| (0..=rows).contains(&start));
    let is_whole = |indexed: u64| pages.len() as u64 == indexed && in_order;
    let may_hold: Box<dyn Fn(usize) -> bool> = match (sought, index) {
        (Sought::Texts(texts), ColumnIndexMetaData::BYTE_ARRAY(index))
            if is_whole(index.num_pages()) =>
        {
            Box::new(move |page| any_within(texts, index.min_value(page), index.max_value(page)))
        }
        (Sought::Micros(micros), ColumnIndexMetaData::INT64(index))
            if is_whole(index.num_pages()) =>
        {
            Box::new(move |page| {
                any_within(
                    micros,
                    index.min_value(page).copied(),
                    index.max_value(page).copied(),
                )
            })
        }
        _ => return None,
    };
    let range = |page: usize| {
        let end = pages
            .get(page + 1)
            .map_or(rows, |next| next.first_row_index);
        pages[page].first_row_index as usize..end as usize
    };
    let ranges = (0..pages.len()).filter(|&page| may_hold(page)).map(range);
    Some(RowSelection::from_consecutive_ranges(ranges, rows as usize))
}

/// Returns the place of a column in a row group.
pub(super) fn leaf_of(row_group: &RowGroupMetaData, name: &str) -> Option<usize> {
    row_group
        .columns()
        .iter()
        .position(|column| column.column_path().string() == name)
}

/// Returns whether a value may lie between these bounds, where there are any.
pub(super) fn is_within<T: Ord + ?Sized>(value: &T, min: Option<&T>, max: Option<&T>) -> bool {
    min.is_none_or(|min| min <= value) && max.is_none_or(|max| value <= max)
}

/// Returns whether one of these values, which are in order, may lie between these bounds.
fn any_within<T: Ord + Copy>(values: &[T], min: Option<T>, max: Option<T>) -> bool {
    let first = min.map_or(0, |min| values.partition_point(|value| *value < min));
    let least = values.get(first);
    least.is_some_and(|least| max.is_none_or(|max| *least <= max))
}
