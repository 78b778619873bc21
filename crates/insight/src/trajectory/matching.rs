//! Which of the calls made is which of the calls expected?
//!
//! With arguments that need not be equal, a call may do for several of the reference, and taking the
//! first that fits can leave another without a partner. So the pairs are a largest matching of the
//! bipartite graph, by the phases of Hopcroft and Karp (1973). Calls that are the same are one node with
//! room for as many: ten thousand equal calls are one comparison.

/// A graph of kinds of calls: who made how many, how many are expected, and what fits what.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// How many calls of each kind were made.
    pub(super) made: Vec<u32>,
    /// How many calls of each kind are expected.
    pub(super) expected: Vec<u32>,
    /// Of each kind that was made, the expected kinds that it does for, ascending.
    pub(super) fits: Vec<Vec<u32>>,
}

/// How many calls of one kind stand for calls of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) expected: u32,
    pub(super) count: u32,
}

impl Graph {
    /// Returns a largest matching: of each kind that was made, for what it stands.
    pub(super) fn largest_matching(&self) -> Vec<Vec<Share>> {
        let mut search = Search::new(self);
        while search.raise_levels() {
            search.fill();
        }
        search.shares()
    }
}

/// An edge of the graph and how much of the matching runs over it.
#[derive(Debug, Clone, Copy)]
struct Edge {
    made: u32,
    expected: u32,
    flow: u32,
}

/// Nodes are the kinds made, then the kinds expected.
struct Search<'a> {
    graph: &'a Graph,
    edges: Vec<Edge>,
    /// The edges at each node.
    at: Vec<Vec<u32>>,
    /// Calls made that have no partner yet, by kind.
    supply: Vec<u32>,
    /// Calls expected that have no partner yet, by kind.
    room: Vec<u32>,
    /// How far each node is from a call without a partner.
    level: Vec<u32>,
    /// The next edge to try at each node.
    next: Vec<usize>,
}

const FAR: u32 = u32::MAX;

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        let kinds = graph.made.len();
        let nodes = kinds + graph.expected.len();
        let mut edges = Vec::new();
        let mut at = vec![Vec::new(); nodes];
        for (made, fits) in (0u32..).zip(&graph.fits) {
            for expected in fits {
                let id = u32::try_from(edges.len()).expect("edges are bounded by comparisons");
                at[made as usize].push(id);
                at[kinds + *expected as usize].push(id);
                edges.push(Edge {
                    made,
                    expected: *expected,
                    flow: 0,
                });
            }
        }
        Self {
            graph,
            edges,
            at,
            supply: graph.made.clone(),
            room: graph.expected.clone(),
            level: Vec::new(),
            next: Vec::new(),
        }
    }

    fn is_expected(&self, node: usize) -> bool {
        node >= self.graph.made.len()
    }

    fn has_room(&self, node: usize) -> bool {
        self.is_expected(node) && self.room[node - self.graph.made.len()] > 0
    }

    /// Returns the node at the other end if the edge can be taken: forward always, backward where the
    /// matching runs over it and can be undone.
    fn across(&self, node: usize, edge: u32) -> Option<usize> {
        let edge = self.edges[edge as usize];
        match self.is_expected(node) {
            false => Some(self.graph.made.len() + edge.expected as usize),
            true => (edge.flow > 0).then_some(edge.made as usize),
        }
    }

    /// Measures how far each node is from a call without a partner; returns whether any way ends at
    /// room.
    fn raise_levels(&mut self) -> bool {
        self.level = vec![FAR; self.at.len()];
        self.next = vec![0; self.at.len()];
        let mut queue: Vec<usize> = (0..self.supply.len())
            .filter(|node| self.supply[*node] > 0)
            .collect();
        for node in &queue {
            self.level[*node] = 0;
        }
        let mut found = false;
        let mut head = 0;
        while let Some(node) = queue.get(head).copied() {
            head += 1;
            found |= self.has_room(node);
            for edge in &self.at[node] {
                if let Some(other) = self.across(node, *edge)
                    && self.level[other] == FAR
                {
                    self.level[other] = self.level[node] + 1;
                    queue.push(other);
                }
            }
        }
        found
    }

    /// Takes shortest ways until each is blocked.
    fn fill(&mut self) {
        for source in 0..self.supply.len() {
            while self.supply[source] > 0 {
                let Some(way) = self.way_from(source) else {
                    break;
                };
                self.take(source, &way);
            }
        }
    }

    /// Returns the edges of a way along rising levels from a node to room.
    fn way_from(&mut self, source: usize) -> Option<Vec<u32>> {
        let mut way = Vec::new();
        let mut nodes = vec![source];
        while let Some(node) = nodes.last().copied() {
            if self.has_room(node) {
                return Some(way);
            }
            let step = self.at[node][self.next[node]..].iter().position(|edge| {
                let other = self.across(node, *edge);
                other.is_some_and(|other| self.level[other] == self.level[node] + 1)
            });
            match step {
                Some(skipped) => {
                    self.next[node] += skipped;
                    let edge = self.at[node][self.next[node]];
                    way.push(edge);
                    nodes.extend(self.across(node, edge));
                }
                None => {
                    // nothing leads on from here: whoever came here tries its next edge
                    self.next[node] = self.at[node].len();
                    nodes.pop();
                    way.pop();
                    if let Some(before) = nodes.last() {
                        self.next[*before] += 1;
                    }
                }
            }
        }
        None
    }

    /// Puts as much as passes over a way that goes forward and backward by turns.
    fn take(&mut self, source: usize, way: &[u32]) {
        let last = way.last().expect("a way ends where something is expected");
        let target = self.edges[*last as usize].expected as usize;
        let undone = way.iter().skip(1).step_by(2);
        let least = undone.map(|edge| self.edges[*edge as usize].flow).min();
        let passes = self.supply[source].min(self.room[target]);
        let passes = passes.min(least.unwrap_or(passes));
        for (place, edge) in way.iter().enumerate() {
            let flow = &mut self.edges[*edge as usize].flow;
            match place % 2 {
                0 => *flow += passes,
                _ => *flow -= passes,
            }
        }
        self.supply[source] -= passes;
        self.room[target] -= passes;
    }

    fn shares(self) -> Vec<Vec<Share>> {
        let mut shares = vec![Vec::new(); self.graph.made.len()];
        for edge in self.edges.into_iter().filter(|edge| edge.flow > 0) {
            shares[edge.made as usize].push(Share {
                expected: edge.expected,
                count: edge.flow,
            });
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(shares: &[Vec<Share>]) -> u32 {
        shares.iter().flatten().map(|share| share.count).sum()
    }

    /// Tries every partner for each unit, one after the other.
    fn largest_by_force(made: &[Vec<u32>], room: &mut Vec<u32>) -> u32 {
        let Some((first, rest)) = made.split_first() else {
            return 0;
        };
        let mut best = largest_by_force(rest, room);
        for expected in first {
            if room[*expected as usize] > 0 {
                room[*expected as usize] -= 1;
                best = best.max(1 + largest_by_force(rest, room));
                room[*expected as usize] += 1;
            }
        }
        best
    }

    fn check_valid(graph: &Graph, shares: &[Vec<Share>]) {
        let mut room = graph.expected.clone();
        for ((made, fits), shares) in graph.made.iter().zip(&graph.fits).zip(shares) {
            assert!(shares.iter().map(|share| share.count).sum::<u32>() <= *made);
            for share in shares {
                assert!(fits.contains(&share.expected));
                room[share.expected as usize] -= share.count;
            }
        }
    }

    #[test]
    fn who_takes_the_first_that_fits_leaves_another_alone() {
        // the first call does for both, the second for the first only
        let graph = Graph {
            made: vec![1, 1],
            expected: vec![1, 1],
            fits: vec![vec![0, 1], vec![0]],
        };
        let shares = graph.largest_matching();
        assert_eq!(size(&shares), 2);
        check_valid(&graph, &shares);
    }

    #[test]
    fn ten_thousand_equal_calls_are_one_node() {
        let graph = Graph {
            made: vec![10_000, 5_000],
            expected: vec![9_000, 4_000],
            fits: vec![vec![0, 1], vec![0]],
        };
        assert_eq!(size(&graph.largest_matching()), 13_000);
    }

    #[test]
    fn a_million_edges_are_matched() {
        // whoever comes early fits everything, the last fits the first only
        let n = 1_000u32;
        let fits: Vec<Vec<u32>> = (0..n).map(|at| (0..n - at).collect()).collect();
        let graph = Graph {
            made: vec![1; n as usize],
            expected: vec![1; n as usize],
            fits,
        };
        assert_eq!(size(&graph.largest_matching()), n);
    }

    #[test]
    fn a_long_chain_of_changes_is_followed() {
        // each call fits its own place and the next; the last comer needs all of them to move
        let n = 5_000u32;
        let mut fits: Vec<Vec<u32>> = (0..n).map(|at| vec![at, at + 1]).collect();
        fits.push(vec![0]);
        let graph = Graph {
            made: vec![1; n as usize + 1],
            expected: vec![1; n as usize + 1],
            fits,
        };
        assert_eq!(size(&graph.largest_matching()), n + 1);
    }

    proptest! {
        #[test]
        fn the_matching_is_as_large_as_the_largest_of_all(
            made in prop::collection::vec(1u32..3, 0..5),
            expected in prop::collection::vec(1u32..3, 0..5),
            bits in any::<u32>(),
        ) {
            let fits: Vec<Vec<u32>> = (0..made.len())
                .map(|m| {
                    let fits = |e: &u32| bits >> (m as u32 * 5 + e) & 1 == 1;
                    (0..expected.len() as u32).filter(fits).collect()
                })
                .collect();
            let graph = Graph { made, expected, fits };
            let shares = graph.largest_matching();
            check_valid(&graph, &shares);
            let units: Vec<Vec<u32>> = graph.made.iter().zip(&graph.fits)
                .flat_map(|(count, fits)| std::iter::repeat_n(fits.clone(), *count as usize))
                .collect();
            let best = largest_by_force(&units, &mut graph.expected.clone());
            prop_assert_eq!(size(&shares), best);
        }
    }
}
