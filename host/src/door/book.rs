//! Who waits, who has been called and who computes: the book behind the door. Nothing in here waits.

pub(super) mod away;

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;
use std::time::Duration;

use self::away::{Absent, Away};
use super::lanes::{Entrance, Lane, Lanes, QUANTUM};
use super::ticket::{Hold, Places, Status, Step, Ticket};

/// Of so many turns one goes to somebody new, however many that have begun are waiting.
const NEW_ONE_IN: u32 = 4;

/// Those to be woken once the book is closed.
pub(super) type Wakes = Vec<Waker>;

#[derive(Debug)]
pub(super) struct Book {
    places: Places,
    free_runners: usize,
    free_seats: usize,
    /// Who comes back from somebody else's server takes a slot even where there is none: it has its sandbox anyway.
    free_slots: isize,
    /// Slots that strangers have.
    strangers: usize,
    away: Absent,
    new: Lanes,
    begun: Lanes,
    slow: Lanes,
    /// New ones whose entrance has its share of the slots, in their order.
    held_up: HashMap<Entrance, BTreeMap<u64, u64>>,
    /// How many those are together.
    held_up_count: usize,
    /// Slots by entrance.
    in_flight: HashMap<Entrance, usize>,
    tickets: HashMap<u64, Ticket>,
    next_ticket: u64,
    next_order: u64,
    /// Turns since a new one had one.
    since_new: u32,
    /// Who has been called and has not come yet.
    called: usize,
}

impl Book {
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            free_runners: places.runners,
            free_seats: places.seats,
            free_slots: places.slots.cast_signed(),
            strangers: 0,
            away: Absent::default(),
            new: Lanes::default(),
            begun: Lanes::default(),
            slow: Lanes::default(),
            held_up: HashMap::new(),
            held_up_count: 0,
            in_flight: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            next_order: 0,
            since_new: 0,
            called: 0,
        }
    }

    /// How many compute at once, at most.
    pub(super) fn computing_at_once(&self) -> usize {
        self.places.runners.saturating_add(self.places.seats)
    }

    /// A ticket for a request that came in here; it waits for its turn from now on.
    pub(super) fn ticket(&mut self, entrance: Entrance, lane: Lane, wakes: &mut Wakes) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, Ticket::new(entrance, lane));
        self.ask(ticket, wakes);
        ticket
    }

    /// Asks for a turn, or whether it has come. A ticket that has ended goes without.
    pub(super) fn step(&mut self, id: u64, waker: &Waker, now: Duration, wakes: &mut Wakes) -> Step {
        if self.tickets.get(&id).is_some_and(|ticket| ticket.status == Status::Idle) {
            self.ask(id, wakes);
        }
        self.come(id, waker, now)
    }

    /// The turn, if it has come.
    fn come(&mut self, id: u64, waker: &Waker, now: Duration) -> Step {
        let Some(ticket) = self.tickets.get_mut(&id) else { return Step::Go };
        let wait = match ticket.status {
            Status::Computing(..) | Status::Idle => return Step::Go,
            Status::Refused => return Step::Refused,
            Status::Called(hold, _) => {
                self.called -= 1;
                ticket.status = Status::Computing(hold, now);
                return Step::Go;
            }
            Status::New(order) => Step::Wait(Some((Hold::Runner, order))),
            Status::Waiting(Hold::Seat, order) => Step::Wait(Some((Hold::Seat, order))),
            Status::Waiting(Hold::Runner, _) => Step::Wait(None),
        };
        ticket.waker = Some(waker.clone());
        wait
    }

    /// Lets it wait for what it wants, and calls whoever's turn it is.
    fn ask(&mut self, id: u64, wakes: &mut Wakes) {
        let order = self.next_order;
        let strangers_come = self.strangers < Places::quarter(self.places.slots);
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        // The way of almost everybody: nobody waits, and there is room.
        let nobody_waits = self.begun.is_empty() && self.new.is_empty() && self.held_up.is_empty();
        let full = || full(&self.in_flight, ticket.entrance, self.places);
        let admitted = ticket.began || (self.free_slots > 0 && (strangers_come || !ticket.lane.is_stranger()) && !full());
        if nobody_waits && self.free_runners > 0 && admitted && ticket.wants == Hold::Runner {
            self.free_runners -= 1;
            self.called += 1;
            ticket.status = Status::Called(Hold::Runner, 0);
            if !ticket.began {
                self.begin(id);
            }
            return;
        }
        self.next_order += 1;
        let path = ticket.lane.path();
        match (ticket.began, ticket.wants) {
            (false, _) => {
                ticket.status = Status::New(order);
                self.new.push(path, (order, id));
                self.turn_one_away(wakes);
            }
            (true, Hold::Runner) => {
                ticket.status = Status::Waiting(Hold::Runner, order);
                self.begun.push(path, (order, id));
            }
            (true, Hold::Seat) => {
                ticket.status = Status::Waiting(Hold::Seat, order);
                self.slow.push(path, (order, id));
            }
        }
        self.call(wakes);
    }

    /// Where too many wait, the last of whoever has the most of them is refused.
    fn turn_one_away(&mut self, wakes: &mut Wakes) {
        if self.new.len() + self.held_up_count <= self.places.queue {
            return;
        }
        let longest = self.new.last_of_longest();
        let last = match self.last_of_most_held_up() {
            Some((many, id)) if longest.is_none_or(|(most, _)| many > most) => Some(id),
            Some(_) | None => longest.map(|(_, id)| id),
        };
        if let Some(id) = last {
            self.refuse(id, wakes);
        }
    }

    /// The last that is held up of the entrance of which most wait, held up or in its lane; and how many.
    fn last_of_most_held_up(&self) -> Option<(usize, u64)> {
        let waiting = self.held_up.iter().filter_map(|(entrance, held)| {
            let (_, last) = held.last_key_value()?;
            Some((held.len() + self.new.waiting(Lane::Stranger(*entrance).path()), *last))
        });
        waiting.max_by_key(|(many, _)| *many)
    }

    fn refuse(&mut self, id: u64, wakes: &mut Wakes) {
        self.unqueue(id);
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.status = Status::Refused;
            wakes.extend(ticket.waker.take());
        }
    }

    /// Takes it out of where it waits.
    fn unqueue(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        let (path, entrance) = (ticket.lane.path(), ticket.entrance);
        match ticket.status {
            Status::New(order) => {
                ticket.status = Status::Idle;
                if !self.new.remove(path, order) {
                    self.no_longer_held_up(entrance, order);
                }
                self.let_one_on(entrance);
            }
            Status::Waiting(hold, order) => {
                ticket.status = Status::Idle;
                match hold {
                    Hold::Runner => self.begun.remove(path, order),
                    Hold::Seat => self.slow.remove(path, order),
                };
            }
            Status::Idle | Status::Called(..) | Status::Computing(..) | Status::Refused => {}
        }
    }

    fn no_longer_held_up(&mut self, entrance: Entrance, order: u64) {
        let Some(held) = self.held_up.get_mut(&entrance) else { return };
        self.held_up_count -= usize::from(held.remove(&order).is_some());
        if held.is_empty() {
            self.held_up.remove(&entrance);
        }
    }

    /// Calls whoever's turn it is, as long as there is something to compute with.
    fn call(&mut self, wakes: &mut Wakes) {
        while self.free_runners > 0
            && let Some(id) = self.next()
        {
            self.free_runners -= 1;
            self.called(id, Hold::Runner, wakes);
        }
        while self.free_seats > 0
            && let Some((_, id)) = self.slow.pop(true)
        {
            self.free_seats -= 1;
            self.called(id, Hold::Seat, wakes);
        }
    }

    fn called(&mut self, id: u64, hold: Hold, wakes: &mut Wakes) {
        self.called += 1;
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.status = Status::Called(hold, 0);
            wakes.extend(ticket.waker.take());
        }
    }

    /// What has begun goes first, so that few are in flight at once; but now and then somebody new.
    fn next(&mut self) -> Option<u64> {
        let newly = self.since_new >= NEW_ONE_IN - 1;
        let early = if newly { self.next_new() } else { None };
        if let Some(id) = early {
            self.since_new = 0;
            return Some(id);
        }
        if let Some((_, id)) = self.begun.pop(true) {
            self.since_new = self.since_new.saturating_add(1);
            return Some(id);
        }
        self.since_new = 0;
        if newly { None } else { self.next_new() }
    }

    fn next_new(&mut self) -> Option<u64> {
        while self.free_slots > 0 {
            let strangers = self.strangers < Places::quarter(self.places.slots);
            let (order, id) = self.new.pop(strangers)?;
            let Some(ticket) = self.tickets.get(&id) else { continue };
            let entrance = ticket.entrance;
            if full(&self.in_flight, entrance, self.places) {
                self.held_up.entry(entrance).or_default().insert(order, id);
                self.held_up_count += 1;
                continue;
            }
            self.begin(id);
            return Some(id);
        }
        None
    }

    /// It takes a slot for the first time.
    fn begin(&mut self, id: u64) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.began = true;
        }
        self.take_slot(id);
    }

    fn take_slot(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id).filter(|ticket| !ticket.has_slot) else { return };
        ticket.has_slot = true;
        self.free_slots -= 1;
        self.strangers += usize::from(ticket.lane.is_stranger());
        *self.in_flight.entry(ticket.entrance).or_default() += 1;
    }

    fn give_slot(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id).filter(|ticket| ticket.has_slot) else { return };
        ticket.has_slot = false;
        self.free_slots += 1;
        self.strangers -= usize::from(ticket.lane.is_stranger());
        let entrance = ticket.entrance;
        if let Some(has) = self.in_flight.get_mut(&entrance) {
            *has -= 1;
            if *has == 0 {
                self.in_flight.remove(&entrance);
            }
        }
        self.let_one_on(entrance);
    }

    /// A slot of this entrance came free: the first that it held up waits with the others again.
    fn let_one_on(&mut self, entrance: Entrance) {
        let Some(held) = self.held_up.get_mut(&entrance) else { return };
        let first = held.pop_first();
        if held.is_empty() {
            self.held_up.remove(&entrance);
        }
        let Some((order, id)) = first else { return };
        self.held_up_count -= 1;
        if let Some(ticket) = self.tickets.get(&id) {
            self.new.push(ticket.lane.path(), (order, id));
        }
    }

    /// It stops computing for now: it waits for something, or is done. Whether what it waits for is another turn.
    pub(super) fn rest(&mut self, id: u64, now: Duration, wakes: &mut Wakes) -> bool {
        // One that let others go first may have been called meanwhile.
        if self.holds(id).is_some() {
            self.stop(id, now);
            self.call(wakes);
            return false;
        }
        self.tickets.get(&id).is_some_and(|ticket| matches!(ticket.status, Status::Waiting(..) | Status::Called(..)))
    }

    fn stop(&mut self, id: u64, now: Duration) {
        self.charge(id, now);
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        let hold = match ticket.status {
            Status::Computing(hold, _) => hold,
            Status::Called(hold, _) => {
                self.called -= 1;
                hold
            }
            Status::Idle | Status::New(_) | Status::Waiting(..) | Status::Refused => return,
        };
        match hold {
            Hold::Runner => self.free_runners += 1,
            Hold::Seat => self.free_seats += 1,
        }
        ticket.status = Status::Idle;
    }

    /// Charges what it computed so far: to its lane, and to where it came in, whoever it turned out to be.
    fn charge(&mut self, id: u64, now: Duration) {
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        let Status::Computing(hold, since) = ticket.status else { return };
        ticket.status = Status::Computing(hold, now);
        let spent = u64::try_from(now.saturating_sub(since).as_nanos()).unwrap_or(u64::MAX).saturating_sub(QUANTUM);
        if spent == 0 {
            return;
        }
        match hold {
            Hold::Runner => {
                self.begun.charge(ticket.lane.path(), spent);
                self.new.charge(ticket.came_in.path(), spent);
            }
            Hold::Seat => self.slow.charge(ticket.lane.path(), spent),
        }
    }

    /// It is known who asks. Whether somebody else waits who has had less of the time.
    pub(super) fn known(&mut self, id: u64, client: u64, now: Duration, wakes: &mut Wakes) -> bool {
        self.charge(id, now);
        let Some(ticket) = self.tickets.get_mut(&id) else { return false };
        if matches!(ticket.status, Status::New(_) | Status::Waiting(..)) {
            return false;
        }
        let was_stranger = ticket.lane.is_stranger();
        ticket.lane = Lane::Client(client);
        if was_stranger {
            self.strangers -= usize::from(ticket.has_slot);
            if let Some(Away::Stranger(whose)) = ticket.away {
                ticket.away = Some(Away::Known);
                self.away.known(whose);
            }
        }
        let computes = matches!(ticket.status, Status::Computing(Hold::Runner, _));
        let path = ticket.lane.path();
        self.call(wakes);
        computes && self.begun.precedes(path)
    }

    /// Gives its turn to whoever waits.
    pub(super) fn yields(&mut self, id: u64, waker: &Waker, now: Duration, wakes: &mut Wakes) -> Step {
        self.stop(id, now);
        self.step_anew(id, waker, now, wakes)
    }

    /// It wants a seat instead of a runner, or the other way round.
    pub(super) fn wants(&mut self, id: u64, hold: Hold, waker: &Waker, now: Duration, wakes: &mut Wakes) -> Step {
        let Some(ticket) = self.tickets.get_mut(&id) else { return Step::Go };
        ticket.wants = hold;
        self.stop(id, now);
        self.step_anew(id, waker, now, wakes)
    }

    fn step_anew(&mut self, id: u64, waker: &Waker, now: Duration, wakes: &mut Wakes) -> Step {
        self.ask(id, wakes);
        // What it gave up is there for others, whatever it got.
        self.call(wakes);
        self.come(id, waker, now)
    }

    /// It has waited too long: a new one is refused, one for a seat goes on without.
    pub(super) fn late(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        match ticket.status {
            Status::New(_) => {
                self.unqueue(id);
                if let Some(ticket) = self.tickets.get_mut(&id) {
                    ticket.status = Status::Refused;
                }
            }
            Status::Waiting(Hold::Seat, _) => {
                ticket.wants = Hold::Runner;
                ticket.late = true;
                self.unqueue(id);
            }
            Status::Idle | Status::Waiting(Hold::Runner, _) | Status::Called(..) | Status::Computing(..) | Status::Refused => {}
        }
    }

    /// Whether it waited for a seat in vain; asked once.
    pub(super) fn was_late(&mut self, id: u64) -> bool {
        self.tickets.get_mut(&id).is_some_and(|ticket| std::mem::take(&mut ticket.late))
    }

    /// What it computes with.
    pub(super) fn holds(&self, id: u64) -> Option<Hold> {
        match self.tickets.get(&id)?.status {
            Status::Computing(hold, _) => Some(hold),
            Status::Idle | Status::New(_) | Status::Waiting(..) | Status::Called(..) | Status::Refused => None,
        }
    }

    /// It gives up what it waits for or has.
    pub(super) fn leave(&mut self, id: u64, now: Duration, wakes: &mut Wakes) {
        self.unqueue(id);
        self.stop(id, now);
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.wants = Hold::Runner;
        }
        self.call(wakes);
    }

    /// The request has ended.
    pub(super) fn end(&mut self, id: u64, now: Duration, wakes: &mut Wakes) {
        self.unqueue(id);
        self.stop(id, now);
        self.not_away(id);
        self.give_slot(id);
        self.tickets.remove(&id);
        self.call(wakes);
    }

    /// Takes their turn from those who were called and do not come: whoever polls them does something else. Looks twice.
    pub(super) fn look(&mut self, wakes: &mut Wakes) {
        if self.called == 0 {
            return;
        }
        let mut missed = Vec::new();
        for (id, ticket) in &mut self.tickets {
            if let Status::Called(_, looks) = &mut ticket.status {
                *looks += 1;
                if *looks > 1 {
                    missed.push(*id);
                }
            }
        }
        for id in missed {
            self.stop(id, Duration::ZERO);
        }
        self.call(wakes);
    }
}

/// Whether an entrance has its share of the slots. Whoever embeds us answers for its own.
fn full(in_flight: &HashMap<Entrance, usize>, entrance: Entrance, places: Places) -> bool {
    let has = in_flight.get(&entrance).copied().unwrap_or_default();
    entrance.peer.is_some() && has >= Places::share(places.slots)
}

#[cfg(test)]
mod tests;
