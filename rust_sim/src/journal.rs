//! The journal: one append-only log of what went into a kernel and what came out of it, and the digest of the latter.
//!
//! Each record is `kind u8, three zeros, length u32, input number u64, payload, crc32 u32`, little-endian; the length
//! is that of the payload. Market data of a backtest is journalled as row ranges of its sources, whose content the header's
//! fingerprint names. The digest is BLAKE3 over the outputs in one encoding, so it depends neither on chunk sizes nor
//! on how the log is stored.

use crate::answer::Answer;
use crate::command::Command;
use crate::types::Nanos;

/// First bytes of every journal: name and version of the format.
pub const MAGIC: &[u8; 8] = b"CIFTJ\x00\x00\x01";

/// Bytes in front of a payload.
const HEAD: usize = 16;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Fingerprint, instruments, venue and starting accounts, as text.
    Header = 0,
    /// Rows of a source that were delivered.
    Rows = 1,
    /// An answer that was delivered.
    Answer = 2,
    /// A timer that was due.
    Timer = 3,
    /// An alarm of a script.
    Alarm = 4,
    /// Nothing more will come; the strategy was told.
    Stop = 5,
    /// A command that left.
    Command = 16,
    /// A fill with position and cash after it.
    Fill = 17,
    /// The message of a handler that raised.
    HandlerError = 18,
    /// The digest, as the last record.
    End = 31,
}

impl RecordKind {
    fn from_code(code: u8) -> Option<Self> {
        use RecordKind::{Alarm, Answer, Command, End, Fill, HandlerError, Header, Rows, Stop, Timer};
        [Header, Rows, Answer, Timer, Alarm, Stop, Command, Fill, HandlerError, End]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// What is wrong with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The first bytes are not a journal's.
    #[error("this is not a journal, or one of another version")]
    NotAJournal,
    /// The log ends inside a record.
    #[error("the journal is cut off inside the record at byte {0}")]
    Truncated(usize),
    /// A checksum does not match.
    #[error("the record at byte {0} is corrupt: its checksum does not match")]
    Corrupt(usize),
}

/// Where a journal's bytes go. A driver lends it; the journal itself does no I/O.
pub trait Storage {
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]);
}

impl Storage for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Bytes hashed at a time: BLAKE3 takes 1 kB alone, and up to sixteen of them side by side.
const BLOCK: usize = 1 << 14;

/// The hash of a stream that comes in small pieces.
#[derive(Clone, Debug)]
struct Digest {
    hasher: blake3::Hasher,
    /// What is not hashed yet.
    block: Vec<u8>,
}

impl Digest {
    fn new() -> Self {
        Digest { hasher: blake3::Hasher::new(), block: Vec::new() }
    }

    #[inline]
    fn update(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// Hashes what has come together, if that is enough to be worth it.
    #[inline]
    fn settle(&mut self) {
        if self.block.len() >= BLOCK {
            self.hasher.update(&self.block);
            self.block.clear();
        }
    }

    fn finish(&self) -> blake3::Hash {
        self.hasher.clone().update(&self.block).finalize()
    }
}

/// Writes a journal and keeps its digest.
#[derive(Debug)]
pub struct Journal<S: Storage> {
    storage: S,
    digest: Digest,
    /// The record that is being written.
    record: Vec<u8>,
    /// Inputs numbered so far.
    inputs: u64,
    /// Rows of each source that were delivered and not written yet: first, and how many.
    rows: Vec<(u64, u64)>,
    rows_pending: bool,
}

impl<S: Storage> Journal<S> {
    /// Begins a journal.
    pub fn new(mut storage: S, sources: usize, header: &str) -> Self {
        storage.append(MAGIC);
        let mut journal = Journal {
            storage,
            digest: Digest::new(),
            record: Vec::new(),
            inputs: 0,
            rows: vec![(0, 0); sources],
            rows_pending: false,
        };
        journal.write(RecordKind::Header, header.as_bytes());
        journal
    }

    /// Inputs numbered so far.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// The digest of all outputs so far, in hex.
    pub fn digest(&self) -> String {
        self.digest.finish().to_hex().to_string()
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, for its owner to empty. Nothing that was appended is read again.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Ends the journal with its digest.
    pub fn end(&mut self) {
        self.flush_rows();
        let digest = *self.digest.finish().as_bytes();
        self.write(RecordKind::End, &digest);
    }

    /// A row was delivered.
    #[inline]
    pub fn row(&mut self, source: u16, row: u64) {
        self.rows(source, row, 1);
    }

    /// Rows of a source were delivered that follow each other.
    #[inline]
    pub fn rows(&mut self, source: u16, first: u64, count: u64) {
        self.inputs += count;
        let pending = &mut self.rows[source as usize];
        if pending.1 == 0 {
            pending.0 = first;
        }
        pending.1 += count;
        self.rows_pending = true;
    }

    /// An answer was delivered. It is an order event too, and so part of the digest.
    pub fn answer(&mut self, now: Nanos, answer: &Answer) {
        self.inputs += 1;
        let bytes = answer.encode();
        self.flush_rows();
        self.write(RecordKind::Answer, &bytes);
        self.update(RecordKind::Answer, now, &bytes);
    }

    /// A timer was due.
    pub fn timer(&mut self, now: Nanos, timer: u64) {
        self.inputs += 1;
        self.flush_rows();
        self.write_two(RecordKind::Timer, now.0 as u64, timer);
    }

    /// An alarm of a script rang.
    pub fn alarm(&mut self, now: Nanos, alarm: u64) {
        self.inputs += 1;
        self.flush_rows();
        self.write_two(RecordKind::Alarm, now.0 as u64, alarm);
    }

    /// The strategy was told that nothing more will come.
    pub fn stop(&mut self, now: Nanos) {
        self.inputs += 1;
        self.flush_rows();
        self.write(RecordKind::Stop, &now.0.to_le_bytes());
    }

    /// A command left.
    pub fn command(&mut self, now: Nanos, command: &Command) {
        let bytes = command.encode();
        self.flush_rows();
        self.write(RecordKind::Command, &bytes);
        self.update(RecordKind::Command, now, &bytes);
    }

    /// A fill was booked: what it left the account with.
    pub fn fill(&mut self, now: Nanos, order: u64, fee: i128, position: i64, cash: i128) {
        let mut bytes = [0; 48];
        bytes[0..8].copy_from_slice(&order.to_le_bytes());
        bytes[8..24].copy_from_slice(&fee.to_le_bytes());
        bytes[24..32].copy_from_slice(&position.to_le_bytes());
        bytes[32..48].copy_from_slice(&cash.to_le_bytes());
        self.flush_rows();
        self.write(RecordKind::Fill, &bytes);
        self.update(RecordKind::Fill, now, &bytes);
    }

    /// A handler raised.
    pub fn handler_error(&mut self, message: &str) {
        self.flush_rows();
        self.write(RecordKind::HandlerError, message.as_bytes());
    }

    fn flush_rows(&mut self) {
        if !self.rows_pending {
            return;
        }
        self.rows_pending = false;
        for source in 0..self.rows.len() {
            let (first, count) = std::mem::take(&mut self.rows[source]);
            if count > 0 {
                let mut bytes = [0; 24];
                bytes[0..8].copy_from_slice(&(source as u64).to_le_bytes());
                bytes[8..16].copy_from_slice(&first.to_le_bytes());
                bytes[16..24].copy_from_slice(&count.to_le_bytes());
                self.write(RecordKind::Rows, &bytes);
            }
        }
    }

    fn write_two(&mut self, kind: RecordKind, first: u64, second: u64) {
        let mut bytes = [0; 16];
        bytes[0..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&second.to_le_bytes());
        self.write(kind, &bytes);
    }

    fn write(&mut self, kind: RecordKind, payload: &[u8]) {
        let mut head = [0; HEAD];
        head[0] = kind as u8;
        head[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[8..16].copy_from_slice(&self.inputs.to_le_bytes());
        self.record.clear();
        self.record.extend_from_slice(&head);
        self.record.extend_from_slice(payload);
        let crc = crc32fast::hash(&self.record);
        self.record.extend_from_slice(&crc.to_le_bytes());
        self.storage.append(&self.record);
    }

    fn update(&mut self, kind: RecordKind, now: Nanos, payload: &[u8]) {
        self.digest.update(&[kind as u8]);
        self.digest.update(&now.0.to_le_bytes());
        self.digest.update(payload);
        self.digest.settle();
    }
}

/// One record of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// How many inputs had been numbered when it was written.
    pub input: u64,
    /// Its content.
    pub payload: &'a [u8],
}

/// Reads a journal from its bytes, record by record, every checksum checked.
pub fn read(bytes: &[u8]) -> Result<Vec<Record<'_>>, JournalError> {
    if !bytes.starts_with(MAGIC) {
        return Err(JournalError::NotAJournal);
    }
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let head = bytes.get(at..at + HEAD).ok_or(JournalError::Truncated(at))?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let end = at + HEAD + length;
        let payload = bytes.get(at + HEAD..end).ok_or(JournalError::Truncated(at))?;
        let stored = bytes.get(end..end + 4).ok_or(JournalError::Truncated(at))?;
        if crc32fast::hash(&bytes[at..end]).to_le_bytes() != stored {
            return Err(JournalError::Corrupt(at));
        }
        let kind = RecordKind::from_code(head[0]).ok_or(JournalError::Corrupt(at))?;
        let mut input = [0; 8];
        input.copy_from_slice(&head[8..16]);
        records.push(Record { kind, input: u64::from_le_bytes(input), payload });
        at = end + 4;
    }
    Ok(records)
}

/// The commands of a journal, each with the number of the input that it answered.
pub fn commands(records: &[Record<'_>]) -> Result<Vec<(u64, Command)>, JournalError> {
    let commands = records.iter().filter(|record| record.kind == RecordKind::Command);
    commands
        .enumerate()
        .map(|(n, record)| {
            let bytes = record.payload.try_into().map_err(|_| JournalError::Corrupt(n))?;
            let command = Command::decode(bytes).ok_or(JournalError::Corrupt(n))?;
            Ok((record.input, command))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut journal = Journal::new(Vec::new(), 2, "{}");
        journal.row(0, 0);
        journal.row(1, 0);
        journal.row(0, 1);
        journal.timer(Nanos(5), 1);
        journal.fill(Nanos(6), 1, 2, 3, -4);
        journal.end();
        journal.storage
    }

    #[test]
    fn rows_are_written_as_ranges_of_their_source() {
        let bytes = sample();
        let records = read(&bytes).unwrap();
        let kinds: Vec<RecordKind> = records.iter().map(|record| record.kind).collect();
        use RecordKind::{End, Fill, Header, Rows, Timer};
        assert_eq!(kinds, [Header, Rows, Rows, Timer, Fill, End]);
        assert_eq!(records[3].input, 4);
    }

    #[test]
    fn the_digest_is_that_of_all_outputs_in_one_piece() {
        let mut journal = Journal::new(Vec::new(), 1, "{}");
        let mut outputs = Vec::new();
        for n in 0..2_000_i64 {
            journal.fill(Nanos(n), n as u64, 1, -n, 3);
            let payload_end = journal.storage.len() - 4;
            outputs.push(RecordKind::Fill as u8);
            outputs.extend_from_slice(&n.to_le_bytes());
            outputs.extend_from_slice(&journal.storage[payload_end - 48..payload_end]);
            if n % 97 == 0 {
                assert_eq!(journal.digest(), blake3::hash(&outputs).to_hex().to_string());
            }
        }
        assert!(outputs.len() > 2 * BLOCK);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_found() {
        let bytes = sample();
        let whole = read(&bytes).unwrap();
        for cut in MAGIC.len()..bytes.len() {
            match read(&bytes[..cut]) {
                Ok(records) => assert!(records.len() < whole.len() && records == whole[..records.len()]),
                Err(error) => assert!(matches!(error, JournalError::Truncated(_))),
            }
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit} was not missed");
        }
    }
}
