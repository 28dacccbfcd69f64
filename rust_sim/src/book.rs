//! The order book: every order at its price, in the order of arrival. It holds orders and pairs nobody.

use crate::front::Front;
use crate::ladder::{Ladder, Level, NIL, Place};
use crate::node::{Marks, Node};
use crate::table::{Table, Vacancy};
use crate::types::{Family, Lots, MAX_LOTS, OrderId, OwnerId, Side, Ticks};

/// Orders from which on a book does not fit the near caches.
const LARGE: usize = 16_384;

/// An order as the book shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingOrder {
    /// The order's name within its family.
    pub id: OrderId,
    /// Recorded, or matched by the engine.
    pub family: Family,
    /// Who sent it.
    pub owner: OwnerId,
    /// Side it stands on.
    pub side: Side,
    /// Price it stands at.
    pub price: Ticks,
    /// What is left of it.
    pub qty: Lots,
}

/// One price of the book, all its orders added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceLevel {
    /// The price.
    pub price: Ticks,
    /// The size of all orders at it.
    pub qty: Lots,
    /// How many orders.
    pub orders: u32,
}

/// Why the book does not take an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The id is already in the book.
    #[error("an order with this id is already in the book")]
    DuplicateId,
    /// The sizes at this price would exceed what 64 bits can count.
    #[error("the total size at this price would overflow")]
    LevelOverflow,
}

/// The order book of one instrument.
#[derive(Clone, Debug)]
pub struct Book {
    nodes: Table,
    sides: [Ladder; 2],
    fronts: [Front; 2],
    turn: u8,
    orders: usize,
    ours: [u32; 2],
    /// Some level came so close to what 64 bits can count that another order may not fit.
    heavy: bool,
}

impl Default for Book {
    fn default() -> Self {
        Book::new()
    }
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Book {
            nodes: Table::new(),
            sides: [Ladder::new(), Ladder::new()],
            fronts: [Front::default(); 2],
            turn: 0,
            orders: 0,
            ours: [0; 2],
            heavy: false,
        }
    }

    // ---------------------------------------------------------------- views

    /// How many orders rest, both sides, both families.
    pub fn len(&self) -> usize {
        self.orders
    }

    /// Whether no order rests.
    pub fn is_empty(&self) -> bool {
        self.orders == 0
    }

    /// How many prices of a side hold an order.
    pub fn levels(&self, side: Side) -> usize {
        self.sides[side as usize].levels()
    }

    /// The best price of a side and the size there.
    #[inline]
    pub fn best(&self, side: Side) -> Option<(Ticks, Lots)> {
        let ladder = &self.sides[side as usize];
        ladder.best().map(|(rank, place)| (side.price_of_rank(rank), Lots(ladder.level(place).qty)))
    }

    /// The best price of a side where a recorded order rests.
    pub fn best_recorded(&self, side: Side) -> Option<Ticks> {
        let ladder = &self.sides[side as usize];
        std::iter::successors(ladder.best(), |&(rank, _)| ladder.after(rank))
            .find(|&(_, place)| ladder.level(place).count > ladder.level(place).ours)
            .map(|(rank, _)| side.price_of_rank(rank))
    }

    /// The levels of a side, best first.
    pub fn depth(&self, side: Side) -> impl Iterator<Item = PriceLevel> + '_ {
        let ladder = &self.sides[side as usize];
        std::iter::successors(ladder.best(), |&(rank, _)| ladder.after(rank)).map(move |(rank, place)| {
            let level = ladder.level(place);
            PriceLevel { price: side.price_of_rank(rank), qty: Lots(level.qty), orders: level.count }
        })
    }

    /// The orders at a price, oldest first.
    pub fn queue(&self, side: Side, price: Ticks) -> impl Iterator<Item = RestingOrder> + '_ {
        let ladder = &self.sides[side as usize];
        let head = ladder.find(side.rank(price)).map_or(NIL, |place| ladder.level(place).head);
        self.walk(head).map(move |slot| self.shown(slot))
    }

    /// All orders of a side, best price first, then oldest first.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = RestingOrder> + '_ {
        self.depth(side).flat_map(move |level| self.queue(side, level.price))
    }

    /// The order of an id.
    pub fn get(&self, id: OrderId, family: Family) -> Option<RestingOrder> {
        self.find(id, family).map(|slot| self.shown(slot))
    }

    /// The size that stands ahead of an order in its queue: what must trade or leave before it is reached.
    pub fn ahead_of(&self, id: OrderId, family: Family) -> Option<Lots> {
        let slot = self.find(id, family)?;
        let mut ahead = 0;
        let mut at = self.nodes.at(slot).prev;
        while at != NIL {
            let node = self.nodes.at(at);
            ahead += node.qty.0;
            at = node.prev;
        }
        Some(Lots(ahead))
    }

    fn shown(&self, slot: u32) -> RestingOrder {
        let node = self.nodes.at(slot);
        RestingOrder {
            id: node.id,
            family: node.marks.family(),
            owner: node.marks.owner(),
            side: node.marks.side(),
            price: self.price_of(slot),
            qty: node.qty,
        }
    }

    // ---------------------------------------------------------------- what the matching engine works with

    #[inline(always)]
    pub(crate) fn find(&self, id: OrderId, family: Family) -> Option<u32> {
        self.nodes.find(id, family)
    }

    #[inline]
    pub(crate) fn node(&self, slot: u32) -> &Node {
        self.nodes.at(slot)
    }

    #[inline]
    pub(crate) fn next(&self, slot: u32) -> u32 {
        self.nodes.at(slot).next
    }

    #[inline]
    pub(crate) fn previous(&self, slot: u32) -> u32 {
        self.nodes.at(slot).prev
    }

    /// How many orders of the matched family rest on a side.
    #[inline]
    pub(crate) fn ours(&self, side: Side) -> u32 {
        self.ours[side as usize]
    }

    #[inline]
    pub(crate) fn best_level(&self, side: Side) -> Option<(i64, Place)> {
        self.sides[side as usize].best()
    }

    #[inline]
    pub(crate) fn level_after(&self, side: Side, rank: i64) -> Option<(i64, Place)> {
        self.sides[side as usize].after(rank)
    }

    #[inline]
    pub(crate) fn level(&self, side: Side, place: Place) -> &Level {
        self.sides[side as usize].level(place)
    }

    pub(crate) fn level_at(&self, side: Side, price: Ticks) -> Option<&Level> {
        let ladder = &self.sides[side as usize];
        ladder.find(side.rank(price)).map(|place| ladder.level(place))
    }

    #[inline]
    fn place_of(&self, slot: u32) -> (Side, Place) {
        let node = self.nodes.at(slot);
        (node.marks.side(), Place { block: node.block, index: node.marks.index() })
    }

    pub(crate) fn price_of(&self, slot: u32) -> Ticks {
        let (side, place) = self.place_of(slot);
        side.price_of_rank(self.sides[side as usize].rank_of(place))
    }

    pub(crate) fn walk(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(some(head), move |&slot| some(self.nodes.at(slot).next))
    }

    /// Starts to load one more of the orders that a taker would meet first, where the book is large: at each call it is one
    /// side's turn or none's, so that what was asked for last has arrived.
    #[inline]
    pub(crate) fn look_ahead(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(2) && self.orders >= LARGE {
            let side = usize::from(self.turn % 4 / 2);
            self.fronts[side].advance(&self.sides[side], &self.nodes);
        }
    }

    /// Starts to load an order, where there is one.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if slot != NIL {
            self.nodes.prefetch(slot);
        }
    }

    /// Whether a level has room for another size that an order may carry.
    #[inline]
    pub(crate) fn has_room(&self, side: Side, price: Ticks, qty: Lots) -> bool {
        !self.heavy || self.level_at(side, price).is_none_or(|level| level.qty.checked_add(qty.0).is_some())
    }

    /// Adds an order in front of the one in slot `before`, or behind all where that is NIL.
    #[inline]
    pub(crate) fn add_before(
        &mut self,
        before: u32,
        id: OrderId,
        marks: Marks,
        price: Ticks,
        qty: Lots,
    ) -> Result<u32, BookError> {
        let vacancy = match marks.is_anonymous() {
            true => None,
            false => Some(self.vacancy(id, marks.family()).ok_or(BookError::DuplicateId)?),
        };
        self.add_new(vacancy, before, id, marks, price, qty).map(|(slot, _)| slot)
    }

    /// What [`Book::add_new`] needs to know of a name; None where it is in use.
    #[inline(always)]
    pub(crate) fn vacancy(&self, id: OrderId, family: Family) -> Option<Vacancy> {
        self.nodes.vacancy(id, family)
    }

    /// Adds an order of a free name, or of none, and returns its slot and the size that its level had before.
    #[inline(always)]
    pub(crate) fn add_new(
        &mut self,
        vacancy: Option<Vacancy>,
        before: u32,
        id: OrderId,
        marks: Marks,
        price: Ticks,
        qty: Lots,
    ) -> Result<(u32, Lots), BookError> {
        let side = marks.side();
        let rank = side.rank(price);
        let ladder = &mut self.sides[side as usize];
        let place = ladder.find_or_make(rank);
        let level = ladder.level_mut(place);
        let Some(total) = level.qty.checked_add(qty.0) else {
            return Err(BookError::LevelOverflow);
        };
        let slot = match vacancy {
            Some(vacancy) => self.nodes.take(vacancy, id, marks.family()),
            None => self.nodes.take_unplaced(),
        };
        let prev = if before == NIL { level.tail } else { self.nodes.at(before).prev };
        let marks = marks.with_index(place.index);
        *self.nodes.at_mut(slot) = Node { id, qty, prev, next: before, block: place.block, marks };
        if prev == NIL {
            level.head = slot;
        } else {
            self.nodes.at_mut(prev).next = slot;
        }
        if before == NIL {
            level.tail = slot;
        } else {
            self.nodes.at_mut(before).prev = slot;
        }
        let stood = Lots(level.qty);
        level.qty = total;
        self.heavy |= total > i64::MAX - MAX_LOTS;
        level.count += 1;
        if marks.is_ours() {
            level.ours += 1;
            self.ours[side as usize] += 1;
        }
        if level.count == 1 {
            ladder.opened(rank, place);
        }
        self.orders += 1;
        Ok((slot, stood))
    }

    /// Takes an order out.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        let node = *self.nodes.at(slot);
        let (side, place) = self.place_of(slot);
        if node.prev != NIL {
            self.nodes.at_mut(node.prev).next = node.next;
        }
        if node.next != NIL {
            self.nodes.at_mut(node.next).prev = node.prev;
        }
        let ladder = &mut self.sides[side as usize];
        let is_first = node.prev == NIL && ladder.best().is_some_and(|(_, best)| best == place);
        self.fronts[side as usize].left(slot, node.prev, is_first);
        let level = ladder.level_mut(place);
        if node.prev == NIL {
            level.head = node.next;
        }
        if node.next == NIL {
            level.tail = node.prev;
        }
        level.qty -= node.qty.0;
        level.count -= 1;
        if node.marks.is_ours() {
            level.ours -= 1;
            self.ours[side as usize] -= 1;
        }
        if level.count == 0 {
            ladder.closed(place);
        }
        self.orders -= 1;
        self.nodes.give(slot);
    }

    /// Makes an order smaller by less than its size; it keeps its place.
    #[inline]
    pub(crate) fn shrink(&mut self, slot: u32, by: Lots) {
        let (side, place) = self.place_of(slot);
        self.nodes.at_mut(slot).qty.0 -= by.0;
        self.sides[side as usize].level_mut(place).qty -= by.0;
    }

    /// Makes an anonymous order larger where it stands.
    pub(crate) fn enlarge(&mut self, slot: u32, by: Lots) -> Result<(), BookError> {
        let (side, place) = self.place_of(slot);
        let level = self.sides[side as usize].level_mut(place);
        level.qty = level.qty.checked_add(by.0).ok_or(BookError::LevelOverflow)?;
        self.heavy |= level.qty > i64::MAX - MAX_LOTS;
        self.nodes.at_mut(slot).qty.0 += by.0;
        Ok(())
    }

    /// Whether [`Book::make_room`] should be called at the next occasion.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.nodes.is_crowded()
    }

    /// Makes room for more orders where it is scarce. Some orders get other slots: `moved` is told their marks, the old slot
    /// and the new one.
    pub(crate) fn make_room(&mut self, mut moved: impl FnMut(Marks, u32, u32)) {
        self.fronts = [Front::default(); 2];
        let sides = &mut self.sides;
        self.nodes.split(|nodes, from, to| {
            let node = *nodes.at(to);
            let place = Place { block: node.block, index: node.marks.index() };
            let level = sides[node.marks.side() as usize].level_mut(place);
            if node.prev == NIL {
                level.head = to;
            } else {
                nodes.at_mut(node.prev).next = to;
            }
            if node.next == NIL {
                level.tail = to;
            } else {
                nodes.at_mut(node.next).prev = to;
            }
            moved(node.marks, from, to);
        });
    }

    pub(crate) fn mark_taken(&mut self, slot: u32, taken: bool) {
        let marks = &mut self.nodes.at_mut(slot).marks;
        *marks = marks.with_taken(taken);
    }

    pub(crate) fn mark_unseen(&mut self, slot: u32, unseen: bool) {
        let marks = &mut self.nodes.at_mut(slot).marks;
        *marks = marks.with_unseen(unseen);
    }

    /// Empties the book; its memory stays.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.sides.iter_mut().for_each(Ladder::clear);
        self.fronts = [Front::default(); 2];
        self.orders = 0;
        self.ours = [0; 2];
        self.heavy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(side: Side) -> Marks {
        Marks::new(side, Family::Record, OwnerId(0))
    }

    #[test]
    fn a_node_is_half_a_cache_line() {
        assert_eq!(std::mem::size_of::<Node>(), 32);
        assert_eq!(std::mem::size_of::<Level>(), 24);
    }

    #[test]
    fn orders_of_one_price_stand_in_order_of_arrival() {
        let mut book = Book::new();
        for id in [7, 3, 9] {
            book.add_before(NIL, OrderId(id), record(Side::Buy), Ticks(100), Lots(5)).unwrap();
        }
        let ids: Vec<u64> = book.queue(Side::Buy, Ticks(100)).map(|order| order.id.0).collect();
        assert_eq!(ids, [7, 3, 9]);
        assert_eq!(book.ahead_of(OrderId(9), Family::Record), Some(Lots(10)));
        assert_eq!(book.best(Side::Buy), Some((Ticks(100), Lots(15))));
    }

    #[test]
    fn one_id_may_stand_once_in_each_family() {
        let mut book = Book::new();
        book.add_before(NIL, OrderId(1), record(Side::Sell), Ticks(-4), Lots(1)).unwrap();
        assert_eq!(
            book.add_before(NIL, OrderId(1), record(Side::Buy), Ticks(-9), Lots(1)),
            Err(BookError::DuplicateId)
        );
        book.add_before(NIL, OrderId(1), Marks::new(Side::Buy, Family::Order, OwnerId(3)), Ticks(-9), Lots(2)).unwrap();
        assert_eq!(book.len(), 2);
        assert_eq!(book.get(OrderId(1), Family::Order).map(|order| order.owner), Some(OwnerId(3)));
    }

    #[test]
    fn a_level_that_would_overflow_is_refused() {
        let mut book = Book::new();
        book.add_before(NIL, OrderId(1), record(Side::Buy), Ticks(0), Lots(i64::MAX)).unwrap();
        assert_eq!(
            book.add_before(NIL, OrderId(2), record(Side::Buy), Ticks(0), Lots(1)),
            Err(BookError::LevelOverflow)
        );
        assert_eq!(book.len(), 1);
    }
}
