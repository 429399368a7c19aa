use std::task::Waker;

use super::*;

const NOW: Duration = Duration::from_secs(1);

fn places(runners: usize, slots: usize) -> Places {
    Places { runners, seats: runners, slots, away: slots, queue: 8 }
}

fn stranger(peer: u8, claim: u64) -> (Entrance, Lane) {
    let entrance = Entrance { peer: crate::peer::Peer::named(&format!("192.0.2.{peer}")), claim };
    (entrance, Lane::Stranger(entrance))
}

impl Book {
    fn comes(&mut self, peer: u8, claim: u64) -> u64 {
        let (entrance, lane) = stranger(peer, claim);
        self.ticket(entrance, lane, &mut Wakes::new())
    }

    fn asks(&mut self, id: u64) -> Step {
        self.step(id, Waker::noop(), NOW, &mut Wakes::new())
    }

    fn rests(&mut self, id: u64) {
        self.rest(id, NOW, &mut Wakes::new());
    }

    fn ends(&mut self, id: u64) {
        self.end(id, NOW, &mut Wakes::new());
    }

    fn is_known(&mut self, id: u64, client: u64) -> bool {
        self.known(id, client, NOW, &mut Wakes::new())
    }
}

fn waits(step: Step) -> bool {
    matches!(step, Step::Wait(_))
}

#[test]
fn as_many_compute_as_there_are_runners_and_each_rest_calls_the_next() {
    let mut book = Book::new(places(1, 8));
    let (first, second) = (book.comes(1, 0), book.comes(2, 0));
    assert_eq!(book.asks(first), Step::Go);
    assert!(waits(book.asks(second)));
    book.rests(first);
    assert_eq!(book.asks(second), Step::Go);
    assert!(waits(book.asks(first)), "whoever rests waits for another turn");
    book.ends(second);
    assert_eq!(book.asks(first), Step::Go);
    book.ends(first);
    assert_eq!((book.free_runners, book.free_slots, book.strangers, book.tickets.len()), (1, 8, 0, 0));
}

#[test]
fn strangers_share_a_quarter_until_they_are_known() {
    let mut book = Book::new(places(8, 8));
    let all: Vec<_> = (0..4).map(|peer| book.comes(peer, 0)).collect();
    let begun: Vec<_> = all.iter().map(|id| book.asks(*id) == Step::Go).collect();
    assert_eq!(begun, [true, true, false, false]);
    book.is_known(all[0], 1);
    assert_eq!(book.asks(all[2]), Step::Go);
    book.ends(all[1]);
    assert_eq!(book.asks(all[3]), Step::Go);
}

#[test]
fn one_entrance_leaves_room_for_others() {
    let mut book = Book::new(places(16, 8));
    let mut flood = Vec::new();
    for _ in 0..8 {
        let id = book.comes(1, 7);
        if book.asks(id) == Step::Go {
            book.is_known(id, 1);
        }
        flood.push(id);
    }
    assert_eq!((book.in_flight.values().sum::<usize>(), book.held_up_count), (6, 2));
    let other = book.comes(2, 0);
    assert_eq!(book.asks(other), Step::Go);
    for id in flood {
        book.ends(id);
    }
    book.ends(other);
    assert!(book.in_flight.is_empty() && book.held_up.is_empty() && book.held_up_count == 0);
}

#[test]
fn where_too_many_wait_the_last_of_the_longest_lane_is_refused() {
    let mut book = Book::new(places(1, 8));
    let computing = book.comes(9, 0);
    assert_eq!(book.asks(computing), Step::Go);
    let flood: Vec<_> = (0..8).map(|_| book.comes(1, 0)).collect();
    assert!(flood.iter().all(|id| waits(book.asks(*id))));
    let other = book.comes(2, 0);
    assert!(waits(book.asks(other)));
    assert_eq!(book.asks(flood[7]), Step::Refused);
    assert!(waits(book.asks(flood[6])));
}

/// Many peers with one request each, and one whose requests are held up because it has its share of the slots.
#[test]
fn where_too_many_wait_the_last_of_an_entrance_that_is_held_up_is_refused_before_others() {
    let mut book = Book::new(Places { runners: 16, seats: 1, slots: 8, away: 8, queue: 6 });
    let mut flood = Vec::new();
    for _ in 0..6 {
        let id = book.comes(1, 7);
        assert_eq!(book.asks(id), Step::Go);
        book.is_known(id, 1);
        flood.push(id);
    }
    let held: Vec<_> = (0..3).map(|_| book.comes(1, 7)).collect();
    assert!(held.iter().all(|id| waits(book.asks(*id))));
    // Two strangers take their quarter; those after them wait, each in a lane of its own.
    let begun = [book.comes(2, 0), book.comes(3, 0)];
    assert!(begun.iter().all(|id| book.asks(*id) == Step::Go));
    let others: Vec<_> = (4..8).map(|peer| book.comes(peer, 0)).collect();
    assert!(others.iter().all(|id| waits(book.asks(*id))));
    assert_eq!(book.held_up_count + book.new.len(), 6);
    assert_eq!(book.asks(held[2]), Step::Refused, "three of one entrance are more than one of each other");
    assert!(held[..2].iter().chain(&others).all(|id| waits(book.asks(*id))));
}

#[test]
fn whoever_waits_elsewhere_has_no_slot_and_too_many_may_not() {
    let mut book = Book::new(Places { runners: 8, seats: 1, slots: 1, away: 4, queue: 8 });
    let mut wakes = Wakes::new();
    let first = book.comes(1, 0);
    assert_eq!(book.asks(first), Step::Go);
    assert!(book.goes_away(first, 1, &mut wakes));
    book.rests(first);
    let second = book.comes(2, 0);
    assert_eq!(book.asks(second), Step::Go, "the slot is free");
    assert!(!book.goes_away(second, 2, &mut wakes), "a quarter of four are strangers");
    book.is_known(second, 1);
    assert!(book.goes_away(second, 1, &mut wakes), "but not of those that are known");
    book.comes_back(first);
    book.comes_back(second);
    assert_eq!((book.away.all, book.away.strangers()), (0, 0));
    book.ends(first);
    book.ends(second);
    assert_eq!((book.free_slots, book.strangers), (1, 0));
}

#[test]
fn a_server_that_hangs_takes_half_of_what_strangers_have() {
    let mut book = Book::new(Places { runners: 8, seats: 1, slots: 32, away: 16, queue: 8 });
    let mut wakes = Wakes::new();
    let mut goes = |book: &mut Book, peer, whose| {
        let id = book.comes(peer, 0);
        assert_eq!(book.asks(id), Step::Go);
        let gone = book.goes_away(id, whose, &mut wakes);
        book.rests(id);
        (id, gone)
    };
    let first: Vec<_> = (0..4).map(|peer| goes(&mut book, peer, 1)).collect();
    assert_eq!(first.iter().map(|(_, gone)| *gone).collect::<Vec<_>>(), [true, true, false, false]);
    let other: Vec<_> = (4..7).map(|peer| goes(&mut book, peer, 2)).collect();
    assert_eq!(other.iter().map(|(_, gone)| *gone).collect::<Vec<_>>(), [true, true, false]);
    // Whoever turns out to be known leaves its place to another stranger.
    book.is_known(first[0].0, 1);
    assert!(goes(&mut book, 7, 1).1);
    assert_eq!((book.away.all, book.away.strangers()), (5, 4));
    for (id, _) in first.into_iter().chain(other) {
        book.ends(id);
    }
    assert_eq!((book.away.all, book.away.strangers()), (1, 1));
}

#[test]
fn a_seat_leaves_the_runner_to_others() {
    let mut book = Book::new(places(1, 8));
    let mut wakes = Wakes::new();
    let (slow, other, third) = (book.comes(1, 0), book.comes(2, 0), book.comes(3, 0));
    assert_eq!(book.asks(slow), Step::Go);
    book.is_known(slow, 1);
    assert_eq!(book.wants(slow, Hold::Seat, Waker::noop(), NOW, &mut wakes), Step::Go);
    assert_eq!((book.holds(slow), book.asks(other)), (Some(Hold::Seat), Step::Go));
    book.is_known(other, 2);
    assert!(waits(book.wants(other, Hold::Seat, Waker::noop(), NOW, &mut wakes)), "there is one seat");
    assert_eq!(book.asks(third), Step::Go);
    book.late(other);
    assert!(waits(book.asks(other)), "it goes on as everybody does");
    book.rests(third);
    assert_eq!(book.asks(other), Step::Go);
    assert!(book.was_late(other) && !book.was_late(other));
    for id in [slow, other, third] {
        book.ends(id);
    }
    assert_eq!((book.free_runners, book.free_seats, book.called), (1, 1, 0));
}

#[test]
fn whoever_is_called_and_does_not_come_keeps_nobody_waiting() {
    let mut book = Book::new(places(1, 16));
    let (first, lost, third) = (book.comes(1, 0), book.comes(2, 0), book.comes(3, 0));
    assert_eq!(book.asks(first), Step::Go);
    assert!(waits(book.asks(lost)) && waits(book.asks(third)));
    book.rests(first);
    assert_eq!(book.called, 1);
    book.look(&mut Wakes::new());
    book.look(&mut Wakes::new());
    assert_eq!(book.asks(third), Step::Go);
    assert!(waits(book.asks(lost)), "it asks anew");
    book.rests(third);
    assert_eq!(book.asks(lost), Step::Go);
}

#[test]
fn somebody_new_comes_now_and_then_however_many_have_begun() {
    let mut book = Book::new(places(1, 64));
    let mut begun = Vec::new();
    for peer in 0..8 {
        let id = book.comes(peer, 0);
        assert_eq!(book.asks(id), Step::Go);
        book.is_known(id, u64::from(peer));
        book.rests(id);
        begun.push(id);
    }
    let computing = book.comes(100, 0);
    assert_eq!(book.asks(computing), Step::Go);
    for id in &begun {
        assert!(waits(book.asks(*id)));
    }
    let new = book.comes(101, 0);
    assert!(waits(book.asks(new)));
    let mut turns = 0;
    book.rests(computing);
    while waits(book.asks(new)) {
        let called = begun.iter().copied().find(|id| book.asks(*id) == Step::Go);
        book.rests(called.unwrap());
        turns += 1;
    }
    assert!(turns <= 3, "{turns}");
}
