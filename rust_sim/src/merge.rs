//! The total order of what happens next: (time, kind, source rank). A winner tree over any number of queues.

/// When something is due: time in nanoseconds, then kind and rank packed so that the smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) ts: i64,
    pub(crate) order: u32,
}

impl Due {
    /// Nothing is due.
    pub(crate) const NEVER: Due = Due { ts: i64::MAX, order: u32::MAX };
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
    pub(crate) fn due(self, ts: i64, rank: u16) -> Due {
        Due { ts, order: (self as u32) << 16 | u32::from(rank) }
    }
}

/// Finds the queue whose head is due first, in time logarithmic in the number of queues.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    heads: Vec<Due>,
    /// Winners: node 1 is the root, the children of n are 2n and 2n + 1, leaves follow the inner nodes.
    winners: Vec<u32>,
    width: usize,
}

impl Merge {
    pub(crate) fn new(queues: usize) -> Self {
        let width = queues.next_power_of_two().max(2);
        let mut winners = vec![0; width * 2];
        for (leaf, slot) in winners[width..].iter_mut().enumerate() {
            *slot = leaf as u32;
        }
        let mut merge = Merge { heads: vec![Due::NEVER; width], winners, width };
        for queue in 0..queues {
            merge.set(queue, Due::NEVER);
        }
        merge
    }

    /// Says when the head of a queue is due.
    #[inline]
    pub(crate) fn set(&mut self, queue: usize, due: Due) {
        self.heads[queue] = due;
        let mut node = (self.width + queue) / 2;
        while node >= 1 {
            let (left, right) = (self.winners[node * 2], self.winners[node * 2 + 1]);
            let right_first = self.heads[right as usize] < self.heads[left as usize];
            self.winners[node] = if right_first { right } else { left };
            node /= 2;
        }
    }

    /// Whether nothing is due in a queue.
    pub(crate) fn is_never(&self, queue: usize) -> bool {
        self.heads[queue] == Due::NEVER
    }

    /// The queue that is due first.
    #[inline]
    pub(crate) fn first(&self) -> (usize, Due) {
        let queue = self.winners[1] as usize;
        (queue, self.heads[queue])
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
            }
        }
    }
}
