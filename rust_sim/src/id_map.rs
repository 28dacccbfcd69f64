//! From an order's id to its slot in the book, in a table that grows without a pause.
//!
//! Open addressing with linear probing. A cell holds the upper half of the id's hash and the slot; the id itself is
//! compared in the book, whose node the caller reads next in any case. When the table is half full a larger one takes
//! its place and every later change moves a few cells over: doubling at once would stop one unlucky command for tens
//! of milliseconds. Nothing ever iterates the table, so its order cannot be seen.

use crate::types::{Family, OrderId};

const EMPTY: u64 = 0;
const MOVED: u64 = 1;
const FIRST_SLOT: u64 = 2;
/// Cells that each change moves while a larger table takes over.
const MOVES: usize = 8;
const SMALLEST: usize = 1 << 10;

#[derive(Clone, Debug)]
struct Table {
    cells: Vec<u64>,
    shift: u32,
}

impl Table {
    fn new(size: usize) -> Self {
        Table { cells: vec![EMPTY; size], shift: 32 - size.trailing_zeros() }
    }

    /// The cell where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline]
    fn next(&self, cell: usize) -> usize {
        (cell + 1) & (self.cells.len() - 1)
    }

    #[inline]
    fn insert(&mut self, hash: u32, content: u64) {
        let mut at = self.home(hash);
        while self.cells[at] > MOVED {
            at = self.next(at);
        }
        self.cells[at] = content;
    }

    #[inline]
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let content = self.cells[at];
            if content == EMPTY {
                return None;
            }
            if (content >> 32) as u32 == hash && content != MOVED && is_it(slot_of(content)) {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    /// Empties a cell and closes the gap, so that no search ever has to step over graves.
    #[inline]
    fn remove(&mut self, mut gap: usize) {
        let mut at = self.next(gap);
        loop {
            let content = self.cells[at];
            if content == EMPTY {
                break;
            }
            let home = self.home((content >> 32) as u32);
            let mask = self.cells.len() - 1;
            // The content may move back into the gap unless its home lies behind the gap, cyclically.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.cells[gap] = content;
                gap = at;
            }
            at = self.next(at);
        }
        self.cells[gap] = EMPTY;
    }
}

#[inline]
fn slot_of(content: u64) -> u32 {
    (content as u32).wrapping_sub(FIRST_SLOT as u32)
}

#[inline]
fn hash_of(id: OrderId, family: Family) -> u32 {
    // A folded multiplication: every bit of the id reaches every bit of the hash, whatever pattern the venue numbers by.
    let key = id.0
        ^ match family {
            Family::Record => 0xA076_1D64_78BD_642F,
            Family::Order => 0xE703_7ED1_A0B4_28DB,
        };
    let wide = u128::from(key) * 0x9E37_79B9_7F4A_7C15_u128;
    let folded = (wide >> 64) as u64 ^ wide as u64;
    (folded >> 32) as u32
}

/// The table of ids.
#[derive(Clone, Debug)]
pub(crate) struct IdMap {
    now: Table,
    old: Option<Table>,
    moved_to: usize,
    len: usize,
}

impl IdMap {
    pub(crate) fn new() -> Self {
        IdMap { now: Table::new(SMALLEST), old: None, moved_to: 0, len: 0 }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// The slot of an id; `is_it` says whether a slot holds exactly that id and family.
    #[inline]
    pub(crate) fn find(&self, id: OrderId, family: Family, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash_of(id, family);
        if let Some(at) = self.now.find(hash, &is_it) {
            return Some(slot_of(self.now.cells[at]));
        }
        let old = self.old.as_ref()?;
        old.find(hash, &is_it).map(|at| slot_of(old.cells[at]))
    }

    /// Remembers an id that is not in the table.
    #[inline]
    pub(crate) fn insert(&mut self, id: OrderId, family: Family, slot: u32) {
        if self.len * 2 >= self.now.cells.len() && self.old.is_none() {
            self.grow();
        }
        let hash = hash_of(id, family);
        self.now.insert(hash, u64::from(hash) << 32 | (u64::from(slot) + FIRST_SLOT));
        self.len += 1;
        if self.old.is_some() {
            self.move_some();
        }
    }

    /// Forgets an id that sits in `slot`.
    #[inline]
    pub(crate) fn remove(&mut self, id: OrderId, family: Family, slot: u32) {
        let hash = hash_of(id, family);
        if let Some(at) = self.now.find(hash, |other| other == slot) {
            self.now.remove(at);
            self.len -= 1;
        } else if let Some(old) = self.old.as_mut()
            && let Some(at) = old.find(hash, |other| other == slot)
        {
            old.cells[at] = MOVED;
            self.len -= 1;
        }
        if self.old.is_some() {
            self.move_some();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.now.cells.fill(EMPTY);
        self.old = None;
        self.len = 0;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = Table::new(self.now.cells.len() * 2);
        self.old = Some(std::mem::replace(&mut self.now, larger));
        self.moved_to = 0;
    }

    fn move_some(&mut self) {
        let Some(old) = self.old.as_mut() else { return };
        let end = (self.moved_to + MOVES).min(old.cells.len());
        for at in self.moved_to..end {
            let content = old.cells[at];
            if content > MOVED {
                self.now.insert((content >> 32) as u32, content);
                old.cells[at] = MOVED;
            }
        }
        self.moved_to = end;
        if end == old.cells.len() {
            self.old = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_agrees_with_the_standard_map(steps in prop::collection::vec((any::<bool>(), 0u64..3_000), 1..6_000)) {
            let mut fast = IdMap::new();
            let mut ids: Vec<u64> = Vec::new();
            let mut slow: BTreeMap<u64, u32> = BTreeMap::new();
            for (insert, id) in steps {
                let key = OrderId(id << 40);
                let found = fast.find(key, Family::Order, |slot| ids[slot as usize] == id);
                prop_assert_eq!(found, slow.get(&id).copied());
                match (insert, found) {
                    (true, None) => {
                        let slot = ids.len() as u32;
                        ids.push(id);
                        fast.insert(key, Family::Order, slot);
                        slow.insert(id, slot);
                    }
                    (false, Some(slot)) => {
                        fast.remove(key, Family::Order, slot);
                        slow.remove(&id);
                    }
                    _ => {}
                }
                prop_assert_eq!(fast.len(), slow.len());
            }
        }
    }

    #[test]
    fn it_grows_through_many_doublings() {
        let mut map = IdMap::new();
        for id in 0..200_000_u32 {
            map.insert(OrderId(u64::from(id)), Family::Record, id);
        }
        for id in 0..200_000_u32 {
            assert_eq!(map.find(OrderId(u64::from(id)), Family::Record, |slot| slot == id), Some(id));
        }
        assert_eq!(map.find(OrderId(1), Family::Order, |_| true), None);
    }
}
