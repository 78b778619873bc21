//! Entries of a project: one by its id, or a page of a list, which is what comes behind an entry in the
//! order of a column and then of the id.
//!
//! A place is an entry's id, as OpenAI's clients give it, so what is added or deleted meanwhile shifts
//! no page. An entry that is gone is no place any more.

use model::ProjectId;
use sqlx::QueryBuilder;

use super::{Meta, MetaError};
use crate::sqlite::{Engine, Row, column};

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAsked {
    /// The id of the entry that it comes behind; none: it is the first.
    pub after: Option<String>,
    /// How many entries it has at most.
    pub limit: usize,
    /// Whether the newest come first.
    pub is_descending: bool,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its entries.
    pub entries: Vec<T>,
    /// Whether others come behind them.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Returns the page with other entries, made of these.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page {
            entries: self.entries.into_iter().map(make).collect(),
            has_more: self.has_more,
        }
    }

    /// Returns the page with other entries, made of these, or why one cannot be made.
    pub fn try_map<U, E>(self, make: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page {
            entries: self
                .entries
                .into_iter()
                .map(make)
                .collect::<Result<_, E>>()?,
            has_more: self.has_more,
        })
    }
}

/// A condition: a column with its comparison, such as `status <>`, and what it is compared with.
type Test = (&'static str, String);

/// A list that is read page by page.
#[derive(Debug)]
pub(super) struct Listing {
    /// What an entry is called, for whoever names one that is not there.
    pub(super) what: &'static str,
    /// Where the entries are.
    pub(super) table: &'static str,
    /// A whole number that they are sorted by, and by their ids where it is the same.
    pub(super) order_by: &'static str,
    /// Whose entries they are: those of others are no places of this list.
    pub(super) owner: Vec<Test>,
    /// Which of them are shown.
    pub(super) filter: Vec<Test>,
}

impl Meta {
    /// Returns an entry of a project. Those of another project are not there.
    pub(super) async fn entry<T>(
        &self,
        (what, table): (&'static str, &'static str),
        project: &ProjectId,
        id: &str,
        read: impl Fn(&Row) -> Result<T, sqlx::Error>,
    ) -> Result<T, MetaError> {
        let failed = self.db.failed("look up an entry");
        let mut statement = QueryBuilder::<Engine>::new("SELECT * FROM ");
        statement.push(table).push(" WHERE id = ").push_bind(id);
        statement
            .push(" AND project_id = ")
            .push_bind(project.as_str());
        let row = statement.build().fetch_optional(self.db.readers()).await;
        let row = row.map_err(&failed)?.ok_or_else(|| MetaError::NotFound {
            what,
            id: id.to_owned(),
        })?;
        Ok(read(&row).map_err(&failed)?)
    }

    /// Returns a page of a list.
    pub(super) async fn page<T>(
        &self,
        listing: &Listing,
        asked: &PageAsked,
        read: impl Fn(&Row) -> Result<T, sqlx::Error>,
    ) -> Result<Page<T>, MetaError> {
        let failed = self.db.failed("read a page of a list");
        let (behind, direction) = match asked.is_descending {
            false => (") > (", " ASC"),
            true => (") < (", " DESC"),
        };
        let mut statement = listing.select("*", &[&listing.owner, &listing.filter]);
        if let Some(id) = &asked.after {
            let at = self.place(listing, id).await?;
            statement.push(" AND (").push(listing.order_by);
            statement.push(", id").push(behind).push_bind(at);
            statement.push(", ").push_bind(id.clone()).push(")");
        }
        statement.push(" ORDER BY ").push(listing.order_by);
        statement.push(direction).push(", id").push(direction);
        // One more than asked for tells whether there are more.
        let limit = i64::try_from(asked.limit).unwrap_or(i64::MAX - 1) + 1;
        statement.push(" LIMIT ").push_bind(limit);
        let rows = statement.build().fetch_all(self.db.readers()).await;
        let rows = rows.map_err(&failed)?;
        let entries: Result<Vec<_>, _> = rows.iter().take(asked.limit).map(read).collect();
        Ok(Page {
            entries: entries.map_err(&failed)?,
            has_more: rows.len() > asked.limit,
        })
    }

    async fn place(&self, listing: &Listing, id: &str) -> Result<i64, MetaError> {
        let failed = self.db.failed("find a place in a list");
        let mut statement = listing.select(listing.order_by, &[&listing.owner]);
        statement.push(" AND id = ").push_bind(id.to_owned());
        let row = statement.build().fetch_optional(self.db.readers()).await;
        let row = row.map_err(&failed)?.ok_or_else(|| MetaError::NoPlace {
            what: listing.what,
            id: id.to_owned(),
        })?;
        Ok(column(&row, listing.order_by).map_err(&failed)?)
    }
}

impl Listing {
    fn select(&self, columns: &str, tests: &[&[Test]]) -> QueryBuilder<Engine> {
        let mut statement = QueryBuilder::new("SELECT ");
        statement.push(columns).push(" FROM ").push(self.table);
        for (at, (comparison, value)) in tests.iter().copied().flatten().enumerate() {
            statement.push(if at == 0 { " WHERE " } else { " AND " });
            statement.push(*comparison).push(" ");
            statement.push_bind(value.clone());
        }
        statement
    }
}
