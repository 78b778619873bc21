//! Items under their resources and scopes, which are written once for all that share them.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::otlp::{RawItem, RawResource, RawScope};

/// What a group says of itself, and the schema it says that by.
pub(super) type WithSchema<T> = (T, Cow<'static, str>);

/// Items of one resource.
#[derive(Debug)]
pub(super) struct ResourceGroup<'b> {
    pub(super) resource: RawResource<'b>,
    pub(super) schema_url: Cow<'b, str>,
    pub(super) scopes: Vec<ScopeGroup<'b>>,
}

/// Items of one scope.
#[derive(Debug)]
pub(super) struct ScopeGroup<'b> {
    pub(super) scope: RawScope<'b>,
    pub(super) schema_url: Cow<'b, str>,
    pub(super) items: Vec<RawItem<'b>>,
}

/// Groups in the order in which they were first named.
#[derive(Debug, Default)]
pub(super) struct Groups<'k> {
    groups: Vec<ResourceGroup<'static>>,
    resources: HashMap<&'k str, usize>,
    scopes: HashMap<(usize, &'k str), usize>,
}

impl<'k> Groups<'k> {
    /// Adds an item. `resource` and `scope` stand for what the two functions make of them.
    pub(super) fn push(
        &mut self,
        [resource, scope]: [&'k str; 2],
        make: (
            impl FnOnce() -> WithSchema<RawResource<'static>>,
            impl FnOnce() -> WithSchema<RawScope<'static>>,
        ),
        item: RawItem<'static>,
    ) {
        let groups = &mut self.groups;
        let at = *self.resources.entry(resource).or_insert_with(|| {
            let (resource, schema_url) = make.0();
            groups.push(ResourceGroup {
                resource,
                schema_url,
                scopes: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[at].scopes;
        let place = *self.scopes.entry((at, scope)).or_insert_with(|| {
            let (scope, schema_url) = make.1();
            group.push(ScopeGroup {
                scope,
                schema_url,
                items: Vec::new(),
            });
            group.len() - 1
        });
        group[place].items.push(item);
    }

    /// Returns the groups.
    pub(super) fn finish(self) -> Vec<ResourceGroup<'static>> {
        self.groups
    }
}
