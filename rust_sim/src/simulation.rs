//! The driver of a backtest: sources, latency and simulated venues, merged into one total order.

use std::collections::{BTreeSet, VecDeque};

use crate::answer::Answer;
use crate::command::{Command, CommandKind};
use crate::feed::{Flow, Row, Schema, Source};
use crate::kernel::{Arrival, Driver, KernelInput, Next, Stretch};
use crate::latency::Latency;
use crate::market::{Market, Print, Touch};
use crate::merge::{Due, Kind, Merge};
use crate::types::{Nanos, Side};
use crate::venue::SimVenue;

/// A row that indicators move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The best prices and sizes.
    Touch(Touch, Touch),
    /// A print.
    Print(Print),
}

/// Where an observation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Source.
    pub source: u16,
    /// Instrument.
    pub instrument: u16,
    /// Number of the row in its source.
    pub row: u64,
    /// When it happened.
    pub ts: Nanos,
    /// What was seen.
    pub what: Observation,
}

/// A wake that a script asked for: when the venue comes to a row of a source, before that row acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Source.
    pub source: u16,
    /// Row.
    pub row: u64,
    /// Number handed to the script.
    pub alarm: u64,
}

/// The simulated world around a kernel.
///
/// A record acts at its venue when its time comes. Where none of ours is at that venue, nobody can tell when it did:
/// such a venue is *quiet*, its rows are left lying, and it catches up in one go when a command reaches it. Rows then
/// go to the strategy in whole stretches, and each book is worked on while it is in the cache.
#[derive(Debug)]
pub struct Simulation {
    sources: Vec<Source>,
    /// The sources whose rows act at a venue, by instrument. Rows of the others only reach handlers, because a deeper
    /// source acts.
    acting: Vec<Vec<usize>>,
    venues: Vec<SimVenue>,
    quiet: Vec<bool>,
    /// Whether no two sources of an instrument write the same part of its market: then the order among them is lost on
    /// whoever looks later.
    apart: bool,
    latency: Latency,
    queues: Queues,
    merge: Merge,
    at_venue: VecDeque<(i64, Command)>,
    answers: VecDeque<(i64, Answer)>,
    timers: BTreeSet<(i64, u64)>,
    alarms: VecDeque<Alarm>,
    /// Set while a script handles an alarm: its commands act at once.
    immediate: Option<Nanos>,
    scratch: Vec<Answer>,
    /// The markets as indicators see them, ahead of the strategy.
    ahead: Vec<Market>,
    /// Indicators see no arrival before this.
    start: Nanos,
}

/// A queue of the merge: what may be due next.
#[derive(Clone, Copy)]
enum Queue {
    /// The rows of a source that act at the venue.
    Record(usize),
    /// The rows of a source that reach the strategy.
    Delivery(usize),
    /// Commands on their way to a venue.
    AtVenue,
    /// Answers on their way to the strategy.
    Answers,
    Timers,
}

/// Numbers the queues of so many sources: theirs first.
#[derive(Clone, Copy, Debug)]
struct Queues {
    sources: usize,
}

impl Queues {
    fn count(self) -> usize {
        self.number(Queue::Timers) + 1
    }

    #[inline]
    fn number(self, queue: Queue) -> usize {
        match queue {
            Queue::Record(at) => at,
            Queue::Delivery(at) => self.sources + at,
            Queue::AtVenue => self.sources * 2,
            Queue::Answers => self.sources * 2 + 1,
            Queue::Timers => self.sources * 2 + 2,
        }
    }

    #[inline]
    fn of(self, number: usize) -> Queue {
        match number {
            at if at < self.sources => Queue::Record(at),
            at if at < self.sources * 2 => Queue::Delivery(at - self.sources),
            at if at == self.sources * 2 => Queue::AtVenue,
            at if at == self.sources * 2 + 1 => Queue::Answers,
            _ => Queue::Timers,
        }
    }
}

/// Whether the rows of a source act at the venue: the deepest record of an instrument is the venue's. Prints act beside levels
/// and quotes, while a record of orders has its own.
fn acts(sources: &[Source], at: usize) -> bool {
    let of_same = |schema| sources.iter().any(|it| it.instrument == sources[at].instrument && it.schema == schema);
    match sources[at].schema {
        Schema::Mbo => true,
        Schema::Mbp | Schema::Trades => !of_same(Schema::Mbo),
        Schema::Quotes => !of_same(Schema::Mbo) && !of_same(Schema::Mbp),
    }
}

/// Whether two sources never write the same part of a market.
fn are_apart(one: &Source, other: &Source) -> bool {
    let names_orders = one.schema == Schema::Mbo || other.schema == Schema::Mbo;
    let prints = (one.schema == Schema::Trades) as u8 + (other.schema == Schema::Trades) as u8;
    one.instrument != other.instrument || !names_orders && prints == 1
}

impl Simulation {
    /// A world of sources and venues, one venue for each instrument. `markets` are the empty views that the strategy
    /// starts with.
    pub fn new(sources: Vec<Source>, venues: Vec<SimVenue>, markets: &[Market], latency: Latency) -> Self {
        let of = |instrument: usize| {
            let mine = |&at: &usize| sources[at].instrument as usize == instrument && acts(&sources, at);
            (0..sources.len()).filter(mine).collect()
        };
        let queues = Queues { sources: sources.len() };
        let mut simulation = Simulation {
            acting: (0..venues.len()).map(of).collect(),
            quiet: vec![true; venues.len()],
            apart: (1..sources.len()).all(|at| sources[..at].iter().all(|other| are_apart(&sources[at], other))),
            venues,
            latency,
            queues,
            merge: Merge::new(queues.count()),
            at_venue: VecDeque::new(),
            answers: VecDeque::new(),
            timers: BTreeSet::new(),
            alarms: VecDeque::new(),
            immediate: None,
            scratch: Vec::new(),
            ahead: markets.to_vec(),
            start: Nanos(i64::MIN),
            sources,
        };
        for source in 0..simulation.sources.len() {
            simulation.schedule(source);
        }
        simulation
    }

    /// Indicators see only what arrives from `start` on; rows before it build the books.
    pub fn look_from(&mut self, start: Nanos) {
        self.start = start;
    }

    /// The sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The venues.
    pub fn venues(&self) -> &[SimVenue] {
        &self.venues
    }

    /// Asks for alarms, in the order of their rows.
    pub fn set_alarms(&mut self, alarms: impl IntoIterator<Item = Alarm>) {
        self.alarms.extend(alarms);
        for instrument in 0..self.venues.len() {
            self.settle(instrument);
        }
    }

    /// Lets `push` append rows to a source.
    pub fn push<E>(&mut self, source: u16, push: impl FnOnce(&mut Source) -> Result<(), E>) -> Result<(), E> {
        let at = source as usize;
        let source = &mut self.sources[at];
        let result = push(source);
        if !self.acting[source.instrument as usize].contains(&at) {
            source.acted = source.pushed();
        }
        self.schedule(at);
        result
    }

    /// No more rows will come from a source.
    pub fn end(&mut self, source: u16) {
        self.sources[source as usize].ended = true;
        self.schedule(source as usize);
    }

    /// Says which sources indicators look at. Rows of the others need not be kept for them.
    pub fn look_at(&mut self, is_seen: impl Fn(&Source) -> bool) {
        for source in &mut self.sources {
            if !is_seen(source) {
                source.looked = u64::MAX;
            }
        }
    }

    /// How many rows indicators have not looked at, of all sources that they look at.
    pub fn unseen(&self) -> usize {
        self.sources.iter().map(|source| source.pushed().saturating_sub(source.looked) as usize).sum()
    }

    /// What will reach the strategy, in that order, as far as it is settled by the rows pushed so far, and was not told
    /// before.
    pub fn look_ahead(&mut self, mut observe: impl FnMut(Observed)) {
        // Among several sources, what one of them may still bring first is waited for.
        let looked_at = self.sources.iter().filter(|source| source.looked != u64::MAX);
        let open = looked_at.clone().filter(|source| !source.ended).map(|source| source.reached().0);
        let settled = if looked_at.count() > 1 { open.min().unwrap_or(i64::MAX) } else { i64::MAX };
        loop {
            // The source whose next row arrives first, and the arrival that its rows must not pass.
            let never = (i64::MAX, usize::MAX);
            let (mut first, mut second) = (never, never);
            for (at, source) in self.sources.iter().enumerate().filter(|(_, source)| source.looked < source.pushed()) {
                let head = (source.arrival(source.looked).0, at);
                second = second.min(head.max(first));
                first = first.min(head);
            }
            let (_, at) = first;
            if first == never {
                return;
            }
            let is_next = |arrival: i64| (settled == i64::MAX || arrival < settled) && (arrival, at) < second;
            let Simulation { sources, ahead, start, .. } = self;
            let source = &mut sources[at];
            let (looked, instrument) = (source.looked, source.instrument);
            let market = &mut ahead[instrument as usize];
            source.looked = source.walk(
                looked,
                |_, arrival| is_next(arrival.0),
                |number, row, arrival| {
                    let ts = row.ts();
                    let mut see = |what| {
                        if arrival >= *start {
                            observe(Observed { source: at as u16, instrument, row: number, ts, what });
                        }
                    };
                    match row {
                        Row::Mbo(_) => {
                            let changed = market.apply(row);
                            if let Some(print) = market.last.filter(|_| changed.trade) {
                                see(Observation::Print(print));
                            }
                            if changed.quote {
                                see(Observation::Touch(market.bid, market.ask));
                            }
                        }
                        // These say all by themselves.
                        Row::Quote(row) => see(Observation::Touch(row.touch(Side::Buy), row.touch(Side::Sell))),
                        Row::Trade(row) => see(Observation::Print(row.print())),
                    }
                    Flow::On
                },
            );
            if source.looked == looked {
                return;
            }
        }
    }

    fn schedule(&mut self, at: usize) {
        self.schedule_record(at);
        self.schedule_delivery(at);
    }

    /// When the next row of a source acts at the venue, or when more rows are needed to know.
    #[inline]
    fn schedule_record(&mut self, at: usize) {
        let source = &self.sources[at];
        let due = if source.acted < source.pushed() && !self.quiet[source.instrument as usize] {
            Kind::Record.due(source.ts(source.acted).0, at as u16)
        } else if source.ended {
            Due::NEVER
        } else {
            // Whatever comes next is not before this.
            Kind::Record.due(source.reached().0, at as u16)
        };
        self.merge.set(at, due);
    }

    /// When the next row of a source reaches the strategy.
    #[inline]
    fn schedule_delivery(&mut self, at: usize) {
        let source = &self.sources[at];
        let due = if source.delivered < source.pushed() {
            Kind::Delivery.due(source.arrival(source.delivered).0, at as u16)
        } else {
            Due::NEVER
        };
        self.merge.set(self.queues.number(Queue::Delivery(at)), due);
    }

    fn schedule_commands(&mut self) {
        self.schedule_first(Queue::AtVenue, Kind::AtVenue, self.at_venue.front().map(|&(ts, _)| ts));
    }

    fn schedule_answers(&mut self) {
        self.schedule_first(Queue::Answers, Kind::Answer, self.answers.front().map(|&(ts, _)| ts));
    }

    fn schedule_timers(&mut self) {
        self.schedule_first(Queue::Timers, Kind::Timer, self.timers.first().map(|&(ts, _)| ts));
    }

    #[inline]
    fn schedule_first(&mut self, queue: Queue, kind: Kind, head: Option<i64>) {
        self.merge.set(self.queues.number(queue), head.map_or(Due::NEVER, |ts| kind.due(ts, 0)));
    }

    /// Sends the venue's answers on their way.
    fn post(&mut self) {
        for answer in self.scratch.drain(..) {
            self.answers.push_back((answer.ts.0.saturating_add(self.latency.response_ns), answer));
        }
        self.schedule_answers();
    }

    /// A row acts at the venue.
    #[inline]
    fn act(&mut self, at: usize) {
        let source = &mut self.sources[at];
        let instrument = source.instrument as usize;
        self.venues[instrument].record(source.row(source.acted), &mut self.scratch);
        source.acted += 1;
        if self.scratch.is_empty() {
            self.schedule_record(at);
        } else {
            self.post();
            self.settle(instrument);
            self.schedule_record(at);
        }
    }

    /// Lets a quiet venue act on every row that is due before `limit`. What a later quote makes void is left out.
    fn catch_up(&mut self, instrument: usize, limit: Due) {
        let void = self.last_quote(instrument, limit).unwrap_or(Due::FIRST);
        let Simulation { sources, acting, venues, scratch, .. } = self;
        let venue = &mut venues[instrument];
        let due = |ts: Nanos, at: usize| Kind::Record.due(ts.0, at as u16);
        loop {
            let (mut first, mut first_at, mut bound) = (Due::NEVER, usize::MAX, limit);
            let front = if void == Due::FIRST { None } else { venue.void_in_front_of() };
            for &at in &acting[instrument] {
                let source = &mut sources[at];
                let is_void = |ts: Nanos, _| due(ts, at) < void;
                source.acted = match front {
                    None => source.acted,
                    Some([i64::MAX, i64::MAX]) => source.first_not(source.acted, is_void),
                    // Skipping a row leaves what ours have taken as it is, so no order among the sources is to be kept.
                    Some(front) => source.walk(source.acted, is_void, |_, row, _| {
                        if row.is_in_front_of(front) { Flow::On } else { Flow::Back }
                    }),
                };
                if source.acted < source.pushed() {
                    let head = due(source.ts(source.acted), at);
                    bound = bound.min(head.max(first));
                    if head < first {
                        (first, first_at) = (head, at);
                    }
                }
            }
            if first >= limit {
                return;
            }
            let source = &mut sources[first_at];
            // A row that cannot be skipped may set free those behind it.
            let after = if first < void { Flow::Stop } else { Flow::On };
            source.acted = source.walk(
                source.acted,
                |ts, _| due(ts, first_at) < bound,
                |_, row, _| {
                    venue.record(row, scratch);
                    after
                },
            );
        }
    }

    /// When the last quote that is due before `limit` acts.
    fn last_quote(&self, instrument: usize, limit: Due) -> Option<Due> {
        let last = |&at: &usize| {
            let source = &self.sources[at];
            let due = |ts: Nanos| Kind::Record.due(ts.0, at as u16);
            let end = source.first_not(source.acted, |ts, _| due(ts) < limit);
            (source.schema == Schema::Quotes && end > source.acted).then(|| due(source.ts(end - 1)))
        };
        self.acting[instrument].iter().filter_map(last).max()
    }

    /// Lets every quiet venue act on all that is due before what is handed out next.
    fn catch_up_all(&mut self, limit: Due) {
        for instrument in 0..self.venues.len() {
            if self.quiet[instrument] {
                self.catch_up(instrument, limit);
            }
        }
    }

    /// Brings all venues to `now`, where the strategy is.
    pub fn catch_up_with_strategy(&mut self, now: Nanos) {
        self.catch_up_all(Kind::AtVenue.due(now.0, 0));
    }

    /// Finds out whether a venue is quiet now.
    fn settle(&mut self, instrument: usize) {
        let quiet = self.alarms.is_empty() && !self.venues[instrument].has_orders();
        if self.quiet[instrument] != quiet {
            self.quiet[instrument] = quiet;
            for at in 0..self.acting[instrument].len() {
                self.schedule_record(self.acting[instrument][at]);
            }
        }
    }

    fn command_acts(&mut self, ts: Nanos, command: &Command) {
        let instrument = command.instrument as usize;
        if self.quiet[instrument] {
            self.catch_up(instrument, Kind::AtVenue.due(ts.0, 0));
        }
        self.venues[instrument].command(ts, command, &mut self.scratch);
        self.post();
        self.settle(instrument);
    }

    /// Hands over the rows of a source that are due to arrive before anything else, until the strategy is to be woken.
    #[inline]
    fn deliver(&mut self, at: usize, mut take: impl FnMut(&Arrival<'_>) -> Flow) -> Flow {
        let bound = self.merge.first_but(self.queues.number(Queue::Delivery(at)));
        let source = &mut self.sources[at];
        let instrument = source.instrument;
        let mut flow = Flow::On;
        source.delivered = source.walk(
            source.delivered,
            |_, arrival| Kind::Delivery.due(arrival.0, at as u16) < bound,
            |number, row, arrival| {
                flow = take(&Arrival { source: at as u16, instrument, number, at: arrival, row });
                flow
            },
        );
        self.schedule_delivery(at);
        flow
    }

    fn alarm_before(&mut self, at: usize) -> Option<KernelInput> {
        let source = &self.sources[at];
        let alarm = *self.alarms.front()?;
        if alarm.source as usize != at || alarm.row > source.acted {
            return None;
        }
        self.alarms.pop_front();
        let ts = source.ts(source.acted);
        self.immediate = Some(ts);
        Some(KernelInput::Alarm { alarm: alarm.alarm, at: ts })
    }
}

impl Driver for Simulation {
    fn sweep(&mut self, until: Nanos, edge: impl Fn(u16) -> u64, mut take: impl FnMut(&Stretch<'_>)) -> bool {
        if !self.apart || !self.quiet.iter().all(|&quiet| quiet) {
            return false;
        }
        let Simulation { queues, merge, .. } = self;
        let count = self.sources.len();
        let due = |queue| merge.due(queues.number(queue));
        let others = [Queue::AtVenue, Queue::Answers, Queue::Timers].into_iter();
        let first = (0..count).map(Queue::Record).chain(others).map(due).min().unwrap_or(Due::NEVER);
        let mut limit = first.min(Kind::Delivery.due(until.0, 0));
        for (at, source) in self.sources.iter().enumerate() {
            let edge = edge(at as u16);
            if edge < source.pushed() {
                limit = limit.min(Kind::Delivery.due(source.arrival(edge.max(source.delivered)).0, at as u16));
            }
        }
        for at in 0..count {
            if self.merge.due(self.queues.number(Queue::Delivery(at))) >= limit {
                continue;
            }
            let source = &mut self.sources[at];
            let first = source.delivered;
            let is_before = |_, arrival: Nanos| Kind::Delivery.due(arrival.0, at as u16) < limit;
            let end = source.first_not(first, is_before);
            source.delivered = end;
            let (last, rows) = (source.arrival(end - 1), source.slice(first, end));
            take(&Stretch { source: at as u16, instrument: source.instrument, first, count: end - first, last, rows });
            self.schedule_delivery(at);
        }
        true
    }

    #[inline]
    fn next(&mut self, mut take: impl FnMut(&Arrival<'_>) -> Flow) -> Next {
        self.immediate = None;
        loop {
            let (queue, due) = self.merge.first();
            if due == Due::NEVER {
                self.catch_up_all(Due::NEVER);
                return Next::End;
            }
            match self.queues.of(queue) {
                Queue::Record(at) => {
                    let source = &self.sources[at];
                    if source.acted == source.pushed() || self.quiet[source.instrument as usize] {
                        self.catch_up_all(due);
                        return Next::NeedsData(at as u16);
                    }
                    if !self.alarms.is_empty()
                        && let Some(alarm) = self.alarm_before(at)
                    {
                        return Next::Input(alarm);
                    }
                    self.act(at);
                }
                Queue::Delivery(at) => {
                    if self.deliver(at, &mut take) != Flow::On {
                        return Next::Rows;
                    }
                }
                Queue::AtVenue => {
                    if let Some((ts, command)) = self.at_venue.pop_front() {
                        self.schedule_commands();
                        self.command_acts(Nanos(ts), &command);
                    }
                }
                Queue::Answers => {
                    if let Some((ts, answer)) = self.answers.pop_front() {
                        self.schedule_answers();
                        return Next::Input(KernelInput::Answer { arrival: Nanos(ts), answer });
                    }
                }
                Queue::Timers => {
                    // A timer behind the end of the data never rings, nor do those after it: nothing else can happen any
                    // more.
                    if (0..queue).all(|other| self.merge.due(other) == Due::NEVER) {
                        self.timers.clear();
                    }
                    let timer = self.timers.pop_first();
                    self.schedule_timers();
                    match timer {
                        Some((ts, timer)) => return Next::Input(KernelInput::Timer { timer, at: Nanos(ts) }),
                        None => return Next::End,
                    }
                }
            }
        }
    }

    fn send(&mut self, now: Nanos, command: &Command) {
        if command.kind == CommandKind::Timer {
            self.timers.insert((command.at_ns, command.order.0));
            self.schedule_timers();
        } else if let Some(ts) = self.immediate {
            self.command_acts(ts, command);
        } else {
            self.at_venue.push_back((now.0.saturating_add(self.latency.entry_ns), *command));
            self.schedule_commands();
        }
    }
}
