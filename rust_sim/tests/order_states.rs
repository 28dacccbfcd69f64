//! The life of an order through the kernel, told by the matrices of FIX (M5): what each answer and each verb makes of it.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use cift_sim::account::Money;
use cift_sim::answer::{Answer, AnswerKind};
use cift_sim::command::Command;
use cift_sim::desk::{Desk, Ticket};
use cift_sim::feed::Flow;
use cift_sim::fees::Fees;
use cift_sim::instrument::{Instrument, Step};
use cift_sim::journal::Journal;
use cift_sim::kernel::{Arrival, Driver, Halt, Kernel, KernelInput, Next, Strategy, Wake, Wants};
use cift_sim::market::Market;
use cift_sim::matching::{CancelReason, FillReason, RejectReason, SelfTrade, TimeInForce};
use cift_sim::types::{Lots, Nanos, OrderId, Side, Ticks};

const MATRICES: &str = include_str!("order_states/fix_appendix_d.txt");
const LAST_MATRIX: usize = 37;

const INSTRUMENT: Instrument = Instrument {
    tick: Step { num: 1, den: 1 },
    lot: Step { num: 1, den: 1 },
    unit: 1_000_000_000_000_000_000,
    currency: 0,
};
const ORDER: OrderId = OrderId(1);
const DAY_NS: i64 = 86_400_000_000_000;

/// Hands over one input, and takes note of nothing.
#[derive(Default)]
struct OneInput(VecDeque<KernelInput>);

impl Driver for OneInput {
    fn next(&mut self, _take: impl FnMut(&Arrival<'_>) -> Flow) -> Next {
        self.0.pop_front().map_or(Next::End, Next::Input)
    }

    fn send(&mut self, _now: Nanos, _command: &Command) {}
}

/// Does the verb that stands in the line when its timer wakes it.
struct Owner(Rc<RefCell<String>>);

impl Strategy for Owner {
    fn wants(&self) -> Wants {
        Wants::default()
    }

    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt> {
        let Wake::Timer(_) = wake else { return Ok(()) };
        let line = self.0.borrow();
        let words: Vec<&str> = line.split_whitespace().collect();
        let lots = |word: &str| Lots(word.parse().expect("a size"));
        let done = match words[..] {
            ["send", size] => desk.submit(&ticket(TimeInForce::Gtc, lots(size))).map(drop),
            ["send", "fok", size] => desk.submit(&ticket(TimeInForce::Fok, lots(size))).map(drop),
            ["send", "ioc", size] => desk.submit(&ticket(TimeInForce::Ioc, lots(size))).map(drop),
            ["cancel"] => desk.cancel(ORDER),
            ["replace", "price"] => desk.modify(ORDER, Some(Ticks(101)), None),
            ["replace", size] => desk.modify(ORDER, None, Some(lots(size))),
            ["look"] | ["next", "day"] => Ok(()),
            _ => panic!("unknown line: {line}"),
        };
        done.map_err(|error| Halt(error.to_string()))
    }
}

fn ticket(tif: TimeInForce, qty: Lots) -> Ticket {
    Ticket {
        instrument: 0,
        side: Side::Buy,
        qty,
        limit: Some(Ticks(100)),
        tif,
        post_only: false,
        self_trade: SelfTrade::Allow,
        tag: None,
    }
}

/// What the venue says in a line; None where the line is a verb of ours.
fn answer(line: &str) -> Option<AnswerKind> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let lots = |word: &str| Lots(word.parse().expect("a size"));
    Some(match words[..] {
        ["accepted"] => AnswerKind::Accepted,
        ["rejected"] => AnswerKind::Rejected(RejectReason::DuplicateId),
        ["fill", size] => AnswerKind::Fill {
            price: Ticks(100),
            qty: lots(size),
            left: Lots::ZERO,
            reason: FillReason::Took,
            ahead: None,
            mid_half_ticks: None,
        },
        ["replaced", size] => AnswerKind::Replaced { price: Ticks(100), qty: lots(size) },
        ["replace", "refused"] => AnswerKind::ReplaceRejected(RejectReason::UnknownOrder),
        ["cancelled"] => AnswerKind::Cancelled(CancelReason::ModifiedAway),
        ["cancel", "refused"] => AnswerKind::CancelRejected(RejectReason::UnknownOrder),
        _ => return None,
    })
}

/// What each line makes of the order, or the error that it ends with.
fn outcomes(lines: &[&str]) -> Vec<String> {
    let desk = Desk::new(vec![INSTRUMENT], vec![Market::default()], vec![Money(0)]);
    let mut kernel = Kernel::new(desk, Journal::new(Vec::new(), 0, "{}"), Fees::default(), 0, DAY_NS);
    let said = Rc::new(RefCell::new(String::new()));
    let (mut driver, mut owner) = (OneInput::default(), Owner(Rc::clone(&said)));
    let mut now = Nanos(0);
    let mut outcomes = Vec::new();
    for line in lines {
        now.0 += if *line == "next day" { DAY_NS } else { 1 };
        said.replace((*line).to_string());
        driver.0.push_back(match answer(line) {
            Some(kind) => KernelInput::Answer { arrival: now, answer: Answer { ts: now, order: ORDER, kind } },
            None => KernelInput::Timer { timer: 1, at: now },
        });
        let order = match kernel.run(&mut driver, &mut owner, 1) {
            Ok(_) => kernel.desk.open_orders().next().or(kernel.closed.last()),
            Err(error) => {
                outcomes.push(format!("\"{error}\""));
                break;
            }
        };
        let text = order.map(|order| format!("{:?} {}/{}", order.state, order.filled.0, order.qty.0));
        outcomes.push(text.unwrap_or_else(|| "no order".into()));
    }
    outcomes
}

fn columns(row: &str) -> (&str, &str) {
    let (line, outcome) = row.trim().split_once("  ").expect("two columns");
    (line, outcome.trim())
}

#[test]
fn every_matrix_of_fix_is_followed_or_refused_by_name() {
    let mut seen = BTreeSet::new();
    let rows = MATRICES.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    for matrix in rows.split("\n\n").map(str::trim).filter(|matrix| !matrix.is_empty()) {
        let (title, rows) = matrix.split_once('\n').expect("a title and lines");
        let (lines, expected): (Vec<&str>, Vec<&str>) = rows.lines().map(columns).unzip();
        assert_eq!(outcomes(&lines), expected, "{title}");
        let number = title.split_whitespace().next().and_then(|name| name.strip_prefix('D')).expect("a number");
        seen.insert(number.parse::<usize>().expect("a number"));
    }
    assert!(seen.into_iter().eq(1..=LAST_MATRIX), "each matrix has its case");
}
