//! Who waits for somebody else's server, and for whose.

use std::collections::HashMap;

use super::{Book, Places, Wakes};

/// As whom a request waits for somebody else's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::door) enum Away {
    /// It is known who asks.
    Known,
    /// As a stranger, for the server of this digest.
    Stranger(u64),
}

/// How many do.
#[derive(Debug, Default)]
pub(super) struct Absent {
    pub(super) all: usize,
    /// Strangers by the server that they wait for.
    strangers: HashMap<u64, usize>,
}

impl Absent {
    /// Whether one more may. Strangers have a quarter of the places, and half of that for one server: one that hangs leaves some to the
    /// callers of the others.
    fn has_room(&self, away: Away, places: usize) -> bool {
        let strangers = Places::quarter(places);
        let fits = match away {
            Away::Known => true,
            Away::Stranger(whose) => {
                let of_one = self.strangers.get(&whose).copied().unwrap_or_default();
                self.strangers() < strangers && of_one < strangers.div_ceil(2)
            }
        };
        fits && self.all < places
    }

    pub(super) fn strangers(&self) -> usize {
        self.strangers.values().sum()
    }

    fn leaves(&mut self, away: Away) {
        self.all += 1;
        if let Away::Stranger(whose) = away {
            *self.strangers.entry(whose).or_default() += 1;
        }
    }

    fn is_back(&mut self, away: Away) {
        self.all -= 1;
        if let Away::Stranger(whose) = away {
            self.known(whose);
        }
    }

    /// One that waits for this server is a stranger no longer.
    pub(super) fn known(&mut self, whose: u64) {
        let Some(waiting) = self.strangers.get_mut(&whose) else { return };
        *waiting -= 1;
        if *waiting == 0 {
            self.strangers.remove(&whose);
        }
    }
}

impl Book {
    /// It waits for somebody else's server and gives its slot back meanwhile. `false` where too many do.
    pub(in crate::door) fn goes_away(&mut self, id: u64, whose: u64, wakes: &mut Wakes) -> bool {
        let Some(ticket) = self.tickets.get_mut(&id).filter(|ticket| ticket.has_slot) else { return true };
        let away = if ticket.lane.is_stranger() { Away::Stranger(whose) } else { Away::Known };
        if !self.away.has_room(away, self.places.away) {
            return false;
        }
        ticket.away = Some(away);
        self.away.leaves(away);
        self.give_slot(id);
        self.call(wakes);
        true
    }

    /// It is back.
    pub(in crate::door) fn comes_back(&mut self, id: u64) {
        self.not_away(id);
        self.take_slot(id);
    }

    pub(super) fn not_away(&mut self, id: u64) {
        if let Some(away) = self.tickets.get_mut(&id).and_then(|ticket| ticket.away.take()) {
            self.away.is_back(away);
        }
    }
}
