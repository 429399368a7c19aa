use tokio::time::timeout;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

fn peer(last: u8) -> Peer {
    Peer::from(std::net::IpAddr::from([192, 0, 2, last]))
}

/// A seat, which there has to be at once.
async fn seat(seats: &Arc<Seats>, last: u8) -> Arc<Seat> {
    timeout(SHORT, seats.take(peer(last))).await.unwrap().unwrap()
}

fn away(seat: &Seat) -> bool {
    seat.conversation.borrow().leaving
}

#[tokio::test]
async fn the_one_that_rested_longest_goes_for_whoever_comes() {
    let seats = Seats::new(3, 3);
    let (first, second, third) = (seat(&seats, 1).await, seat(&seats, 2).await, seat(&seats, 3).await);
    // The first one asked after the second came: it has rested less.
    drop(first.begin().unwrap());
    let asking = third.begin().unwrap();
    let taking = tokio::spawn({
        let seats = Arc::clone(&seats);
        async move { seats.take(peer(4)).await.unwrap() }
    });
    timeout(LONG, second.sent_away()).await.unwrap();
    assert!(!away(&first) && !away(&third));
    assert!(second.begin().is_none(), "nothing begins on a connection that goes");
    assert!(!taking.is_finished(), "not before it is gone");
    drop(second);
    let fourth = timeout(LONG, taking).await.unwrap().unwrap();
    drop((first, asking, third, fourth));
    timeout(LONG, seats.emptied()).await.unwrap();
    let books = seats.books();
    assert!(books.peers.is_empty() && books.resting.is_empty() && books.conversations.is_empty());
    assert_eq!((books.open, books.leaving), (0, 0));
}

#[tokio::test]
async fn a_peer_pushes_out_its_own_only() {
    let seats = Seats::new(8, 2);
    let other = seat(&seats, 9).await;
    let (first, second) = (seat(&seats, 1).await, seat(&seats, 1).await);
    let taking = tokio::spawn({
        let seats = Arc::clone(&seats);
        async move { seats.take(peer(1)).await.is_some() }
    });
    timeout(LONG, first.sent_away()).await.unwrap();
    assert!(!away(&other) && !away(&second), "the other has rested longer");
    drop(first);
    assert!(timeout(LONG, taking).await.unwrap().unwrap());

    // All of its connections are being answered: it is refused, and nobody else is.
    let (first, asking) = (seat(&seats, 2).await, second.begin().unwrap());
    let (second, of_second) = (seat(&seats, 2).await, first.begin().unwrap());
    let also = second.begin().unwrap();
    assert!(timeout(LONG, seats.take(peer(2))).await.unwrap().is_none());
    drop(seat(&seats, 3).await);
    drop((asking, of_second, also));
}

#[tokio::test]
async fn where_everything_is_being_answered_whoever_comes_waits() {
    let seats = Seats::new(2, 2);
    let (first, second) = (seat(&seats, 1).await, seat(&seats, 1).await);
    let (asking, also) = (first.begin().unwrap(), second.begin().unwrap());
    let taking = tokio::spawn({
        let seats = Arc::clone(&seats);
        async move { seats.take(peer(1)).await.is_some() }
    });
    timeout(SHORT, first.sent_away()).await.unwrap_err();
    assert!(!taking.is_finished());
    // As soon as one of them rests, it goes.
    drop(also);
    timeout(LONG, second.sent_away()).await.unwrap();
    assert!(!away(&first));
    drop(second);
    assert!(timeout(LONG, taking).await.unwrap().unwrap());
    drop(asking);
}

#[tokio::test]
async fn several_requests_on_one_connection_count_until_the_last_ends() {
    let seats = Seats::new(1, 1);
    let one = seat(&seats, 1).await;
    let (first, second) = (one.begin().unwrap(), one.begin().unwrap());
    drop(first);
    seats.relieve();
    assert!(!away(&one));
    drop(second);
    seats.relieve();
    assert!(away(&one));
    // Twice is once.
    seats.relieve();
    assert_eq!(seats.books().leaving, 1);
}

#[tokio::test]
async fn it_is_idle_only_where_nothing_is_asked() {
    let seats = Seats::new(1, 1);
    let one = seat(&seats, 1).await;
    let asking = one.begin().unwrap();
    assert!(timeout(6 * SHORT, one.idle(SHORT)).await.is_err());
    drop(asking);
    assert!(timeout(LONG, one.idle(SHORT)).await.is_ok());
    let idle = one.idle(10 * SHORT);
    let asking = async {
        for _ in 0..30 {
            tokio::time::sleep(SHORT).await;
            drop(one.begin().unwrap());
        }
    };
    tokio::select! {
        () = idle => panic!("it was asked all the time"),
        () = asking => {}
    }
}
