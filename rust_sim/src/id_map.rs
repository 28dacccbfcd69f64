//! From an order's id to its slot in the book, in a table that grows without a pause.
//!
//! What an order costs in a large book is mostly the wait for this table, so the table is made for that wait. An entry
//! lies in a *bucket* of one cache line: a look-up loads one line, compares all its entries at once by their tags, and
//! takes one turn that the processor nearly always foresees, so that the next commands begin while the line is on its
//! way. A full bucket hands on to the next one of its page; an id is compared in the book, whose node the caller reads
//! next in any case.
//!
//! Buckets lie in pages of 8 kB. The table grows by linear hashing (Litwin 1980), one page at a time: the next page in
//! turn hands half of its entries to a new one. Doubling at once would stop one unlucky command for tens of
//! milliseconds. Nothing ever iterates the table in a way that its order could be seen.

use std::collections::BTreeMap;

use crate::prefetch::prefetch;
use crate::types::{Family, OrderId};

/// Entries of a bucket: with their tags they fill a cache line.
const WAYS: usize = 7;
/// The upper bit of each tag, which says that the way is in use.
const USED: u64 = 0x0080_8080_8080_8080;
const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
/// Buckets of a page.
const BUCKETS: usize = 128;
const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();
/// Entries for each page at which one more page is made. Pages that wait for their turn hold up to twice as many.
const ENTRIES_PER_PAGE: usize = BUCKETS * 5 / 2;

/// One cache line: a byte of tag for each way, then hash and slot of each.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: u64,
    cells: [u64; WAYS],
}

impl Bucket {
    #[inline]
    fn is_full(&self) -> bool {
        self.tags & USED == USED
    }

    /// The ways whose tag is the one of `hash`, a bit in the byte of each. A way above a true one may be named falsely.
    #[inline]
    fn alike(&self, hash: u32) -> u64 {
        let zero_where_alike = self.tags ^ tag_of(hash).wrapping_mul(EVERY_BYTE);
        zero_where_alike.wrapping_sub(EVERY_BYTE) & !zero_where_alike & USED
    }

    /// The way of an entry that `is_it` accepts.
    #[inline]
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut alike = self.alike(hash);
        while alike != 0 {
            let way = way_of(alike);
            let cell = self.cells[way];
            if (cell >> 32) as u32 == hash && is_it(cell as u32) {
                return Some(way);
            }
            alike &= alike - 1;
        }
        None
    }

    /// Puts an entry into a bucket that is not full.
    #[inline]
    fn put(&mut self, cell: u64) {
        let way = way_of(!self.tags & USED);
        self.tags |= tag_of((cell >> 32) as u32) << (8 * way);
        self.cells[way] = cell;
    }

    #[inline]
    fn empty(&mut self, way: usize) {
        self.tags &= !(0xFF << (8 * way));
    }

    /// The ways in use, first to last.
    fn entries(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        (0..WAYS).filter(|way| self.tags >> (8 * way) & 0xFF != 0).map(|way| (way, self.cells[way]))
    }
}

/// The first way that a set bit of [`USED`] names.
#[inline]
fn way_of(bits: u64) -> usize {
    (bits.trailing_zeros() / 8) as usize
}

// Pages are told apart by the lowest bits of the hash, buckets by the highest, and tags lie below those.

#[inline]
fn home_of(hash: u32) -> usize {
    (hash >> (32 - BUCKET_BITS)) as usize
}

#[inline]
fn tag_of(hash: u32) -> u64 {
    u64::from(hash >> (32 - BUCKET_BITS - 7) & 0x7F | 0x80)
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

/// Buckets that hand on to each other in a ring.
#[derive(Clone, Debug)]
struct Page(Box<[Bucket; BUCKETS]>);

impl Page {
    fn new() -> Self {
        Page(Box::new([Bucket::default(); BUCKETS]))
    }

    /// Bucket and way of an entry. Buckets before the one where an entry lies, from its home on, are full.
    #[inline]
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = home_of(hash);
        for _ in 0..BUCKETS {
            if let Some(way) = self.0[at].find(hash, &is_it) {
                return Some((at, way));
            }
            if !self.0[at].is_full() {
                break;
            }
            at = after(at);
        }
        None
    }

    /// Puts an entry into the page, and says whether there was room.
    #[inline]
    fn put(&mut self, cell: u64) -> bool {
        let mut at = home_of((cell >> 32) as u32);
        for _ in 0..BUCKETS {
            if !self.0[at].is_full() {
                self.0[at].put(cell);
                return true;
            }
            at = after(at);
        }
        false
    }

    #[inline]
    fn remove(&mut self, at: usize, way: usize) {
        let was_full = self.0[at].is_full();
        self.0[at].empty(way);
        if was_full {
            self.fill_gap(at);
        }
    }

    /// Brings back an entry that found this bucket full, so that no search ever has to go on behind a gap.
    #[cold]
    fn fill_gap(&mut self, mut gap: usize) {
        let mut at = after(gap);
        while at != gap {
            let from_here = at.wrapping_sub(gap) % BUCKETS;
            let stray = self.0[at]
                .entries()
                .find(|&(_, cell)| at.wrapping_sub(home_of((cell >> 32) as u32)) % BUCKETS >= from_here);
            let was_full = self.0[at].is_full();
            if let Some((way, cell)) = stray {
                self.0[gap].put(cell);
                self.0[at].empty(way);
                gap = at;
            }
            if !was_full {
                return;
            }
            at = after(at);
        }
    }
}

/// The bucket that a full one hands on to.
#[inline]
fn after(bucket: usize) -> usize {
    (bucket + 1) % BUCKETS
}

/// The table of ids.
#[derive(Clone, Debug)]
pub(crate) struct IdMap {
    pages: Vec<Page>,
    /// One less than the power of two that is not below the number of pages.
    mask: usize,
    len: usize,
    /// Entries of pages that are full to the last way: only ids made to collide come here.
    spilled: BTreeMap<(OrderId, bool), u32>,
}

impl IdMap {
    pub(crate) fn new() -> Self {
        IdMap { pages: vec![Page::new()], mask: 0, len: 0, spilled: BTreeMap::new() }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// The page of a hash: the one its lowest bits name, or, where that is not made yet, the one it will be split from.
    #[inline]
    fn page_of(&self, hash: u32) -> usize {
        let page = hash as usize & self.mask;
        // Without a turn: half of all hashes may go one way, half the other.
        let not_made = u32::from(page >= self.pages.len());
        page & self.mask >> not_made
    }

    /// The slot of an id; `is_it` says whether a slot holds exactly that id and family.
    #[inline]
    pub(crate) fn find(&self, id: OrderId, family: Family, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash_of(id, family);
        let page = &self.pages[self.page_of(hash)];
        match page.find(hash, is_it) {
            Some((at, way)) => Some(page.0[at].cells[way] as u32),
            None if self.spilled.is_empty() => None,
            None => self.spilled.get(&(id, family == Family::Order)).copied(),
        }
    }

    /// Starts to load the bucket where an id lies or would lie.
    #[inline]
    pub(crate) fn prefetch(&self, id: OrderId, family: Family) {
        let hash = hash_of(id, family);
        prefetch(&self.pages[self.page_of(hash)].0[home_of(hash)]);
    }

    /// The slot where an id lies, if its bucket is right about its hash: nothing is compared in the book.
    #[inline]
    pub(crate) fn guess(&self, id: OrderId, family: Family) -> Option<u32> {
        let hash = hash_of(id, family);
        let bucket = &self.pages[self.page_of(hash)].0[home_of(hash)];
        bucket.find(hash, |_| true).map(|way| bucket.cells[way] as u32)
    }

    /// Remembers an id that is not in the table.
    #[inline]
    pub(crate) fn insert(&mut self, id: OrderId, family: Family, slot: u32) {
        if self.len > self.pages.len() * ENTRIES_PER_PAGE {
            self.grow();
        }
        let hash = hash_of(id, family);
        let page = self.page_of(hash);
        if !self.pages[page].put(u64::from(hash) << 32 | u64::from(slot)) {
            self.spilled.insert((id, family == Family::Order), slot);
        }
        self.len += 1;
    }

    /// Forgets an id that sits in `slot`.
    #[inline]
    pub(crate) fn remove(&mut self, id: OrderId, family: Family, slot: u32) {
        let hash = hash_of(id, family);
        let page = self.page_of(hash);
        if let Some((at, way)) = self.pages[page].find(hash, |other| other == slot) {
            self.pages[page].remove(at, way);
        } else {
            self.spilled.remove(&(id, family == Family::Order));
        }
        self.len -= 1;
    }

    /// Forgets every id; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.pages.iter_mut().for_each(|page| page.0.fill(Bucket::default()));
        self.spilled.clear();
        self.len = 0;
    }

    /// Makes one page more, and moves there what belongs there of the page whose turn it is.
    #[cold]
    fn grow(&mut self) {
        let new = self.pages.len();
        self.pages.push(Page::new());
        self.mask = self.pages.len().next_power_of_two() - 1;
        let source = new & self.mask >> 1;
        let old = std::mem::replace(&mut self.pages[source], Page::new());
        for (_, cell) in old.0.iter().flat_map(Bucket::entries) {
            let page = self.page_of((cell >> 32) as u32);
            // Neither half can hold more than the whole did.
            self.pages[page].put(cell);
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
    fn a_bucket_is_a_cache_line() {
        assert_eq!(std::mem::size_of::<Bucket>(), 64);
    }

    /// Ids that share all the bits by which pages are told apart: they outgrow their page, and each is still found.
    #[test]
    fn ids_made_to_collide_are_found_all_the_same() {
        let ids: Vec<OrderId> =
            (0..).map(OrderId).filter(|&id| hash_of(id, Family::Order) % 64 == 5).take(3_000).collect();
        let mut map = IdMap::new();
        for (slot, &id) in ids.iter().enumerate() {
            map.insert(id, Family::Order, slot as u32);
        }
        assert!(map.spilled.len() > 1_000, "{} spilled", map.spilled.len());
        // From both ends, so that full pages get gaps while others wait beside them.
        let (front, back) = ids.split_at(1_500);
        for (n, &id) in front.iter().zip(back.iter().rev()).flat_map(|(a, b)| [a, b]).enumerate() {
            let slot = ids.iter().position(|&other| other == id).unwrap() as u32;
            assert_eq!(map.find(id, Family::Order, |other| other == slot), Some(slot));
            map.remove(id, Family::Order, slot);
            assert_eq!(map.find(id, Family::Order, |other| other == slot), None);
            assert_eq!(map.len(), ids.len() - n - 1);
        }
        assert!(map.spilled.is_empty());
    }

    proptest! {
        /// Few homes, so that buckets overflow and gaps are closed over and over, around the end of the page too.
        #[test]
        fn a_page_keeps_what_strays_from_its_home(steps in prop::collection::vec((any::<bool>(), 0u32..60), 1..800)) {
            let hash = |key: u32| (((key % 5 + 125) % 128) << 25) | ((key % 3) << 18) | key;
            let mut page = Page::new();
            let mut slow = std::collections::BTreeSet::new();
            for (put, key) in steps {
                if put && slow.insert(key) {
                    prop_assert!(page.put(u64::from(hash(key)) << 32 | u64::from(key)));
                } else if !put && slow.remove(&key) {
                    let (at, way) = page.find(hash(key), |slot| slot == key).expect("it was put there");
                    page.remove(at, way);
                }
                for key in 0..60 {
                    prop_assert_eq!(page.find(hash(key), |slot| slot == key).is_some(), slow.contains(&key));
                }
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
