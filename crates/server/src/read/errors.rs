//! What a failed read means to the caller.

use model::FilterError;
use query::SqlError;

use crate::error::{ApiError, ErrorCode};

use super::loaded::LoadError;

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        Self::invalid(error.field, error.message)
    }
}

impl From<store::ReadError> for ApiError {
    fn from(error: store::ReadError) -> Self {
        Self::internal(error)
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read(error) => error.into(),
            LoadError::Full(full) => full.into(),
        }
    }
}

impl From<query::ReadError> for ApiError {
    fn from(error: query::ReadError) -> Self {
        match error.is_expired() {
            true => expired(),
            false => Self::internal(error),
        }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let refused =
            |message: String| Self::new(ErrorCode::InvalidQuery, message).of_param("query");
        match error {
            SqlError::Invalid {
                message,
                place,
                hint,
            } => {
                let place = place.map(|place| format!(" at {place}:\n{}", place.excerpt));
                let hint = hint.map(|hint| format!("\n{hint}"));
                refused([Some(message), place, hint].into_iter().flatten().collect())
            }
            SqlError::Refused { .. }
            | SqlError::TooLarge { .. }
            | SqlError::OutOfMemory { .. }
            | SqlError::Failed { .. }
            | SqlError::Cut(_) => refused(error.to_string()),
            SqlError::Busy => Self::new(ErrorCode::Busy, error.to_string()).retry_after(1),
            SqlError::TimedOut { .. } => Self::new(ErrorCode::TimedOut, error.to_string()),
            SqlError::Expired => expired(),
            SqlError::Missing(_) | SqlError::Internal(_) => Self::internal(error),
        }
    }
}

/// Twice in a row a deletion took away the files that were being read.
fn expired() -> ApiError {
    let message = "files were taken away by a deletion while they were read; ask again";
    ApiError::new(ErrorCode::Busy, message).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_cannot_run_is_explained() {
        let error = SqlError::Invalid {
            message: "there is no column \"x\"".into(),
            place: Some(query::Place {
                line: 1,
                column: 8,
                near: "x".into(),
                excerpt: "select x\n       ^".into(),
            }),
            hint: Some("did you mean \"y\"?".into()),
        };
        let error = ApiError::from(error);
        assert_eq!(error.code(), ErrorCode::InvalidQuery);
        let text = format!("{error:?}");
        assert!(
            text.contains(
                r#"there is no column \"x\" at line 1, column 8:\nselect x\n       ^\ndid you"#
            ),
            "{text}"
        );
        assert_eq!(ApiError::from(SqlError::Busy).code(), ErrorCode::Busy);
        assert_eq!(ApiError::from(SqlError::Expired).code(), ErrorCode::Busy);
    }
}
