//! The price levels of one side, best first.
//!
//! Prices are ranks (see [`crate::types::Side::rank`]): the smaller, the better. Sixteen neighbouring ranks share a
//! block; blocks are found through a small direct-mapped cache and, behind it, an ordered map that is the truth. Near
//! the touch a level costs two loads, and a level a million ticks away costs a map look-up, never a wide array.

use std::collections::{BTreeMap, VecDeque};

use crate::arena::Arena;

pub(crate) const NIL: u32 = u32::MAX;
const WIDTH_BITS: u32 = 4;
pub(crate) const WIDTH: usize = 1 << WIDTH_BITS;
const NEAR: usize = 64;
/// Blocks are taken in steps of 7 kB, so that a new book is cheap.
const BLOCKS_PER_STEP: usize = 16;
/// Empty blocks that stay in place, so that a price which comes back finds its block again.
const IDLE_MAX: usize = 256;

/// The queue at one price: oldest order first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) qty: i64,
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) count: u32,
    /// How many of the orders are of the family that the engine matches.
    pub(crate) ours: u32,
}

impl Default for Level {
    fn default() -> Self {
        Level { qty: 0, head: NIL, tail: NIL, count: 0, ours: 0 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    number: i64,
    filled: u16,
    idle: bool,
    levels: [Level; WIDTH],
}

/// Where a level lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) block: u32,
    pub(crate) index: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    blocks: Arena<Block, BLOCKS_PER_STEP>,
    order: BTreeMap<i64, u32>,
    near: Box<[(i64, u32); NEAR]>,
    idle: VecDeque<u32>,
    best: Option<(i64, Place)>,
    levels: usize,
}

#[inline]
fn split(rank: i64) -> (i64, u32) {
    (rank >> WIDTH_BITS, (rank & (WIDTH as i64 - 1)) as u32)
}

#[inline]
fn near_slot(number: i64) -> usize {
    (number & (NEAR as i64 - 1)) as usize
}

impl Ladder {
    pub(crate) fn new() -> Self {
        Ladder {
            blocks: Arena::new(),
            order: BTreeMap::new(),
            near: Box::new([(i64::MIN, NIL); NEAR]),
            idle: VecDeque::new(),
            best: None,
            levels: 0,
        }
    }

    /// Rank and place of the best level that holds an order.
    #[inline]
    pub(crate) fn best(&self) -> Option<(i64, Place)> {
        self.best
    }

    /// How many prices hold an order.
    pub(crate) fn levels(&self) -> usize {
        self.levels
    }

    #[inline]
    pub(crate) fn level(&self, place: Place) -> &Level {
        &self.blocks.at(place.block).levels[place.index as usize & (WIDTH - 1)]
    }

    #[inline]
    pub(crate) fn level_mut(&mut self, place: Place) -> &mut Level {
        &mut self.blocks.at_mut(place.block).levels[place.index as usize & (WIDTH - 1)]
    }

    #[inline]
    pub(crate) fn rank_of(&self, place: Place) -> i64 {
        self.blocks.at(place.block).number << WIDTH_BITS | i64::from(place.index)
    }

    /// The place of a rank that may hold nothing.
    #[inline]
    pub(crate) fn find(&self, rank: i64) -> Option<Place> {
        let (number, index) = split(rank);
        let (cached, block) = self.near[near_slot(number)];
        if cached == number {
            return Some(Place { block, index });
        }
        self.order.get(&number).map(|&block| Place { block, index })
    }

    /// The place of a rank, made if it was not there.
    #[inline]
    pub(crate) fn find_or_make(&mut self, rank: i64) -> Place {
        let (number, index) = split(rank);
        let (cached, block) = self.near[near_slot(number)];
        if cached == number {
            return Place { block, index };
        }
        Place { block: self.find_far(number), index }
    }

    #[cold]
    #[inline(never)]
    fn find_far(&mut self, number: i64) -> u32 {
        let block = match self.order.get(&number) {
            Some(&block) => block,
            None => self.make(number),
        };
        self.near[near_slot(number)] = (number, block);
        block
    }

    fn make(&mut self, number: i64) -> u32 {
        if self.idle.len() > IDLE_MAX {
            self.retire_one();
        }
        let block = self.blocks.take();
        *self.blocks.at_mut(block) = Block { number, ..Block::default() };
        self.order.insert(number, block);
        block
    }

    /// Gives back the block that has been empty longest.
    fn retire_one(&mut self) {
        while let Some(block) = self.idle.pop_front() {
            let entry = self.blocks.at_mut(block);
            entry.idle = false;
            if entry.filled != 0 {
                continue;
            }
            let number = entry.number;
            self.order.remove(&number);
            if self.near[near_slot(number)].0 == number {
                self.near[near_slot(number)] = (i64::MIN, NIL);
            }
            self.blocks.give(block);
            return;
        }
    }

    /// A level got its first order.
    #[inline]
    pub(crate) fn opened(&mut self, rank: i64, place: Place) {
        self.blocks.at_mut(place.block).filled |= 1 << place.index;
        self.levels += 1;
        if self.best.is_none_or(|(best, _)| rank < best) {
            self.best = Some((rank, place));
        }
    }

    /// A level lost its last order.
    #[inline]
    pub(crate) fn closed(&mut self, place: Place) {
        let block = self.blocks.at_mut(place.block);
        block.filled &= !(1 << place.index);
        let rank = block.number << WIDTH_BITS | i64::from(place.index);
        if block.filled == 0 && !block.idle {
            block.idle = true;
            self.idle.push_back(place.block);
        }
        self.levels -= 1;
        if self.best.is_some_and(|(best, _)| best == rank) {
            self.best = self.after_place(rank, place.block);
        }
    }

    /// The next level behind a rank that holds an order.
    pub(crate) fn after(&self, rank: i64) -> Option<(i64, Place)> {
        match self.find(rank) {
            Some(place) => self.after_place(rank, place.block),
            None => self.first_from_block((rank >> WIDTH_BITS) + 1),
        }
    }

    #[inline]
    fn after_place(&self, rank: i64, block: u32) -> Option<(i64, Place)> {
        let (number, index) = split(rank);
        let behind = self.blocks.at(block).filled & (u16::MAX << index << 1);
        if behind != 0 {
            let index = behind.trailing_zeros();
            return Some((number << WIDTH_BITS | i64::from(index), Place { block, index }));
        }
        self.first_from_block(number + 1)
    }

    #[inline(never)]
    fn first_from_block(&self, number: i64) -> Option<(i64, Place)> {
        // Without this, a side that empties and fills again would look through all its idle blocks each time.
        if self.levels == 0 {
            return None;
        }
        self.order.range(number..).find_map(|(&number, &block)| {
            let filled = self.blocks.at(block).filled;
            let index = filled.trailing_zeros();
            (filled != 0).then(|| (number << WIDTH_BITS | i64::from(index), Place { block, index }))
        })
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.order.clear();
        self.near.fill((i64::MIN, NIL));
        self.idle.clear();
        self.best = None;
        self.levels = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_orders_levels_like_a_sorted_set(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![-40i64..40, -2_000_000_000i64..2_000_000_000]), 1..800)
        ) {
            let mut ladder = Ladder::new();
            let mut set = BTreeSet::new();
            for (open, rank) in steps {
                if open && set.insert(rank) {
                    let place = ladder.find_or_make(rank);
                    ladder.opened(rank, place);
                } else if !open && set.remove(&rank) {
                    let place = ladder.find(rank).expect("an open level has a place");
                    ladder.closed(place);
                }
                prop_assert_eq!(ladder.best().map(|(rank, _)| rank), set.first().copied());
                prop_assert_eq!(ladder.levels(), set.len());
                prop_assert_eq!(
                    ladder.after(rank).map(|(rank, _)| rank),
                    set.range(rank + 1..).next().copied()
                );
            }
            let mut walked = Vec::new();
            let mut at = ladder.best();
            while let Some((rank, place)) = at {
                prop_assert_eq!(ladder.rank_of(place), rank);
                walked.push(rank);
                at = ladder.after(rank);
            }
            prop_assert_eq!(walked, set.into_iter().collect::<Vec<_>>());
        }
    }
}
