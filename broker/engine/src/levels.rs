//! A tree of topic levels that subscriptions and retained messages share.
//!
//! Nodes lie in one vector and know each other by index, so that nothing here recurses, not even dropping it,
//! however many levels a topic has. A node without value and children does not exist.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ops::Bound;
use std::slice;

/// Most levels of a topic name or filter that a server should take: a level costs memory in the trees.
pub const LEVELS_MAX: usize = 128;

/// Up to this many children are a sorted vector; more are a map.
const FEW_CHILDREN_MAX: usize = 16;

/// Index of a node.
pub(crate) type NodeId = u32;

/// The node above the first level.
pub(crate) const ROOT: NodeId = 0;

/// What a node holds; a node whose value is vacant may go.
pub(crate) trait Vacant: Default {
    /// Whether nothing is in it.
    fn is_vacant(&self) -> bool;
}

/// Many children in the order of their texts: they can be walked through.
pub(crate) type Sorted = BTreeMap<Box<str>, NodeId>;

/// Many children without an order: one of a million is found with a fraction of a search's cache misses.
pub(crate) type Hashed = HashMap<Box<str>, NodeId>;

/// The map of many children.
pub(crate) trait ChildMap: Default + Extend<Pair> + IntoIterator<Item = Pair> {
    fn get(&self, level: &str) -> Option<NodeId>;
    fn remove(&mut self, level: &str);
    fn len(&self) -> usize;
}

type Pair = (Box<str>, NodeId);

impl ChildMap for Sorted {
    fn get(&self, level: &str) -> Option<NodeId> {
        self.get(level).copied()
    }

    fn remove(&mut self, level: &str) {
        self.remove(level);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

impl ChildMap for Hashed {
    fn get(&self, level: &str) -> Option<NodeId> {
        self.get(level).copied()
    }

    fn remove(&mut self, level: &str) {
        self.remove(level);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// The tree. `C` is the map of a node that has many children.
#[derive(Debug)]
pub(crate) struct Levels<V, C> {
    nodes: Vec<Node<V, C>>,
    /// Nodes that are not part of the tree now.
    free: Vec<NodeId>,
}

#[derive(Debug)]
struct Node<V, C> {
    children: Children<C>,
    /// The child of the wildcard `+`; the root, which is nobody's child, stands for none.
    plus: NodeId,
    value: V,
}

impl<V: Default, C> Default for Node<V, C> {
    fn default() -> Self {
        Self { children: Children::default(), plus: ROOT, value: V::default() }
    }
}

impl<V: Vacant, C: ChildMap> Levels<V, C> {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }

    fn node(&self, at: NodeId) -> &Node<V, C> {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: NodeId) -> &mut Node<V, C> {
        &mut self.nodes[at as usize]
    }

    pub(crate) fn value(&self, at: NodeId) -> &V {
        &self.node(at).value
    }

    pub(crate) fn value_mut(&mut self, at: NodeId) -> &mut V {
        &mut self.node_mut(at).value
    }

    /// The child of a level's text; never that of a wildcard.
    pub(crate) fn child(&self, at: NodeId, level: &str) -> Option<NodeId> {
        self.node(at).children.get(level)
    }

    /// The child of the wildcard `+`.
    pub(crate) fn plus(&self, at: NodeId) -> Option<NodeId> {
        let plus = self.node(at).plus;
        (plus != ROOT).then_some(plus)
    }

    fn step(&self, at: NodeId, level: &str) -> Option<NodeId> {
        if level == "+" { self.plus(at) } else { self.child(at, level) }
    }

    /// The node at a path, in which `+` is the wildcard.
    pub(crate) fn find<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<NodeId> {
        path.into_iter().try_fold(ROOT, |at, level| self.step(at, level))
    }

    /// The node at a path, made if need be.
    pub(crate) fn grow<'a>(&mut self, path: impl IntoIterator<Item = &'a str>) -> NodeId {
        path.into_iter().fold(ROOT, |at, level| match self.step(at, level) {
            Some(child) => child,
            None => self.add(at, level),
        })
    }

    fn add(&mut self, parent: NodeId, level: &str) -> NodeId {
        let child = self.free.pop().unwrap_or_else(|| {
            let next = NodeId::try_from(self.nodes.len()).expect("2^32 nodes do not fit into memory");
            self.nodes.push(Node::default());
            next
        });
        let node = self.node_mut(parent);
        match level {
            "+" => node.plus = child,
            _ => node.children.insert(level, child),
        }
        child
    }

    /// Takes away what is vacant at the end of a path that exists.
    pub(crate) fn prune<'a>(&mut self, path: impl IntoIterator<Item = &'a str>) {
        let mut at = ROOT;
        let mut steps = Vec::new();
        for level in path {
            let Some(child) = self.step(at, level) else { break };
            steps.push((at, level, child));
            at = child;
        }
        while let Some((parent, level, child)) = steps.pop() {
            let node = self.node(child);
            if node.plus != ROOT || !node.children.is_empty() || !node.value.is_vacant() {
                break;
            }
            let node = self.node_mut(parent);
            match level {
                "+" => node.plus = ROOT,
                _ => node.children.remove(level),
            }
            self.free.push(child);
        }
        if self.count() == 0 {
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        }
    }

    /// Nodes of the tree, without its root.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len() - 1 - self.free.len()
    }
}

impl<V: Vacant> Levels<V, Sorted> {
    /// The children of texts, in their order, from one text on; the empty text is the first.
    pub(crate) fn children(&self, at: NodeId, from: &str) -> ChildrenIter<'_> {
        self.node(at).children.iter(from)
    }
}

#[derive(Debug)]
enum Children<C> {
    Few(Vec<Pair>),
    /// In a box: nodes with many children are few.
    Many(Box<C>),
}

impl<C> Default for Children<C> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

fn position(few: &[Pair], level: &str) -> Result<usize, usize> {
    few.binary_search_by(|(name, _)| (**name).cmp(level))
}

impl<C: ChildMap> Children<C> {
    fn get(&self, level: &str) -> Option<NodeId> {
        match self {
            Self::Few(few) => position(few, level).ok().map(|index| few[index].1),
            Self::Many(many) => many.get(level),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.len() == 0,
        }
    }

    /// Adds a child that is not there yet.
    fn insert(&mut self, level: &str, child: NodeId) {
        match self {
            Self::Few(few) if few.len() < FEW_CHILDREN_MAX => {
                if few.is_empty() {
                    few.reserve_exact(1); // most nodes of a fleet have one child
                }
                if let Err(index) = position(few, level) {
                    few.insert(index, (level.into(), child));
                }
            }
            Self::Few(few) => {
                let mut many = Box::new(C::default());
                many.extend(few.drain(..).chain([(level.into(), child)]));
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend([(level.into(), child)]),
        }
    }

    fn remove(&mut self, level: &str) {
        match self {
            Self::Few(few) => {
                if let Ok(index) = position(few, level) {
                    few.remove(index);
                }
                if few.is_empty() {
                    *few = Vec::new();
                }
            }
            Self::Many(many) => {
                many.remove(level);
                // Half of what made it a map: a child that comes and goes does not convert each time.
                if many.len() <= FEW_CHILDREN_MAX / 2 {
                    let mut few: Vec<_> = std::mem::take(&mut **many).into_iter().collect();
                    few.sort_unstable();
                    *self = Self::Few(few);
                }
            }
        }
    }
}

impl Children<Sorted> {
    fn iter(&self, from: &str) -> ChildrenIter<'_> {
        match self {
            Self::Few(few) => {
                let at = position(few, from).unwrap_or_else(|at| at);
                ChildrenIter::Few(few[at..].iter())
            }
            Self::Many(many) => {
                ChildrenIter::Many(many.range::<str, _>((Bound::Included(from), Bound::Unbounded)))
            }
        }
    }
}

/// Children in the order of their texts.
pub(crate) enum ChildrenIter<'a> {
    Few(slice::Iter<'a, Pair>),
    Many(btree_map::Range<'a, Box<str>, NodeId>),
}

impl<'a> Iterator for ChildrenIter<'a> {
    type Item = (&'a str, NodeId);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().map(|(name, child)| (&**name, *child)),
            Self::Many(many) => many.next().map(|(name, child)| (&**name, *child)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Vacant for u32 {
        fn is_vacant(&self) -> bool {
            *self == 0
        }
    }

    #[test]
    fn children_are_sorted_as_few_and_as_many_and_go_again() {
        let mut tree = Levels::<u32, Sorted>::new();
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        for (index, name) in names.iter().enumerate().rev() {
            put(&mut tree, name);
            let up = tree.child(ROOT, "up").unwrap();
            let listed: Vec<_> = tree.children(up, "").map(|(name, _)| name).collect();
            assert_eq!(listed, names[index..]);
            let from: Vec<_> = tree.children(up, "0499").map(|(name, _)| name).collect();
            assert_eq!(from, names[index.max(50)..]);
        }
        take_all(&mut tree, &names);
    }

    #[test]
    fn hashed_children_are_found_as_few_and_as_many_and_go_again() {
        let mut tree = Levels::<u32, Hashed>::new();
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        for name in &names {
            put(&mut tree, name);
        }
        take_all(&mut tree, &names);
    }

    fn put<C: ChildMap>(tree: &mut Levels<u32, C>, name: &str) {
        let at = tree.grow(["up", name]);
        *tree.value_mut(at) = name.parse::<u32>().unwrap() + 1;
    }

    fn take_all<C: ChildMap>(tree: &mut Levels<u32, C>, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            for (later, name) in names.iter().enumerate().skip(index) {
                let at = tree.find(["up", name]).unwrap();
                assert_eq!(*tree.value(at), u32::try_from(later).unwrap() + 1);
            }
            let at = tree.find(["up", name]).unwrap();
            *tree.value_mut(at) = 0;
            tree.prune(["up", name]);
            assert_eq!(tree.find(["up", name]), None);
            assert_eq!(tree.count(), if index == 99 { 0 } else { 100 - index });
        }
        assert_eq!((tree.nodes.len(), tree.free.len()), (1, 0));
    }

    #[test]
    fn freed_nodes_are_used_again() {
        let mut tree = Levels::<u32, Hashed>::new();
        let kept = tree.grow(["kept"]);
        *tree.value_mut(kept) = 1;
        for round in 0..1000 {
            let name = round.to_string();
            let at = tree.grow([&*name, "+", "x"]);
            *tree.value_mut(at) = 1;
            *tree.value_mut(at) = 0;
            tree.prune([&*name, "+", "x"]);
        }
        assert_eq!(tree.nodes.len(), 5);
    }

    #[test]
    fn a_path_that_others_need_stays() {
        let mut tree = Levels::<u32, Hashed>::new();
        for path in [&["a", "b"][..], &["a", "b", "+", "c"]] {
            let at = tree.grow(path.iter().copied());
            *tree.value_mut(at) = 1;
        }
        let at = tree.find(["a", "b"]).unwrap();
        *tree.value_mut(at) = 0;
        tree.prune(["a", "b"]);
        assert!(tree.find(["a", "b", "+", "c"]).is_some());
        assert_eq!(tree.count(), 4);
    }
}
