//! Scenarios that a trader can read (`scenarios/*.txt`; the language is in `scenarios/README.md`), and the published
//! scenarios of other engines, where their rules are ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cift_sim::matching::{
    Anomaly, CancelReason, Event, FillReason, Input, MatchingEngine, NewOrder, OrderInput, Party, RecordInput, Refill,
    RejectReason, SelfTrade, TimeInForce, Trade,
};
use cift_sim::types::{Family, Lots, Nanos, OrderId, OwnerId, Side, Ticks};
use serde_json::Value;

// ------------------------------------------------------------------------------------------------ reading

type Parsed<T> = Result<T, String>;

fn number<T: std::str::FromStr>(text: &str) -> Parsed<T> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
}

fn id(text: &str, mark: char) -> Parsed<OrderId> {
    let digits = text.strip_prefix(mark).ok_or_else(|| format!("'{text}' should begin with {mark}"))?;
    number(digits).map(OrderId)
}

/// `5@101`, or `5@market`.
fn size_at(text: &str) -> Parsed<(Lots, Option<Ticks>)> {
    let (size, price) = text.split_once('@').ok_or_else(|| format!("'{text}' should be SIZE@PRICE"))?;
    let price = if price == "market" { None } else { Some(Ticks(number(price)?)) };
    Ok((Lots(number(size)?), price))
}

fn at_price(text: &str) -> Parsed<(Lots, Ticks)> {
    let (size, price) = size_at(text)?;
    price.map(|price| (size, price)).ok_or_else(|| format!("'{text}' needs a price"))
}

fn book_side(text: &str) -> Parsed<Side> {
    match text {
        "bid" => Ok(Side::Buy),
        "ask" => Ok(Side::Sell),
        _ => Err(format!("'{text}' should be bid or ask")),
    }
}

fn owner_in(words: &[&str]) -> Parsed<OwnerId> {
    match words.iter().position(|word| *word == "owner") {
        Some(at) => number(words.get(at + 1).ok_or("owner needs a number")?).map(OwnerId),
        None => Ok(OwnerId(0)),
    }
}

fn new_order(side: Side, words: &[&str]) -> Parsed<NewOrder> {
    let [name, what, rest @ ..] = words else { return Err("an order needs an id and SIZE@PRICE".into()) };
    let (qty, limit) = size_at(what)?;
    let mut order = NewOrder {
        id: id(name, '#')?,
        owner: owner_in(rest)?,
        side,
        limit,
        qty,
        tif: TimeInForce::Gtc,
        post_only: false,
        self_trade: SelfTrade::Allow,
    };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match *word {
            "ioc" => order.tif = TimeInForce::Ioc,
            "fok" => order.tif = TimeInForce::Fok,
            "post-only" => order.post_only = true,
            "stp" => {
                order.self_trade = match words.next() {
                    Some(&"newest") => SelfTrade::CancelNewest,
                    Some(&"oldest") => SelfTrade::CancelOldest,
                    Some(&"both") => SelfTrade::CancelBoth,
                    other => return Err(format!("stp {other:?}")),
                }
            }
            "owner" => _ = words.next(),
            other => return Err(format!("'{other}' says nothing about an order")),
        }
    }
    Ok(order)
}

fn record(words: &[&str]) -> Parsed<RecordInput> {
    Ok(match *words {
        ["clear"] => RecordInput::Clear,
        ["add", name, side, what, ref rest @ ..] => {
            let (qty, price) = at_price(what)?;
            let snapshot = rest == ["snapshot"];
            RecordInput::Add { id: id(name, 'r')?, side: book_side(side)?, price, qty, snapshot }
        }
        ["modify", name, side, what] => {
            let (qty, price) = at_price(what)?;
            RecordInput::Modify { id: id(name, 'r')?, side: book_side(side)?, price, qty }
        }
        ["reduce", name, qty] => RecordInput::Reduce { id: id(name, 'r')?, qty: Lots(number(qty)?) },
        ["fill", name, qty] => RecordInput::Fill { id: id(name, 'r')?, qty: Lots(number(qty)?) },
        ["execute", name, qty] => RecordInput::Execute { id: id(name, 'r')?, qty: Lots(number(qty)?) },
        _ => return Err("no such record".into()),
    })
}

/// A command, or None where the line is a check.
fn command(words: &[&str]) -> Parsed<Option<Input>> {
    let order = |input| Ok(Some(Input::Order(input)));
    let of_record = |input| Ok(Some(Input::Record(input)));
    match *words {
        ["buy", ref rest @ ..] => order(OrderInput::New(new_order(Side::Buy, rest)?)),
        ["sell", ref rest @ ..] => order(OrderInput::New(new_order(Side::Sell, rest)?)),
        ["cancel", name, ref rest @ ..] => order(OrderInput::Cancel { id: id(name, '#')?, owner: owner_in(rest)? }),
        ["modify", name, what, ref rest @ ..] => {
            let (qty, price) = at_price(what)?;
            order(OrderInput::Modify { id: id(name, '#')?, owner: owner_in(rest)?, price, qty })
        }
        ["record", ref rest @ ..] => of_record(record(rest)?),
        ["print", what, ref rest @ ..] => {
            let (qty, price) = at_price(what)?;
            let aggressor = match rest.first() {
                Some(&"buy") => Some(Side::Buy),
                Some(&"sell") => Some(Side::Sell),
                _ => None,
            };
            of_record(RecordInput::Print { aggressor, price, exact: !rest.contains(&"above"), qty })
        }
        ["level", side, price, "out-of-sight"] => {
            of_record(RecordInput::OutOfSight { side: book_side(side)?, price: Ticks(number(price)?) })
        }
        ["level", side, what] => {
            let (qty, price) = at_price(what)?;
            of_record(RecordInput::Level { side: book_side(side)?, price, qty })
        }
        ["quote", side, "none"] => of_record(RecordInput::Quote { side: book_side(side)?, best: None }),
        ["quote", side, what] => {
            let (qty, price) = at_price(what)?;
            of_record(RecordInput::Quote { side: book_side(side)?, best: Some((price, qty)) })
        }
        _ => Ok(None),
    }
}

// ------------------------------------------------------------------------------------------------ writing

fn reject_word(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::SizeOutOfRange => "size-out-of-range",
        RejectReason::PriceOutOfRange => "price-out-of-range",
        RejectReason::DuplicateId => "duplicate-id",
        RejectReason::UnknownOrder => "unknown-order",
        RejectReason::WouldTrade => "would-trade",
        RejectReason::PostOnlyConflict => "post-only-conflict",
        RejectReason::OwnerOutOfRange => "owner-out-of-range",
        RejectReason::LevelOverflow => "level-overflow",
        RejectReason::Expired => "expired",
    }
}

fn cancel_word(reason: CancelReason) -> String {
    match reason {
        CancelReason::Requested => "requested".into(),
        CancelReason::Immediate => "immediate".into(),
        CancelReason::FillOrKill => "fill-or-kill".into(),
        CancelReason::NoLiquidity => "no-liquidity".into(),
        CancelReason::SelfTrade => "self-trade".into(),
        other => format!("{other:?}"),
    }
}

fn anomaly_word(anomaly: Anomaly) -> &'static str {
    match anomaly {
        Anomaly::UnknownOrder => "unknown-order",
        Anomaly::DuplicateId => "duplicate-id",
        Anomaly::TooLarge => "too-large",
        Anomaly::BadSize => "bad-size",
        Anomaly::BadPrice => "bad-price",
    }
}

fn fill_word(reason: FillReason) -> &'static str {
    match reason {
        FillReason::Took => "took",
        FillReason::Queue => "queue",
        FillReason::Crossed => "crossed",
        FillReason::Swept => "swept",
    }
}

/// An event in the words of a scenario, with everything that may be left out.
fn in_words(event: &Event, arriving: Option<OrderId>) -> String {
    match *event {
        Event::Accepted { .. } => "accepted".into(),
        Event::Rejected { reason, .. } => format!("reject {}", reject_word(reason)),
        Event::Rested { price, qty, ahead, .. } => format!("rest {qty}@{price} behind {ahead}"),
        Event::Modified { kept_place, .. } => format!("modified {}", if kept_place { "kept" } else { "moved" }),
        Event::Cancelled { id, qty, reason, .. } if Some(id) == arriving => {
            format!("cancelled {qty} {}", cancel_word(reason))
        }
        Event::Cancelled { id, qty, reason, .. } => format!("cancelled #{id} {qty} {}", cancel_word(reason)),
        Event::Anomaly(anomaly) => format!("anomaly {}", anomaly_word(anomaly)),
        Event::Trade(Trade { maker, price, qty, reason, .. }) => match maker {
            Party::Order { id, .. } => format!("fill #{id} {qty}@{price} {}", fill_word(reason)),
            Party::Record(id) => format!("take r{id} {qty}@{price}"),
            Party::Market => format!("take market {qty}@{price}"),
        },
    }
}

/// What a side holds, in the words of a check.
fn side_in_words(engine: &MatchingEngine, side: Side) -> String {
    let mut text = String::new();
    for order in engine.book().orders(side) {
        let name = match (order.family, order.id) {
            (Family::Order, id) => format!("#{id}"),
            (Family::Record, OrderId(0)) => "..".into(),
            (Family::Record, id) => format!("r{id}"),
        };
        let comma = if text.is_empty() { "" } else { ", " };
        _ = write!(text, "{comma}{name} {}@{}", order.qty, order.price);
    }
    if text.is_empty() { "none".into() } else { text }
}

// ------------------------------------------------------------------------------------------------ running

/// Checks what a command led to against what stands behind its arrow.
fn compare(input: &Input, events: &[Event], expected: Option<&str>) -> Parsed<()> {
    let arriving = match input {
        Input::Order(OrderInput::New(order)) => Some(order.id),
        Input::Order(OrderInput::Cancel { id, .. } | OrderInput::Modify { id, .. }) => Some(*id),
        Input::Record(_) => None,
    };
    let mut told: Vec<String> = events.iter().map(|event| in_words(event, arriving)).collect();
    if matches!(input, Input::Order(OrderInput::New(_))) {
        match told.first().map(String::as_str) {
            Some("accepted") => _ = told.remove(0),
            Some(first) if first.starts_with("reject") => {}
            _ => return Err(format!("a new order is neither accepted nor refused: {told:?}")),
        }
    }
    let Some(expected) = expected else {
        let quiet = match input {
            Input::Order(OrderInput::New(order)) => {
                let whole = |limit| format!("rest {}@{limit} ", order.qty);
                told.len() == 1 && order.limit.is_some_and(|limit| told[0].starts_with(&whole(limit)))
            }
            Input::Order(OrderInput::Cancel { .. }) => told.len() == 1 && told[0].starts_with("cancelled"),
            Input::Order(OrderInput::Modify { .. }) => told.first().is_some_and(|word| word.starts_with("modified")),
            Input::Record(_) => told.is_empty(),
        };
        return if quiet { Ok(()) } else { Err(format!("unexpected: {}", told.join(", "))) };
    };
    let asked: Vec<&str> = expected.split(',').map(str::trim).collect();
    // An expectation may leave out the last words: the reason of a fill, the size ahead.
    let agrees = |asked: &str, told: &str| {
        let (asked, told): (Vec<&str>, Vec<&str>) =
            (asked.split_whitespace().collect(), told.split_whitespace().collect());
        let optional = match told[0] {
            "fill" => 1,
            "rest" => 2,
            _ => 0,
        };
        told.starts_with(&asked) && asked.len() + optional >= told.len()
    };
    let same = asked.len() == told.len() && asked.iter().zip(&told).all(|(asked, told)| agrees(asked, told));
    if same { Ok(()) } else { Err(format!("expected {expected}\n  but got  {}", told.join(", "))) }
}

fn line(engine: &mut MatchingEngine, text: &str) -> Parsed<()> {
    let (left, expected) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right.trim())),
        None => (text, None),
    };
    let words: Vec<&str> = left.split_whitespace().collect();
    if let Some(input) = command(&words)? {
        let mut events = Vec::new();
        engine.apply(Nanos(0), &input, &mut events);
        return compare(&input, &events, expected);
    }
    let (holds, shown) = match words[..] {
        ["refill", "next-event"] => {
            *engine = MatchingEngine::with_refill(Refill::NextEvent);
            return Ok(());
        }
        ["taken", name, size] => {
            let taken = engine.taken_of(id(name, 'r')?);
            (taken == Lots(number(size)?), taken.to_string())
        }
        ["bids" | "asks", ..] => {
            let shown = side_in_words(engine, if words[0] == "bids" { Side::Buy } else { Side::Sell });
            (words[1..].join(" ") == shown, shown)
        }
        _ => return Err("no such command or check".into()),
    };
    if holds { Ok(()) } else { Err(format!("the engine says {shown}")) }
}

/// Runs the scenarios of one text and returns how many there were.
fn replay(file: &str, text: &str) -> usize {
    let mut engine = MatchingEngine::new();
    let (mut name, mut scenarios, mut failures) = ("", 0, Vec::new());
    for (n, text) in text.lines().enumerate().map(|(n, text)| (n + 1, text.trim())) {
        if let Some(title) = text.strip_prefix("==") {
            name = title.trim();
            scenarios += 1;
            engine = MatchingEngine::new();
        } else if !text.is_empty()
            && let Err(why) = line(&mut engine, text)
        {
            failures.push(format!("{file}:{n} ({name})\n  {text}\n  {why}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    scenarios
}

#[test]
fn orders_trade_by_price_then_time() {
    assert!(replay("orders.txt", include_str!("scenarios/orders.txt")) >= 25);
}

#[test]
fn history_moves_as_told_around_ours() {
    assert!(replay("records.txt", include_str!("scenarios/records.txt")) >= 20);
}

#[test]
fn a_snapshot_finds_its_places_again() {
    assert!(replay("clear.txt", include_str!("scenarios/clear.txt")) >= 8);
}

#[test]
fn prints_that_name_no_maker_reach_ours() {
    assert!(replay("prints.txt", include_str!("scenarios/prints.txt")) >= 8);
}

#[test]
fn a_feed_of_best_quotes_has_queues_too() {
    assert!(replay("quotes.txt", include_str!("scenarios/quotes.txt")) >= 15);
}

#[test]
fn a_feed_of_levels_has_queues_too() {
    assert!(replay("levels.txt", include_str!("scenarios/levels.txt")) >= 15);
}

// ------------------------------------------------------------------------------------------------ other engines

/// `../shared/data/matching` beside the workspace, or below CIFT_REAL_DATA. In CI a missing file is a failure.
fn published(name: &str) -> Option<Value> {
    let data = std::env::var_os("CIFT_REAL_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = data.join("matching").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("a published scenario file is JSON")),
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{name} is needed in CI: {why}"),
        Err(why) => {
            println!("skipped {name}: {why}; set CIFT_REAL_DATA to the folder of the real data");
            None
        }
    }
}

/// A published scenario on its way through our engine.
#[derive(Default)]
struct Published {
    engine: MatchingEngine,
    names: Vec<String>,
    sides: Vec<Side>,
    /// Rule names of the other engine.
    rules: Vec<String>,
    /// Lots and lots times price since the last mark.
    filled: BTreeMap<String, (i64, i64)>,
    trades: Vec<(String, String, i64, i64)>,
    closed: BTreeMap<String, &'static str>,
}

/// Why a scenario is not ours: the other engine's rule that it needs.
struct OtherRule(&'static str);

impl Published {
    fn id_of(&mut self, name: &str) -> OrderId {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        OrderId(at as u64)
    }

    fn has(&self, rule: &str) -> bool {
        self.rules.iter().any(|known| known == rule)
    }

    fn send(&mut self, input: OrderInput) -> Vec<Event> {
        let mut events = Vec::new();
        self.engine.apply(Nanos(0), &Input::Order(input), &mut events);
        self.trades.clear();
        for event in &events {
            match *event {
                Event::Trade(Trade {
                    taker: Party::Order { id: taker, left: taker_left, .. },
                    maker: Party::Order { id: maker, left: maker_left, .. },
                    price,
                    qty,
                    ..
                }) => {
                    let name = |id: OrderId| self.names[id.0 as usize].clone();
                    for (id, left) in [(taker, taker_left), (maker, maker_left)] {
                        let sums = self.filled.entry(name(id)).or_default();
                        *sums = (sums.0 + qty.0, sums.1 + qty.0 * price.0);
                        if left == Lots::ZERO {
                            self.closed.insert(name(id), "complete");
                        }
                    }
                    self.trades.push((name(taker), name(maker), price.0, qty.0));
                }
                Event::Cancelled { id, .. } => {
                    self.closed.insert(self.names[id.0 as usize].clone(), "cancelled");
                }
                _ => {}
            }
        }
        events
    }

    fn add(&mut self, step: &Value) -> Result<(), OtherRule> {
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        for (key, rule) in [("stop", "stop"), ("show", "iceberg")] {
            if !step[key].is_null() {
                return Err(OtherRule(rule));
            }
        }
        let px = step["px"].as_i64().unwrap_or_default();
        let side = if text("side") == "B" { Side::Buy } else { Side::Sell };
        let tif = match text("cond") {
            "" => TimeInForce::Gtc,
            "IOC" => TimeInForce::Ioc,
            "FOK" => TimeInForce::Fok,
            _ => return Err(OtherRule("all-or-none")),
        };
        let limit = (px != 0).then_some(Ticks(px));
        let qty = step["qty"].as_i64().expect("an add has a size");
        let id = self.id_of(text("id"));
        self.sides.push(side);
        let order = NewOrder {
            id,
            owner: OwnerId(0),
            side,
            limit,
            qty: Lots(qty),
            tif,
            // Where the other engine refuses what would match, post-only asks ours to.
            post_only: self.has("reject_cross") && limit.is_some(),
            self_trade: SelfTrade::Allow,
        };
        let events = self.send(OrderInput::New(order));
        let rejected = events.iter().any(|event| matches!(event, Event::Rejected { .. }));
        if let Some(expected) = step["rejected"].as_bool() {
            assert_eq!(rejected, expected, "{step}");
        }
        let traded: i64 = self.trades.iter().map(|trade| trade.3).sum();
        if limit.is_none() && traded < qty && self.has("market_rests") {
            return Err(OtherRule("market_rests"));
        }
        if let Some(matched) = step["matched"].as_bool() {
            assert_eq!(traded > 0, matched, "{step}");
        }
        if let Some(complete) = step["complete"].as_bool() {
            assert_eq!(traded == qty, complete, "{step}");
        }
        if let Some(trades) = step["trades"].as_array() {
            let expected: Vec<_> = trades
                .iter()
                .map(|trade| {
                    let name = |i: usize| trade[i].as_str().unwrap_or_default().to_owned();
                    let value = |i: usize| trade[i].as_i64().unwrap_or_default();
                    (name(0), name(1), value(2), value(3))
                })
                .collect();
            assert_eq!(self.trades, expected, "{step}");
        }
        Ok(())
    }

    fn replace(&mut self, step: &Value) -> Result<(), OtherRule> {
        let name = step["id"].as_str().unwrap_or_default().to_owned();
        let id = self.id_of(&name);
        let Some(order) = self.engine.book().get(id, Family::Order) else {
            return Err(OtherRule("replace of a closed order"));
        };
        let change = step["dqty"].as_i64().unwrap_or_default();
        let qty = order.qty.0 + change;
        let price = step["px"].as_i64().map_or(order.price, Ticks);
        let alone = self.engine.book().queue(order.side, order.price).count() == 1;
        if change >= 0 && price == order.price && !alone {
            return Err(OtherRule("replace_keeps_place"));
        }
        if qty <= 0 {
            // What our venue does with a modify to no more than is filled.
            self.send(OrderInput::Cancel { id, owner: OwnerId(0) });
        } else {
            self.send(OrderInput::Modify { id, owner: OwnerId(0), price, qty: Lots(qty) });
        }
        let matched: i64 = self.trades.iter().map(|trade| trade.3).sum();
        assert_eq!(Some(matched), step["match_qty"].as_i64(), "{step}");
        let state = self.closed.get(&name).copied().unwrap_or("accepted");
        assert_eq!(Some(state), step["state"].as_str(), "{step}");
        Ok(())
    }

    fn check(&mut self, step: &Value) -> Result<(), OtherRule> {
        let side = match step["side"].as_str() {
            Some("bids" | "B") => Side::Buy,
            _ => Side::Sell,
        };
        let book = self.engine.book();
        match step["op"].as_str().unwrap_or_default() {
            "mark" => self.filled.clear(),
            "cancel" => {
                let name = step["id"].as_str().unwrap_or_default().to_owned();
                let id = self.id_of(&name);
                let events = self.send(OrderInput::Cancel { id, owner: OwnerId(0) });
                let done = matches!(events[..], [Event::Cancelled { .. }]);
                if let Some(ok) = step["ok"].as_bool() {
                    assert_eq!(done, ok, "{step}");
                }
                if let Some(state) = step["state"].as_str() {
                    assert_eq!(self.closed.get(&name).copied(), Some(state), "{step}");
                }
            }
            "depth" => {
                for (key, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
                    let mut levels = book.depth(side);
                    for expected in step[key].as_array().into_iter().flatten() {
                        let level = levels.next().map_or((0, 0, 0), |l| (l.price.0, i64::from(l.orders), l.qty.0));
                        let value = |i: usize| expected[i].as_i64().unwrap_or_default();
                        assert_eq!(level, (value(0), value(1), value(2)), "{step}");
                    }
                }
            }
            "count" => assert_eq!(book.orders(side).count() as u64, step["n"].as_u64().unwrap_or_default(), "{step}"),
            "first" => {
                let first = book.orders(side).next().map(|order| self.names[order.id.0 as usize].as_str());
                assert_eq!(first, step["id"].as_str(), "{step}");
            }
            "first_open" => {
                let first = book.orders(side).next().map(|order| order.qty.0);
                assert_eq!(first, step["qty"].as_i64(), "{step}");
            }
            "top" => {
                let best = book.best(side).map_or((0, 0), |(price, qty)| (price.0, qty.0));
                let expected = (step["px"].as_i64().unwrap_or_default(), step["qty"].as_i64().unwrap_or_default());
                assert_eq!(best, expected, "{step}");
            }
            "book" => {
                for (key, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
                    let shown: Vec<Value> = book
                        .orders(side)
                        .map(|o| serde_json::json!([self.names[o.id.0 as usize], o.price.0, o.qty.0]))
                        .collect();
                    assert_eq!(Some(&shown), step[key].as_array(), "{step}");
                }
            }
            "fills" => {
                let expected: BTreeMap<String, (i64, i64)> = step["since_block"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, sums)| {
                        let value = |i: usize| sums[i].as_i64().unwrap_or_default();
                        (name.clone(), (value(0), value(1)))
                    })
                    .collect();
                assert_eq!(self.filled, expected, "{step}");
            }
            "field" => {
                let name = step["id"].as_str().unwrap_or_default().to_owned();
                let id = self.id_of(&name);
                let order = self.engine.book().get(id, Family::Order);
                let shown = match (step["field"].as_str(), order) {
                    (Some("open_qty"), order) => Some(order.map_or(0, |order| order.qty.0)),
                    (Some("price"), Some(order)) => Some(order.price.0),
                    // Fills are counted since the mark, so the size that was ordered is not known here.
                    _ => None,
                };
                assert!(shown.is_none() || shown == step["value"].as_i64(), "{step}: {shown:?}");
            }
            other => panic!("an unknown step: {other}"),
        }
        Ok(())
    }

    fn run(scenario: &Value) -> Result<(), OtherRule> {
        let rules = scenario["rules"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|rule| rule.as_str().map(str::to_owned)).collect();
        let mut published = Published { rules, ..Published::default() };
        for step in scenario["steps"].as_array().into_iter().flatten() {
            match step["op"].as_str() {
                Some("add") => published.add(step)?,
                Some("replace") => published.replace(step)?,
                _ => published.check(step)?,
            }
        }
        Ok(())
    }
}

/// Runs a published file; returns how many scenarios agreed, and how many need a rule that is not ours.
fn run_published(name: &str) -> Option<(usize, BTreeMap<&'static str, usize>)> {
    let file = published(name)?;
    let (mut agreed, mut skipped) = (0, BTreeMap::new());
    for scenario in file["scenarios"].as_array().into_iter().flatten() {
        match Published::run(scenario) {
            Ok(()) => agreed += 1,
            Err(OtherRule(rule)) => *skipped.entry(rule).or_default() += 1,
        }
    }
    println!("{name}: {agreed} scenarios agree; not our rules: {skipped:?}");
    Some((agreed, skipped))
}

#[test]
fn the_unit_tests_of_liquibook_agree() {
    if let Some((agreed, skipped)) = run_published("liquibook_order_book.json") {
        assert_eq!(agreed + skipped.values().sum::<usize>(), 38);
        assert!(agreed >= 30, "only {agreed} agree");
    }
}

#[test]
fn the_exercise_of_twelve_books_agrees() {
    if let Some((agreed, skipped)) = run_published("exercise12.json") {
        assert_eq!((agreed, skipped.len()), (19, 0));
    }
}

#[test]
fn the_exercise_of_two_instruments_agrees() {
    if let Some((agreed, skipped)) = run_published("exercise_two_instruments.json") {
        assert_eq!((agreed, skipped.len()), (2, 0));
    }
}
