//! Which projects are there, and what was decided for them?

use std::collections::BTreeMap;
use std::sync::Arc;

use model::ProjectId;
use parking_lot::RwLock;
use store::meta::{Meta, MetaError, ProjectSettings};
use tokio::sync::{Mutex, MutexGuard};

type Known = BTreeMap<ProjectId, Arc<ProjectSettings>>;

/// The projects that are not deleted. Few, so all of them are held.
#[derive(Debug)]
pub(crate) struct Projects {
    known: RwLock<Arc<Known>>,
    /// One reload at a time: an older list must not take the place of a newer one.
    reloading: Mutex<()>,
    /// Held by whoever reads settings to write them changed.
    changing: Mutex<()>,
}

impl Projects {
    /// Returns the projects of a store.
    pub(crate) async fn load(meta: &Meta) -> Result<Self, MetaError> {
        Ok(Self {
            known: RwLock::new(read(meta).await?),
            reloading: Mutex::new(()),
            changing: Mutex::new(()),
        })
    }

    /// Waits until nobody else changes settings, and keeps others from it as long as the guard is held.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Takes over what was changed.
    pub(crate) async fn reload(&self, meta: &Meta) -> Result<(), MetaError> {
        let _alone = self.reloading.lock().await;
        let known = read(meta).await?;
        *self.known.write() = known;
        Ok(())
    }

    /// Returns every project with its settings.
    pub(crate) fn all(&self) -> Vec<(ProjectId, Arc<ProjectSettings>)> {
        let known = self.known.read();
        known
            .iter()
            .map(|(id, settings)| (id.clone(), Arc::clone(settings)))
            .collect()
    }

    /// Returns the settings of a project, if there is one of that id.
    pub(crate) fn settings(&self, id: &ProjectId) -> Option<Arc<ProjectSettings>> {
        self.known.read().get(id).cloned()
    }
}

async fn read(meta: &Meta) -> Result<Arc<Known>, MetaError> {
    let projects = meta.projects().await?.into_iter();
    Ok(Arc::new(
        projects
            .map(|project| (project.id, Arc::new(project.settings)))
            .collect(),
    ))
}
