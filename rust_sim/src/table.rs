//! The orders of a book, where an order's place is found by its id.
//!
//! What an order costs in a large book is mostly the wait for far memory, so the table is made for that wait: an order
//! itself lies where its id says, not a pointer to it. A look-up reads eight bytes of *tags*, of which all orders together
//! have so few that they stay in the near caches, and then the order: one wait. An id that is not there is mostly told by
//! its tags alone, without any.
//!
//! Seven places share a *bucket*, and their tags a word. A full bucket hands on to the next one of its page, and counts how
//! many it has handed on, so that a search knows where to stop. Buckets lie in pages of 64. A page that is nearly full is
//! split in two, by one bit more of the hash (extendible hashing: Fagin, Nievergelt, Pippenger and Strong 1979), so no single
//! command pays for a large copy. Orders move only then, and only when [`Table::split`] is called: between commands, when
//! nobody holds a slot. Pages are never joined again: a book that was a thousand times larger once stays spread over them
//! until it is cleared. Nothing ever iterates the table in a way that its order could be seen.

use std::collections::BTreeMap;

use crate::node::Node;
use crate::prefetch::prefetch;
use crate::types::{Family, OrderId};

/// Places of a bucket. The eighth byte of its word counts what it has handed on.
const WAYS: usize = 7;
const WAY_BITS: u32 = 3;
/// The lowest bit of each tag.
const TAGS: u64 = 0x0001_0101_0101_0101;
const HANDED_ON: u32 = 56;
/// A count that has come so far stays: it may be too high, never too low. Too high, it only makes searches longer; ids made to
/// collide, which find a page full to the last place, leave it so.
const MANY: u64 = 255;
/// Buckets of a page.
const BUCKETS: usize = 64;
const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();
/// Slots of a page: the eighth of each bucket is used only in pages of orders without a place.
const SLOTS: usize = BUCKETS << WAY_BITS;
const SLOT_BITS: u32 = BUCKET_BITS + WAY_BITS;
/// A page is looked at when an order found so many buckets full, and split where it holds as much as this. A page of fewer
/// is only unlucky: were it split too, a book of a steady size would grow for ever.
const CROWDED: usize = 5;
const WORTH_A_SPLIT: usize = BUCKETS * WAYS * 5 / 8;
/// The directory is not doubled beyond this many entries a page: only ids made to collide ask for more.
const DIRECTORY_PER_PAGE: usize = 16;

/// Buckets that hand on to each other in a ring, and the orders in them.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Page {
    words: [u64; BUCKETS],
    nodes: [Node; SLOTS],
    /// The bits that the hashes of all its orders share; None in a page of orders that are not found by a hash.
    shared: Option<Shared>,
}

/// The lowest bits of a directory's index.
#[derive(Clone, Copy, Debug)]
struct Shared {
    bits: usize,
    count: u32,
}

/// The lowest bit of each of the seven bytes that is zero; no other, since a free place still holds the order that left it.
#[inline]
fn zeros(word: u64) -> u64 {
    let low = TAGS * 0x7F;
    !(((word & low) + low) | word) >> 7 & TAGS
}

/// The way that the first bit of [`zeros`] names.
#[inline]
fn way_of(bits: u64) -> usize {
    (bits.trailing_zeros() / 8) as usize
}

/// A tag in the byte of a place.
#[inline]
fn tag_at(place: usize, tag: u64) -> u64 {
    tag << (8 * (place % (WAYS + 1)))
}

#[inline]
fn has_handed_on(word: u64) -> bool {
    word >> HANDED_ON != 0
}

/// The bucket that a full one hands on to.
#[inline]
fn after(bucket: usize) -> usize {
    (bucket + 1) % BUCKETS
}

/// What an id says of its place. Pages are told apart by the lowest bits of the upper half, buckets by the highest.
#[derive(Clone, Copy, Debug)]
struct Hash(u64);

impl Hash {
    #[inline]
    fn of(id: OrderId, family: Family) -> Self {
        // A folded multiplication: every bit of the id reaches every bit of the hash, whatever pattern the venue numbers by.
        let key = id.0
            ^ match family {
                Family::Record => 0xA076_1D64_78BD_642F,
                Family::Order => 0xE703_7ED1_A0B4_28DB,
            };
        let wide = u128::from(key) * 0x9E37_79B9_7F4A_7C15_u128;
        Hash((wide >> 64) as u64 ^ wide as u64)
    }

    #[inline]
    fn directory(self) -> usize {
        (self.0 >> 32) as usize
    }

    #[inline]
    fn home(self) -> usize {
        (self.0 >> (64 - BUCKET_BITS)) as usize
    }

    /// Never zero, which says that a way is free.
    #[inline]
    fn tag(self) -> u64 {
        (self.0 >> 20 & 0xFF).max(1)
    }
}

impl Page {
    fn new(shared: Option<Shared>) -> Box<Self> {
        Box::new(Page { words: [0; BUCKETS], nodes: [Node::default(); SLOTS], shared })
    }

    fn clear(&mut self, shared: Option<Shared>) {
        self.words = [0; BUCKETS];
        self.shared = shared;
    }

    /// The place of an order.
    #[inline(always)]
    fn find(&self, hash: Hash, id: OrderId, family: Family) -> Option<usize> {
        let tags = hash.tag() * TAGS;
        let mut at = hash.home();
        for _ in 0..BUCKETS {
            let word = self.words[at];
            let mut alike = zeros(word ^ tags);
            while alike != 0 {
                let place = at << WAY_BITS | way_of(alike);
                if self.nodes[place].name() == (id, family) {
                    return Some(place);
                }
                alike &= alike - 1;
            }
            if !has_handed_on(word) {
                return None;
            }
            at = after(at);
        }
        None
    }

    /// Takes a free place, if the page has one, and says how far from its home.
    #[inline(always)]
    fn put(&mut self, hash: Hash) -> Option<(usize, usize)> {
        let mut at = hash.home();
        for distance in 0..BUCKETS {
            let word = &mut self.words[at];
            let free = zeros(*word);
            if free != 0 {
                let place = at << WAY_BITS | way_of(free);
                *word |= tag_at(place, hash.tag());
                return Some((place, distance));
            }
            if *word >> HANDED_ON != MANY {
                *word += 1 << HANDED_ON;
            }
            at = after(at);
        }
        None
    }

    fn orders(&self) -> usize {
        self.words.iter().map(|&word| WAYS - zeros(word).count_ones() as usize).sum()
    }

    fn is_used(&self, place: usize) -> bool {
        place % (WAYS + 1) != WAYS && self.words[place >> WAY_BITS] & tag_at(place, 0xFF) != 0
    }

    /// Frees a place.
    #[inline]
    fn free(&mut self, hash: Hash, place: usize) {
        let bucket = place >> WAY_BITS;
        self.words[bucket] &= !tag_at(place, 0xFF);
        let mut at = hash.home();
        while at != bucket {
            if self.words[at] >> HANDED_ON != MANY {
                self.words[at] -= 1 << HANDED_ON;
            }
            at = after(at);
        }
    }
}

/// A free name: what is known of the place where its order will lie. It is void once another order is added or a page split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    hash: Hash,
    page: u32,
}

/// All orders of a book by slot, and those with a name by their name.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Page `n` has the slots from `n * SLOTS` on.
    pages: Vec<Box<Page>>,
    /// The page of a hash, by as many of its bits as the deepest page shares.
    directory: Vec<u32>,
    mask: usize,
    /// A page to be split.
    crowded: Option<u32>,
    /// Pages that are not in use.
    spare: Vec<u32>,
    /// Free slots of pages whose orders are not found by a hash.
    free: Vec<u32>,
    /// Orders with an id that found their page full: only ids made to collide come here.
    spilled: BTreeMap<(OrderId, bool), u32>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut table = Table {
            pages: Vec::new(),
            directory: Vec::new(),
            mask: 0,
            crowded: None,
            spare: Vec::new(),
            free: Vec::new(),
            spilled: BTreeMap::new(),
        };
        table.clear();
        table
    }

    /// Forgets every order; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.spare.clear();
        self.spare.extend((0..self.pages.len() as u32).rev());
        self.directory.clear();
        self.free.clear();
        self.spilled.clear();
        self.crowded = None;
        let first = self.take_page(Some(Shared { bits: 0, count: 0 }));
        self.directory.push(first);
        self.mask = 0;
    }

    fn take_page(&mut self, shared: Option<Shared>) -> u32 {
        match self.spare.pop() {
            Some(page) => {
                self.pages[page as usize].clear(shared);
                page
            }
            None => {
                self.pages.push(Page::new(shared));
                self.pages.len() as u32 - 1
            }
        }
    }

    #[inline]
    pub(crate) fn at(&self, slot: u32) -> &Node {
        &self.pages[(slot >> SLOT_BITS) as usize].nodes[slot as usize % SLOTS]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut Node {
        &mut self.pages[(slot >> SLOT_BITS) as usize].nodes[slot as usize % SLOTS]
    }

    #[inline]
    fn page_of(&self, hash: Hash) -> u32 {
        self.directory[hash.directory() & self.mask]
    }

    /// The slot of an id.
    #[inline(always)]
    pub(crate) fn find(&self, id: OrderId, family: Family) -> Option<u32> {
        let hash = Hash::of(id, family);
        let page = self.page_of(hash);
        match self.pages[page as usize].find(hash, id, family) {
            Some(place) => Some(page << SLOT_BITS | place as u32),
            None if self.spilled.is_empty() => None,
            None => self.find_spilled(id, family),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_spilled(&self, id: OrderId, family: Family) -> Option<u32> {
        self.spilled.get(&(id, family == Family::Order)).copied()
    }

    /// What is needed to put an order of this name into the table; None where one is there.
    #[inline(always)]
    pub(crate) fn vacancy(&self, id: OrderId, family: Family) -> Option<Vacancy> {
        let hash = Hash::of(id, family);
        let number = self.page_of(hash);
        let page = &self.pages[number as usize];
        // The order is written only when all checks are done; by then its line may be there.
        let free = zeros(page.words[hash.home()]);
        prefetch(&page.nodes[(hash.home() << WAY_BITS | way_of(free)) % SLOTS]);
        if page.find(hash, id, family).is_some() || !self.spilled.is_empty() && self.find_spilled(id, family).is_some()
        {
            return None;
        }
        Some(Vacancy { hash, page: number })
    }

    /// Starts to load an order, and the tags of its bucket, which its leaving changes.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        let page = &self.pages[(slot >> SLOT_BITS) as usize];
        let place = slot as usize % SLOTS;
        prefetch(&page.nodes[place]);
        prefetch(&page.words[place >> WAY_BITS]);
    }

    /// A slot for an order of a free name. The caller writes the order there. No page was split meanwhile.
    #[inline(always)]
    pub(crate) fn take(&mut self, vacancy: Vacancy, id: OrderId, family: Family) -> u32 {
        let Vacancy { hash, page: number } = vacancy;
        match self.pages[number as usize].put(hash) {
            Some((place, distance)) => {
                if distance >= CROWDED {
                    self.crowded = Some(number);
                }
                number << SLOT_BITS | place as u32
            }
            None => self.take_spilled(number, id, family),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_spilled(&mut self, page: u32, id: OrderId, family: Family) -> u32 {
        self.crowded = Some(page);
        let slot = self.take_unplaced();
        self.spilled.insert((id, family == Family::Order), slot);
        slot
    }

    /// A slot for an order that nobody will look for.
    #[inline(never)]
    pub(crate) fn take_unplaced(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let first = self.take_page(None) << SLOT_BITS;
            self.free.extend((first + 1..first + SLOTS as u32).rev());
            first
        })
    }

    /// Gives a slot back. The order's content stays until the slot is taken again.
    #[inline]
    pub(crate) fn give(&mut self, slot: u32) {
        let page = &mut self.pages[(slot >> SLOT_BITS) as usize];
        let place = slot as usize % SLOTS;
        let node = &page.nodes[place];
        if node.marks.is_anonymous() || !self.spilled.is_empty() && page.shared.is_none() {
            return self.give_unplaced(slot);
        }
        let (id, family) = node.name();
        page.free(Hash::of(id, family), place);
    }

    #[inline(never)]
    fn give_unplaced(&mut self, slot: u32) {
        self.free.push(slot);
        let node = self.at(slot);
        if !node.marks.is_anonymous() {
            let (id, family) = node.name();
            self.spilled.remove(&(id, family == Family::Order));
        }
    }

    /// Whether [`Table::split`] should be called at the next occasion.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.is_some()
    }

    /// Splits the crowded page in two, where that is worth it: half of its orders get other slots. Each is copied, and `moved`
    /// is told its old slot and its new one.
    pub(crate) fn split(&mut self, mut moved: impl FnMut(&mut Self, u32, u32)) {
        let Some(old) = self.crowded.take() else { return };
        let page = &self.pages[old as usize];
        let Some(Shared { bits, count }) = page.shared.filter(|_| page.orders() >= WORTH_A_SPLIT) else { return };
        let bit = 1 << count;
        if bit == self.directory.len() {
            if bit >= DIRECTORY_PER_PAGE * self.pages.len() {
                return;
            }
            self.directory.extend_from_within(..);
            self.mask = self.directory.len() - 1;
        }
        self.pages[old as usize].shared = Some(Shared { bits, count: count + 1 });
        let new = self.take_page(Some(Shared { bits: bits | bit, count: count + 1 }));
        self.directory.iter_mut().skip(bits | bit).step_by(bit << 1).for_each(|page| *page = new);
        for place in 0..SLOTS {
            if !self.pages[old as usize].is_used(place) {
                continue;
            }
            let from = old << SLOT_BITS | place as u32;
            let node = *self.at(from);
            let (id, family) = node.name();
            let hash = Hash::of(id, family);
            if hash.directory() & bit == 0 {
                continue;
            }
            // The new page holds no more than the old one did.
            let Some((to, _)) = self.pages[new as usize].put(hash) else { continue };
            self.pages[old as usize].free(hash, place);
            let to = new << SLOT_BITS | to as u32;
            *self.at_mut(to) = node;
            moved(self, from, to);
            // Who remembers the old slot finds no mark of the order there.
            *self.at_mut(from) = Node::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Marks;
    use crate::types::{OwnerId, Side};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    impl Table {
        /// As the book does it: the order is written where the table says, and a crowded page is split.
        fn add(&mut self, id: OrderId, family: Family) -> bool {
            let Some(vacancy) = self.vacancy(id, family) else { return false };
            let slot = self.take(vacancy, id, family);
            *self.at_mut(slot) = Node { id, marks: Marks::new(Side::Buy, family, OwnerId(0)), ..Node::default() };
            if self.is_crowded() {
                self.split(|table, from, to| assert_eq!(table.at(from).name(), table.at(to).name()));
            }
            true
        }

        fn remove(&mut self, id: OrderId, family: Family) -> bool {
            let slot = self.find(id, family);
            slot.inspect(|&slot| self.give(slot)).is_some()
        }

        fn has(&self, id: OrderId, family: Family) -> bool {
            self.find(id, family).is_some_and(|slot| self.at(slot).name() == (id, family))
        }
    }

    #[test]
    fn a_bucket_fills_whole_cache_lines() {
        assert_eq!((std::mem::size_of::<Node>() * (WAYS + 1)) % 64, 0);
        assert_eq!((std::mem::offset_of!(Page, nodes) % 64, std::mem::align_of::<Page>()), (0, 64));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_sorted_set_holds(
            steps in prop::collection::vec((0..100u32, 0u64..4_000, any::<bool>()), 1..8_000),
            adds in 30..70u32,
        ) {
            let mut table = Table::new();
            let mut set = BTreeSet::new();
            let mut unnamed = BTreeMap::new();
            for (n, (step, key, ours)) in steps.into_iter().enumerate() {
                let (id, family) = (OrderId(key << 40), if ours { Family::Order } else { Family::Record });
                if step < adds {
                    prop_assert_eq!(table.add(id, family), set.insert((id, ours)));
                } else {
                    prop_assert_eq!(table.remove(id, family), set.remove(&(id, ours)));
                }
                // Among them orders without a name, which stay what they are.
                if n % 50 == 0 {
                    let slot = table.take_unplaced();
                    let marks = Marks::new(Side::Buy, Family::Record, OwnerId(0)).anonymous();
                    *table.at_mut(slot) = Node { id: OrderId(n as u64), marks, ..Node::default() };
                    unnamed.insert(slot, OrderId(n as u64));
                }
                if n % 150 == 0 {
                    unnamed.pop_first().into_iter().for_each(|(slot, _)| table.give(slot));
                }
            }
            for (slot, id) in unnamed {
                prop_assert_eq!(table.at(slot).id, id);
            }
            for key in 0..4_000 {
                for (family, ours) in [(Family::Order, true), (Family::Record, false)] {
                    let id = OrderId(key << 40);
                    prop_assert_eq!(table.has(id, family), set.contains(&(id, ours)));
                }
            }
        }
    }

    /// Ids that share all the bits by which pages are told apart: they outgrow their page, and each is still found.
    #[test]
    fn ids_made_to_collide_are_found_all_the_same() {
        let same = |id: &OrderId| Hash::of(*id, Family::Order).directory() % 256 == 5;
        let ids: Vec<OrderId> = (0..).map(OrderId).filter(same).take(3_000).collect();
        let mut table = Table::new();
        for &id in &ids {
            assert!(table.add(id, Family::Order));
            assert!(!table.add(id, Family::Order));
        }
        assert!(table.spilled.len() > 1_000, "{} spilled", table.spilled.len());
        // From both ends, so that full pages get gaps while others wait beside them.
        let (front, back) = ids.split_at(1_500);
        for &id in front.iter().zip(back.iter().rev()).flat_map(|(a, b)| [a, b]) {
            assert!(table.has(id, Family::Order) && table.remove(id, Family::Order) && !table.has(id, Family::Order));
        }
        assert!(table.spilled.is_empty());
    }

    /// Orders come and go for long, and as many rest as ever: no page is added for luck.
    #[test]
    fn a_table_of_a_steady_size_stops_growing() {
        for resting in [1_000, 20_000] {
            let mut table = Table::new();
            let mut rng = 7_u64;
            let mut live: Vec<u64> = (0..resting).collect();
            live.iter().for_each(|&id| assert!(table.add(OrderId(id), Family::Order)));
            let mut replace = |table: &mut Table, ids: std::ops::Range<u64>| {
                for id in ids {
                    rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let gone = std::mem::replace(&mut live[(rng >> 33) as usize % resting as usize], id);
                    assert!(table.remove(OrderId(gone), Family::Order) && table.add(OrderId(id), Family::Order));
                }
                table.pages.len()
            };
            let warm = replace(&mut table, resting..2_000_000);
            assert_eq!(replace(&mut table, 2_000_000..4_000_000), warm, "{resting} resting");
            assert!(table.spilled.is_empty());
        }
    }

    #[test]
    fn a_cleared_table_remembers_nothing() {
        let same = |id: &OrderId| Hash::of(*id, Family::Order).directory() % 256 == 5;
        let ids: Vec<OrderId> = (0..).map(OrderId).filter(same).take(1_500).collect();
        let mut table = Table::new();
        ids.iter().for_each(|&id| assert!(table.add(id, Family::Order)));
        // As it is before the next split.
        table.crowded = Some(3);
        assert!(!table.spilled.is_empty());
        table.clear();
        assert!(!table.is_crowded());
        assert!(ids.iter().all(|&id| table.find(id, Family::Order).is_none()));
        ids.iter().for_each(|&id| assert!(table.add(id, Family::Order)));
        assert!(ids.iter().all(|&id| table.has(id, Family::Order)));
    }

    #[test]
    fn it_grows_a_thousandfold_and_starts_again() {
        let mut table = Table::new();
        for round in 0..2 {
            for id in 0..200_000 {
                assert!(table.add(OrderId(id), Family::Record), "{round} {id}");
            }
            assert!((0..200_000).all(|id| table.has(OrderId(id), Family::Record)));
            assert!(!table.has(OrderId(1), Family::Order));
            let in_use = table.pages.len() - table.spare.len();
            assert!(in_use * BUCKETS * WAYS < 600_000, "round {round}: {in_use} pages");
            table.clear();
            assert!(!table.has(OrderId(7), Family::Record));
        }
    }
}
