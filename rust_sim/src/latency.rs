//! How long messages travel.

/// The three legs between a strategy and its venue, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// From the venue's record to the strategy, where the record carries no time of receipt.
    pub feed_ns: i64,
    /// From the strategy's decision to the venue.
    pub entry_ns: i64,
    /// From the venue's answer to the strategy.
    pub response_ns: i64,
}
