//! The import rules between the packages, checked from `cargo metadata`.
//!
//! ```text
//! mqtt ← engine ← server          schema ← plugin-api, plugins, client-sdk, server
//! mqtt ← plugin-api ← plugins     journal ← server     client-sdk ← server (its command line)
//! ```
//!
//! A plugin imports no other plugin and nothing of the server; only the server names the plugins. The rules hold for
//! dev-dependencies too: a test that needs a forbidden import is a test of another package. The packages of `broker/`
//! other than the server ship without an async runtime and without sockets.

mod graph;

use std::fmt;

use self::graph::{Graph, PackageId};
use crate::{
    command,
    metadata::{Metadata, MetadataError},
    step::Step,
    workspace::Workspace,
};

/// Async runtimes and the crates under them: only the server of the broker's packages may reach one.
const RUNTIMES: [&str; 6] = ["tokio", "mio", "socket2", "async-io", "async-std", "smol"];

/// The place of a package, known by its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Mqtt,
    Engine,
    Schema,
    Journal,
    PluginApi,
    Plugin,
    Client,
    Server,
    /// `tests`, the suites in it and `bench`: they use the product from outside, and each other's harness.
    Outside,
    /// `tests/sim`: it puts the server together as its `main` does, in a world of its own.
    Simulation,
    Xtask,
}

impl Layer {
    fn of(folder: &str) -> Option<Self> {
        Some(match folder {
            "broker/mqtt" => Self::Mqtt,
            "broker/engine" => Self::Engine,
            "broker/schema" => Self::Schema,
            "broker/journal" => Self::Journal,
            "broker/plugin-api" => Self::PluginApi,
            "broker/server" => Self::Server,
            "client-sdk" => Self::Client,
            "tests" | "tests/conformance" | "tests/differential" | "tests/clients/embedded" | "bench" => {
                Self::Outside
            }
            "tests/sim" => Self::Simulation,
            "xtask" => Self::Xtask,
            _ if folder.starts_with("plugins/") => Self::Plugin,
            _ => return None,
        })
    }

    /// The layers that this one may import.
    fn imports(self) -> &'static [Self] {
        match self {
            Self::Mqtt | Self::Schema | Self::Journal | Self::Xtask => &[],
            Self::Engine => &[Self::Mqtt],
            Self::PluginApi | Self::Client => &[Self::Mqtt, Self::Schema],
            Self::Plugin => &[Self::Mqtt, Self::Schema, Self::PluginApi],
            Self::Server => &[
                Self::Mqtt,
                Self::Engine,
                Self::Schema,
                Self::Journal,
                Self::PluginApi,
                Self::Plugin,
                Self::Client,
            ],
            Self::Simulation => {
                &[Self::Mqtt, Self::Schema, Self::Journal, Self::PluginApi, Self::Plugin, Self::Server]
            }
            Self::Outside => &[
                Self::Mqtt,
                Self::Engine,
                Self::Schema,
                Self::Journal,
                Self::PluginApi,
                Self::Client,
                Self::Server,
                Self::Outside,
            ],
        }
    }

    /// Whether the shipped package must do without an async runtime and without sockets.
    fn has_no_runtime(self) -> bool {
        matches!(self, Self::Mqtt | Self::Engine | Self::Schema | Self::Journal | Self::PluginApi)
    }
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    /// A package whose folder has no place in the layers.
    Unplaced { package: String, folder: String },
    /// An import against the direction.
    Import { from: String, to: String },
    /// A runtime or sockets below the server; the path says through which packages.
    Runtime { path: Vec<String> },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplaced { package, folder } => {
                write!(f, "{package} (in {folder}) has no layer: give it one in xtask/src/layers.rs")
            }
            Self::Import { from, to } => write!(f, "{from} may not import {to}"),
            Self::Runtime { path } => write!(f, "no runtime and no sockets here: {}", path.join(" → ")),
        }
    }
}

/// Why the check did not pass.
#[derive(Debug, thiserror::Error)]
enum LayersError {
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("{} broken import rule(s){}", .0.len(), list(.0))]
    Broken(Vec<Violation>),
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n    - {violation}")).collect()
}

/// The step for `check` and `layers`.
pub(crate) fn step() -> Step {
    let advice = "move the code to the side that may import the other; the rules are in ARCHITECTURE.md";
    Step::new("layers", advice, check)
}

fn check(workspace: &Workspace) -> Result<(), LayersError> {
    let graph = read(workspace)?;
    let broken = violations(&graph);
    if broken.is_empty() { Ok(()) } else { Err(LayersError::Broken(broken)) }
}

/// Reads the graph of this platform: crates of other platforms need not be downloaded for it.
fn read(workspace: &Workspace) -> Result<Graph, MetadataError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let platform = command::output(std::process::Command::new(rustc).args(["--print", "host-tuple"]))?;
    let platform = String::from_utf8_lossy(&platform);
    let mut cargo = command::cargo(&workspace.root);
    let metadata = Metadata::read(cargo.args(["metadata", "--filter-platform", platform.trim()]))?;
    Ok(Graph::new(&metadata))
}

fn violations(graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, folder) in graph.members() {
        let package = graph.name(id).to_owned();
        let Some(layer) = Layer::of(folder) else {
            found.push(Violation::Unplaced { package, folder: folder.to_owned() });
            continue;
        };
        found.extend(forbidden_imports(graph, id, layer));
        if layer.has_no_runtime() {
            found.extend(graph.shipped_path(id, &RUNTIMES).map(|path| Violation::Runtime { path }));
        }
    }
    found
}

/// Imports of members whose layer may not be imported. A member without a layer is reported for itself.
fn forbidden_imports(graph: &Graph, id: &PackageId, layer: Layer) -> Vec<Violation> {
    let imports = graph.imports(id).filter_map(|to| Some((to, Layer::of(graph.folder(to)?)?)));
    let forbidden = imports.filter(|(_, to)| !layer.imports().contains(to));
    forbidden
        .map(|(to, _)| Violation::Import { from: graph.name(id).to_owned(), to: graph.name(to).to_owned() })
        .collect()
}

#[cfg(test)]
mod tests;
