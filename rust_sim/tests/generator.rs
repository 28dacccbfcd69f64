//! The synthetic market: its record is complete, in order, the same for each seed, and replays to the market's own book.

use std::collections::BTreeMap;

use cift_sim::generator::{ConfigError, Market, MarketConfig, MboColumns, QuoteColumns, TradeColumns, code};
use cift_sim::matching::{Event, Input, MatchingEngine, RecordInput};
use cift_sim::types::{Lots, Nanos, OrderId, Side, Ticks};
use proptest::prelude::*;

const START: i64 = 1_767_605_400_000_000_000;
const END: i64 = START + 23_400_000_000_000;

fn config(seed: u64, events: u64) -> MarketConfig {
    MarketConfig { seed, events, start: Nanos(START), end: Nanos(END), price: Ticks(10_000) }
}

/// All three records of a market, read in chunks of `rows`, and the market after its end.
fn record(config: MarketConfig, rows: usize) -> (MboColumns, QuoteColumns, TradeColumns, Market) {
    let mut market = Market::new(config).unwrap();
    let (mut mbo, mut quotes, mut trades) = (MboColumns::default(), QuoteColumns::default(), TradeColumns::default());
    let (mut m, mut q, mut t) = (MboColumns::default(), QuoteColumns::default(), TradeColumns::default());
    while market.next_chunk(rows, &mut m, &mut q, &mut t) {
        macro_rules! append {
            ($to:ident, $from:ident, $($column:ident)*) => { $($to.$column.extend_from_slice(&$from.$column);)* };
        }
        append!(mbo, m, ts_event ts_recv action side price_ticks size_lots order_id flags sequence venue_seq);
        append!(quotes, q, ts_event ts_recv bid_ticks bid_lots ask_ticks ask_lots flags sequence venue_seq);
        append!(trades, t, ts_event ts_recv price_ticks size_lots aggressor trade_id flags sequence venue_seq);
    }
    assert!(m.is_empty() && q.is_empty() && t.is_empty());
    (mbo, quotes, trades, market)
}

/// A hash of every value of a record: it may not depend on how the rows were cut.
fn hash(mbo: &MboColumns, rows: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for row in 0..rows {
        for value in [
            mbo.ts_event[row],
            mbo.ts_recv[row],
            i64::from(mbo.action[row]),
            i64::from(mbo.side[row]),
            mbo.price_ticks[row],
            mbo.size_lots[row],
            mbo.order_id[row] as i64,
            i64::from(mbo.flags[row]),
            mbo.sequence[row],
            mbo.venue_seq[row],
        ] {
            hasher.update(&value.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The slow, obvious book: at each price a list of (id, size), oldest first.
#[derive(Default)]
struct PlainBook {
    sides: [BTreeMap<i64, Vec<(u64, i64)>>; 2],
}

impl PlainBook {
    fn at(&mut self, side: u8, price: i64) -> &mut Vec<(u64, i64)> {
        self.sides[usize::from(side == code::ASK)].entry(price).or_default()
    }

    /// Makes an order smaller by `size`, and takes it out where nothing is left.
    fn reduce(&mut self, side: u8, price: i64, id: u64, size: i64) {
        let queue = self.at(side, price);
        let place = queue.iter().position(|order| order.0 == id).expect("the record names an order that does not rest");
        queue[place].1 -= size;
        assert!(queue[place].1 >= 0, "more was taken from order {id} than it had");
        if queue[place].1 == 0 {
            queue.remove(place);
            if queue.is_empty() {
                self.sides[usize::from(side == code::ASK)].remove(&price);
            }
        }
    }

    fn modify(&mut self, side: u8, price: i64, id: u64, size: i64) {
        let levels = &mut self.sides[usize::from(side == code::ASK)];
        let (old_price, place, old_size) = levels
            .iter()
            .find_map(|(&at, queue)| {
                queue.iter().position(|order| order.0 == id).map(|place| (at, place, queue[place].1))
            })
            .expect("the record changes an order that does not rest");
        if old_price == price && size <= old_size {
            self.at(side, price)[place].1 = size;
        } else {
            self.reduce(side, old_price, id, old_size);
            self.at(side, price).push((id, size));
        }
    }

    fn best(&self, side: Side) -> Option<(i64, i64)> {
        let levels = &self.sides[side as usize];
        let best = if side == Side::Buy { levels.last_key_value() } else { levels.first_key_value() };
        best.map(|(&price, queue)| (price, queue.iter().map(|order| order.1).sum()))
    }

    fn orders(&self, side: Side) -> Vec<(i64, u64, i64)> {
        let levels = &self.sides[side as usize];
        let flat = |(&price, queue): (&i64, &Vec<(u64, i64)>)| {
            queue.iter().map(|&(id, size)| (price, id, size)).collect::<Vec<_>>()
        };
        if side == Side::Buy {
            levels.iter().rev().flat_map(flat).collect()
        } else {
            levels.iter().flat_map(flat).collect()
        }
    }
}

/// Replays a record into the plain book and checks, row by row, what any market must keep.
fn check_by_replay(mbo: &MboColumns, quotes: &QuoteColumns, trades: &TradeColumns, market: &Market) {
    let mut book = PlainBook::default();
    let (mut quote, mut trade) = (0, 0);
    let mut touch = None;
    // What the fills of the running trade must still add up to.
    let mut unfilled = 0;
    for row in 0..mbo.len() {
        let (side, price, size, id) = (mbo.side[row], mbo.price_ticks[row], mbo.size_lots[row], mbo.order_id[row]);
        match mbo.action[row] {
            code::CLEAR => book = PlainBook::default(),
            code::ADD => book.at(side, price).push((id, size)),
            code::CANCEL => book.reduce(side, price, id, size),
            code::MODIFY => book.modify(side, price, id, size),
            code::TRADE => {
                assert_eq!(unfilled, 0, "fills do not add up to their trade before row {row}");
                unfilled = size;
                let print = (trades.price_ticks[trade], trades.size_lots[trade], trades.aggressor[trade]);
                assert_eq!(print, (price, size, side));
                assert_eq!(trades.ts_event[trade], mbo.ts_event[row]);
                trade += 1;
            }
            code::FILL => {
                unfilled -= size;
                let maker = if side == code::BID { Side::Buy } else { Side::Sell };
                assert_eq!(book.best(maker).map(|best| best.0), Some(price), "row {row} does not fill the best price");
                assert!(book.at(side, price).iter().any(|&(resting, left)| resting == id && left >= size));
            }
            other => panic!("row {row} has the action {other}"),
        }
        assert!(size > 0 || mbo.action[row] == code::CLEAR);
        if mbo.flags[row] & code::LAST == 0 {
            continue;
        }
        assert_eq!(unfilled, 0, "fills do not add up to their trade at row {row}");
        let now = (book.best(Side::Buy), book.best(Side::Sell));
        if let (Some(bid), Some(ask)) = now {
            assert!(bid.0 < ask.0, "the book is crossed after row {row}: {bid:?} {ask:?}");
        }
        if touch != Some(now) {
            touch = Some(now);
            let shown =
                ((quotes.bid_ticks[quote], quotes.bid_lots[quote]), (quotes.ask_ticks[quote], quotes.ask_lots[quote]));
            assert_eq!(shown, (now.0.unwrap_or_default(), now.1.unwrap_or_default()), "quote {quote}");
            assert_eq!(quotes.venue_seq[quote], mbo.venue_seq[row]);
            quote += 1;
        }
    }
    assert_eq!((quote, trade), (quotes.len(), trades.len()));
    for side in [Side::Buy, Side::Sell] {
        let own: Vec<_> = market.book().orders(side).map(|order| (order.price.0, order.id.0, order.qty.0)).collect();
        assert_eq!(book.orders(side), own);
    }
}

fn check_stamps(mbo: &MboColumns, end: i64) {
    for row in 0..mbo.len() {
        assert_eq!(mbo.sequence[row], row as i64);
        assert!(mbo.ts_recv[row] > mbo.ts_event[row] && mbo.ts_event[row] < end);
        let Some(before) = row.checked_sub(1) else { continue };
        let new_event = mbo.flags[before] & code::LAST != 0;
        assert_eq!(mbo.venue_seq[row] - mbo.venue_seq[before], i64::from(new_event));
        assert!(mbo.ts_event[before] <= mbo.ts_event[row] && mbo.ts_recv[before] <= mbo.ts_recv[row]);
        assert!(new_event || mbo.ts_event[before] == mbo.ts_event[row]);
    }
    assert_eq!(mbo.flags.last().map(|flags| flags & code::LAST), Some(code::LAST));
}

#[test]
fn a_plain_book_replays_the_record_to_the_markets_own_book() {
    let (mbo, quotes, trades, market) = record(config(1, 150_000), 10_000);
    check_by_replay(&mbo, &quotes, &trades, &market);
    check_stamps(&mbo, END);
    assert!(trades.len() > 2_000 && quotes.len() > 20_000, "{} trades, {} quotes", trades.len(), quotes.len());
}

#[test]
fn the_engine_replays_the_record_without_a_doubt() {
    let (mbo, _, _, market) = record(config(4, 50_000), 10_000);
    let mut engine = MatchingEngine::new();
    let mut heard: Vec<Event> = Vec::new();
    for row in 0..mbo.len() {
        let side = if mbo.side[row] == code::BID { Side::Buy } else { Side::Sell };
        let (id, price, qty) = (OrderId(mbo.order_id[row]), Ticks(mbo.price_ticks[row]), Lots(mbo.size_lots[row]));
        let input = match mbo.action[row] {
            code::CLEAR => RecordInput::Clear,
            code::ADD => RecordInput::Add { id, side, price, qty, snapshot: mbo.flags[row] & code::SNAPSHOT != 0 },
            code::CANCEL => RecordInput::Reduce { id, qty },
            code::MODIFY => RecordInput::Modify { id, side, price, qty },
            code::FILL => RecordInput::Fill { id, qty },
            _ => continue,
        };
        engine.apply(Nanos(mbo.ts_event[row]), &Input::Record(input), &mut heard);
    }
    assert_eq!(heard, []);
    for side in [Side::Buy, Side::Sell] {
        let replayed = engine.book().orders(side).map(|order| (order.price, order.id, order.qty));
        assert!(replayed.eq(market.book().orders(side).map(|order| (order.price, order.id, order.qty))));
    }
}

#[test]
fn it_begins_with_a_clear_and_the_opening_book() {
    let (mbo, quotes, ..) = record(config(1, 1_000), 500);
    let opening = mbo.flags.iter().take_while(|&&flags| flags & code::SNAPSHOT != 0).count();
    assert_eq!(mbo.len() - opening, 1_000);
    assert!(opening > 1_000, "a book of {opening} orders");
    assert_eq!((mbo.action[0], mbo.side[0], mbo.order_id[0]), (code::CLEAR, code::NONE, 0));
    assert!(mbo.action[1..opening].iter().all(|&action| action == code::ADD));
    assert_eq!(mbo.flags[opening - 1], code::SNAPSHOT | code::LAST);
    assert!(mbo.ts_event[..opening].iter().all(|&ts| ts == START));
    assert_eq!(quotes.venue_seq[0], mbo.venue_seq[0]);
}

#[test]
fn the_count_of_events_is_met_exactly() {
    for events in [0, 1, 63, 64, 65, 66, 100, 5_000] {
        for seed in 0..10 {
            let (mbo, ..) = record(config(seed, events), 1_000);
            let opening = mbo.flags.iter().take_while(|&&flags| flags & code::SNAPSHOT != 0).count();
            assert_eq!((mbo.len() - opening) as u64, events);
        }
    }
}

#[test]
fn chunk_sizes_do_not_change_a_byte() {
    let (mbo, quotes, trades, _) = record(config(7, 20_000), usize::MAX);
    for rows in [1, 7, 1_000] {
        let (other_mbo, other_quotes, other_trades, _) = record(config(7, 20_000), rows);
        assert!(mbo == other_mbo && quotes == other_quotes && trades == other_trades, "chunks of {rows} rows");
    }
}

#[test]
fn a_chunk_holds_whole_events() {
    let mut market = Market::new(config(2, 20_000)).unwrap();
    let (mut mbo, mut quotes, mut trades) = (MboColumns::default(), QuoteColumns::default(), TradeColumns::default());
    while market.next_chunk(100, &mut mbo, &mut quotes, &mut trades) {
        assert_eq!(mbo.flags.last().map(|flags| flags & code::LAST), Some(code::LAST));
        let prints = mbo.action.iter().filter(|&&action| action == code::TRADE).count();
        assert_eq!(prints, trades.len());
    }
}

#[test]
fn a_seed_is_one_market_for_ever() {
    // A change of this hash changes every market that was ever generated: the version in `cift.data.demo` must then rise, so
    // that stored markets are made anew.
    let (mbo, ..) = record(config(20_260_105, 20_000), 4_096);
    assert_eq!(hash(&mbo, 10_000), "5ee40a012e350c665194d4250b83d6c3f5165757697b92a75f18afb0b27d3579");
    let (other, ..) = record(config(20_260_106, 20_000), 4_096);
    assert_ne!(hash(&mbo, 1_000), hash(&other, 1_000));
}

#[test]
fn ids_of_two_days_are_apart() {
    let day = 86_400_000_000_000;
    let monday = record(config(1, 5_000), 5_000);
    let tuesday = MarketConfig { start: Nanos(START + day), end: Nanos(END + day), ..config(1, 5_000) };
    let tuesday = record(tuesday, 5_000);
    assert!(monday.0.order_id.iter().max() < tuesday.0.order_id.iter().filter(|&&id| id != 0).min());
    assert!(monday.2.trade_id.iter().max() < tuesday.2.trade_id.iter().min());
}

#[test]
fn what_cannot_be_made_is_an_error() {
    let good = config(1, 10);
    let session = |start, end| Market::new(MarketConfig { start: Nanos(start), end: Nanos(end), ..good }).err();
    assert_eq!(session(5, 5), Some(ConfigError::Session { start: Nanos(5), end: Nanos(5) }));
    assert_eq!(session(-1, 5), Some(ConfigError::Session { start: Nanos(-1), end: Nanos(5) }));
    let price = |ticks| Market::new(MarketConfig { price: Ticks(ticks), ..good }).err();
    assert_eq!(price(999), Some(ConfigError::Price(Ticks(999))));
    assert_eq!(price(i64::MAX), Some(ConfigError::Price(Ticks(i64::MAX))));
    assert_eq!(price(1_000), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_market_keeps_its_rules(seed: u64, events in 0_u64..6_000, price in 1_000_i64..100_000, session in 1_i64..1_000_000_000) {
        let config = MarketConfig { seed, events, start: Nanos(START), end: Nanos(START + session), price: Ticks(price) };
        let (mbo, quotes, trades, market) = record(config, 512);
        check_by_replay(&mbo, &quotes, &trades, &market);
        check_stamps(&mbo, START + session);
        prop_assert!(mbo.price_ticks[1..].iter().all(|&price| price >= 1));
    }
}
