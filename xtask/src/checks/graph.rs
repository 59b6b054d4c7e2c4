//! The dependency graph: it points one way, and the core reaches no runtime, socket or clock through it.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::CORE;
use crate::{
    setup::wasm,
    shell::{self, cargo},
};

/// The workspace's crates by layer: each may depend on lower layers only.
const LAYERS: [&[&str]; 4] = [
    &[
        "hoverboard-car",
        "hoverboard-dag",
        "hoverboard-wire",
        "hoverboard-bitswap",
        "hoverboard-caps",
        "hoverboard-denylist",
    ],
    &["hoverboard-claims", "hoverboard-index"],
    &["hoverboard-peer", "hoverboard-store"],
    &["hoverboard"],
];

/// What the core must not reach, however far away: runtimes, sockets, clocks, threads.
const NEVER_REACHED: [&str; 17] = [
    "async-io",
    "async-std",
    "chrono",
    "crossbeam-channel",
    "futures-timer",
    "hyper",
    "instant",
    "mio",
    "object_store",
    "polling",
    "quinn",
    "rayon",
    "reqwest",
    "smol",
    "socket2",
    "tokio",
    "web-time",
];

/// What the core must not name itself, though a library below it may: random bytes are an argument.
const NEVER_NAMED: [&str; 2] = ["getrandom", "rand"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Absent for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// Package names to the names of what they need when they run.
type Graph = HashMap<String, Vec<String>>;

pub(crate) fn check() -> Result<()> {
    let printed = shell::read(cargo().args(["metadata", "--format-version=1", "--filter-platform", wasm::TARGET]))?;
    let graph = parse(&printed)?;
    let faults = faults(&graph);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn parse(metadata: &str) -> Result<Graph> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo metadata is not as expected")?;
    let names: HashMap<_, _> = metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let name = |id: &str| names.get(id).map(|name| (*name).to_owned());
    let mut graph = Graph::new();
    for node in &metadata.resolve.nodes {
        let normal = node
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|dependency| dependency.kind.is_none()));
        // Two versions of a package are one here: what either reaches, the name reaches.
        graph
            .entry(name(&node.id).with_context(|| format!("no package {}", node.id))?)
            .or_default()
            .extend(normal.filter_map(|dependency| name(&dependency.pkg)));
    }
    Ok(graph)
}

fn faults(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for name in CORE {
        let Some(direct) = graph.get(name) else {
            faults.push(format!("{name} is not in the workspace"));
            continue;
        };
        for named in direct.iter().filter(|named| NEVER_NAMED.contains(&named.as_str())) {
            faults.push(format!("{name} depends on {named}: random bytes are an argument"));
        }
        for way in forbidden_ways(graph, name) {
            faults.push(format!("the core may not reach {way}"));
        }
    }
    for (height, layer) in LAYERS.iter().enumerate() {
        for name in *layer {
            let above: HashSet<_> = LAYERS[height..].concat().into_iter().collect();
            let upwards = graph.get(*name).into_iter().flatten();
            for upward in upwards.filter(|upward| above.contains(upward.as_str())) {
                faults.push(format!("{name} depends on {upward}, which is not below it"));
            }
        }
    }
    faults
}

/// The shortest way to each forbidden package, as `a → b → c`.
fn forbidden_ways(graph: &Graph, from: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([from]);
    let mut ways = vec![vec![from]];
    while !ways.is_empty() {
        let mut next = Vec::new();
        for way in ways {
            let last = way.last().copied().unwrap_or(from);
            for dependency in graph.get(last).into_iter().flatten() {
                if !seen.insert(dependency) {
                    continue;
                }
                let longer = [&way[..], &[dependency.as_str()]].concat();
                if NEVER_REACHED.contains(&dependency.as_str()) {
                    found.push(longer.join(" → "));
                } else {
                    next.push(longer);
                }
            }
        }
        ways = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph: Graph = CORE.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().push((*to).to_owned());
        }
        graph
    }

    #[test]
    fn downward_dependencies_are_good() {
        let good = [("hoverboard-peer", "hoverboard-wire"), ("hoverboard", "tokio")];
        assert_eq!(faults(&graph(&good)), Vec::<String>::new());
    }

    #[test]
    fn a_runtime_below_the_core_is_found_with_the_way_to_it() {
        let bad = [("hoverboard-wire", "middle"), ("middle", "tokio")];
        assert_eq!(faults(&graph(&bad)), ["the core may not reach hoverboard-wire → middle → tokio"]);
    }

    #[test]
    fn upward_and_sideways_dependencies_are_found() {
        assert_eq!(faults(&graph(&[("hoverboard-car", "hoverboard-peer")])).len(), 1);
        assert_eq!(faults(&graph(&[("hoverboard-car", "hoverboard-dag")])).len(), 1);
    }

    #[test]
    fn a_source_of_randomness_may_be_below_but_not_named() {
        assert_eq!(faults(&graph(&[("middle", "rand"), ("hoverboard-wire", "middle")])).len(), 0);
        assert_eq!(faults(&graph(&[("hoverboard-wire", "rand")])).len(), 1);
    }

    #[test]
    fn only_normal_dependencies_count() -> Result<()> {
        let metadata = r#"{
            "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "resolve": {"nodes": [
                {"id": "1", "deps": [
                    {"pkg": "2", "dep_kinds": [{"kind": "dev"}]},
                    {"pkg": "3", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}
                ]},
                {"id": "2", "deps": []},
                {"id": "3", "deps": []}
            ]}
        }"#;
        assert_eq!(parse(metadata)?["a"], ["c"]);
        Ok(())
    }
}
