//! The driver of a backtest: sources, latency and simulated venues, merged into one total order.

use std::collections::{BTreeSet, VecDeque};

use crate::answer::Answer;
use crate::command::{Command, CommandKind};
use crate::feed::{Row, Source};
use crate::kernel::{Driver, KernelInput, Next};
use crate::latency::Latency;
use crate::market::{Market, Print, Touch};
use crate::merge::{Due, Kind, Merge};
use crate::types::Nanos;
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
#[derive(Debug)]
pub struct Simulation {
    sources: Vec<Source>,
    /// Whether the rows of a source act at the venue, or only reach handlers because a deeper one does.
    acts: Vec<bool>,
    venues: Vec<SimVenue>,
    latency: Latency,
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
}

impl Simulation {
    /// A world of sources and venues, one venue for each instrument. `markets` are the empty views that the strategy
    /// starts with.
    pub fn new(sources: Vec<Source>, venues: Vec<SimVenue>, markets: &[Market], latency: Latency) -> Self {
        let merge = Merge::new(sources.len() * 2 + 3);
        let acts = (0..sources.len())
            .map(|source| {
                // The deepest record of an instrument is the venue's; prints beside a book that names orders are not.
                let deeper = |other: &Source| {
                    other.instrument == sources[source].instrument
                        && other.schema == crate::feed::Schema::Mbo
                        && sources[source].schema != crate::feed::Schema::Mbo
                };
                !sources.iter().any(deeper)
            })
            .collect();
        let mut simulation = Simulation {
            acts,
            venues,
            latency,
            merge,
            at_venue: VecDeque::new(),
            answers: VecDeque::new(),
            timers: BTreeSet::new(),
            alarms: VecDeque::new(),
            immediate: None,
            scratch: Vec::new(),
            ahead: markets.to_vec(),
            sources,
        };
        for source in 0..simulation.sources.len() {
            simulation.schedule(source);
        }
        simulation
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
    }

    /// Lets `push` append rows to a source.
    pub fn push<E>(&mut self, source: u16, push: impl FnOnce(&mut Source) -> Result<(), E>) -> Result<(), E> {
        let result = push(&mut self.sources[source as usize]);
        self.schedule(source as usize);
        result
    }

    /// No more rows will come from a source.
    pub fn end(&mut self, source: u16) {
        self.sources[source as usize].ended = true;
        self.schedule(source as usize);
    }

    /// Indicators do not run: rows need not be kept for them.
    pub fn look_at_nothing(&mut self) {
        for source in &mut self.sources {
            source.looked = u64::MAX;
        }
    }

    /// What will reach the strategy, in that order, as far as it is settled by the rows pushed so far, and was not told
    /// before.
    pub fn look_ahead(&mut self, mut observe: impl FnMut(Observed)) {
        let settled = self
            .sources
            .iter()
            .filter(|source| !source.ended)
            .map(|source| source.reached().0)
            .min()
            .unwrap_or(i64::MAX);
        loop {
            let heads = self.sources.iter().enumerate().filter(|(_, source)| source.looked < source.pushed());
            let first = heads.map(|(at, source)| (source.arrival(source.looked).0, at)).min();
            let Some((arrival, at)) = first else { return };
            if arrival >= settled && settled != i64::MAX {
                return;
            }
            let source = &mut self.sources[at];
            let (number, instrument) = (source.looked, source.instrument);
            let row = source.row(number);
            source.looked += 1;
            let market = &mut self.ahead[instrument as usize];
            let changed = market.apply(&row);
            let seen = |what| Observed { source: at as u16, instrument, row: number, what };
            if changed.trade
                && let Some(print) = market.last
            {
                observe(seen(Observation::Print(print)));
            }
            if changed.quote {
                observe(seen(Observation::Touch(market.bid, market.ask)));
            }
        }
    }

    fn schedule(&mut self, at: usize) {
        self.schedule_record(at);
        self.schedule_delivery(at);
    }

    /// When the next row of a source acts at the venue.
    #[inline]
    fn schedule_record(&mut self, at: usize) {
        let source = &self.sources[at];
        let due = if source.acted < source.pushed() {
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
        self.merge.set(self.sources.len() + at, due);
    }

    #[inline]
    fn schedule_queue(&mut self, kind: Kind) {
        let first = self.sources.len() * 2;
        let (queue, head) = match kind {
            Kind::AtVenue => (first, self.at_venue.front().map(|&(ts, _)| ts)),
            Kind::Answer => (first + 1, self.answers.front().map(|&(ts, _)| ts)),
            _ => (first + 2, self.timers.first().map(|&(ts, _)| ts)),
        };
        self.merge.set(queue, head.map_or(Due::NEVER, |ts| kind.due(ts, 0)));
    }

    /// Sends the venue's answers on their way.
    fn post(&mut self) {
        for answer in self.scratch.drain(..) {
            self.answers.push_back((answer.ts.0.saturating_add(self.latency.response_ns), answer));
        }
        self.schedule_queue(Kind::Answer);
    }

    /// A row acts at the venue.
    #[inline]
    fn act(&mut self, at: usize) {
        let source = &mut self.sources[at];
        let number = source.acted;
        source.acted += 1;
        if self.acts[at] {
            let row = source.row(number);
            let instrument = source.instrument as usize;
            self.venues[instrument].record(&row, &mut self.scratch);
            if !self.scratch.is_empty() {
                self.post();
            }
        }
        self.schedule_record(at);
    }

    fn command_acts(&mut self, ts: Nanos, command: &Command) {
        self.venues[command.instrument as usize].command(ts, command, &mut self.scratch);
        self.post();
    }

    /// The row of a source that is due to arrive.
    #[inline]
    fn deliver(&mut self, at: usize) -> KernelInput {
        let source = &mut self.sources[at];
        let number = source.delivered;
        source.delivered += 1;
        let row: Row = source.row(number);
        let arrival = source.arrival(number);
        let instrument = source.instrument;
        self.schedule_delivery(at);
        KernelInput::Market { source: at as u16, instrument, number, arrival, row }
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
    #[inline]
    fn next(&mut self) -> Next {
        self.immediate = None;
        let count = self.sources.len();
        loop {
            let (queue, due) = self.merge.first();
            if due == Due::NEVER {
                return Next::End;
            }
            if queue < count {
                if self.sources[queue].acted == self.sources[queue].pushed() {
                    return Next::NeedsData(queue as u16);
                }
                if !self.alarms.is_empty()
                    && let Some(alarm) = self.alarm_before(queue)
                {
                    return Next::Input(alarm);
                }
                self.act(queue);
            } else if queue < count * 2 {
                return Next::Input(self.deliver(queue - count));
            } else if queue == count * 2 {
                if let Some((ts, command)) = self.at_venue.pop_front() {
                    self.schedule_queue(Kind::AtVenue);
                    self.command_acts(Nanos(ts), &command);
                }
            } else if queue == count * 2 + 1 {
                if let Some((ts, answer)) = self.answers.pop_front() {
                    self.schedule_queue(Kind::Answer);
                    return Next::Input(KernelInput::Answer { arrival: Nanos(ts), answer });
                }
            } else {
                // A timer behind the end of the data never rings, nor do those after it: nothing else can happen any more.
                if (0..queue).all(|other| self.merge.is_never(other)) {
                    self.timers.clear();
                }
                let timer = self.timers.pop_first();
                self.schedule_queue(Kind::Timer);
                match timer {
                    Some((ts, timer)) => return Next::Input(KernelInput::Timer { timer, at: Nanos(ts) }),
                    None => return Next::End,
                }
            }
        }
    }

    fn send(&mut self, now: Nanos, command: &Command) {
        if command.kind == CommandKind::Timer {
            self.timers.insert((command.at_ns, command.order.0));
            self.schedule_queue(Kind::Timer);
        } else if let Some(ts) = self.immediate {
            self.command_acts(ts, command);
        } else {
            self.at_venue.push_back((now.0.saturating_add(self.latency.entry_ns), *command));
            self.schedule_queue(Kind::AtVenue);
        }
    }
}
