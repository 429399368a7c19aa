//! One request at the door, and how many there may be of what.

use std::task::Waker;
use std::time::Duration;

use super::book::away::Away;
use super::lanes::{Entrance, Lane};

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Requests that compute at once.
    pub(super) runners: usize,
    /// Slow evaluations at once.
    pub(super) seats: usize,
    /// Requests that have begun and not ended.
    pub(super) slots: usize,
    /// Those of them that wait for somebody else's server, beside the slots.
    pub(super) away: usize,
    /// Requests that have not begun.
    pub(super) queue: usize,
}

impl Places {
    /// The most that unauthenticated requests hold together.
    pub(super) fn quarter(places: usize) -> usize {
        (places / 4).max(1)
    }

    /// The most in flight from one entrance, so that others find a slot.
    pub(super) fn share(places: usize) -> usize {
        places - places / 4
    }
}

/// What a request computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Runner,
    /// For one slow evaluation.
    Seat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It wants nothing.
    Idle,
    /// It has not begun and waits to.
    New(u64),
    /// It waits for a turn.
    Waiting(Hold, u64),
    /// It is its turn, and it has not come yet; for so many looks.
    Called(Hold, u8),
    /// It computes, and since when.
    Computing(Hold, Duration),
    /// There is no place for it.
    Refused,
}

/// One request.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) entrance: Entrance,
    /// Whose share it takes now, and in whose it came.
    pub(super) lane: Lane,
    pub(super) came_in: Lane,
    pub(super) status: Status,
    /// What it wants to compute with.
    pub(super) wants: Hold,
    pub(super) has_slot: bool,
    pub(super) began: bool,
    /// It gave its slot back until somebody else's server has answered; as whom.
    pub(super) away: Option<Away>,
    /// It has waited for a seat as long as it could.
    pub(super) late: bool,
    pub(super) waker: Option<Waker>,
}

/// What a request may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Go,
    /// Wait to be woken; what may not take for ever, by what it waits for and its place in the order.
    Wait(Option<(Hold, u64)>),
    Refused,
}

impl Ticket {
    pub(super) fn new(entrance: Entrance, lane: Lane) -> Self {
        Self {
            entrance,
            lane,
            came_in: lane,
            status: Status::Idle,
            wants: Hold::Runner,
            has_slot: false,
            began: false,
            away: None,
            late: false,
            waker: None,
        }
    }
}
