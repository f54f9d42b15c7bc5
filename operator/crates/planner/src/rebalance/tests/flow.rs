//! Minimum-cost flow by successive shortest paths, as an exact oracle for small models.

/// A directed edge with what it may still carry; `pair` is the reverse edge.
#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    room: i64,
    cost: i64,
    pair: usize,
}

/// A network under construction.
#[derive(Default)]
pub(super) struct Network {
    edges: Vec<Edge>,
    out: Vec<Vec<usize>>,
}

impl Network {
    pub(super) fn node(&mut self) -> usize {
        self.out.push(Vec::new());
        self.out.len() - 1
    }

    /// Adds an edge and returns its number.
    pub(super) fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) -> usize {
        let number = self.edges.len();
        self.edges.push(Edge { to, room, cost, pair: number + 1 });
        self.edges.push(Edge { to: from, room: 0, cost: -cost, pair: number });
        self.out[from].push(number);
        self.out[to].push(number + 1);
        number
    }

    /// What an edge carries.
    pub(super) fn carried(&self, edge: usize) -> i64 {
        self.edges[self.edges[edge].pair].room
    }

    /// Sends as much as it can at the least cost; returns both.
    pub(super) fn run(&mut self, from: usize, to: usize) -> (i64, i64) {
        let (mut sent, mut cost) = (0, 0);
        while let Some(path) = self.cheapest(from, to) {
            let room = path.iter().map(|edge| self.edges[*edge].room).min().unwrap_or(0);
            for edge in path {
                self.edges[edge].room -= room;
                let pair = self.edges[edge].pair;
                self.edges[pair].room += room;
                cost += room * self.edges[edge].cost;
            }
            sent += room;
        }
        (sent, cost)
    }

    /// The cheapest path with room, by relaxing edges from a queue.
    fn cheapest(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut cost = vec![i64::MAX; self.out.len()];
        let mut came: Vec<Option<usize>> = vec![None; self.out.len()];
        let mut queue = std::collections::VecDeque::from([from]);
        let mut is_queued = vec![false; self.out.len()];
        cost[from] = 0;
        while let Some(node) = queue.pop_front() {
            is_queued[node] = false;
            for &edge in self.out[node].iter().filter(|edge| self.edges[**edge].room > 0) {
                let next = self.edges[edge].to;
                let through = cost[node] + self.edges[edge].cost;
                if through < cost[next] {
                    cost[next] = through;
                    came[next] = Some(edge);
                    if !std::mem::replace(&mut is_queued[next], true) {
                        queue.push_back(next);
                    }
                }
            }
        }
        came[to]?;
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            let edge = came[at].expect("every node of the path was reached");
            path.push(edge);
            at = self.edges[self.edges[edge].pair].to;
        }
        Some(path)
    }
}
