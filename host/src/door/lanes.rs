//! A queue that is fair at every level: between clients; between the peers of those whom nobody knows yet; between what one peer
//! claims to be. Whoever has had the least of the time comes next (start-time fair queueing).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::peer::Peer;

/// What one turn costs at least, in nanoseconds: switching is not free, and it is charged before the turn so that several runners do
/// not all go to the same lane.
pub(super) const QUANTUM: u64 = 100_000;

/// Lanes of one level that are remembered although nobody waits in them.
const MAX_IDLE: usize = 1_024;

/// Where a request came in: the peer, and a digest of the client id it claims. A claim is held against nobody but its own peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entrance {
    pub(super) peer: Option<Peer>,
    pub(super) claim: u64,
}

/// Whose share a request takes: a client's that is known, or the strangers' together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// By a digest of its id.
    Client(u64),
    Stranger(Entrance),
}

/// One step on the way to where a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Client(u64),
    Strangers,
    Peer(Option<Peer>),
    Claim(u64),
}

/// All steps on the way, from the outermost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path([Option<Step>; 3]);

impl Path {
    fn steps(&self) -> impl Iterator<Item = Step> {
        self.0.into_iter().flatten()
    }
}

impl Lane {
    pub(super) fn path(self) -> Path {
        Path(match self {
            Self::Client(client) => [Some(Step::Client(client)), None, None],
            Self::Stranger(Entrance { peer, claim }) => [Some(Step::Strangers), Some(Step::Peer(peer)), Some(Step::Claim(claim))],
        })
    }

    pub(super) fn is_stranger(self) -> bool {
        match self {
            Self::Client(_) => false,
            Self::Stranger(_) => true,
        }
    }
}

/// A request that waits: its place in the order of arrival, and its ticket.
pub(super) type Waiting = (u64, u64);

/// The queue. Nothing is remembered of anybody once nobody waits.
#[derive(Debug, Default)]
pub(super) struct Lanes(Node);

/// What waits below one step. Either it has children, or requests wait here.
#[derive(Debug, Default)]
struct Node {
    /// What it has had of its parent's time.
    spent: u64,
    /// What the child that was called last had spent: whoever comes (back) starts there and has saved nothing up.
    floor: u64,
    length: usize,
    children: HashMap<Step, Node>,
    /// Children with something in them, and those that are only remembered for what they have had.
    ready: BTreeSet<(u64, Step)>,
    idle: BTreeSet<(u64, Step)>,
    waiting: BTreeMap<u64, u64>,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        self.0.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    /// Lets one wait.
    pub(super) fn push(&mut self, path: Path, (order, ticket): Waiting) {
        self.0.push(path.steps(), order, ticket);
    }

    /// Takes out whose turn it is; strangers only where they may come.
    pub(super) fn pop(&mut self, strangers: bool) -> Option<Waiting> {
        let popped = self.0.pop(strangers);
        self.forget();
        popped
    }

    /// Takes one out that gave up.
    pub(super) fn remove(&mut self, path: Path, order: u64) -> bool {
        let removed = self.0.remove(path.steps(), order);
        self.forget();
        removed
    }

    /// Whoever came last into the longest lane, and how many wait in that.
    pub(super) fn last_of_longest(&self) -> Option<(usize, u64)> {
        let mut node = &self.0;
        while let Some(longest) = node.children.values().max_by_key(|child| child.length) {
            node = longest;
        }
        node.waiting.last_key_value().map(|(_, ticket)| (node.length, *ticket))
    }

    /// How many wait in this lane.
    pub(super) fn waiting(&self, path: Path) -> usize {
        let mut steps = path.steps();
        let found = steps.try_fold(&self.0, |node, step| node.children.get(&step));
        found.map_or(0, |node| node.length)
    }

    /// Charges time. Where nobody waits, it has cost nobody anything.
    pub(super) fn charge(&mut self, path: Path, nanoseconds: u64) {
        if !self.is_empty() {
            self.0.charge(path.steps(), nanoseconds);
        }
    }

    /// Whether somebody waits who has had less than this lane.
    pub(super) fn precedes(&self, path: Path) -> bool {
        let Some(own) = path.steps().next() else { return false };
        let Some((first, step)) = self.0.ready.first() else { return false };
        let spent = self.0.children.get(&own).map_or(self.0.floor, |child| child.spent.max(self.0.floor));
        *step != own && *first < spent
    }

    fn forget(&mut self) {
        if self.is_empty() {
            self.0 = Node::default();
        }
    }
}

impl Node {
    fn push(&mut self, mut steps: impl Iterator<Item = Step>, order: u64, ticket: u64) {
        self.length += 1;
        let Some(step) = steps.next() else {
            self.waiting.insert(order, ticket);
            return;
        };
        let floor = self.floor;
        let child = self.children.entry(step).or_default();
        if child.length == 0 {
            self.idle.remove(&(child.spent, step));
            child.spent = child.spent.max(floor);
            self.ready.insert((child.spent, step));
        }
        child.push(steps, order, ticket);
    }

    fn pop(&mut self, strangers: bool) -> Option<Waiting> {
        if let Some(first) = self.waiting.pop_first() {
            self.length -= 1;
            return Some(first);
        }
        let (spent, step) = self.ready.iter().find(|(_, step)| strangers || *step != Step::Strangers).copied()?;
        let child = self.children.get_mut(&step)?;
        let popped = child.pop(strangers)?;
        self.length -= 1;
        self.floor = self.floor.max(spent);
        self.ready.remove(&(spent, step));
        child.spent = spent.saturating_add(QUANTUM);
        let place = if child.length == 0 { &mut self.idle } else { &mut self.ready };
        place.insert((child.spent, step));
        self.sweep();
        Some(popped)
    }

    fn remove(&mut self, mut steps: impl Iterator<Item = Step>, order: u64) -> bool {
        let Some(step) = steps.next() else {
            let removed = self.waiting.remove(&order).is_some();
            self.length -= usize::from(removed);
            return removed;
        };
        let Some(child) = self.children.get_mut(&step) else { return false };
        let removed = child.remove(steps, order);
        if removed {
            self.length -= 1;
            if child.length == 0 {
                self.ready.remove(&(child.spent, step));
                self.idle.insert((child.spent, step));
            }
        }
        removed
    }

    fn charge(&mut self, mut steps: impl Iterator<Item = Step>, nanoseconds: u64) {
        let Some(step) = steps.next() else { return };
        let floor = self.floor;
        let child = self.children.entry(step).or_default();
        let place = if child.length == 0 { &mut self.idle } else { &mut self.ready };
        place.remove(&(child.spent, step));
        child.spent = child.spent.max(floor).saturating_add(nanoseconds);
        place.insert((child.spent, step));
        child.charge(steps, nanoseconds);
    }

    /// Forgets children that have had no more than whoever comes now, and of too many those that have had least.
    fn sweep(&mut self) {
        while self.idle.len() > MAX_IDLE
            && let Some((_, step)) = self.idle.pop_first()
        {
            self.children.remove(&step);
        }
        while let Some((spent, step)) = self.idle.first().copied().filter(|(spent, _)| *spent <= self.floor) {
            self.idle.remove(&(spent, step));
            self.children.remove(&step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(peer: u8, claim: u64) -> Lane {
        Lane::Stranger(Entrance { peer: Peer::named(&format!("192.0.2.{peer}")), claim })
    }

    /// Serves everybody in turn, each turn at its price; in which order.
    fn served(lanes: &mut Lanes, by: &HashMap<u64, (Lane, u64)>, turns: usize) -> Vec<u64> {
        let serve = |_| {
            let (_, ticket) = lanes.pop(true)?;
            let (lane, price) = by[&ticket];
            lanes.charge(lane.path(), price);
            Some(ticket)
        };
        (0..turns).map_while(serve).collect()
    }

    #[test]
    fn the_second_client_does_not_wait_behind_the_first_ones_flood() {
        let mut lanes = Lanes::default();
        for order in 0..600 {
            lanes.push(Lane::Client(1).path(), (order, order));
        }
        lanes.pop(true);
        lanes.push(Lane::Client(2).path(), (600, 600));
        assert_eq!(lanes.pop(true), Some((600, 600)));
        assert_eq!(lanes.pop(true), Some((1, 1)), "in the order of arrival within a lane");
    }

    #[test]
    fn time_is_shared_and_not_the_number_of_turns() {
        let mut lanes = Lanes::default();
        let mut by = HashMap::new();
        for order in 0..400 {
            let (lane, price) = if order % 2 == 0 { (Lane::Client(1), 10 * QUANTUM) } else { (Lane::Client(2), QUANTUM) };
            by.insert(order, (lane, price));
            lanes.push(lane.path(), (order, order));
        }
        let turns = served(&mut lanes, &by, 110);
        let dear = turns.iter().filter(|order| *order % 2 == 0).count();
        assert!((15..=25).contains(&dear), "{dear} of 110: eleven quanta against two");
    }

    #[test]
    fn neither_many_peers_nor_many_claims_outweigh_a_client() {
        let mut lanes = Lanes::default();
        let mut by = HashMap::new();
        for order in 0..300 {
            // One peer with a claim for every request, a hundred peers, and one client.
            let lane = match order % 3 {
                0 => stranger(1, order),
                1 => stranger(u8::try_from(order / 3 + 2).unwrap(), 0),
                _ => Lane::Client(1),
            };
            by.insert(order, (lane, QUANTUM));
            lanes.push(lane.path(), (order, order));
        }
        let turns = served(&mut lanes, &by, 100);
        let of = |kind| turns.iter().filter(|order| *order % 3 == kind).count();
        assert!(of(2) >= 45, "half is the client's: {}", of(2));
        assert!(of(0) <= 3, "many claims of one peer are one peer: {}", of(0));
    }

    #[test]
    fn whoever_waited_for_nothing_has_saved_nothing_up() {
        let mut lanes = Lanes::default();
        let mut by = HashMap::new();
        for order in 0..100 {
            by.insert(order, (Lane::Client(1), QUANTUM));
            lanes.push(Lane::Client(1).path(), (order, order));
        }
        served(&mut lanes, &by, 50);
        for order in 100..200 {
            by.insert(order, (Lane::Client(2), QUANTUM));
            lanes.push(Lane::Client(2).path(), (order, order));
        }
        let turns = served(&mut lanes, &by, 20);
        let second = turns.iter().filter(|order| **order >= 100).count();
        assert!((9..=11).contains(&second), "{second}");
    }

    #[test]
    fn strangers_are_passed_over_where_they_may_not_come() {
        let mut lanes = Lanes::default();
        lanes.push(stranger(1, 0).path(), (0, 0));
        assert_eq!(lanes.pop(false), None);
        lanes.push(Lane::Client(1).path(), (1, 1));
        assert_eq!(lanes.pop(false), Some((1, 1)));
        assert_eq!(lanes.pop(true), Some((0, 0)));
    }

    #[test]
    fn whoever_gives_up_leaves_nothing_behind() {
        let mut lanes = Lanes::default();
        for order in 0..10 {
            lanes.push(stranger(1, order).path(), (order, order));
        }
        lanes.pop(true);
        for order in 0..10 {
            lanes.charge(stranger(1, order).path(), 1);
            lanes.remove(stranger(1, order).path(), order);
        }
        assert!(lanes.is_empty() && lanes.0.children.is_empty() && lanes.0.idle.is_empty());
        assert!(!lanes.remove(stranger(1, 1).path(), 1));
    }

    #[test]
    fn what_was_served_long_ago_is_forgotten() {
        let mut lanes = Lanes::default();
        for order in 0..10_000 {
            lanes.push(stranger(1, order).path(), (order, order));
            if order > 0 {
                lanes.pop(true);
            }
        }
        let peer = &lanes.0.children[&Step::Strangers].children[&Step::Peer(Peer::named("192.0.2.1"))];
        assert!(peer.children.len() <= MAX_IDLE + 2, "{}", peer.children.len());
    }

    #[test]
    fn the_longest_lane_is_named_by_its_last() {
        let mut lanes = Lanes::default();
        for order in 0..5 {
            lanes.push(stranger(1, 1).path(), (order, order));
        }
        lanes.push(stranger(2, 1).path(), (5, 5));
        assert_eq!(lanes.last_of_longest(), Some((5, 4)));
        let waiting = |peer, claim| lanes.waiting(stranger(peer, claim).path());
        assert_eq!((waiting(1, 1), waiting(2, 1), waiting(1, 2), waiting(3, 1)), (5, 1, 0, 0));
    }
}
