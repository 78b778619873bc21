//! Graders by name and version. Their definitions are JSON texts, opaque here.
//!
//! A version that a run has used never changes: what was graded by it must stay explainable. One that
//! nobody has used is a draft and is replaced in place, so that trying out a wording ten times leaves one
//! version. A grader that was given along with a request has no name; it is kept once for each hash.

use model::{ProjectId, Time};

use super::{Meta, MetaError, Page, PageAsked};

/// A grader to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrader {
    /// What people call it; none: it came along with a request.
    pub name: Option<String>,
    /// Its kind: `rule`, `llm` and the like.
    pub kind: String,
    /// The hash of its definition without the name.
    pub hash: String,
    /// Its definition: a JSON object.
    pub definition: String,
    /// What it is for, in people's words. None given: what was said before stays.
    pub description: Option<String>,
}

/// A version of a grader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrader {
    /// The grader's id, `grader_…`: the same for all its versions.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it; none: it came along with a request.
    pub name: Option<String>,
    /// Its kind: `rule`, `llm` and the like.
    pub kind: String,
    /// Which version this is, from 1.
    pub version: u32,
    /// The hash of its definition without the name.
    pub hash: String,
    /// Its definition: a JSON object.
    pub definition: String,
    /// What it is for, in people's words.
    pub description: Option<String>,
    /// When its first version was saved.
    pub created_at: Time,
    /// When this version was last saved with something new.
    pub updated_at: Time,
    /// When it was put away; saving under its name brings it back.
    pub archived_at: Option<Time>,
    /// Whether a run has used this version, so that it never changes any more.
    pub is_used: bool,
    /// How many versions there are.
    pub versions: u32,
}

impl Meta {
    /// Saves a grader under its name and returns the version it has now: the first of a new name; the one
    /// that is there if its hash is the same; that one in place if nobody has used it; else the next.
    /// One without a name is kept as [`Meta::inline_grader`] does.
    pub async fn save_grader(
        &self,
        who: &str,
        project: &ProjectId,
        new: &NewGrader,
    ) -> Result<StoredGrader, MetaError> {
        unimplemented!()
    }

    /// Keeps a grader that came along with a request, once for each hash; its name is passed over.
    pub async fn inline_grader(
        &self,
        who: &str,
        project: &ProjectId,
        new: &NewGrader,
    ) -> Result<StoredGrader, MetaError> {
        unimplemented!()
    }

    /// Returns a grader of a project by its id or its name: a version of it, or the latest.
    pub async fn grader(
        &self,
        project: &ProjectId,
        id_or_name: &str,
        version: Option<u32>,
    ) -> Result<StoredGrader, MetaError> {
        unimplemented!()
    }

    /// Returns a page of a project's graders that have names and were not put away, each in its latest
    /// version.
    pub async fn graders(
        &self,
        project: &ProjectId,
        asked: &PageAsked,
    ) -> Result<Page<StoredGrader>, MetaError> {
        unimplemented!()
    }

    /// Returns all versions of a grader, the latest first.
    pub async fn grader_versions(
        &self,
        project: &ProjectId,
        id_or_name: &str,
    ) -> Result<Vec<StoredGrader>, MetaError> {
        unimplemented!()
    }

    /// Puts a grader away: lists show it no more, and its versions stay for the runs that used them.
    pub async fn archive_grader(
        &self,
        who: &str,
        project: &ProjectId,
        id_or_name: &str,
    ) -> Result<StoredGrader, MetaError> {
        unimplemented!()
    }
}
