//! Strategies that decide nothing: they repeat the commands of a journal, or send what a script says when the venue
//! comes to a row.

use std::collections::VecDeque;

use crate::command::{Command, CommandKind};
use crate::desk::{Desk, DeskError, Ticket};
use crate::kernel::{Halt, Strategy, Wake, Wants};
use crate::types::Nanos;

const EVERYTHING: Wants = Wants { trades: true, quotes: true, books: true, orders: true, fills: true };

fn repeat(desk: &mut Desk, command: &Command) -> Result<(), Halt> {
    let refused = |error: DeskError| Halt(format!("order {} cannot be repeated: {error}", command.order));
    match command.kind {
        CommandKind::Submit => {
            let ticket = Ticket {
                instrument: command.instrument,
                side: command.side,
                qty: command.qty,
                limit: command.has_limit.then_some(command.price),
                tif: command.tif,
                post_only: command.post_only,
                self_trade: command.self_trade,
                tag: None,
            };
            let id = desk.submit(&ticket).map_err(refused)?;
            if id != command.order {
                return Err(Halt(format!("the journal sent order {}, the replay counts {id}", command.order)));
            }
        }
        CommandKind::Cancel => desk.cancel(command.order).map_err(refused)?,
        CommandKind::Modify => {
            desk.modify(command.order, Some(command.price), Some(command.qty)).map_err(refused)?;
        }
        CommandKind::Timer => {
            desk.set_timer(Nanos(command.at_ns));
        }
    }
    Ok(())
}

/// Repeats the commands of a journal, each at the input that it answered.
#[derive(Debug)]
pub struct Replay {
    commands: VecDeque<(u64, Command)>,
}

impl Replay {
    /// A replay of commands with the numbers of their inputs, as [`crate::journal::commands`] reads them.
    pub fn new(commands: impl IntoIterator<Item = (u64, Command)>) -> Self {
        Replay { commands: commands.into_iter().collect() }
    }

    /// Commands that were not repeated.
    pub fn left(&self) -> usize {
        self.commands.len()
    }
}

impl Strategy for Replay {
    fn wants(&self) -> Wants {
        EVERYTHING
    }

    fn wake(&mut self, desk: &mut Box<Desk>, _wake: Wake<'_>) -> Result<(), Halt> {
        while let Some(&(input, command)) = self.commands.front()
            && input <= desk.input
        {
            self.commands.pop_front();
            repeat(desk, &command)?;
        }
        Ok(())
    }
}

/// Sends commands at alarms: alarm `n` sends the commands of number `n`.
#[derive(Debug)]
pub struct Script {
    commands: Vec<Vec<Command>>,
}

impl Script {
    /// A script; orders must be numbered in the order in which they are sent, from 1. A command for an order that is
    /// closed by then is left out, as its owner would.
    pub fn new(commands: Vec<Vec<Command>>) -> Self {
        Script { commands }
    }
}

impl Strategy for Script {
    fn wants(&self) -> Wants {
        Wants::default()
    }

    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt> {
        let Wake::Alarm(number) = wake else { return Ok(()) };
        let commands = self.commands.get(number as usize).map_or(&[][..], Vec::as_slice);
        for command in commands {
            let closed = command.kind != CommandKind::Submit && desk.open_order(command.order).is_none();
            if !closed {
                repeat(desk, command)?;
            }
        }
        Ok(())
    }
}
