//! Strongly connected components, without recursion.

/// No vertex, or no place.
pub(super) const NONE: u32 = u32::MAX;

/// A directed graph, as the search sees it.
pub(super) trait Graph {
    /// How many vertices; fewer than 2^31.
    fn vertices_count(&self) -> usize;

    /// The next vertex behind this one. The cursor begins with 0 and is the graph's own.
    fn next(&self, vertex: u32, cursor: &mut u32) -> Option<u32>;
}

/// Labels each vertex that the roots reach with its component. Edges between components go from a smaller label to a
/// greater one, so labels are a topological order; what is not reached has the label 0.
///
/// `found` is told each component, the last ones in that order first. O(vertices + edges), 4 bytes a vertex and 4 to 16 for
/// each one on the way (Pearce, "A space-efficient algorithm for finding strongly connected components", 2016).
pub(super) fn components(
    graph: &impl Graph,
    roots: impl Iterator<Item = u32>,
    mut found: impl FnMut(u32, &[u32]),
) -> Vec<u32> {
    let mut labels = vec![0_u32; graph.vertices_count()];
    // Places on the way count up from 1, labels of finished components down from the top: they never meet.
    let mut index = 1;
    let mut label = NONE - 1;
    let mut waiting: Vec<u32> = Vec::new();
    let mut way: Vec<(u32, u32, u32)> = Vec::new();
    for root in roots {
        if labels[root as usize] != 0 {
            continue;
        }
        labels[root as usize] = index;
        way.push((root, 0, index));
        index += 1;
        while let Some((vertex, cursor, own)) = way.last_mut() {
            let (vertex, own) = (*vertex, *own);
            if let Some(next) = graph.next(vertex, cursor) {
                let seen = labels[next as usize];
                if seen == 0 {
                    labels[next as usize] = index;
                    way.push((next, 0, index));
                    index += 1;
                } else if seen < labels[vertex as usize] {
                    labels[vertex as usize] = seen;
                }
                continue;
            }
            way.pop();
            waiting.push(vertex);
            let low = labels[vertex as usize];
            if low == own {
                // Whatever waits since this one's visit hangs together with it.
                let from = waiting.iter().rposition(|&other| labels[other as usize] < own).map_or(0, |place| place + 1);
                for &member in &waiting[from..] {
                    labels[member as usize] = label;
                }
                index -= (waiting.len() - from) as u32;
                found(label, &waiting[from..]);
                waiting.truncate(from);
                label -= 1;
            }
            if let Some((before, _, _)) = way.last() {
                let before = *before as usize;
                labels[before] = labels[before].min(labels[vertex as usize]);
            }
        }
    }
    labels
}

/// Edges by their beginning.
#[derive(Debug, Default)]
pub(super) struct Csr {
    starts: Vec<u32>,
    heads: Vec<u32>,
}

impl Csr {
    /// Of edges that can be walked twice. O(vertices + edges).
    pub fn new<I: Iterator<Item = (u32, u32)>>(count: usize, edges: impl Fn() -> I) -> Csr {
        // Counted one place to the right, so that each start moves to its end while heads are filled in.
        let mut starts = vec![0_u32; count + 2];
        for (from, _) in edges() {
            starts[from as usize + 2] += 1;
        }
        for vertex in 2..starts.len() {
            starts[vertex] += starts[vertex - 1];
        }
        let mut heads = vec![0; starts[count + 1] as usize];
        for (from, to) in edges() {
            let place = &mut starts[from as usize + 1];
            heads[*place as usize] = to;
            *place += 1;
        }
        starts.pop();
        Csr { starts, heads }
    }

    /// The vertices behind this one.
    pub fn of(&self, vertex: u32) -> &[u32] {
        &self.heads[self.starts[vertex as usize] as usize..self.starts[vertex as usize + 1] as usize]
    }

    /// How many vertices.
    pub fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
}

impl Graph for Csr {
    fn vertices_count(&self) -> usize {
        self.count()
    }

    fn next(&self, vertex: u32, cursor: &mut u32) -> Option<u32> {
        let next = self.of(vertex).get(*cursor as usize).copied();
        *cursor += 1;
        next
    }
}
