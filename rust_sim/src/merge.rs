//! The total order of what happens next: (time, kind, source rank). A winner tree over any number of queues.

/// When something is due: time in nanoseconds, then kind and rank. Packed so that one comparison decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(u128);

impl Due {
    /// Before everything.
    pub(crate) const FIRST: Due = Due(0);
    /// Nothing is due.
    pub(crate) const NEVER: Due = Due(u128::MAX);
}

/// Kinds of the total order, first to last at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Record = 0,
    AtVenue = 1,
    Answer = 2,
    Delivery = 3,
    Timer = 4,
}

impl Kind {
    #[inline]
    pub(crate) fn due(self, ts: i64, rank: u16) -> Due {
        // With the sign bit turned over, signed times compare like unsigned ones.
        let time = (ts as u64) ^ (1 << 63);
        Due(u128::from(time) << 64 | (self as u128) << 16 | u128::from(rank))
    }
}

/// Up to this many queues are simply looked through: that is quicker than keeping a tree.
const FEW: usize = 8;

/// Finds the queue whose head is due first: by a look at each where they are few, else in a tree of winners.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    heads: Vec<Due>,
    /// Winners: node 1 is the root, the children of n are 2n and 2n + 1, leaves follow the inner nodes. Empty where
    /// the queues are few.
    winners: Vec<u32>,
}

impl Merge {
    pub(crate) fn new(queues: usize) -> Self {
        if queues <= FEW {
            return Merge { heads: vec![Due::NEVER; FEW], winners: Vec::new() };
        }
        let width = queues.next_power_of_two();
        let mut winners = vec![0; width * 2];
        for node in (1..width * 2).rev() {
            winners[node] = if node >= width { (node - width) as u32 } else { winners[node * 2] };
        }
        Merge { heads: vec![Due::NEVER; width], winners }
    }

    /// Says when the head of a queue is due.
    #[inline]
    pub(crate) fn set(&mut self, queue: usize, due: Due) {
        self.heads[queue] = due;
        if !self.winners.is_empty() {
            self.play(queue);
        }
    }

    fn play(&mut self, queue: usize) {
        let mut node = (self.heads.len() + queue) / 2;
        while node >= 1 {
            let (left, right) = (self.winners[node * 2], self.winners[node * 2 + 1]);
            let right_first = self.heads[right as usize] < self.heads[left as usize];
            self.winners[node] = if right_first { right } else { left };
            node /= 2;
        }
    }

    /// When the head of a queue is due.
    #[inline]
    pub(crate) fn due(&self, queue: usize) -> Due {
        self.heads[queue]
    }

    /// When the first of all other queues is due.
    #[inline]
    pub(crate) fn first_but(&self, queue: usize) -> Due {
        let mut first = Due::NEVER;
        if self.winners.is_empty() {
            for (other, &due) in self.heads.iter().enumerate() {
                if other != queue {
                    first = first.min(due);
                }
            }
            return first;
        }
        // Whoever is first without this queue has beaten all but those that this queue met on its way to the root.
        let mut node = self.heads.len() + queue;
        while node > 1 {
            first = first.min(self.heads[self.winners[node ^ 1] as usize]);
            node /= 2;
        }
        first
    }

    /// The queue that is due first.
    #[inline]
    pub(crate) fn first(&self) -> (usize, Due) {
        if let Some(&winner) = self.winners.get(1) {
            return (winner as usize, self.heads[winner as usize]);
        }
        let mut first = (0, self.heads[0]);
        for (queue, &due) in self.heads.iter().enumerate().skip(1) {
            if due < first.1 {
                first = (queue, due);
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_the_smallest_of_all(
            queues in 1usize..20,
            sets in prop::collection::vec((0usize..20, -5i64..5, 0u16..3), 1..200)
        ) {
            let mut merge = Merge::new(queues);
            let mut heads = vec![Due::NEVER; queues];
            for (queue, ts, rank) in sets {
                let queue = queue % queues;
                heads[queue] = Kind::Delivery.due(ts, rank);
                merge.set(queue, heads[queue]);
                prop_assert_eq!(Some(&merge.first().1), heads.iter().min());
                let others = heads.iter().enumerate().filter(|&(other, _)| other != queue).map(|(_, &due)| due);
                prop_assert_eq!(merge.first_but(queue), others.min().unwrap_or(Due::NEVER));
            }
        }
    }
}
