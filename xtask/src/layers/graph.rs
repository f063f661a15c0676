//! The packages and who imports whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::metadata::{Metadata, NodeDependency};

/// Cargo's name for exactly one package.
pub(super) type PackageId = String;

#[derive(Default)]
struct Package {
    name: String,
    /// Relative to the workspace; only members have one.
    folder: Option<String>,
    imports: Vec<Import>,
}

struct Import {
    to: PackageId,
    /// Part of what is shipped: neither a dev- nor a build-dependency.
    shipped: bool,
}

/// The dependency graph as cargo resolved it.
#[derive(Default)]
pub(super) struct Graph {
    packages: BTreeMap<PackageId, Package>,
}

impl Graph {
    pub(super) fn new(metadata: &Metadata) -> Self {
        let mut graph = Self::default();
        for package in &metadata.packages {
            let folder = package.manifest_path.parent().and_then(|folder| {
                let folder = folder.strip_prefix(&metadata.workspace_root).ok()?;
                metadata
                    .workspace_members
                    .contains(&package.id)
                    .then(|| folder.to_string_lossy().into_owned())
            });
            graph.add(&package.id, &package.name, folder);
        }
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            for dependency in &node.deps {
                graph.import(&node.id, &dependency.pkg, is_shipped(dependency));
            }
        }
        graph
    }

    pub(super) fn add(&mut self, id: &str, name: &str, folder: Option<String>) {
        let package = Package { name: name.to_owned(), folder, imports: Vec::new() };
        self.packages.insert(id.to_owned(), package);
    }

    pub(super) fn import(&mut self, from: &str, to: &str, shipped: bool) {
        let package = self.packages.entry(from.to_owned()).or_default();
        package.imports.push(Import { to: to.to_owned(), shipped });
    }

    /// The workspace's own packages with their folders.
    pub(super) fn members(&self) -> impl Iterator<Item = (&PackageId, &str)> {
        self.packages.iter().filter_map(|(id, package)| Some((id, package.folder.as_deref()?)))
    }

    pub(super) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.packages.get(id).map_or(id, |package| &package.name)
    }

    pub(super) fn folder(&self, id: &str) -> Option<&str> {
        self.packages.get(id)?.folder.as_deref()
    }

    /// Every direct dependency, whatever its kind.
    pub(super) fn imports(&self, id: &str) -> impl Iterator<Item = &PackageId> {
        self.packages.get(id).into_iter().flat_map(|package| &package.imports).map(|import| &import.to)
    }

    /// The shortest way over shipped imports from a package to one that has one of these names.
    pub(super) fn shipped_path(&self, from: &str, names: &[&str]) -> Option<Vec<String>> {
        let mut seen = BTreeSet::from([from]);
        let mut open = VecDeque::from([vec![from]]);
        while let Some(path) = open.pop_front() {
            let last = *path.last()?;
            if names.contains(&self.name(last)) {
                return Some(path.into_iter().map(|id| self.name(id).to_owned()).collect());
            }
            let imports = self.packages.get(last).into_iter().flat_map(|package| &package.imports);
            for import in imports.filter(|import| import.shipped) {
                if seen.insert(&import.to) {
                    open.push_back(path.iter().copied().chain([import.to.as_str()]).collect());
                }
            }
        }
        None
    }
}

fn is_shipped(dependency: &NodeDependency) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
}
