//! The kernel: it takes numbered inputs, keeps orders, positions and money, wakes the strategy, and hands on what the
//! strategy asks for. It does no I/O, reads no clock and does not know whether it is in a backtest.

use std::collections::VecDeque;

use crate::account::{Money, MoneyOverflow};
use crate::answer::{Answer, AnswerKind};
use crate::command::Command;
use crate::desk::{Desk, EquitySample};
use crate::feed::{Flow, Row, RowSlice};
use crate::fees::Fees;
use crate::journal::{Journal, Storage};
use crate::market::Changed;
use crate::matching::FillReason;
use crate::order::{InvalidTransition, Order, OrderEnd, OrderStep};
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// A row of market data that reaches the strategy.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Which source.
    pub source: u16,
    /// Its instrument.
    pub instrument: u16,
    /// Number of the row in its source.
    pub number: u64,
    /// When it arrives.
    pub at: Nanos,
    /// The row.
    pub row: Row<'a>,
}

/// Rows of one source that reach a strategy which is not woken for them.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Which source.
    pub source: u16,
    /// Its instrument.
    pub instrument: u16,
    /// Number of the first row in its source.
    pub first: u64,
    /// How many rows.
    pub count: u64,
    /// When the last one arrives.
    pub last: Nanos,
    /// The rows.
    pub rows: RowSlice<'a>,
}

/// One input of the kernel that is not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelInput {
    /// An answer of the venue reached the strategy.
    Answer {
        /// When it arrived.
        arrival: Nanos,
        /// The answer.
        answer: Answer,
    },
    /// A timer is due.
    Timer {
        /// Its number.
        timer: u64,
        /// When.
        at: Nanos,
    },
    /// A script asked to be woken when the venue comes to a row.
    Alarm {
        /// Its number.
        alarm: u64,
        /// When.
        at: Nanos,
    },
}

impl KernelInput {
    /// When it reaches the kernel.
    pub fn ts(&self) -> Nanos {
        match *self {
            KernelInput::Answer { arrival: ts, .. }
            | KernelInput::Timer { at: ts, .. }
            | KernelInput::Alarm { at: ts, .. } => ts,
        }
    }
}

/// What a driver has for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Rows were handed over, and the kernel wanted no more of them for now.
    Rows,
    /// The next input.
    Input(KernelInput),
    /// A source has run dry and must be pushed to, or ended, before anything else may happen.
    NeedsData(u16),
    /// Nothing will ever come again.
    End,
}

/// Where inputs come from and commands go to: a simulation, or a live session.
pub trait Driver {
    /// What comes next in the total order. Rows go to `take`, one after the other, until it stops: most of them wake
    /// nobody, and so need not leave the driver's loop one by one.
    fn next(&mut self, take: impl FnMut(&Arrival<'_>) -> Flow) -> Next;
    /// Hands over, source by source, the rows that arrive before `until`, before anything that is not a row, and before the
    /// row `edge` of any source: nobody looks while they arrive, so that only what they leave behind counts. Returns
    /// whether the driver can do that now.
    fn sweep(&mut self, _until: Nanos, _edge: impl Fn(u16) -> u64, _take: impl FnMut(&Stretch<'_>)) -> bool {
        false
    }
    /// Takes a command that leaves at `now`.
    fn send(&mut self, now: Nanos, command: &Command);
}

/// What a strategy is woken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wake<'a> {
    /// Before the first input.
    Start,
    /// A print arrived; the market holds it.
    Trade(u16),
    /// A best price or size changed.
    Quote(u16),
    /// An event of the book ended.
    Book(u16),
    /// A condition turned true.
    When(u32),
    /// An order changed.
    Order(&'a Order),
    /// An order traded.
    Fill(&'a Fill),
    /// A timer is due.
    Timer(u64),
    /// A script's alarm.
    Alarm(u64),
    /// After the last input.
    Stop,
}

/// Which wakes a strategy takes. The others are not even prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// [`Wake::Trade`].
    pub trades: bool,
    /// [`Wake::Quote`].
    pub quotes: bool,
    /// [`Wake::Book`].
    pub books: bool,
    /// [`Wake::Order`].
    pub orders: bool,
    /// [`Wake::Fill`].
    pub fills: bool,
}

/// A strategy ends the run: its handler raised, or it was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt(pub String);

/// What decides.
pub trait Strategy {
    /// Which wakes it takes.
    fn wants(&self) -> Wants;
    /// Wakes it. What it asks for is in the desk's command buffer when it returns. The desk is boxed so that a strategy
    /// of another language can be lent it by moving one pointer.
    #[allow(clippy::borrowed_box)]
    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt>;
}

/// One fill, with the account after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// When it happened at the venue.
    pub ts: Nanos,
    /// Index of the instrument.
    pub instrument: u16,
    /// The order.
    pub order: OrderId,
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Ticks,
    /// Size.
    pub qty: Lots,
    /// Fee.
    pub fee: Money,
    /// How it came about.
    pub reason: FillReason,
    /// Size that stood ahead when the order joined its queue; None for a taker.
    pub ahead: Option<Lots>,
    /// The venue's mid in half ticks.
    pub mid_half_ticks: Option<i64>,
    /// Position after it.
    pub position: Lots,
    /// Cost of the position after it.
    pub cost: Money,
    /// Realised profit after it.
    pub realised: Money,
    /// Fees paid after it.
    pub fees_paid: Money,
    /// Cash after it.
    pub cash: Money,
}

/// What an instrument was marked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub ts: Nanos,
    /// Instrument.
    pub instrument: u16,
    /// Price in half ticks.
    pub half_ticks: i64,
}

/// Why a run ended before its data did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The strategy ended it.
    #[error("{}", .0.0)]
    Halted(Halt),
    /// An amount is too large.
    #[error(transparent)]
    Money(#[from] MoneyOverflow),
    /// The venue answered what the order's state does not allow.
    #[error("order {order}: {error}")]
    Transition {
        /// The order.
        order: OrderId,
        /// The pair.
        error: InvalidTransition,
    },
    /// The venue filled more of an order than it had, or made it smaller than what had traded.
    #[error("order {order}: the venue says that {} of {} lots have traded", filled.0, qty.0)]
    Overfilled {
        /// The order.
        order: OrderId,
        /// What has traded.
        filled: Lots,
        /// Its size.
        qty: Lots,
    },
    /// The venue answered for an order that is not open.
    #[error("the venue answered for order {0}, which is not open")]
    UnknownOrder(OrderId),
}

/// How far a call of [`Kernel::run`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The given number of inputs was taken.
    Paused,
    /// A source must be pushed to.
    NeedsData(u16),
    /// The run is over.
    Ended,
}

/// A row that wakes the strategy.
#[derive(Clone, Copy)]
struct Seen {
    source: u16,
    instrument: u16,
    number: u64,
    changed: Changed,
}

/// The kernel.
#[derive(Debug)]
pub struct Kernel<S: Storage> {
    /// What the strategy sees and asks for.
    pub desk: Box<Desk>,
    /// The log.
    pub journal: Journal<S>,
    fees: Fees,
    /// Rows at which conditions turn true, per source in order of row, each with the condition's number.
    edges: Vec<VecDeque<(u64, u32)>>,
    /// The strategy is told of nothing before this.
    start: Nanos,
    /// Whether the first input has come, and with it the kernel's time.
    begun: bool,
    equity_every_ns: i64,
    next_sample: i64,
    /// Closed orders, in the order of their end.
    pub closed: Vec<Order>,
    /// All fills.
    pub fills: Vec<Fill>,
    /// Equity over time: at each fill, and once per period.
    pub equity: Vec<EquitySample>,
    /// The mark of each instrument that had one, once per period.
    pub marks: Vec<Mark>,
}

impl<S: Storage> Kernel<S> {
    /// A kernel before its first input.
    pub fn new(desk: Desk, journal: Journal<S>, fees: Fees, sources: usize, equity_every_ns: i64) -> Self {
        Kernel {
            desk: Box::new(desk),
            journal,
            fees,
            edges: vec![VecDeque::new(); sources],
            start: Nanos(i64::MIN),
            begun: false,
            equity_every_ns,
            next_sample: i64::MIN,
            closed: Vec::new(),
            fills: Vec::new(),
            equity: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Tells the strategy of nothing that arrives before `start`; rows before it build the market that it will find.
    pub fn start_at(&mut self, start: Nanos) {
        self.start = start;
    }

    /// Whether an input came that the strategy was to be told of.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Registers where a condition turns true: rows of a source in increasing order, none before those registered.
    pub fn add_edges(&mut self, source: u16, edges: impl IntoIterator<Item = (u64, u32)>) {
        self.edges[source as usize].extend(edges);
    }

    /// Wakes the strategy after the last input, where there was one. Orders that it sends now are still carried to the
    /// venue.
    pub fn stop<D: Driver, T: Strategy>(&mut self, driver: &mut D, strategy: &mut T) -> Result<(), KernelError> {
        if !self.begun {
            return Ok(());
        }
        // An input of its own, so that a replay sends again here what was sent here.
        self.journal.stop(self.desk.now);
        self.wake(driver, strategy, Wake::Stop)
    }

    /// Takes at most `most` inputs. The strategy is woken for its start when the first one comes that is not before the
    /// given start, at its time and before it: what it sends then meets the market of that time. Rows before that only
    /// build the market.
    pub fn run<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        most: u64,
    ) -> Result<Progress, KernelError> {
        let wants = strategy.wants();
        let sees_rows = wants.trades || wants.quotes || wants.books;
        let mut left = most;
        while left > 0 {
            let swept = self.begun && !sees_rows && self.sweep(driver, &mut left);
            if left == 0 {
                break;
            }
            let mut start = None;
            let mut seen = None;
            let mut failed = None;
            let next = driver.next(|arrival| {
                if !self.begun {
                    if arrival.at >= self.start {
                        start = Some(arrival.at);
                        return Flow::Back;
                    }
                    self.prepare(arrival);
                } else {
                    // Little is written here: this runs for every row, and most of them wake nobody.
                    match self.row(wants, arrival) {
                        Ok(None) => {}
                        Ok(Some(changed)) => {
                            let &Arrival { source, instrument, number, .. } = arrival;
                            seen = Some(Seen { source, instrument, number, changed });
                            left -= 1;
                            return Flow::Stop;
                        }
                        Err(error) => {
                            failed = Some(error);
                            return Flow::Stop;
                        }
                    }
                }
                left -= 1;
                // After the row that ended a sweep, the next one may begin.
                if left > 0 && !swept { Flow::On } else { Flow::Stop }
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
            match next {
                Next::Rows => {
                    if let Some(now) = start {
                        self.begin(driver, strategy, now)?;
                    }
                    if let Some(seen) = seen {
                        self.tell(driver, strategy, wants, &seen)?;
                    }
                }
                Next::Input(input) => {
                    left -= 1;
                    if !self.begun {
                        self.begin(driver, strategy, input.ts())?;
                    }
                    self.step(driver, strategy, wants, &input)?;
                }
                Next::NeedsData(source) => return Ok(Progress::NeedsData(source)),
                Next::End => return Ok(Progress::Ended),
            }
        }
        Ok(Progress::Paused)
    }

    fn begin<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        now: Nanos,
    ) -> Result<(), KernelError> {
        self.begun = true;
        self.desk.now = now;
        self.wake(driver, strategy, Wake::Start)
    }

    /// Takes what nobody is woken for.
    fn sweep<D: Driver>(&mut self, driver: &mut D, left: &mut u64) -> bool {
        let Kernel { desk, journal, edges, next_sample, .. } = self;
        let edge = |source: u16| edges[source as usize].front().map_or(u64::MAX, |&(row, _)| row);
        driver.sweep(Nanos(*next_sample), edge, |stretch| {
            let &Stretch { source, instrument, first, count, last, rows } = stretch;
            journal.rows(source, first, count);
            desk.markets[instrument as usize].apply_all(rows);
            desk.now = desk.now.max(last);
            *left = left.saturating_sub(count);
        })
    }

    /// A row before the start: the strategy will find the market that it left.
    fn prepare(&mut self, arrival: &Arrival<'_>) {
        self.journal.row(arrival.source, arrival.number);
        let market = &mut self.desk.markets[arrival.instrument as usize];
        market.apply(arrival.row);
        market.quote_rows = 0;
        market.trade_rows = 0;
    }

    /// Applies a row to the market that the strategy sees, and says what changed where the strategy is to be woken for it.
    #[inline]
    fn row(&mut self, wants: Wants, arrival: &Arrival<'_>) -> Result<Option<Changed>, MoneyOverflow> {
        let &Arrival { source, instrument, number, at, row } = arrival;
        self.advance(at)?;
        self.journal.row(source, number);
        let changed = self.desk.markets[instrument as usize].apply(row);
        let wakes = changed.trade && wants.trades || changed.quote && wants.quotes || changed.book && wants.books;
        let wakes = wakes || self.edges[source as usize].front().is_some_and(|&(edge, _)| edge <= number);
        Ok(wakes.then_some(changed))
    }

    /// Wakes the strategy for what a row changed.
    fn tell<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        wants: Wants,
        seen: &Seen,
    ) -> Result<(), KernelError> {
        let &Seen { source, instrument, number, changed } = seen;
        if changed.trade && wants.trades {
            self.wake(driver, strategy, Wake::Trade(instrument))?;
        }
        if changed.quote && wants.quotes {
            self.wake(driver, strategy, Wake::Quote(instrument))?;
        }
        if changed.book && wants.books {
            self.wake(driver, strategy, Wake::Book(instrument))?;
        }
        while let Some(&(row, condition)) = self.edges[source as usize].front()
            && row <= number
        {
            self.edges[source as usize].pop_front();
            self.wake(driver, strategy, Wake::When(condition))?;
        }
        Ok(())
    }

    #[inline]
    fn step<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        wants: Wants,
        input: &KernelInput,
    ) -> Result<(), KernelError> {
        match *input {
            KernelInput::Answer { arrival, ref answer } => {
                self.advance(arrival)?;
                self.journal.answer(self.desk.now, answer);
                self.answer(driver, strategy, wants, answer)
            }
            KernelInput::Timer { timer, at } => {
                self.advance(at)?;
                self.journal.timer(self.desk.now, timer);
                self.wake(driver, strategy, Wake::Timer(timer))
            }
            KernelInput::Alarm { alarm, at } => {
                self.advance(at)?;
                self.journal.alarm(self.desk.now, alarm);
                self.wake(driver, strategy, Wake::Alarm(alarm))
            }
        }
    }

    /// Moves the kernel's time, and samples equity where a whole period has passed.
    #[inline]
    fn advance(&mut self, ts: Nanos) -> Result<(), MoneyOverflow> {
        if ts.0 >= self.next_sample {
            self.sample_period(ts)?;
        }
        self.desk.now = self.desk.now.max(ts);
        Ok(())
    }

    #[cold]
    fn sample_period(&mut self, ts: Nanos) -> Result<(), MoneyOverflow> {
        let every = self.equity_every_ns;
        let start = ts.0.div_euclid(every).saturating_mul(every);
        // The first sample stands at the first input; later ones show what held when their period began.
        let at = if self.next_sample == i64::MIN { ts.0 } else { start };
        self.sample(Nanos(at))?;
        self.next_sample = start.saturating_add(every);
        Ok(())
    }

    /// Notes equity and marks at a time.
    pub fn sample(&mut self, ts: Nanos) -> Result<(), MoneyOverflow> {
        let sample = self.desk.equity_sample(ts)?;
        self.equity.push(sample);
        for (instrument, market) in self.desk.markets.iter().enumerate() {
            if let Some(half_ticks) = market.mark_half_ticks() {
                self.marks.push(Mark { ts, instrument: instrument as u16, half_ticks });
            }
        }
        Ok(())
    }

    /// Wakes the strategy and sends what it asks for.
    #[inline]
    fn wake<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        wake: Wake<'_>,
    ) -> Result<(), KernelError> {
        self.desk.input = self.journal.inputs();
        let woken = strategy.wake(&mut self.desk, wake);
        if let Err(halt) = woken {
            self.desk.discard();
            self.journal.handler_error(&halt.0);
            return Err(KernelError::Halted(halt));
        }
        if !self.desk.commands.is_empty() {
            let now = self.desk.now;
            for command in self.desk.commands.drain(..) {
                self.journal.command(now, &command);
                driver.send(now, &command);
            }
        }
        Ok(())
    }

    fn answer<D: Driver, T: Strategy>(
        &mut self,
        driver: &mut D,
        strategy: &mut T,
        wants: Wants,
        answer: &Answer,
    ) -> Result<(), KernelError> {
        let id = answer.order;
        let order = match self.desk.open.get_mut(&id) {
            Some(order) => order,
            // The order closed while a change or a cancel was on its way: the refusal comes late, and changes nothing.
            None if matches!(answer.kind, AnswerKind::ReplaceRejected(_) | AnswerKind::CancelRejected(_)) => {
                return Ok(());
            }
            None => return Err(KernelError::UnknownOrder(id)),
        };
        let before = order.open().0 * order.side.sign();
        let transition = |error| KernelError::Transition { order: id, error };
        let mut fill = None;
        match answer.kind {
            AnswerKind::Accepted => {
                order.ts_accepted = Some(answer.ts);
                order.take(OrderStep::Accept).map_err(transition)?;
            }
            AnswerKind::Rejected(reason) => {
                order.end = OrderEnd::Rejected(reason);
                order.take(OrderStep::Reject).map_err(transition)?;
            }
            AnswerKind::Rested { ahead } => {
                order.ahead = Some(ahead);
                return Ok(());
            }
            AnswerKind::Fill { price, qty, reason, ahead, mid_half_ticks, .. } => {
                order.filled.0 += qty.0;
                check_size(order)?;
                order.filled_ticks_lots += i128::from(price.0) * i128::from(qty.0);
                let step = if order.open() == Lots::ZERO { OrderStep::LastFill } else { OrderStep::PartialFill };
                order.take(step).map_err(transition)?;
                fill = Some((price, qty, reason, ahead, mid_half_ticks));
            }
            AnswerKind::Replaced { price, qty } => {
                order.limit = Some(price);
                order.qty = qty;
                check_size(order)?;
                order.replace_answered();
                let step = if order.open() == Lots::ZERO { OrderStep::LastReplace } else { OrderStep::Replace };
                order.take(step).map_err(transition)?;
            }
            AnswerKind::ReplaceRejected(_) => {
                order.replace_answered();
                order.take(OrderStep::RejectReplace).map_err(transition)?;
            }
            AnswerKind::Cancelled(reason) => {
                order.end = OrderEnd::Cancelled(reason);
                order.take(OrderStep::Cancel).map_err(transition)?;
            }
            AnswerKind::CancelRejected(_) => order.take(OrderStep::RejectCancel).map_err(transition)?,
        }
        let closed = order.state.is_closed();
        if closed {
            order.ts_closed = Some(answer.ts);
        }
        let order = **order;
        let after = if closed { 0 } else { order.open().0 * order.side.sign() };
        self.desk.open_net[order.instrument as usize] += after - before;
        if closed {
            self.desk.open.remove(&id);
            self.closed.push(order);
        }
        if let Some((price, qty, reason, ahead, mid)) = fill {
            let booked = self.book_fill(&order, answer.ts, price, qty, reason, ahead, mid)?;
            if wants.fills {
                self.wake(driver, strategy, Wake::Fill(&booked))?;
            }
        }
        if wants.orders {
            self.wake(driver, strategy, Wake::Order(&order))?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn book_fill(
        &mut self,
        order: &Order,
        ts: Nanos,
        price: Ticks,
        qty: Lots,
        reason: FillReason,
        ahead: Option<Lots>,
        mid_half_ticks: Option<i64>,
    ) -> Result<Fill, KernelError> {
        let at = order.instrument as usize;
        let instrument = self.desk.instruments[at];
        let fee = self.fees.of(&instrument, price, qty, reason == FillReason::Took)?;
        let position = &mut self.desk.positions[at];
        let change = position.fill(&instrument, order.side, price, qty, fee)?;
        let position = *position;
        let cash = &mut self.desk.cash[instrument.currency as usize];
        cash.0 = cash.0.checked_add(change.0).ok_or(MoneyOverflow)?;
        let cash = *cash;
        let fill = Fill {
            ts,
            instrument: order.instrument,
            order: order.id,
            side: order.side,
            price,
            qty,
            fee,
            reason,
            ahead,
            mid_half_ticks,
            position: position.qty,
            cost: position.cost,
            realised: position.realised,
            fees_paid: position.fees,
            cash,
        };
        self.journal.fill(self.desk.now, order.id.0, fee.0, position.qty.0, cash.0);
        self.fills.push(fill);
        let sample = self.desk.equity_sample(self.desk.now)?;
        self.equity.push(sample);
        Ok(fill)
    }
}

/// Whether no more of an order has traded than it has.
fn check_size(order: &Order) -> Result<(), KernelError> {
    let Order { id, filled, qty, .. } = *order;
    if filled <= qty { Ok(()) } else { Err(KernelError::Overfilled { order: id, filled, qty }) }
}
